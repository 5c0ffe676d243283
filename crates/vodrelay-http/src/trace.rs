//! The span of a request: begun with its first byte, in the sender's trace where that may be believed, and noted at its
//! answer.

use std::net::IpAddr;

use http::Request;
use hyper::body::Incoming;
use tokio::time::Instant;
use vodrelay_core::{Span, SpanKind, TraceContext};

use crate::answer::Answer;
use crate::receiver::Receiver;

impl Receiver {
    /// Nothing of a request that is for no callback: whoever scans the net fills no collector.
    pub(crate) fn span_of(&self, request: &Request<Incoming>, peer: IpAddr, started: Instant) -> Span {
        let tracer = self.intake.tracer();
        if !tracer.is_on() {
            return Span::default();
        }
        let Some(callback) = self.callback(request.uri().path()) else { return Span::default() };
        let name = || format!("{} {}", method(request), callback.path);
        // Anybody can send a traceparent, and fill a trace of somebody else, or have everything recorded.
        let is_trusted = self.settings.trusted_proxies.contain(peer.to_canonical());
        let span = match sent(request).filter(|_| is_trusted) {
            Some((context, true)) => tracer.child(SpanKind::Server, name, Some(context)),
            Some((_, false)) => return Span::default(),
            None => tracer.root(SpanKind::Server, name),
        };
        span.began_before(started.elapsed());
        span.set("http.request.method", method(request));
        span.set("http.route", callback.path.as_str());
        span.set("url.path", callback.path.as_str());
        span.set("url.scheme", if self.settings.identity.is_some() { "https" } else { "http" });
        span.set_with("network.peer.address", || peer.to_string());
        span.set_with("vodrelay.callback", || callback.name.to_string());
        span
    }
}

/// What it was answered. What a client got wrong is no failure of the server.
pub(crate) fn note(span: &Span, answer: Answer) {
    let status = answer.status().as_u16();
    span.set("http.response.status_code", status);
    span.set("vodrelay.outcome", answer.as_str());
    if status >= 500 {
        span.fail(status.to_string());
    }
}

/// The span that the sender says this is part of, and whether it is recorded there.
fn sent(request: &Request<Incoming>) -> Option<(TraceContext, bool)> {
    let mut values = request.headers().get_all("traceparent").iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() { None } else { TraceContext::parse(value) }
}

/// Only those of the standard, so that nobody makes names up.
fn method(request: &Request<Incoming>) -> &'static str {
    match request.method().as_str() {
        "POST" => "POST",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}
