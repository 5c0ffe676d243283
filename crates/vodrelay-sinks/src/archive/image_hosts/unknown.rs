//! The hosts of images that no entry matches: each is told of once, so that nobody believes an image kept that is only
//! linked.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use vodrelay_core::SinkName;

/// How many hosts are remembered. Events name them, so there must be an end.
const MOST: usize = 64;
/// How much of a host is told and remembered, in characters: no name in DNS is longer.
const LONGEST: usize = 253;

/// Hosts that were told of.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<BTreeSet<String>>);

impl Unknown {
    /// Warns of the host, unless that was done since the start, or of too many others.
    pub(super) fn say_once(&self, sink: &SinkName, host: &str, reason: &str) {
        let host: String = host.chars().take(LONGEST).collect();
        if self.is_news(&host) {
            let reason: String = reason.chars().take(2 * LONGEST).collect();
            tracing::warn!(
                sink = %sink,
                image.host = host,
                reason,
                "images of a host are not kept, only linked; add an entry to image_hosts, then `vodrelay replay EVENT_ID --all --sink` with this sink's name"
            );
        }
    }

    fn is_news(&self, host: &str) -> bool {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !hosts.contains(host) && hosts.len() < MOST && hosts.insert(host.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_news_once_and_only_so_many_are() {
        let unknown = Unknown::default();
        assert!(unknown.is_news("a"));
        assert!(!unknown.is_news("a"));
        let told = (0..1000).filter(|number| unknown.is_news(&number.to_string())).count();
        assert_eq!(told, MOST - 1);
        assert!(!unknown.is_news("a") && !unknown.is_news("0"));
    }
}
