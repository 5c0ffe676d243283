//! The emulator as a program of its own, for tests in other languages and for trying things out.

mod cli;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use mns_emulator::{Attributes, Emulator};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::Args;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let level = if args.verbose { "mns_emulator=debug" } else { "mns_emulator=warn" };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads could be started: {error}"), 70),
    };
    runtime.block_on(run(args))
}

async fn run(args: Args) -> ExitCode {
    let (listen, queues) = (args.listen, args.queues.clone());
    let is_open = args.access_key_id.is_none();
    let emulator = match Emulator::start(args.settings()).await {
        Ok(emulator) => emulator,
        Err(error) => {
            return fail(&format!("cannot listen on {listen}: {error}; choose another --listen"), 69);
        }
    };
    for queue in &queues {
        if let Err(refusal) = emulator.create_queue(queue, Attributes::default()) {
            return fail(&format!("cannot create the queue {queue:?}: {refusal}"), 64);
        }
    }
    // Listened for before anybody is told that we are here.
    let listen =
        || Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?));
    let (mut terminate, mut interrupt) = match listen() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("signals cannot be waited for: {error}"), 70),
    };
    // The one line of output, for scripts that start on port 0.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", emulator.endpoint()).and_then(|()| out.flush());
    if is_open {
        tracing::warn!("no access key is set, so requests are let in unsigned");
    }
    // Ctrl-C, or the signal by which whoever started it ends it.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    emulator.stop().await;
    ExitCode::SUCCESS
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "mns-emulator: {message}");
    ExitCode::from(code)
}
