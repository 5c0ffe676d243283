//! Tables for people: on a terminal they fit its width, elsewhere every cell stands there whole.
//!
//! Cells may hold what others have written, so nothing in them can move the cursor or begin a line, and they are measured
//! as a terminal shows them: a Chinese character takes two places.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{cell, line};

/// Between two columns.
const GAP: &str = "  ";
/// Narrower than this a text says nothing.
const LEAST: usize = 8;
/// So many rows are held before the widths are fixed.
const HELD: usize = 200;

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    title: &'static str,
    fit: Fit,
    is_number: bool,
    may_go: bool,
    least: usize,
}

/// What becomes of a column where room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It is needed as it is, to be copied.
    Whole,
    /// Its cells end in an ellipsis.
    Shortened,
    /// Its cells go on in the next line; for the last column.
    Wrapped,
}

impl Column {
    /// One whose cells are needed whole, such as ids.
    pub(crate) const fn whole(title: &'static str) -> Self {
        Self { title, fit: Fit::Whole, is_number: false, may_go: false, least: LEAST }
    }

    /// One whose cells may be cut.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { fit: Fit::Shortened, ..Self::whole(title) }
    }

    /// The last one, whose cells go on in the next line.
    pub(crate) const fn wrapped(title: &'static str) -> Self {
        Self { fit: Fit::Wrapped, ..Self::whole(title) }
    }

    /// One of numbers, which stand at the right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { is_number: true, ..Self::whole(title) }
    }

    /// Left out where the terminal is too narrow for all; those at the right go first.
    pub(crate) const fn may_go(self) -> Self {
        Self { may_go: true, ..self }
    }

    fn floor(&self) -> usize {
        if self.fit == Fit::Wrapped { self.least } else { LEAST }
    }

    /// As wide at least, for a table whose rows come one by one; one that is wrapped is made no narrower either.
    pub(crate) const fn at_least(self, least: usize) -> Self {
        Self { least, ..self }
    }
}

/// A table that is printed as its rows come: the first ones decide how wide its columns are.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    held: Vec<Vec<String>>,
    layout: Option<Layout>,
    terminal: Option<usize>,
}

/// Which columns are shown, and how wide.
#[derive(Clone, Debug)]
struct Layout {
    shown: Vec<(usize, usize)>,
    fits: bool,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), held: Vec::new(), layout: None, terminal: terminal_width() }
    }

    /// Adds a row; it may be printed later.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.held.push(cells.into_iter().map(|text| cell(&text).into_owned()).collect());
        if self.held.len() >= HELD {
            self.print();
        }
    }

    /// Prints what has not been printed yet.
    pub(crate) fn print(&mut self) {
        self.lines().iter().for_each(line);
    }

    fn lines(&mut self) -> Vec<String> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let rows = std::mem::take(&mut self.held);
        let (layout, mut lines) = match &self.layout {
            Some(layout) => (layout.clone(), Vec::new()),
            None => {
                let layout = Layout::of(&self.columns, &rows, self.terminal);
                let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
                let head = layout.lines(&self.columns, &titles);
                (self.layout.insert(layout).clone(), head)
            }
        };
        lines.extend(rows.iter().flat_map(|row| layout.lines(&self.columns, row)));
        lines
    }
}

/// How wide the terminal is, if standard output is one.
pub(crate) fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

impl Layout {
    fn of(columns: &[Column], rows: &[Vec<String>], terminal: Option<usize>) -> Self {
        let widest = |index: usize, column: &Column| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
            let named = column.title.width().max(if column.least == LEAST { 0 } else { column.least });
            (index, cells.fold(named, usize::max))
        };
        let all: Vec<_> = columns.iter().enumerate().map(|(index, column)| widest(index, column)).collect();
        let Some(room) = terminal else { return Self { shown: all, fits: false } };
        let mut shown = all;
        loop {
            let squeezed = squeeze(columns, shown.clone(), room, |column| column.fit != Fit::Whole);
            if needed(&squeezed) <= room {
                return Self { shown: squeezed, fits: true };
            }
            let is_free =
                |(index, _): &(usize, usize)| columns.get(*index).is_some_and(|column| column.may_go);
            let Some(last) = shown.iter().rposition(is_free) else {
                return Self { shown: squeeze(columns, squeezed, room, |_| true), fits: true };
            };
            shown.remove(last);
        }
    }

    fn lines(&self, columns: &[Column], row: &[String]) -> Vec<String> {
        let mut first = String::new();
        let mut more = Vec::new();
        for (nth, (index, width)) in self.shown.iter().enumerate() {
            let (Some(column), text) = (columns.get(*index), row.get(*index).map_or("", String::as_str))
            else {
                continue;
            };
            if nth > 0 {
                first.push_str(GAP);
            }
            let indent = first.width();
            let text = match (self.fits, column.fit) {
                (true, Fit::Wrapped) => {
                    let mut pieces = wrap(text, *width).into_iter();
                    let piece = pieces.next().unwrap_or_default();
                    more = pieces.map(|piece| " ".repeat(indent) + &piece).collect();
                    piece
                }
                (true, _) => shorten(text, *width),
                (false, _) => text.to_owned(),
            };
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let parts = if column.is_number { [padding.as_str(), &text] } else { [text.as_str(), &padding] };
            first.extend(parts);
        }
        let mut lines = vec![first.trim_end().to_owned()];
        lines.append(&mut more);
        lines
    }
}

