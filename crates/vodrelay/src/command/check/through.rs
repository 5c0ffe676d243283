//! `check --through`: an empty signed probe goes to `public_url`, the way that a callback of VOD goes, and the running relay
//! says how it came.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use url::{Host, Url};
use vod_event::CallbackProof;
use vodrelay_core::probe::HEADER;
use vodrelay_core::{Clock, Name, SystemClock};
use vodrelay_http::Callback;

use super::{Finding, Verdict, finding};
use crate::command::ask::RunningRelay;
use crate::command::client::{causes, client};
use crate::config::Loaded;

/// As long as VOD waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Issued {
    nonce: String,
}

#[derive(Debug, Deserialize)]
struct Report {
    seen: Option<Sighting>,
}

#[derive(Clone, Debug, Deserialize)]
struct Sighting {
    source: String,
    outcome: String,
}

/// What came back, or what became of it on the way.
struct Sent {
    answered: Result<(StatusCode, Option<String>), reqwest::Error>,
    took: Duration,
}

/// One finding for each callback that is meant.
pub(super) async fn findings(loaded: &Loaded, only: Option<&Name>) -> Vec<Finding> {
    let settings = match loaded.config.http.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("callbacks", Verdict::Wrong, error.to_string())],
    };
    let meant: Vec<&Callback> =
        settings.callbacks.iter().filter(|callback| only.is_none_or(|only| *only == callback.name)).collect();
    if meant.is_empty() {
        let what = only.map_or_else(
            || "no callback is configured".to_owned(),
            |name| format!("no callback {name} is configured"),
        );
        return vec![finding("callbacks", Verdict::Wrong, format!("{what}; add [http.callbacks.NAME]"))];
    }
    let relay = match RunningRelay::of(loaded, None) {
        Ok(relay) => relay,
        Err(failure) => return vec![finding("admin", Verdict::Wrong, failure.message)],
    };
    let mut findings = Vec::new();
    for callback in meant {
        let (verdict, detail) = match probe(&relay, callback).await {
            Ok(detail) => (Verdict::Ok, detail),
            Err(problem) => problem,
        };
        findings.push(finding(format!("callback {}", callback.name), verdict, detail));
    }
    findings
}

/// The first thing that is wrong on the way.
async fn probe(relay: &RunningRelay, callback: &Callback) -> Result<String, (Verdict, String)> {
    let url = &callback.endpoint.url;
    let wrong = |detail: String| (Verdict::Wrong, detail);
    let parsed = Url::parse(url).map_err(|error| wrong(format!("public_url {url}: {error}")))?;
    let addresses = resolve(&parsed).await.map_err(|detail| (Verdict::Unreachable, detail))?;
    let issued = relay.post("/probes", &serde_json::json!({})).await;
    let Issued { nonce } = issued.map_err(|failure| {
        (Verdict::Unreachable, format!("the probe needs the running relay: {}", failure.message))
    })?;
    let sent = send(callback, parsed, &nonce).await.map_err(wrong)?;
    let report = relay.get(&format!("/probes/{nonce}"), crate::command::ask::NOTHING).await;
    let Report { seen } = report.map_err(|failure| (Verdict::Unreachable, failure.message))?;
    match sent.answered {
        Err(error) => Err((Verdict::Unreachable, broken(url, &addresses, &error))),
        Ok((status, location)) => judge(callback, status, location.as_deref(), seen.as_ref())
            .map(|what| {
                format!("{what}: {url} leads to this relay by {addresses}, in {} ms", sent.took.as_millis())
            })
            .and_then(|detail| {
                if sent.took < PATIENCE {
                    Ok(detail)
                } else {
                    Err(format!("{detail}, and VOD gives up after 5 s"))
                }
            })
            .map_err(wrong),
    }
}

/// The addresses of the host, for people.
async fn resolve(url: &Url) -> Result<String, String> {
    let port = url.port_or_known_default().unwrap_or(443);
    let name = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(address) => return Ok(address.to_string()),
        None => return Err(format!("DNS: {url} has no host")),
    };
    let found = timeout(PATIENCE, tokio::net::lookup_host((name.as_str(), port))).await;
    let found = found.map_err(|_| format!("DNS: nobody says within 5 s where {name} is"))?;
    let found = found.map_err(|error| format!("DNS: {name} is not found: {error}; add a record for it"))?;
    let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    if addresses.is_empty() { Err(format!("DNS: {name} has no address")) } else { Ok(addresses.join(", ")) }
}

/// Sends it as VOD sends a callback: no redirects, no proxies of this machine, five seconds.
async fn send(callback: &Callback, url: Url, nonce: &str) -> Result<Sent, String> {
    let client = client(PATIENCE).map_err(|failure| failure.message)?;
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .header("content-length", "0")
        .header(HEADER, nonce);
    if let Some(named) = callback.endpoint.keys.first() {
        let proof = CallbackProof::make(&callback.endpoint.url, &named.key, SystemClock.now());
        request = request
            .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp().to_owned())
            .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex());
    }
    let began = Instant::now();
    let answered = request.send().await.map(|answer| {
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
        (answer.status(), location.map(str::to_owned))
    });
    Ok(Sent { answered, took: began.elapsed() })
}

