//! What can be said of the entries before an image is at stake: which are never reached, and which wait for longer than
//! the sink does.

use std::time::Duration;

use vodrelay_core::config::Span;

use super::{ImageHost, ImageHosts};

impl ImageHosts {
    /// How many entries there are, and what they open.
    pub(in crate::archive) fn summary(&self) -> String {
        let count = match self.entries.len() {
            0 => return "image_hosts has no entry, so no image is fetched, only linked".to_owned(),
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        };
        let opens = |entry: &&ImageHost| !entry.opened.is_empty();
        let opened: Vec<String> =
            self.entries.iter().filter(opens).map(|entry| entry.name.to_string()).collect();
        let opened = if opened.is_empty() {
            "none of them opens addresses that are not public".to_owned()
        } else {
            format!("addresses that are not public are opened by allow_addresses of {}", opened.join(", "))
        };
        format!("image_hosts has {count}; {opened}")
    }

    /// What is most likely not meant, a sentence each; `timeout` is that of the sink.
    pub(in crate::archive) fn doubts(&self, timeout: Duration) -> Vec<String> {
        let mut doubts = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let before = self.entries.iter().take(place).find(|before| before.name.covers(&entry.name));
            if let Some(before) = before {
                doubts.push(format!(
                    "the entry {} of image_hosts is never reached: {} stands before it and matches the same hosts; put \
                     the narrower one first, or take one out",
                    entry.name, before.name
                ));
            }
            doubts.extend(entry.waits_longer_than(timeout));
        }
        doubts
    }
}

impl ImageHost {
    fn waits_longer_than(&self, timeout: Duration) -> Option<String> {
        let waits = [("idle_timeout", self.limits.idle), ("connect_timeout", self.connect_timeout)];
        let (key, wait) = waits.into_iter().find(|(_, wait)| *wait > timeout)?;
        Some(format!(
            "timeout is {}, and {key} of the entry {} of image_hosts is {}, so that an attempt is over before its host is \
             given up; raise timeout, or lower {key}",
            Span(timeout),
            self.name,
            Span(wait)
        ))
    }
}
