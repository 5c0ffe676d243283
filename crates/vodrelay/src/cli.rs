//! The command line: what can be asked, and which file answers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use vodrelay_core::SinkFactory;

use crate::command::{
    alerts, archive, check, dead_letters, drain, events, explain, export, forget, gaps, health, init,
    journal, listen, refused, replay, serve, show, sign_url, sinks, trigger, verify,
};
use crate::exit::{self, Code, Failure};
use crate::{demo, output};

/// Receives ApsaraVideo VOD events, makes them durable before it says yes, and delivers each to every service that
/// wants it.
#[derive(Debug, Parser)]
#[command(name = "vodrelay", version, before_help = EXAMPLES, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  vodrelay demo                      the whole product, nothing to set up
  vodrelay init --public-url URL     a configuration and a key
  vodrelay check                     what is wrong with it, if anything
  vodrelay serve                     the relay
  vodrelay trigger --callback main   a signed sample event";

/// The help of a command: its examples come before its options, since most people look for those.
const HELP_OF_COMMAND: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole product on this machine, with nothing to set up
    Demo(demo::Args),
    /// Write a commented vodrelay.toml and a fresh callback key
    Init(init::Args),
    /// Run the relay
    Serve(serve::Args),
    /// Load the configuration, build everything, ask every sink, and explain each finding
    Check(check::Args),
    /// Send a signed sample event
    Trigger(trigger::Args),
    /// Tell how an event reads, which sinks get it and why
    Explain(explain::Args),
    /// Check a callback signature, and find out what would match
    Verify(verify::Args),
    /// Print an image's URL with the signature that a CDN domain wants
    SignUrl(sign_url::Args),
    /// List what the archives hold, and verify that it is whole
    #[command(subcommand)]
    Archive(archive::Args),
    /// Verify the journal, back it up, salvage a damaged one
    #[command(subcommand)]
    Journal(journal::Args),
    /// List events, or follow them as they come
    Events(events::Args),
    /// Bring live events to a developer's machine
    Listen(listen::Args),
    /// Print the events of a time as JSON lines
    Export(export::Args),
    /// List, export or purge what was given up and what cannot be read
    #[command(subcommand)]
    DeadLetters(dead_letters::Args),
    /// Deliver anew what was given up, could not be read, matched no sink, or came before a sink did
    Replay(replay::Args),
    /// Tell what waits for each sink; pause, resume, retry, rename, forget one
    #[command(subcommand)]
    Sinks(sinks::Args),
    /// Remove a video for good: bodies, attempts, archived images; the ids of its events stay
    Forget(forget::Args),
    /// Have a relay take nothing more in, and wait until it has finished
    Drain(drain::Args),
    /// List, explain, accept or purge the requests that a running relay refused
    #[command(subcommand)]
    Refused(refused::Args),
    /// Tell when events may be missing: exit 0 or 65
    Gaps(gaps::Args),
    /// Find out whether alerts arrive
    #[command(subcommand)]
    Alerts(alerts::Args),
    /// Print the configuration's schema, or the configuration in force
    #[command(subcommand)]
    Config(show::Args),
    /// Print completions for a shell
    #[command(after_help = "Examples:\n  vodrelay completions bash > /etc/bash_completion.d/vodrelay")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Ask a running relay whether it is ready: exit 0 or 69
    Health(health::Args),
}

/// Which configuration a command works with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file [default: $VODRELAY_CONFIG, ./vodrelay.toml, /etc/vodrelay/vodrelay.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl ConfigFile {
    pub(crate) fn load(&self) -> Result<crate::config::Loaded, Failure> {
        self.load_in(environment())
    }

    /// For asking a relay of somewhere else, which has a data directory of its own.
    pub(crate) fn load_for_another(&self) -> Result<crate::config::Loaded, Failure> {
        let mut environment = environment();
        environment.entry("VODRELAY__DATA_DIR".to_owned()).or_insert_with(|| "data".to_owned());
        self.load_in(environment)
    }

    fn load_in(&self, environment: HashMap<String, String>) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(self.config.as_deref(), environment).map_err(|error| {
            Failure::new(Code::Configuration, format!("the configuration is wrong\n  {error}"))
        })
    }
}

/// The environment, with what is not Unicode left out.
pub(crate) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(crate) fn run(own_factories: Vec<Arc<dyn SinkFactory>>) -> ExitCode {
    let parsed = command_line().try_get_matches().and_then(|words| Cli::from_arg_matches(&words));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage as u8 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&Failure::new(Code::Internal, format!("no threads could be started: {error}")));
        }
    };
    let answered = runtime.block_on(answer(cli.command, own_factories));
    // What still reads or writes then, on a disk that hangs perhaps, must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn command_line() -> clap::Command {
    Cli::command().mut_subcommands(with_examples_first)
}

fn with_examples_first(command: clap::Command) -> clap::Command {
    command.help_template(HELP_OF_COMMAND).mut_subcommands(with_examples_first)
}

async fn answer(command: Command, own_factories: Vec<Arc<dyn SinkFactory>>) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => Box::pin(serve::run(args, own_factories)).await,
        Command::Check(args) => check::run(args, own_factories).await,
        Command::Trigger(args) => trigger::run(args).await,
        Command::Explain(args) => explain::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::SignUrl(args) => sign_url::run(&args),
        Command::Archive(args) => archive::run(args).await,
        Command::Journal(args) => journal::run(args).await,
        Command::Events(args) => events::run(args).await,
        Command::Listen(args) => listen::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::DeadLetters(args) => dead_letters::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Sinks(args) => sinks::run(args).await,
        Command::Forget(args) => forget::run(args).await,
        Command::Drain(args) => drain::run(args).await,
        Command::Refused(args) => refused::run(args).await,
        Command::Gaps(args) => gaps::run(args).await,
        Command::Alerts(args) => alerts::run(args).await,
        Command::Config(args) => show::run(args),
        Command::Health(args) => health::run(args).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command_line(), "vodrelay", &mut text);
            output::raw(String::from_utf8_lossy(&text).trim_end());
            Ok(())
        }
    }
}

fn fail(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        output::note(format!("vodrelay: {failure}"));
    }
    ExitCode::from(failure.code as u8)
}
