//! The table: what each row came to, for the terminal and for the document.

use std::fs;
use std::path::Path;

use crate::account::Account;
use crate::rows::{ROWS, Row};

pub(crate) const HEAD: &str = "| fault | struck | in flight at each, median (least) | sent | acknowledged | **missing** | altered | given up by the sender | \
     delivered twice | dead letters | worst outage | syncs | took | seed | run on |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// What stands between these lines of the document is written by the harness.
const BEGIN: &str = "<!-- written by `cargo xtask torture --long --write` -->";
const END: &str = "<!-- end of what is written -->";

/// One line of the table.
pub(crate) fn line(row: &Row, account: &Account, seed: u64, today: &str) -> String {
    let mut in_flight = account.in_flight.clone();
    in_flight.sort_unstable();
    let median = in_flight.get(in_flight.len() / 2).copied().unwrap_or(0);
    let least = in_flight.first().copied().unwrap_or(0);
    // A row without a load of callbacks has none.
    let outage = account.worst_outage.as_secs_f64();
    let outage = if outage > 0.0 { format!("{outage:.2} s") } else { "-".to_owned() };
    format!(
        "| {} | {} of {} | {median} ({least}) | {} | {} | **{}** | {} | {} | {} | {} | {outage} | {} | {:.0} s | {seed} | {today} |",
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

/// Puts the lines into the document's table, each in the place of the one that the row had there.
pub(crate) fn write(document: &Path, lines: &[String]) -> Result<(), String> {
    let shown = document.display();
    let text = fs::read_to_string(document).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text =
        with_lines(&text, lines).ok_or_else(|| format!("{shown} lacks the marks {BEGIN:?} and {END:?}"))?;
    fs::write(document, text).map_err(|error| format!("cannot write {shown}: {error}"))
}

fn with_lines(text: &str, lines: &[String]) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    let what = |line: &str| line.split(" | ").next().unwrap_or_default().to_owned();
    let old = table.lines().filter(|line| line.starts_with("| ") && !HEAD.starts_with(*line));
    let mut of_rows: Vec<String> = ROWS
        .iter()
        .filter_map(|row| {
            let is_of_row = |line: &&str| what(line) == format!("| {}", row.what);
            let new = lines.iter().map(String::as_str).find(is_of_row);
            new.or_else(|| old.clone().find(is_of_row)).map(str::to_owned)
        })
        .collect();
    of_rows.insert(0, HEAD.to_owned());
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", of_rows.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_ran_takes_the_place_of_what_it_said_before() {
        let text = format!("before\n{BEGIN}\n{END}\nafter\n");
        let (kill, cut) = ("| kill -9 | 1 | **0** |".to_owned(), "| power cut | 2 | **0** |".to_owned());
        let text = with_lines(&text, &[cut.clone(), kill.clone()]).unwrap();
        let again = kill.replace("| 1 |", "| 3 |");
        let text = with_lines(&text, std::slice::from_ref(&again)).unwrap();
        assert_eq!(text, format!("before\n{BEGIN}\n\n{HEAD}\n{again}\n{cut}\n\n{END}\nafter\n"));
    }
}
