//! The `[admin]` table.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use vodrelay_core::Name;
use vodrelay_core::config::{ConfigError, SecretSource, Surroundings, TlsFiles, listen_address};
use vodrelay_tls::{Identity, IdentityError};

use crate::token::{Role, Token, Tokens};

/// The `[admin]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where people and their tools ask.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// What they must know, as `Authorization: Bearer TOKEN`.
    pub token: Option<SecretSource>,
    /// More of them, each with a name that changes are noted under.
    pub tokens: BTreeMap<Name, TokenConfig>,
    /// What the listener shows of itself; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// One of `[admin.tokens]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The token.
    pub token: SecretSource,
    /// What it is good for.
    pub role: Role,
}

/// The table, checked, with the token fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The tokens; without one everybody on this machine may ask.
    pub tokens: Tokens,
    /// What the listener shows of itself.
    pub identity: Option<Identity>,
}

impl Default for Config {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8081));
        Self { listen, token: None, tokens: BTreeMap::new(), tls: None }
    }
}

impl Config {
    /// Fetches the tokens, and refuses to show the events to a whole network without one.
    ///
    /// # Errors
    /// With the full path of what is wrong.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Settings, ConfigError> {
        let token = match &self.token {
            Some(source) => Some(source.resolve(surroundings).map_err(|error| error.within("admin.token"))?),
            None => None,
        };
        let mut tokens = Tokens::default();
        tokens.extend(token.map(|secret| Token { name: None, role: Role::Operate, secret }));
        for (name, TokenConfig { token, role }) in &self.tokens {
            let at = format!("admin.tokens.{name}.token");
            let secret = token.resolve(surroundings).map_err(|error| error.within(&at))?;
            if tokens.holds(&secret) {
                let message = "it is another token of [admin], too: nobody could say whose a change was";
                return Err(ConfigError::new(at, message));
            }
            tokens.extend([Token { name: Some(name.clone()), role: *role, secret }]);
        }
        if tokens.is_empty() && !self.listen.ip().to_canonical().is_loopback() {
            let message = format!(
                "{} can be reached from other machines: set admin.token or [admin.tokens.NAME], or listen on 127.0.0.1",
                self.listen
            );
            return Err(ConfigError::new("admin.listen", message));
        }
        Ok(Settings { listen: self.listen, tokens, identity: self.identity(surroundings)? })
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
            let config = Config { listen: listen.parse().unwrap(), token, ..Config::default() };
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

    #[test]
    fn each_token_has_a_name_and_is_no_other() {
        let check = |tokens: &[(&str, &str)], expect: Result<(), &str>| {
            let token = |(name, token): &(&str, &str)| {
                let token = SecretSource::Plain((*token).to_owned());
                (Name::new(name).unwrap(), TokenConfig { token, role: Role::Read })
            };
            let config = Config {
                listen: "0.0.0.0:8081".parse().unwrap(),
                token: Some(SecretSource::Plain("first".to_owned())),
                tokens: tokens.iter().map(token).collect(),
                tls: None,
            };
            let resolved = config.resolve(&Surroundings::default()).map(|_| ());
            assert_eq!(resolved.map_err(|error| error.path), expect.map_err(str::to_owned), "{tokens:?}");
        };
        check(&[("ops", "a"), ("page", "b")], Ok(()));
        check(&[("ops", "a"), ("page", "a")], Err("admin.tokens.page.token"));
        check(&[("ops", "first")], Err("admin.tokens.ops.token"));
        check(&[("ops", "")], Err("admin.tokens.ops.token"));
    }
}
