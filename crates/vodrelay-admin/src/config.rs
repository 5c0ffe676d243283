//! The `[admin]` table.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use vodrelay_core::config::{ConfigError, Secret, SecretSource, Surroundings, TlsFiles, listen_address};
use vodrelay_tls::{Identity, IdentityError};

/// The `[admin]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where people and their tools ask.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// What they must know, as `Authorization: Bearer TOKEN`.
    pub token: Option<SecretSource>,
    /// What the listener shows of itself; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// The table, checked, with the token fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The token; without one everybody on this machine may ask.
    pub token: Option<Secret>,
    /// What the listener shows of itself.
    pub identity: Option<Identity>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), token: None, tls: None }
    }
}

impl Config {
    /// Fetches the token, and refuses to show the events to a whole network without one.
    ///
    /// # Errors
    /// With the full path of what is wrong.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Settings, ConfigError> {
        let token = match &self.token {
            Some(source) => Some(source.resolve(surroundings).map_err(|error| error.within("admin.token"))?),
            None => None,
        };
        if token.is_none() && !self.listen.ip().to_canonical().is_loopback() {
            let message = format!(
                "{} can be reached from other machines: set admin.token, or listen on 127.0.0.1",
                self.listen
            );
            return Err(ConfigError::new("admin.listen", message));
        }
        Ok(Settings { listen: self.listen, token, identity: self.identity(surroundings)? })
    }

    /// What the listener shows of itself, as the files have it now.
    ///
    /// # Errors
    /// If it is no pair.
    pub fn identity(&self, surroundings: &Surroundings) -> Result<Option<Identity>, ConfigError> {
        let Some(files) = &self.tls else { return Ok(None) };
        let (cert, key) = files.read(surroundings).map_err(|error| error.within("admin.tls"))?;
        let identity = Identity::from_pem(&cert, key.expose());
        let wrong =
            |error: IdentityError| ConfigError::new(format!("admin.tls.{}", error.part), error.message);
        identity.map(Some).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_a_token_is_needed() {
        let check = |listen: &str, token: Option<&str>, expect: Result<(), &str>| {
            let token = token.map(|token| SecretSource::Plain(token.to_owned()));
            let config = Config { listen: listen.parse().unwrap(), token, tls: None };
            let resolved = config.resolve(&Surroundings::default()).map(|_| ());
            assert_eq!(resolved.map_err(|error| error.path), expect.map_err(str::to_owned), "{listen}");
        };
        check("127.0.0.1:8081", None, Ok(()));
        check("[::1]:8081", None, Ok(()));
        check("[::ffff:127.0.0.1]:8081", None, Ok(()));
        check("0.0.0.0:8081", None, Err("admin.listen"));
        check("192.0.2.1:8081", None, Err("admin.listen"));
        check("0.0.0.0:8081", Some("secret"), Ok(()));
        check("127.0.0.1:8081", Some(""), Err("admin.token"));
    }
}
