//! How it is told: for the terminal, and for the document between two marks of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::beside::Beside;
use super::phases::Phase;
use super::stage::Settlement;

pub(crate) const PHASES: &str = "| phase | due/s | offered/s | of capacity | most under way | accepted/s | 503/s | other or no answer/s | p50 | p99 | longest | longest silence | peak memory | memory at its end |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

pub(crate) const FLOODS: &str = "| flood | valid offered | valid accepted | at a further attempt | **given up** | p50 | p99 | longest | peak memory | what the flood got |\n|---|---|---|---|---|---|---|---|---|---|";

/// What stands between these lines of the document is written by the harness.
const BEGIN: &str = "<!-- overload, written by `cargo xtask torture --long --write` -->";
const END: &str = "<!-- end of overload -->";

pub(crate) fn capacity(per_second: f64, clients: usize) -> String {
    format!(
        "{clients} clients that wait for each answer are accepted {per_second:.0} times a second: the capacity.\n"
    )
}

pub(crate) fn phase(phase: &Phase, capacity: f64) -> String {
    let tally = &phase.tally;
    let per_second = |count| tally.per_second(count);
    format!(
        "| {} | {:.0} | {:.0} | {:.0} % | {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} | {} MB | {} MB |",
        phase.name,
        per_second(tally.offered + tally.left_out),
        per_second(tally.offered),
        per_second(tally.offered) / capacity * 100.0,
        tally.most_under_way,
        per_second(tally.accepted()),
        per_second(tally.answered(Some(503))),
        per_second(tally.others()),
        shown(tally.quantile(0.5)),
        shown(tally.quantile(0.99)),
        shown(tally.quantile(1.0)),
        shown(tally.longest_silence()),
        phase.memory.peak,
        phase.memory.at_the_end,
    )
}

pub(crate) fn flood(beside: &Beside) -> String {
    let tally = &beside.tally;
    let got: Vec<String> = beside.got.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    format!(
        "| {} | {} | {} | {} | **{}** | {} | {} | {} | {} MB | {} |",
        beside.flood.name,
        tally.offered,
        tally.accepted(),
        tally.repeated,
        tally.offered - tally.accepted(),
        shown(tally.quantile(0.5)),
        shown(tally.quantile(0.99)),
        shown(tally.quantile(1.0)),
        beside.memory.peak,
        got.join(", "),
    )
}

pub(crate) fn settlement(settlement: Settlement) -> String {
    format!(
        "Of {} acknowledged events {} are missing, and {} bodies were delivered that nobody sent.",
        settlement.acknowledged, settlement.missing, settlement.altered,
    )
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Puts the tables into the document, between its two marks.
pub(crate) fn write(document: &Path, measured: &str, lines: &[String]) -> Result<(), String> {
    let shown = document.display();
    let text = fs::read_to_string(document).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let marked = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marked.ok_or_else(|| format!("{shown} lacks the marks {BEGIN:?} and {END:?}"))?;
    let tables = lines.join("\n");
    fs::write(document, format!("{before}{BEGIN}\n\n{measured}\n\n{tables}\n\n{END}{after}"))
        .map_err(|error| format!("cannot write {shown}: {error}"))
}
