//! Which credentials to use, as a table of a configuration file says it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::credentials::{Credentials, Secret};
#[cfg(feature = "ecs")]
use crate::ecs::EcsRamRole;
use crate::file::File;
use crate::source::{CredentialSource, Environment, Static};
use crate::sts::StsFile;

/// One of the kinds of credentials, with what it needs. `S` is how the configuration writes a secret: a plain string,
/// or a type of its own that says where the secret stands.
///
/// ```toml
/// credentials = { kind = "static", access_key_id = "…", access_key_secret = "…" }   # security_token
/// credentials = { kind = "environment" }
/// credentials = { kind = "file", path = "/etc/aliyun/config.json" }                 # profile
/// credentials = { kind = "sts_file", path = "/run/secrets/sts.json" }
/// credentials = { kind = "ecs_ram_role" }                                           # role_name
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(try_from = "written::Written<S>", bound(deserialize = "S: serde::Deserialize<'de>"))
)]
#[non_exhaustive]
pub enum Config<S> {
    /// Keys in the configuration itself.
    Static {
        /// The AccessKeyId.
        access_key_id: S,
        /// The AccessKeySecret.
        access_key_secret: S,
        /// The SecurityToken of temporary keys.
        security_token: Option<S>,
    },
    /// See [`Environment`].
    Environment,
    /// See [`File`].
    File {
        /// The file.
        path: PathBuf,
        /// The profile of a CLI configuration; its current one if none is named.
        profile: Option<String>,
    },
    /// See [`StsFile`].
    StsFile {
        /// The file.
        path: PathBuf,
    },
    /// See [`EcsRamRole`](crate::EcsRamRole).
    #[cfg(feature = "ecs")]
    EcsRamRole {
        /// The role; the one that is attached to the instance if none is named.
        role_name: Option<String>,
    },
}

impl<S> Config<S> {
    /// The source that this describes. `environment` and `folder` are what variables and relative paths are looked up
    /// in; `resolve` turns what stands under a key into the secret itself.
    ///
    /// # Errors
    /// With what `resolve` says.
    pub fn into_source<E>(
        self,
        environment: &HashMap<String, String>,
        folder: &Path,
        mut resolve: impl FnMut(&'static str, &S) -> Result<String, E>,
    ) -> Result<Arc<dyn CredentialSource>, E> {
        Ok(match self {
            Self::Static { access_key_id, access_key_secret, security_token } => {
                let token = security_token.map(|token| resolve("security_token", &token)).transpose()?;
                Arc::new(Static::new(Credentials {
                    access_key_id: resolve("access_key_id", &access_key_id)?,
                    access_key_secret: Secret::new(resolve("access_key_secret", &access_key_secret)?),
                    security_token: token.map(Secret::new),
                    expires_at: None,
                }))
            }
            Self::Environment => Arc::new(Environment::new(environment)),
            Self::File { path, profile: None } => Arc::new(File::new(folder.join(path))),
            Self::File { path, profile: Some(profile) } => {
                Arc::new(File::new(folder.join(path)).with_profile(profile))
            }
            Self::StsFile { path } => Arc::new(StsFile::new(folder.join(path))),
            #[cfg(feature = "ecs")]
            Self::EcsRamRole { role_name: None } => Arc::new(EcsRamRole::new()),
            #[cfg(feature = "ecs")]
            Self::EcsRamRole { role_name: Some(name) } => Arc::new(EcsRamRole::new().with_role_name(name)),
        })
    }
}

impl<S> fmt::Debug for Config<S> {
    /// Without keys, which may be plain strings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static"),
            Self::Environment => f.write_str("Environment"),
            Self::File { path, profile } => {
                f.debug_struct("File").field("path", path).field("profile", profile).finish()
            }
            Self::StsFile { path } => f.debug_struct("StsFile").field("path", path).finish(),
            #[cfg(feature = "ecs")]
            Self::EcsRamRole { role_name } => {
                f.debug_struct("EcsRamRole").field("role_name", role_name).finish()
            }
        }
    }
}

#[cfg(feature = "serde")]
mod written {
    //! The table as it is written. A flat one, so that an error inside a key keeps the path to it.

    use std::path::PathBuf;

    use serde::Deserialize;

    use super::Config;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
    pub(super) struct Written<S> {
        kind: String,
        access_key_id: Option<S>,
        access_key_secret: Option<S>,
        security_token: Option<S>,
        path: Option<PathBuf>,
        profile: Option<String>,
        role_name: Option<String>,
    }

    impl<S> TryFrom<Written<S>> for Config<S> {
        type Error = String;

        fn try_from(written: Written<S>) -> Result<Self, String> {
            let kind = written.kind.clone();
            written.refuse_what_is_of_another_kind()?;
            Ok(match kind.as_str() {
                "static" => Self::Static {
                    access_key_id: needed(&kind, "access_key_id", written.access_key_id)?,
                    access_key_secret: needed(&kind, "access_key_secret", written.access_key_secret)?,
                    security_token: written.security_token,
                },
                "environment" => Self::Environment,
                "file" => Self::File { path: needed(&kind, "path", written.path)?, profile: written.profile },
                "sts_file" => Self::StsFile { path: needed(&kind, "path", written.path)? },
                #[cfg(feature = "ecs")]
                _ => Self::EcsRamRole { role_name: written.role_name },
                #[cfg(not(feature = "ecs"))]
                _ => return Err("kind = \"ecs_ram_role\" needs a build with the feature ecs".to_owned()),
            })
        }
    }

    impl<S> Written<S> {
        fn refuse_what_is_of_another_kind(&self) -> Result<(), String> {
            let takes: &[&str] = match self.kind.as_str() {
                "static" => &["access_key_id", "access_key_secret", "security_token"],
                "environment" => &[],
                "file" => &["path", "profile"],
                "sts_file" => &["path"],
                "ecs_ram_role" => &["role_name"],
                other => {
                    return Err(format!(
                        "there are no credentials of kind {other:?}; expected static, environment, file, sts_file or \
                         ecs_ram_role"
                    ));
                }
            };
            let given = [
                ("access_key_id", self.access_key_id.is_some()),
                ("access_key_secret", self.access_key_secret.is_some()),
                ("security_token", self.security_token.is_some()),
                ("path", self.path.is_some()),
                ("profile", self.profile.is_some()),
                ("role_name", self.role_name.is_some()),
            ];
            let stray = given.iter().find(|(key, is_given)| *is_given && !takes.contains(key));
            let Some((key, _)) = stray else { return Ok(()) };
            let takes = if takes.is_empty() { "no further keys".to_owned() } else { takes.join(", ") };
            Err(format!("{key} does not belong to kind = {:?}, which takes {takes}", self.kind))
        }
    }

    fn needed<T>(kind: &str, key: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{key} is missing; kind = {kind:?} needs it"))
    }
}
