//! What `check` finds about the ways in, for events and for people: callbacks, queues, the admin port.

use jiff::{SignedDuration, Timestamp};
use mns_client::QueueAttributes;
use vodrelay_mns::QueueSettings;

use super::{Finding, PATIENCE, Verdict, finding};
use crate::config::Loaded;

pub(super) fn admin(loaded: &Loaded) -> Option<Finding> {
    let config = &loaded.config;
    if let Err(error) = config.admin.resolve(&loaded.surroundings) {
        return Some(finding("admin", Verdict::Wrong, error.to_string()));
    }
    let same = config.admin.listen == config.http.listen && config.http.listen.port() != 0;
    same.then(|| {
        let detail =
            format!("admin.listen and http.listen are both {}; give each a port", config.http.listen);
        finding("admin", Verdict::Wrong, detail)
    })
}

/// So long before the end of a certificate it is time to renew it.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(21 * 24);

/// The certificates of both listeners. What is wrong with one is told with the rest of its table.
pub(super) fn certificates(loaded: &Loaded, now: Timestamp) -> Vec<Finding> {
    let (config, around) = (&loaded.config, &loaded.surroundings);
    let listeners =
        [("http.tls", config.http.identity(around)), ("admin.tls", config.admin.identity(around))];
    let told = listeners.into_iter().filter_map(|(what, identity)| Some((what, identity.ok()??)));
    told.map(|(what, identity)| {
        let ends = identity.expires_at();
        let names = identity.names().join(", ");
        match ends.duration_since(now) {
            left if left.is_negative() => {
                finding(what, Verdict::Warning, format!("the certificate ended at {ends}; clients refuse it"))
            }
            left if left < RENEW_BEFORE => finding(
                what,
                Verdict::Warning,
                format!("the certificate for {names} ends at {ends}; renew it, the relay takes the new one by itself"),
            ),
            _ => finding(what, Verdict::Ok, format!("a certificate for {names} until {ends}")),
        }
    })
    .collect()
}

pub(super) fn callbacks(loaded: &Loaded) -> Vec<Finding> {
    let settings = match loaded.config.http.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("callbacks", Verdict::Wrong, error.to_string())],
    };
    let mut findings: Vec<Finding> = Vec::new();
    for callback in &settings.callbacks {
        let keys: Vec<&str> = callback.endpoint.keys.iter().map(|key| key.name.as_str()).collect();
        let keys = if keys.is_empty() { "no key".to_owned() } else { format!("key {}", keys.join(" or ")) };
        let detail = format!("VOD's console has to have the URL {} and {keys}", callback.endpoint.url);
        let what = format!("callback {}", callback.name);
        if callback.endpoint.url.contains("//relay.example.com/") {
            let detail = "public_url is still the example; write the URL under which VOD reaches this relay";
            findings.push(finding(what.clone(), Verdict::Warning, detail));
        }
        if is_open(&callback.endpoint.url) {
            let detail = "public_url is plain HTTP: whoever is on the way reads each event; have TLS end at a proxy or at http.tls";
            findings.push(finding(what.clone(), Verdict::Warning, detail));
        }
        findings.push(finding(what, Verdict::Ok, detail));
    }
    findings
        .extend(settings.warnings.into_iter().map(|warning| finding("callbacks", Verdict::Warning, warning)));
    findings
}

/// Whether what is sent to the URL crosses a network as it is.
fn is_open(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => true,
    };
    url.scheme() == "http" && !is_here
}

pub(super) async fn queues(loaded: &Loaded, offline: bool) -> Vec<Finding> {
    let settings = match loaded.config.mns.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("queues", Verdict::Wrong, error.to_string())],
    };
    let mut findings: Vec<Finding> =
        settings.warnings.into_iter().map(|warning| finding("queues", Verdict::Warning, warning)).collect();
    for queue in &settings.queues {
        if offline {
            let detail = "configured; not asked (--offline)";
            findings.push(finding(format!("queue {}", queue.name), Verdict::Ok, detail));
        } else {
            findings.extend(ask_queue(queue).await);
        }
    }
    findings
}

async fn ask_queue(settings: &QueueSettings) -> Vec<Finding> {
    let what = format!("queue {}", settings.name);
    let attributes = match tokio::time::timeout(PATIENCE, settings.queue.attributes()).await {
        Ok(Ok(attributes)) => attributes,
        Ok(Err(error)) => {
            let detail = format!("{error}; {}", vodrelay_mns::mend(&error));
            return vec![finding(what, Verdict::Unreachable, detail)];
        }
        Err(_) => {
            return vec![finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}"))];
        }
    };
    let detail = format!("{} answers{}", settings.queue.name(), waiting(&attributes));
    let at_vod = format!(
        "VOD's console has to have the queue {} and the public endpoint of its account and region",
        settings.queue.name()
    );
    let mut findings =
        vec![finding(what.clone(), Verdict::Ok, detail), finding(what.clone(), Verdict::Ok, at_vod)];
    findings.push(rights(settings, &what).await);
    let doubts = vodrelay_mns::doubts(&attributes);
    findings.extend(doubts.into_iter().map(|doubt| finding(what.clone(), Verdict::Warning, doubt)));
    findings
}

