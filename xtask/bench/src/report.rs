//! The table: figures, floors, aims and verdicts, for the terminal and for the document.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::rows::{Better, Measured, Row};

pub(crate) const HEAD: &str =
    "| what | floor | aim | measured | verdict | raw figures |\n|---|---|---|---|---|---|";

/// What stands between these lines of the document is written by the bench.
const BEGIN: &str = "<!-- written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of what is written -->";

/// How a figure stands to its row's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Aim,
    Floor,
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aim => "aim reached",
            Self::Floor => "above the floor",
            Self::Missed => "**below the floor**",
        })
    }
}

pub(crate) fn verdict(row: &Row, figure: f64) -> Verdict {
    let reaches = |limit: f64| match row.better {
        Better::Higher => figure >= limit,
        Better::Lower => figure <= limit,
    };
    match (reaches(row.aim), reaches(row.floor)) {
        (true, _) => Verdict::Aim,
        (false, true) => Verdict::Floor,
        (false, false) => Verdict::Missed,
    }
}

/// One line of the table.
pub(crate) fn line(row: &Row, measured: &Measured) -> String {
    let Row { what, floor, aim, unit, .. } = row;
    let Measured { figure, raw } = measured;
    let verdict = verdict(row, *figure);
    format!("| {what} | {floor}{unit} | {aim}{unit} | {figure:.2}{unit} | {verdict} | {raw} |")
}

/// Puts the table into the document, between its two marks.
pub(crate) fn write(document: &Path, machine: &str, synced: &str, lines: &[String]) -> Result<(), String> {
    let shown = document.display();
    let text = fs::read_to_string(document).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let table = format!("\nMeasured {machine}.\n{synced}\n\n{}\n\n", lines.join("\n"));
    let text = between_marks(&text, &table)
        .ok_or_else(|| format!("{shown} lacks the marks {BEGIN:?} and {END:?}"))?;
    fs::write(document, text).map_err(|error| format!("cannot write {shown}: {error}"))
}

fn between_marks(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    #[test]
    fn figures_are_judged_in_their_direction() {
        let check = |name: &str, figure, expected| {
            let row = ROWS.iter().find(|row| row.name == name).unwrap();
            assert_eq!(verdict(row, figure), expected, "{name} {figure}");
        };
        check("ingest", 0.45, Verdict::Aim);
        check("ingest", 0.3, Verdict::Floor);
        check("ingest", 0.29, Verdict::Missed);
        check("ack", 4.0, Verdict::Aim);
        check("ack", 10.0, Verdict::Floor);
        check("ack", 10.1, Verdict::Missed);
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let replaced = between_marks(&text, "new\n");
        assert_eq!(replaced.as_deref(), Some(format!("before\n{BEGIN}\nnew\n{END}\nafter\n").as_str()));
        assert_eq!(between_marks("before\nafter\n", "new\n"), None);
    }
}