fn needed(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, width)| width).sum::<usize>() + GAP.len() * shown.len().saturating_sub(1)
}

/// Takes from the widest of those that may be narrower, until it fits or they are as narrow as they may be.
fn squeeze(
    columns: &[Column],
    mut shown: Vec<(usize, usize)>,
    room: usize,
    may: impl Fn(&Column) -> bool,
) -> Vec<(usize, usize)> {
    for (_, width) in &mut shown {
        *width = (*width).min(room.max(1));
    }
    while needed(&shown) > room {
        let narrower = shown.iter_mut().filter(|(index, width)| {
            columns.get(*index).is_some_and(|column| may(column) && *width > column.floor())
        });
        let Some((_, width)) = narrower.max_by_key(|(_, width)| *width) else { break };
        *width -= 1;
    }
    shown
}

/// The text, or as much of its beginning as fits, and an ellipsis.
pub(crate) fn shorten(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut short: String = text[..fitting(text, room.saturating_sub(1))].trim_end().to_owned();
    short.push('…');
    short
}

/// How many bytes of the text take so many places at most.
fn fitting(text: &str, room: usize) -> usize {
    let mut taken = 0;
    for (at, letter) in text.char_indices() {
        taken += letter.width().unwrap_or(0);
        if taken > room {
            return at;
        }
    }
    text.len()
}

/// The text in lines that fit, broken between words where there are any.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while rest.width() > room {
        let most = fitting(rest, room).max(rest.chars().next().map_or(1, char::len_utf8));
        let ends_a_word = rest[most..].starts_with(' ');
        let space = rest[..most].rfind(' ').filter(|at| *at > 0 && !ends_a_word);
        let at = space.unwrap_or(most);
        lines.push(rest[..at].trim_end().to_owned());
        rest = rest[at..].trim_start();
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: &[Column], rows: &[&[&str]], terminal: Option<usize>, expect: &[&str]) {
        let mut table = Table { terminal, ..Table::new(columns) };
        for row in rows {
            table.row(row.iter().map(|cell| (*cell).to_owned()));
        }
        let lines = table.lines();
        assert_eq!(lines, expect);
        if let Some(terminal) = terminal {
            assert!(lines.iter().all(|line| line.width() <= terminal), "{lines:#?}");
        }
    }

    const SINKS: [Column; 3] = [Column::whole("SINK"), Column::number("PENDING"), Column::text("REASON")];

    #[test]
    fn elsewhere_every_cell_is_whole() {
        let long = "the receiver answered 410 Gone, and that is for good";
        check(
            &SINKS,
            &[&["cms", "12", long], &["archive", "3", ""]],
            None,
            &[
                "SINK     PENDING  REASON",
                "cms           12  the receiver answered 410 Gone, and that is for good",
                "archive        3",
            ],
        );
        check(&SINKS, &[], None, &[]);
    }

    #[test]
    fn on_a_terminal_texts_are_cut_and_ids_are_not() {
        check(
            &SINKS,
            &[&["archive", "3", "the receiver answered 410"]],
            Some(30),
            &["SINK     PENDING  REASON", "archive        3  the receive…"],
        );
        check(
            &[Column::whole("EVENT"), Column::text("TYPE"), Column::text("SINKS").may_go()],
            &[&["evt_123456", "DynamicImageComplete", "cms, archive"]],
            Some(24),
            &["EVENT       TYPE", "evt_123456  DynamicImag…"],
        );
        check(&[Column::whole("EVENT")], &[&["evt_1234567890"]], Some(10), &["EVENT", "evt_12345…"]);
    }

    #[test]
    fn a_wide_character_takes_two_places() {
        check(
            &[Column::text("NAME"), Column::whole("ID")],
            &[&["图片处理完成通知", "1"], &["ab", "2"]],
            Some(14),
            &["NAME        ID", "图片处理…   1", "ab          2"],
        );
    }

    #[test]
    fn nothing_in_a_cell_begins_a_line_or_is_obeyed() {
        check(
            &[Column::text("NAME")],
            &[&["a\nb\tc\u{1b}[7m\u{202e}d\u{61c}"]],
            None,
            &["NAME", r"a\nb\tc\u{1b}[7m\u{202e}d\u{61c}"],
        );
    }

    #[test]
    fn the_last_column_may_go_on_below() {
        check(
            &[Column::whole("FROM"), Column::wrapped("WHAT")],
            &[&["09:00", "the relay was stopped, and a load balancer was not"]],
            Some(26),
            &["FROM   WHAT", "09:00  the relay was", "       stopped, and a load", "       balancer was not"],
        );
    }

    #[test]
    fn later_rows_keep_to_the_widths_of_the_first() {
        let mut table =
            Table { terminal: Some(20), ..Table::new([Column::whole("ID"), Column::text("NAME")]) };
        table.row(["1".to_owned(), "short".to_owned()]);
        assert_eq!(table.lines(), ["ID  NAME", "1   short"]);
        table.row(["2".to_owned(), "longer than that".to_owned()]);
        assert_eq!(table.lines(), ["2   long…"]);
    }
}