/// What is in the queue: a message that is delayed, or in somebody's hand, is there as well.
fn waiting(attributes: &QueueAttributes) -> String {
    let counts = [
        (attributes.active_messages, "wait"),
        (attributes.inactive_messages, "are received and not deleted"),
        (attributes.delay_messages, "are delayed"),
    ];
    let counts: Vec<String> =
        counts.iter().filter_map(|(count, what)| Some(format!("{} {what}", (*count)?))).collect();
    if counts.is_empty() { String::new() } else { format!("; of its messages {}", counts.join(", ")) }
}

/// Whether the keys may do what the relay does, as far as that can be asked without taking a message.
async fn rights(settings: &QueueSettings, what: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, vodrelay_mns::ask_for_rights(&settings.queue)).await {
        Ok(Ok(())) => {
            let detail = format!(
                "the keys may delete messages and change their visibility; whether they may receive was not tried, \
                 since that takes a message: `vodrelay trigger --queue {}` beside a running relay shows it",
                settings.name
            );
            finding(what, Verdict::Ok, detail)
        }
        Ok(Err(error)) => {
            let detail = format!("{error}; {}", vodrelay_mns::mend(&error));
            finding(what, Verdict::Unreachable, detail)
        }
        Err(_) => finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}")),
    }
}

/// What the way that events come in by costs when it breaks.
pub(super) fn transports(loaded: &Loaded) -> Option<Finding> {
    let (callbacks, queues) = (&loaded.config.http.callbacks, &loaded.config.mns.queues);
    let detail = match (callbacks.is_empty(), queues.is_empty()) {
        (true, true) => {
            let detail = "no event can come in; add [mns.queues.NAME] or [http.callbacks.NAME]";
            return Some(finding("transports", Verdict::Warning, detail));
        }
        (false, true) => {
            "HTTP only: while the relay cannot be reached, VOD gives each event up after three tries within seconds; a \
             queue bears days (docs/TRANSPORTS.md)"
        }
        (true, false) => "queues only: what VOD writes waits there while the relay is down",
        (false, false) => {
            "both are served; VOD is set to one of them for each region and application (docs/TRANSPORTS.md)"
        }
    };
    Some(finding("transports", Verdict::Ok, detail))
}

#[cfg(test)]
mod tests {
    use mns_emulator::{Attributes, Emulator, Fault, Operation, Settings as EmulatorSettings};
    use vodrelay_core::config::Surroundings;

    use super::*;

    #[test]
    fn plain_http_that_leaves_the_machine_is_open() {
        for (url, expect) in [
            ("http://relay.example.com/cb", true),
            ("http://192.0.2.1/cb", true),
            ("https://relay.example.com/cb", false),
            ("http://127.0.0.1:8080/cb", false),
            ("http://[::1]/cb", false),
            ("http://localhost/cb", false),
        ] {
            assert_eq!(is_open(url), expect, "{url}");
        }
    }

    #[test]
    fn messages_in_every_state_are_told() {
        let mut attributes = QueueAttributes::default();
        assert_eq!(waiting(&attributes), "");
        attributes.active_messages = Some(0);
        assert_eq!(waiting(&attributes), "; of its messages 0 wait");
        (attributes.inactive_messages, attributes.delay_messages) = (Some(2), Some(1));
        assert_eq!(
            waiting(&attributes),
            "; of its messages 0 wait, 2 are received and not deleted, 1 are delayed"
        );
    }

    #[tokio::test]
    async fn the_rights_that_a_relay_needs_are_asked_for() {
        let emulator = Emulator::start(EmulatorSettings::default()).await.unwrap();
        emulator.create_queue("vod-events", Attributes::default()).unwrap();
        emulator.send("vod-events", "{}").unwrap();
        let table = format!(
            "[queues.main]\nendpoint = \"{}\"\nqueue = \"vod-events\"\n\
             credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}",
            emulator.endpoint()
        );
        let config: vodrelay_mns::Config = toml::from_str(&table).unwrap();
        let queue = config.resolve(&Surroundings::default()).unwrap().queues.remove(0);
        let found = ask_queue(&queue).await;
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:?}");
        let untouched = emulator.messages("vod-events").remove(0);
        assert_eq!(untouched.dequeue_count, 0);

        emulator.inject(Fault::Throttle.always().on(Operation::ChangeMessageVisibility));
        let found = ask_queue(&queue).await;
        let wrong = found.iter().find(|finding| finding.verdict == Verdict::Unreachable).unwrap();
        assert!(wrong.detail.contains("cannot change the visibility"), "{wrong:?}");
    }
}
