//! Certificates are renewed while the relay runs: when the files change, connections from then on are shown the new one.

use std::time::Duration;

use vodrelay_admin::Door;
use vodrelay_core::Live;
use vodrelay_core::config::ConfigError;
use vodrelay_http::Receiver;
use vodrelay_tls::Identity;

use crate::config::Loaded;

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    http: Look,
    admin: Look,
}

#[derive(Debug, Default)]
struct Look {
    /// What was wrong, and whether it was said.
    wrong: Option<(String, bool)>,
}

impl Certificates {
    /// Looks at the files, and has shown what is new and a pair; whatever is not leaves what there is.
    pub(super) fn renew(&mut self, loaded: &Loaded, receiver: &Live<Receiver>, door: &Door) {
        let (config, around) = (&loaded.config, &loaded.surroundings);
        let shown = receiver.current();
        if let Some(identity) = self.http.renewed("http.tls", shown.identity(), config.http.identity(around))
        {
            receiver.replace(shown.with_identity(identity));
        }
        let shown = door.shown();
        let read = config.admin.identity(around);
        if let Some(identity) = self.admin.renewed("admin.tls", shown.as_ref().as_ref(), read) {
            door.show(Some(identity));
        }
    }
}

impl Look {
    /// What is to be shown instead of what is. Something wrong is said at the second look: the files may be written one
    /// after the other.
    fn renewed(
        &mut self,
        key: &str,
        shown: Option<&Identity>,
        read: Result<Option<Identity>, ConfigError>,
    ) -> Option<Identity> {
        let error = match read {
            Ok(read) => {
                self.wrong = None;
                let renewed = read.filter(|read| shown.is_some_and(|shown| !shown.is_that_of(read)))?;
                tracing::info!(key, expires_at = %renewed.expires_at(), "the certificate was renewed");
                return Some(renewed);
            }
            Err(error) => error.to_string(),
        };
        match &mut self.wrong {
            Some((known, said)) if *known == error => {
                if !*said {
                    tracing::error!(
                        "the certificate cannot be renewed, and the one before is shown on: {error}"
                    );
                    *said = true;
                }
            }
            wrong => *wrong = Some((error, false)),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["relay.example.com".to_owned()]).unwrap();
        Identity::from_pem(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap()
    }

    #[test]
    fn what_is_new_is_shown_and_what_is_wrong_is_said_at_the_second_look() {
        let (one, other) = (identity(), identity());
        let wrong = || Err(ConfigError::new("http.tls.key", "is not the key of the certificate"));
        let mut look = Look::default();
        let mut check = |read, renewed: bool, said: Option<bool>| {
            let found = look.renewed("http.tls", Some(&one), read);
            assert_eq!((found.is_some(), look.wrong.as_ref().map(|(_, said)| *said)), (renewed, said));
        };
        check(Ok(Some(one.clone())), false, None);
        check(wrong(), false, Some(false));
        check(wrong(), false, Some(true));
        check(Ok(Some(other.clone())), true, None);
        assert!(Look::default().renewed("http.tls", None, Ok(Some(other))).is_none(), "that takes a reload");
    }
}
