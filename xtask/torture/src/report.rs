//! The table: what each row came to, for the terminal and for the document.

use std::fs;
use std::path::Path;

use crate::account::Account;
use crate::rows::Row;

pub(crate) const HEAD: &str = "| fault | struck | in flight at each, median (least) | sent | acknowledged | **missing** | altered | given up by the sender | \
     delivered twice | dead letters | worst outage | syncs | took | seed |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// What stands between these lines of the document is written by the harness.
const BEGIN: &str = "<!-- written by `cargo xtask torture --long --write` -->";
const END: &str = "<!-- end of what is written -->";

/// One line of the table.
pub(crate) fn line(row: &Row, account: &Account, seed: u64) -> String {
    let mut in_flight = account.in_flight.clone();
    in_flight.sort_unstable();
    let median = in_flight.get(in_flight.len() / 2).copied().unwrap_or(0);
    let least = in_flight.first().copied().unwrap_or(0);
    // A row without a load of callbacks has none.
    let outage = account.worst_outage.as_secs_f64();
    let outage = if outage > 0.0 { format!("{outage:.2} s") } else { "-".to_owned() };
    format!(
        "| {} | {} of {} | {median} ({least}) | {} | {} | **{}** | {} | {} | {} | {} | {outage} | {} | {:.0} s | {seed} |",
        row.what,
        account.struck(),
        account.in_flight.len(),
        account.sent,
        account.acknowledged,
        account.missing,
        account.altered,
        account.given_up,
        account.duplicates,
        account.dead_letters,
        account.syncs,
        account.took.as_secs_f64(),
    )
}

/// Puts the table into the document, between its two marks.
pub(crate) fn write(document: &Path, measured: &str, lines: &[String]) -> Result<(), String> {
    let shown = document.display();
    let text = fs::read_to_string(document).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let table = format!("\n{measured}\n\n{}\n\n", lines.join("\n"));
    let marked = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marked.ok_or_else(|| format!("{shown} lacks the marks {BEGIN:?} and {END:?}"))?;
    fs::write(document, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .map_err(|error| format!("cannot write {shown}: {error}"))
}
