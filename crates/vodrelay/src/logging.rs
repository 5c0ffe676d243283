//! Logs: text for a person at a terminal, JSON lines otherwise, to standard error.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::exit::{Code, Failure};

/// Lines that wait for whoever reads standard error; when he is behind, further ones are dropped.
const LINES_WAITING: usize = 8_192;

/// Starts logging at `level`, which may be a filter like `info,vodrelay_http=debug`. What is logged at the end is written
/// when the guard is dropped.
///
/// A thread of its own writes: a pipe that nobody reads, or a full disk behind standard error, must not hold up the
/// relay, let alone end it.
///
/// # Errors
/// If it is neither a level nor a filter.
pub(crate) fn start(level: &str) -> Result<WorkerGuard, Failure> {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING)
        .finish(std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .log_internal_errors(false)
        .with_writer(writer);
    // A second start, as in tests, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_ansi(true).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    // The default hook writes a trace of many lines among those of the log, and waits for whoever reads them.
    std::panic::set_hook(Box::new(
        |panic| tracing::error!(%panic, "a panic; this is a bug, please report it"),
    ));
    Ok(guard)
}

/// A word that is no level would be taken for the name of a module, and then nothing at all is logged.
fn filter(level: &str) -> Result<EnvFilter, Failure> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_known =
        |part: &str| part.contains('=') || LEVELS.contains(&part.trim().to_ascii_lowercase().as_str());
    let parsed = if level.split(',').all(is_known) { EnvFilter::try_new(level).ok() } else { None };
    parsed.ok_or_else(|| {
        let message = format!(
            "--log {level}: expected error, warn, info, debug, trace, or a filter like info,vodrelay_http=debug"
        );
        Failure::new(Code::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        let check = |level: &str, expect: bool| assert_eq!(filter(level).is_ok(), expect, "{level}");
        check("info", true);
        check("WARN", true);
        check("info,vodrelay_http=debug", true);
        check("inof", false);
        check("", false);
        check("a=b=c", false);
    }
}
