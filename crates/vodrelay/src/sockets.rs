//! The listeners: those that a supervisor hands over, else ones of our own.
//!
//! A supervisor that holds the sockets itself (systemd's socket activation) keeps them open between two processes, so a
//! callback that comes meanwhile waits in the kernel's queue and is not refused.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::relay::StartError;

/// Listeners that were handed over.
#[derive(Debug, Default)]
pub struct Sockets {
    http: Option<std::net::TcpListener>,
    admin: Option<std::net::TcpListener>,
}

/// Why what was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// `LISTEN_PID` or `LISTEN_FDS` is not a number.
    #[error(
        "LISTEN_PID and LISTEN_FDS tell of no sockets, and are set: they are for supervisors, take them out"
    )]
    Malformed,
    /// Nobody can tell what it is for.
    #[error(
        "a socket named {0:?} was handed over, and vodrelay knows http and admin: set FileDescriptorName= in its .socket unit"
    )]
    Unknown(String),
    /// Two are for the same.
    #[error(
        "two sockets named {0} were handed over, and vodrelay listens on one: leave one .socket unit for it"
    )]
    Twice(&'static str),
    /// It does not listen for TCP.
    #[error(
        "the socket named {name} that was handed over cannot be used: {error}; its unit needs ListenStream=PORT"
    )]
    Unusable {
        /// What it is for.
        name: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

const HTTP: &str = "http";
const ADMIN: &str = "admin";

impl Sockets {
    /// Takes what the environment tells of (`sd_listen_fds(3)`), by its names. One alone needs no name: it is for
    /// callbacks. To be called once in a process.
    ///
    /// # Errors
    /// If a socket has no use, or cannot be used.
    pub fn handed_over() -> Result<Self, SocketError> {
        let handed = sd_listen_fds::get().map_err(|_| SocketError::Malformed)?;
        let names: Vec<&str> = handed.iter().map(|(name, _)| name.as_deref().unwrap_or_default()).collect();
        let uses = uses(&names)?;
        let mut sockets = Self::default();
        for (name, (_, socket)) in uses.into_iter().zip(handed) {
            let listener = std::net::TcpListener::from(socket);
            let unusable = |error| SocketError::Unusable { name, error };
            // A socket of another kind has no such address.
            listener.local_addr().map_err(unusable)?;
            listener.set_nonblocking(true).map_err(unusable)?;
            let slot = if name == HTTP { &mut sockets.http } else { &mut sockets.admin };
            *slot = Some(listener);
        }
        Ok(sockets)
    }

    /// The listener for callbacks.
    pub(crate) async fn http(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        listen(self.http.take(), HTTP, "http.listen", address).await
    }

    /// The listener for people and their tools.
    pub(crate) async fn admin(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        listen(self.admin.take(), ADMIN, "admin.listen", address).await
    }

    /// Where the admin listener is reached, if it was handed over.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

/// What each socket is for.
fn uses(names: &[&str]) -> Result<Vec<&'static str>, SocketError> {
    let mut uses = Vec::new();
    for name in names {
        let found = match *name {
            ADMIN => ADMIN,
            HTTP => HTTP,
            _ if names.len() == 1 => HTTP,
            other => return Err(SocketError::Unknown(other.to_owned())),
        };
        if uses.contains(&found) {
            return Err(SocketError::Twice(found));
        }
        uses.push(found);
    }
    Ok(uses)
}

async fn listen(
    handed: Option<std::net::TcpListener>,
    name: &'static str,
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    match handed {
        Some(listener) => {
            TcpListener::from_std(listener).map_err(|error| SocketError::Unusable { name, error }.into())
        }
        None => TcpListener::bind(address).await.map_err(|error| StartError::Listen { key, address, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_sockets_are_for() {
        let check = |names: &[&str], expect: Result<&[&str], &str>| {
            let found = uses(names).map_err(|error| error.to_string());
            match expect {
                Ok(expect) => assert_eq!(found.as_deref(), Ok(expect), "{names:?}"),
                Err(says) => assert!(found.as_ref().is_err_and(|error| error.contains(says)), "{found:?}"),
            }
        };
        check(&[], Ok(&[]));
        check(&[""], Ok(&["http"]));
        check(&["vodrelay.socket"], Ok(&["http"]));
        check(&["admin"], Ok(&["admin"]));
        check(&["admin", "http"], Ok(&["admin", "http"]));
        check(&["", ""], Err("FileDescriptorName="));
        check(&["http", "vodrelay.socket"], Err("vodrelay.socket"));
        check(&["http", "http"], Err("two sockets named http"));
    }
}
