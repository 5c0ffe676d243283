//! Certificates are renewed while the relay runs: when the files change, connections from then on are shown the new one.

use std::future::pending;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use vodrelay_admin::Door;
use vodrelay_core::Live;
use vodrelay_core::config::ConfigError;
use vodrelay_http::Receiver;
use vodrelay_tls::Identity;

use crate::config::Loaded;

/// How often the files are looked at, and how long they may take to be read.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    http: Look,
    admin: Look,
    reading: Option<Reading>,
}

#[derive(Debug, Default)]
struct Look {
    /// What was wrong, and whether it was said.
    wrong: Option<(String, bool)>,
}

/// A look that is under way, on a thread that may hang with the disk of the files.
#[derive(Debug)]
struct Reading {
    task: JoinHandle<Found>,
    /// Whether another configuration has come meanwhile.
    is_stale: bool,
    /// Whether somebody was told that it takes too long.
    is_told: bool,
}

/// What the files of the callbacks' listener have, and those of the admin listener.
type Found = [Result<Option<Identity>, ConfigError>; 2];

impl Certificates {
    /// Begins to read the files, unless that is still under way.
    pub(super) fn look(&mut self, loaded: &Loaded) {
        let loaded = loaded.clone();
        self.look_with(move || {
            let (config, around) = (&loaded.config, &loaded.surroundings);
            [config.http.identity(around), config.admin.identity(around)]
        });
    }

    fn look_with(&mut self, read: impl FnOnce() -> Found + Send + 'static) {
        let Some(reading) = &mut self.reading else {
            self.reading = Some(Reading { task: spawn_blocking(read), is_stale: false, is_told: false });
            return;
        };
        if !std::mem::replace(&mut reading.is_told, true) {
            tracing::error!(
                "the files of the certificates do not answer, so that no new one is seen, and the one before is shown on; see \
                 to their disk"
            );
        }
    }

    /// Waits until files were read. Whoever goes away in the middle loses nothing.
    pub(super) async fn found(&mut self) -> Found {
        loop {
            let Some(reading) = &mut self.reading else { return pending().await };
            let (found, is_stale) = ((&mut reading.task).await, reading.is_stale);
            self.reading = None;
            if let (Ok(found), false) = (found, is_stale) {
                return found;
            }
        }
    }

    /// What is being read is that of the configuration before.
    pub(super) fn forget(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.is_stale = true;
        }
    }

    /// Has shown what is new and a pair; whatever is not leaves what there is.
    pub(super) fn renew(&mut self, found: Found, receiver: &Live<Receiver>, door: &Door) {
        let [http, admin] = found;
        let shown = receiver.current();
        if let Some(identity) = self.http.renewed("http.tls", shown.identity(), http) {
            receiver.replace(shown.with_identity(identity));
        }
        let shown = door.shown();
        if let Some(identity) = self.admin.renewed("admin.tls", shown.as_ref().as_ref(), admin) {
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

    /// As with files on a disk that is gone.
    #[tokio::test]
    async fn files_that_do_not_answer_are_read_by_one_thread_and_what_a_reload_has_overtaken_is_dropped() {
        let mut certificates = Certificates::default();
        let (let_go, gone) = std::sync::mpsc::channel::<()>();
        certificates.look_with(move || {
            let _ = gone.recv();
            [Ok(Some(identity())), Ok(None)]
        });
        certificates.look_with(|| panic!("another thread would hang as well"));
        assert!(certificates.reading.as_ref().unwrap().is_told);
        certificates.forget();
        drop(let_go);
        let dropped = tokio::time::timeout(Duration::from_millis(50), certificates.found()).await;
        assert!(dropped.is_err(), "it is of the configuration before");
        while certificates.reading.is_some() {
            let _ = tokio::time::timeout(Duration::from_millis(50), certificates.found()).await;
        }
        certificates.look_with(|| [Ok(None), Ok(Some(identity()))]);
        assert!(matches!(certificates.found().await, [Ok(None), Ok(Some(_))]));
    }
}