/// There was no answer.
fn broken(url: &str, addresses: &str, error: &reqwest::Error) -> String {
    let causes = causes(error);
    let last = causes.last().cloned().unwrap_or_default();
    if causes.iter().any(|cause| cause.contains("certificate")) {
        return format!("certificate: {last}; VOD has to trust the one that {url} shows");
    }
    if error.is_timeout() {
        return format!(
            "no answer from {addresses} within 5 s: a firewall drops it, or what stands in front waits for the relay"
        );
    }
    if error.is_connect() {
        return format!(
            "cannot connect to {addresses}: {last}; is the port open, and does the proxy listen there?"
        );
    }
    format!("the connection to {addresses} broke: {last}")
}

/// What the answer and the relay's report come to.
fn judge(
    callback: &Callback,
    status: StatusCode,
    location: Option<&str>,
    seen: Option<&Sighting>,
) -> Result<&'static str, String> {
    let code = status.as_u16();
    let Some(Sighting { source, outcome }) = seen else {
        return Err(match code {
            200 => "proxy: something answers 200 and this relay saw no probe, so VOD would take each event for delivered and it would be lost; \
                    another service answers there, or a proxy drops the header vodrelay-probe"
                .to_owned(),
            300..=399 => {
                let to = location.map(|to| format!(" to {to}")).unwrap_or_default();
                format!("proxy: it redirects{to} ({code}), which VOD does not follow; configure the final URL at VOD and as public_url")
            }
            401 | 403 | 407 => format!("proxy: it answers {code} before the relay is asked; let POST to this path through without a login"),
            404 => format!("path: it answers 404, and the relay has {}; have the proxy pass that path on as it is, or set path", callback.path),
            405 => "path: it answers 405, so POST is not passed on".to_owned(),
            411 | 413 | 415 => format!("proxy: it answers {code}, and would to a callback, too"),
            500..=599 => format!("proxy: it answers {code} and does not reach the relay; look at where it passes requests to (http.listen)"),
            _ => format!("proxy: it answers {code}, where the relay did not see the probe"),
        });
    };
    if *source != callback.source.as_str() {
        return Err(format!(
            "path: it comes in by {source}, whose path that is; give each callback the path by which its public_url comes in"
        ));
    }
    let is_https = callback.endpoint.url.starts_with("https:");
    match (outcome.as_str(), code) {
        ("proven", 200) if !is_https => Ok("DNS, proxy, path and signature are right, over plain HTTP"),
        ("unsigned", 200) if !is_https => {
            Ok("DNS, proxy and path are right, over plain HTTP, and no signature is asked for")
        }
        ("proven", 200) => Ok("DNS, certificate, proxy, path and signature are right"),
        ("unsigned", 200) => Ok("DNS, certificate, proxy and path are right, and no signature is asked for"),
        ("proven" | "unsigned", _) => {
            Err(format!("proxy: the relay answered 200, and {code} came back; VOD counts nothing but 200"))
        }
        ("mismatch", _) => Err(
            "signature: the relay that runs has another key or another public_url than this configuration; reload it"
                .to_owned(),
        ),
        ("stale", _) => Err("signature: it was too old when it came; set the clocks of this machine and of the relay's".to_owned()),
        ("missing" | "malformed", _) => {
            Err("proxy: the headers of the signature did not come through as they were sent; pass X-VOD-TIMESTAMP and X-VOD-SIGNATURE on".to_owned())
        }
        (other, _) => Err(format!("the relay says {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_one_line_that_begins_with_where_it_is() {
        let text = "data_dir = \"d\"\n[http.callbacks.main]\npublic_url = \"https://r.example.com/cb\"\nkeys = [\"Abcdef0123456789\"]";
        let loaded =
            crate::config::from_text(text, Some("vodrelay.toml".into()), Default::default()).unwrap();
        let settings = loaded.config.http.resolve(&loaded.surroundings).unwrap();
        let check = |status: u16, seen: Option<(&str, &str)>, expect: Result<&str, &str>| {
            let seen = seen
                .map(|(source, outcome)| Sighting { source: source.to_owned(), outcome: outcome.to_owned() });
            let status = StatusCode::from_u16(status).unwrap();
            let judged =
                judge(&settings.callbacks[0], status, Some("https://login.example.com/"), seen.as_ref());
            match (&judged, expect) {
                (Ok(found), Ok(says)) => assert!(found.starts_with(says), "{found}"),
                (Err(found), Err(says)) => {
                    assert!(found.starts_with(says) && !found.contains('\n'), "{found}")
                }
                _ => panic!("{status} {seen:?}: {judged:?}"),
            }
        };
        let main = |outcome| Some(("callbacks.main", outcome));
        check(200, main("proven"), Ok("DNS, certificate, proxy, path and signature"));
        check(200, main("unsigned"), Ok("DNS, certificate, proxy and path"));
        check(204, main("proven"), Err("proxy: the relay answered 200, and 204"));
        check(401, main("mismatch"), Err("signature: the relay that runs"));
        check(401, main("stale"), Err("signature: it was too old"));
        check(401, main("missing"), Err("proxy: the headers of the signature"));
        check(200, Some(("callbacks.other", "proven")), Err("path: it comes in by callbacks.other"));
        check(200, None, Err("proxy: something answers 200 and this relay saw no probe"));
        check(302, None, Err("proxy: it redirects to https://login.example.com/"));
        check(401, None, Err("proxy: it answers 401 before"));
        check(404, None, Err("path: it answers 404, and the relay has /cb"));
        check(405, None, Err("path: it answers 405"));
        check(502, None, Err("proxy: it answers 502 and does not reach"));
    }
}
