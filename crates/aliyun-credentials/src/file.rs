//! Long-lived keys in a file: the configuration of the Alibaba Cloud CLI, or the plain form.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;

use crate::credentials::{Credentials, Secret};
use crate::error::{CredentialError, ErrorKind};
use crate::source::CredentialSource;
use crate::watched::Watched;

/// A JSON file with keys, read again soon after its modification time changes.
///
/// Two forms are read.
/// - The plain one: `{"access_key_id": "…", "access_key_secret": "…"}`, with `security_token` if there is one.
/// - `~/.aliyun/config.json`, as `aliyun configure` writes it: `{"current": "…", "profiles": [{"name": "…", "mode":
///   "AK", "access_key_id": "…", "access_key_secret": "…"}]}`, or mode `StsToken` with `sts_token` (names as in
///   `config/profile.go` of aliyun-cli). A profile of another mode holds no keys but a way to get some.
#[derive(Debug)]
pub struct File {
    file: Watched,
    profile: Option<String>,
}

impl File {
    /// A source that reads this file; of a CLI configuration, its current profile.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: Watched::new(path), profile: None }
    }

    /// The same, with that profile of a CLI configuration.
    #[must_use]
    pub fn with_profile(self, name: impl Into<String>) -> Self {
        Self { profile: Some(name.into()), ..self }
    }

    fn keys<'a>(&self, root: &'a Value) -> Result<Keys<'a>, CredentialError> {
        let Some(profiles) = root.get("profiles") else {
            if let Some(name) = &self.profile {
                return Err(self.malformed(&format!("has no profiles, and so no profile {name:?}")));
            }
            let token = root.get("security_token").map(|_| self.text(root, "security_token")).transpose()?;
            return Ok(Keys { object: root, token });
        };
        let name = self.profile.as_deref().or_else(|| root.get("current").and_then(Value::as_str));
        let name = name.ok_or_else(|| self.malformed("names no current profile; name one yourself"))?;
        let is_named = |profile: &&Value| profile.get("name").and_then(Value::as_str) == Some(name);
        let profile = profiles.as_array().into_iter().flatten().find(is_named);
        let object = profile.ok_or_else(|| {
            let message = format!("the file {} has no profile {name:?}; correct the name", self.file.name());
            CredentialError::new(ErrorKind::Missing, message)
        })?;
        match object.get("mode").and_then(Value::as_str).unwrap_or("AK") {
            mode if mode.eq_ignore_ascii_case("AK") => Ok(Keys { object, token: None }),
            mode if mode.eq_ignore_ascii_case("StsToken") => {
                Ok(Keys { object, token: Some(self.text(object, "sts_token")?) })
            }
            mode => Err(self.other_mode(name, mode)),
        }
    }

    fn text<'a>(&self, object: &'a Value, name: &str) -> Result<&'a str, CredentialError> {
        object
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| self.malformed(&format!("has no {name}, or one that is not text; write it there")))
    }

    fn other_mode(&self, name: &str, mode: &str) -> CredentialError {
        let next = if mode.eq_ignore_ascii_case("EcsRamRole") {
            "use kind = \"ecs_ram_role\" instead"
        } else {
            "name a profile of mode AK or StsToken"
        };
        self.malformed(&format!("has no keys in its profile {name:?}, which has the mode {mode:?}; {next}"))
    }

    fn malformed(&self, what: &str) -> CredentialError {
        CredentialError::new(ErrorKind::Malformed, format!("the file {} {what}", self.file.name()))
    }
}

/// The object with the keys, and the token that goes with them.
struct Keys<'a> {
    object: &'a Value,
    token: Option<&'a str>,
}

#[async_trait]
impl CredentialSource for File {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        let root = self.file.read().await?;
        let Keys { object, token } = self.keys(&root)?;
        let credentials = Credentials {
            access_key_id: self.text(object, "access_key_id")?.to_owned(),
            access_key_secret: Secret::new(self.text(object, "access_key_secret")?),
            security_token: token.map(Secret::new),
            expires_at: None,
        };
        credentials.checked(format_args!("the file {}", self.file.name()))
    }

    async fn has_changed(&self) -> bool {
        self.file.has_changed().await
    }
}
