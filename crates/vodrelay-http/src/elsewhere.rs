//! Requests to paths that no callback has: health, and what would be a callback if our URL were that of VOD.

use std::net::IpAddr;

use http::header::HeaderValue;
use http::{Method, Request};
use hyper::body::Incoming;
use tokio::time::Instant;
use vod_event::{CallbackProof, ProofError};
use vodrelay_core::probe::HEADER;
use vodrelay_core::{RefusalCause, TraceContext, nearest};

use crate::answer::Answer;
use crate::hints::Hint;
use crate::proof::{SIGNATURE, TIMESTAMP, Unproven};
use crate::receive::Ended;
use crate::receiver::{Callback, Receiver};

/// How much is kept of the URL that VOD has, in characters.
const LONGEST_URL: usize = 500;

impl Receiver {
    /// Answers what is for no callback.
    pub(crate) async fn elsewhere(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        began: (Instant, Option<TraceContext>),
    ) -> Ended {
        if request.uri().path() == self.settings.health_path {
            return self.health(request.method()).into();
        }
        match self.meant_by(&request) {
            Some((callback, unproven)) => self.keep_stray(callback, unproven, request, peer, began).await,
            None => {
                self.explain_path(request.uri().path());
                Answer::UnknownPath.into()
            }
        }
    }

    fn health(&self, method: &Method) -> Answer {
        match *method {
            Method::GET | Method::HEAD if self.is_draining() => Answer::Draining,
            Method::GET | Method::HEAD => Answer::Healthy,
            _ => Answer::NotGet,
        }
    }

    /// The callback with a key that signed this request for the path to which it came: VOD has that path, and our
    /// `public_url` another one.
    fn meant_by(&self, request: &Request<Incoming>) -> Option<(&Callback, Unproven)> {
        let values = |name| request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
        let proof = CallbackProof::from_headers(values(TIMESTAMP), values(SIGNATURE)).ok()?;
        // A probe says itself that its path is wrong.
        let is_probe =
            request.headers().get(HEADER).is_some_and(|nonce| self.probes.is_open(nonce.as_bytes()));
        if is_probe || request.method() != Method::POST {
            return None;
        }
        let target = request.uri().path_and_query()?.as_str();
        let (callback, url) = self.settings.callbacks.iter().find_map(|callback| {
            let url = with_path(&callback.endpoint.url, target);
            let is_signed = callback.endpoint.keys.iter().any(|named| proof.matches(&url, &named.key));
            is_signed.then_some((callback, url))
        })?;
        let unproven = Unproven {
            cause: RefusalCause::Mismatch,
            error: ProofError::Mismatch,
            proof: Some(proof),
            right_for: Some(url.chars().take(LONGEST_URL).collect()),
        };
        Some((callback, unproven))
    }

    /// It counts as refused for that callback, so that it can be accepted once the URL is mended.
    async fn keep_stray(
        &self,
        callback: &Callback,
        unproven: Unproven,
        request: Request<Incoming>,
        peer: IpAddr,
        began: (Instant, Option<TraceContext>),
    ) -> Ended {
        if self.hints.due(Hint::Stray) {
            tracing::warn!(
                callback.name = %callback.name, callback.public_url = callback.endpoint.url, http.path = request.uri().path(),
                "a callback that is signed with a key of this one came to a path that no callback has; give public_url the \
                 URL that VOD has, reload, and run `vodrelay refused accept`",
            );
        }
        let (visit, incoming) = self.visit(request, peer, began);
        let refused = self.refuse(callback, visit, incoming, unproven).await;
        Ended { answer: Answer::UnknownPath, ..refused }
    }

    fn explain_path(&self, path: &str) {
        let paths = self.settings.callbacks.iter().map(|callback| callback.path.as_str());
        match nearest(path, paths) {
            Some(near) if self.hints.due(Hint::Path) => {
                tracing::warn!(
                    http.path = path,
                    http.nearest = near,
                    "no callback has this path; did you mean the nearest?"
                );
            }
            _ => tracing::debug!(http.path = path, "no callback has this path"),
        }
    }
}

/// The URL with another path and query.
fn with_path(url: &str, target: &str) -> String {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url.get(host..).and_then(|rest| rest.find(['/', '?'])).map_or(url.len(), |at| host + at);
    [url.get(..path).unwrap_or_default(), target].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_path_for_the_same_host() {
        let check = |url: &str, expect: &str| assert_eq!(with_path(url, "/b?c"), expect);
        check("https://x.example.com/a", "https://x.example.com/b?c");
        check("https://x.example.com:8443/a/d?e=f", "https://x.example.com:8443/b?c");
        check("https://x.example.com", "https://x.example.com/b?c");
        check("https://x.example.com?e", "https://x.example.com/b?c");
    }
}
