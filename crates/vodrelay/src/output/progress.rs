//! How far long work is: a bar on a terminal, now and then a line elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::note;
use super::table::shorten;

/// How wide the bar is.
const BAR: usize = 24;
/// Elsewhere a line is written about so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    total: Option<u64>,
    terminal: Option<usize>,
    told_at: Instant,
    is_drawn: bool,
}

impl Progress {
    /// Of that many, where it is known.
    pub(crate) fn of(total: Option<u64>) -> Self {
        let error = std::io::stderr();
        let width =
            || rustix::termios::tcgetwinsize(&error).map_or(80, |size| usize::from(size.ws_col.max(20)));
        let terminal = error.is_terminal().then(width);
        Self { total, terminal, told_at: Instant::now(), is_drawn: false }
    }

    /// So many are done, which means that.
    pub(crate) fn show(&mut self, done: u64, text: &str) {
        if let Some(width) = self.terminal {
            let shown = shorten(&drawn(done, self.total, text), width.saturating_sub(1));
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[2K{shown}")
                .and_then(|()| std::io::stderr().flush());
            self.is_drawn = true;
        } else if self.told_at.elapsed() >= LINE_EVERY {
            self.told_at = Instant::now();
            note(text);
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[2K").and_then(|()| std::io::stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn drawn(done: u64, total: Option<u64>, text: &str) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return text.to_owned() };
    // What came meanwhile may be more than was counted before.
    let part = (done.min(total) as f64) / (total as f64);
    let full = (part * BAR as f64) as usize;
    format!("[{}{}] {:>3.0} %  {text}", "#".repeat(full), "-".repeat(BAR - full), part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_where_it_is_known_how_many() {
        assert_eq!(drawn(5, None, "looked at 5"), "looked at 5");
        assert_eq!(drawn(0, Some(10), "x"), "[------------------------]   0 %  x");
        assert_eq!(drawn(5, Some(10), "x"), "[############------------]  50 %  x");
        assert_eq!(drawn(12, Some(10), "x"), "[########################] 100 %  x");
        assert_eq!(drawn(1, Some(0), "x"), "x");
    }
}
