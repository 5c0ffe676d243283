//! A URL in parts, each percent-encoded once, so that a client requests the very bytes that were signed.

use super::UrlAuthError;

/// An http or https URL without its fragment, which is never sent.
#[derive(Debug)]
pub(super) struct Parts<'u> {
    scheme: &'static str,
    /// Host, and port if it is not the scheme's own, as a client sends them.
    pub(super) authority: String,
    /// Encoded; it begins with `/`.
    pub(super) path: String,
    /// As it came.
    query: Option<&'u str>,
}

impl<'u> Parts<'u> {
    pub(super) fn read(url: &'u str) -> Result<Self, UrlAuthError> {
        let (scheme, rest) = url.trim_ascii().split_once("://").ok_or(UrlAuthError::NotHttp)?;
        let scheme = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
        let scheme = scheme.ok_or(UrlAuthError::NotHttp)?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if !is_authority(authority) {
            return Err(UrlAuthError::BadHost);
        }
        let own_port = if scheme == "http" { ":80" } else { ":443" };
        let authority = authority.strip_suffix(own_port).unwrap_or(authority).to_ascii_lowercase();
        let path = encode(path, is_path);
        refuse_dot_segments(&path)?;
        Ok(Self { scheme, authority, path, query })
    }

    /// The same, with the path as the key of an object: decoded once, and encoded once.
    pub(super) fn with_path_as_key(self) -> Result<Self, UrlAuthError> {
        let path = encode_bytes(&decode(&self.path), b"/");
        // A slash that was encoded is one now.
        refuse_dot_segments(&path)?;
        if path == "/" { Err(UrlAuthError::NoObject) } else { Ok(Self { path, ..self }) }
    }

    /// The parameters as they came, in their order, without those of these names.
    pub(super) fn parameters(&self, without: &[&str]) -> Vec<&'u str> {
        let name = |parameter: &'u str| parameter.split_once('=').map_or(parameter, |(name, _)| name);
        let parameters = self.query.into_iter().flat_map(|query| query.split('&'));
        parameters.filter(|parameter| !parameter.is_empty() && !without.contains(&name(parameter))).collect()
    }

    /// The URL with that in front of its path, and these parameters after the others, in the place of older ones of
    /// their names.
    pub(super) fn signed(&self, before_path: &str, parameters: &[(&str, String)]) -> String {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
        let old = self.parameters(&names).into_iter().map(|parameter| encode(parameter, is_query));
        let new = parameters.iter().map(|(name, value)| format!("{name}={value}"));
        let query = old.chain(new).collect::<Vec<_>>().join("&");
        self.with_query(before_path, &query)
    }

    /// The URL with that in front of its path, and that query in the place of its own.
    pub(super) fn with_query(&self, before_path: &str, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{before_path}{}{mark}{query}", self.scheme, self.authority, self.path)
    }
}

/// Encodes all but what `keep` lets through. What is encoded already stays so, in upper-case digits.
fn encode(text: &str, keep: fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match escaped(byte, after) {
            Some((escaped, after)) => {
                push_escaped(&mut encoded, escaped);
                rest = after;
            }
            None if keep(byte) => encoded.push(char::from(byte)),
            None => push_escaped(&mut encoded, byte),
        }
    }
    encoded
}

fn refuse_dot_segments(path: &str) -> Result<(), UrlAuthError> {
    let is_dots = |segment: &str| matches!(segment.replace("%2E", ".").as_str(), "." | "..");
    if path.split('/').any(is_dots) { Err(UrlAuthError::DotSegment) } else { Ok(()) }
}

/// The bytes that a text stands for: each escape once undone, a `%` that begins none left as it is.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = escaped(byte, after).unwrap_or((byte, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// Encodes bytes as RFC 3986 has it: all but unreserved characters, and `also`.
pub(super) fn encode_bytes(bytes: &[u8], also: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_unreserved(byte) || also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            push_escaped(&mut encoded, byte);
        }
    }
    encoded
}

/// The byte that `%` and two hex digits stand for, and what comes after them.
fn escaped(byte: u8, after: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = after.split_at_checked(2).filter(|_| byte == b'%')?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *digits {
        [high, low] => Some((value(high)? << 4 | value(low)?, after)),
        _ => None,
    }
}

fn push_escaped(encoded: &mut String, byte: u8) {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase();
    encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986: what a path may have besides escapes. Every client leaves these as they are.
fn is_path(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

fn is_query(byte: u8) -> bool {
    is_path(byte) || byte == b'?'
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expect: &str) {
        assert_eq!(Parts::read(url).unwrap().signed("", &[]), expect);
    }

    #[track_caller]
    fn check_refused(url: &str, expect: &UrlAuthError) {
        assert_eq!(Parts::read(url).as_ref().err(), Some(expect), "{url}");
    }

    #[test]
    fn each_part_is_encoded_once() {
        check("http://a.example/b.gif", "http://a.example/b.gif");
        check(" HTTPS://A.example:8443 ", "https://a.example:8443/");
        check("https://a.example:443/b", "https://a.example/b");
        check("http://a.example:80/b", "http://a.example/b");
        check("http://a.example:443/b", "http://a.example:443/b");
        check("http://a.example?x", "http://a.example/?x");
        check("http://[::1]/b", "http://[::1]/b");
        check("http://a.example/ü b.gif#c", "http://a.example/%C3%BC%20b.gif");
        check("http://a.example/%c3%bc%20b", "http://a.example/%C3%BC%20b");
        check("http://a.example/100%/%zz/%2", "http://a.example/100%25/%25zz/%252");
        check("http://a.example/a+b=c,d:e@f;g!", "http://a.example/a+b=c,d:e@f;g!");
        check("http://a.example/\\[^]|\"<>`{}\n", "http://a.example/%5C%5B%5E%5D%7C%22%3C%3E%60%7B%7D");
        check("http://a.example/b?q=ü&&r=%2f?", "http://a.example/b?q=%C3%BC&r=%2F?");
    }

    #[test]
    fn what_a_client_would_read_otherwise_is_refused() {
        for url in ["", "a.example/b", "ftp://a.example/b", "//a.example/b", "http:/a.example/b", "file:///b"]
        {
            check_refused(url, &UrlAuthError::NotHttp);
        }
        for url in [
            "http://",
            "http:///b",
            "http://u@a.example/",
            "http://a b/",
            "http://a\\b/",
            "http://ä.example/",
        ] {
            check_refused(url, &UrlAuthError::BadHost);
        }
        for path in ["..", "a/../b", "a/./b", "%2e%2E/b", ".%2e", "."] {
            check_refused(&format!("http://a.example/{path}"), &UrlAuthError::DotSegment);
        }
        check("http://a.example/a../.b/...", "http://a.example/a../.b/...");
    }

    #[test]
    fn decoding_undoes_one_escape() {
        let check = |text: &str, expect: &[u8]| assert_eq!(decode(text), expect, "{text}");
        check("a%20b%2525%", b"a b%25%");
        check("%ff%C3%BC", b"\xff\xc3\xbc");
        check("%+1", b"%+1");
        assert_eq!(encode_bytes(b"a b/%+~\xff", b"/"), "a%20b/%25%2B~%FF");
    }
}
