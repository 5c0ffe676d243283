//! `vodrelay config`: the schema of the configuration, and the configuration in force with secrets left out.

use clap::Subcommand;

use crate::cli::ConfigFile;
use crate::exit::Failure;
use crate::output;

/// The JSON Schema of `vodrelay.toml`, kept true by a test against the structs.
const SCHEMA: &str = include_str!("../../schema/config.schema.json");

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Print the JSON Schema of vodrelay.toml
    Schema,
    /// Print the configuration in force: defaults, file and environment together, secrets left out
    Show {
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::Schema => output::line(SCHEMA.trim_end()),
        Args::Show { config } => {
            let loaded = config.load()?;
            output::line(format!("{:#?}", loaded.config));
        }
    }
    Ok(())
}
