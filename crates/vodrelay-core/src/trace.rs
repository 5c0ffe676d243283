//! Traces: which request an event came with, and what was done with it, for a collector that puts the pieces together.
//!
//! The context of a span is a few bytes that travel with the event, also through the journal, so that an attempt hours
//! later still names the request that brought it.

mod span;

use std::fmt::{self, Write};

pub use self::span::{Link, Span, SpanKind, SpanRecord, Tracer, Value};

/// Names one span of one trace, as W3C's `traceparent` does. There is one only where the span is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Sixteen bytes, not all of them zero.
    trace_id: [u8; 16],
    /// Eight bytes, not all of them zero.
    span_id: [u8; 8],
}

impl TraceContext {
    /// The length of [`TraceContext::to_bytes`].
    pub const LENGTH: usize = 24;

    /// A context of these ids; nothing where one of them is all zeros.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self { trace_id, span_id })
    }

    /// The context of a `traceparent`, of this or a later version of the header, and whether its sender records the span;
    /// nothing where it is malformed.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<(Self, bool)> {
        let mut fields = traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let [version] = hex(version)?;
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let [flags] = hex(flags)?;
        let context = Self::new(hex(trace_id)?, hex(span_id)?)?;
        Some((context, flags & 1 == 1))
    }

    /// The value of the header for whoever is called within the span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id(), self.span_id())
    }

    /// The id of the trace in lower-case hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        digits(&self.trace_id)
    }

    /// The id of the span in lower-case hex digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        digits(&self.span_id)
    }

    /// As a journal keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (trace_id, span_id) = bytes.split_at_mut(16);
        trace_id.copy_from_slice(&self.trace_id);
        span_id.copy_from_slice(&self.span_id);
        bytes
    }

    /// From what a journal kept; nothing where that is no context.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, span_id) = bytes.split_at_checked(16)?;
        Self::new(trace_id.try_into().ok()?, span_id.try_into().ok()?)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Exactly so many bytes in lower-case hex digits.
fn hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != LENGTH * 2 || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let check = |text: &str, expect: Option<bool>| {
            let read = TraceContext::parse(text);
            assert_eq!(read.map(|(_, recorded)| recorded), expect, "{text}");
            if let Some((context, _)) = read {
                assert_eq!(context.traceparent(), good, "{text}");
                assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
            }
        };
        check(good, Some(true));
        check(&format!(" {good} "), Some(true));
        check(&good.replace("-01", "-03"), Some(true));
        check(&good.replace("-01", "-00"), Some(false));
        check(&good.replace("00-0af", "01-0af"), Some(true));
        check(&format!("{}-more", good.replace("00-0af", "01-0af")), Some(true));
        check(&format!("{good}-more"), None);
        check(&good.replace("00-0af", "ff-0af"), None);
        check(&good.to_uppercase(), None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c", None);
        check("", None);
        assert_eq!(TraceContext::from_bytes(&[1; 23]), None);
        assert_eq!(TraceContext::from_bytes(&[0; 24]), None);
    }
}
