//! Logs: text for a person at a terminal, JSON lines otherwise, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::exit::{Code, Failure};

/// Starts logging at `level`, which may be a filter like `info,vodrelay_http=debug`.
///
/// # Errors
/// If it is neither a level nor a filter.
pub(crate) fn start(level: &str) -> Result<(), Failure> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(std::io::stderr);
    // A second start, as in tests, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    Ok(())
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
