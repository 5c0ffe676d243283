//! Where a command gets a key from. The environment and a file keep it out of the list of processes.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use vod_event::PrivateKey;
use vodrelay_core::config::{SecretSource, Surroundings};

use crate::cli::environment;
use crate::exit::{Code, Failure};

/// The options that name a key.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeyArgs {
    /// The environment variable that holds the key
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// The file that holds the key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The key itself (others on this machine can see it in the list of processes)
    #[arg(long)]
    key: Option<String>,
}

impl KeyArgs {
    /// The key, or nothing where none of the options is given.
    pub(crate) fn resolve(&self) -> Result<Option<PrivateKey>, Failure> {
        let source = match (&self.key, &self.key_env, &self.key_file) {
            (Some(key), ..) => SecretSource::Plain(key.clone()),
            (_, Some(name), _) => SecretSource::Env(name.clone()),
            (.., Some(file)) => SecretSource::File(file.clone()),
            _ => return Ok(None),
        };
        let surroundings = Surroundings { environment: environment().into(), ..Default::default() };
        let secret =
            source.resolve(&surroundings).map_err(|error| Failure::new(Code::Usage, error.message))?;
        Ok(Some(PrivateKey::new(secret.expose())))
    }

    /// The key.
    pub(crate) fn require(&self) -> Result<PrivateKey, Failure> {
        self.resolve()?.ok_or_else(|| {
            Failure::new(Code::Usage, "say which key: --key-env NAME, --key-file FILE or --key KEY")
        })
    }
}
