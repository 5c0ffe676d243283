//! Asking before something is done that nothing undoes.

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::{Code, Failure};

/// Goes on with `--yes`, or when somebody at a terminal says so.
pub(crate) fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(Failure::new(Code::Usage, format!("{what}; say --yes to do it")));
    }
    let mut answer = String::new();
    let _ = write!(stderr, "{what}; go on? [y/N] ").and_then(|()| stderr.flush());
    let read = stdin.lock().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Code::Usage, "nothing was changed")),
    }
}
