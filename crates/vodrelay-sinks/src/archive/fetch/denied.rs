//! What a 403 means: of signing, clock, access list or bucket, and what to configure.
//!
//! Alibaba's CDN says it in the header `X-Tengine-Error` (provider's page *Type A signing*: `denied by req auth: invalid
//! md5hash=…`, `… expired timestamp=…`), OSS in the `Code` and `Message` of an XML body (*OSS error responses*).

use http::HeaderMap;
use http::header::DATE;
use jiff::Timestamp;

use super::super::image_hosts::{Key, OF_VOD, Signer};

/// A clock that is off by less than this, in seconds, explains nothing.
const TOLERABLE_SKEW: i64 = 60;

/// A denial, with what was sent to get it.
pub(super) struct Denial<'d> {
    /// The host that was asked, without its port.
    pub(super) host: &'d str,
    pub(super) signer: Signer,
    /// Which of the CDN's keys signed.
    pub(super) key: Key,
    pub(super) headers: &'d HeaderMap,
    /// The beginning of the body.
    pub(super) body: &'d str,
    /// When it was asked, by the clock that signed.
    pub(super) now: Timestamp,
}

impl Denial<'_> {
    /// What people are told. The host's own words stay out of it: they repeat signatures.
    pub(super) fn explain(&self) -> String {
        let said_by_cdn = self.headers.get("x-tengine-error").and_then(|value| value.to_str().ok());
        let said_by_cdn = said_by_cdn.unwrap_or_default().to_ascii_lowercase();
        let code = element(self.body, "Code").unwrap_or_default();
        let said_by_oss = element(self.body, "Message").unwrap_or_default().to_ascii_lowercase();
        // First what the key could do nothing about.
        if self.host.starts_with("outin-") {
            return OF_VOD.to_owned();
        }
        if said_by_cdn.contains("expired timestamp")
            || said_by_oss.contains("expired")
            || code == "RequestTimeTooSkewed"
        {
            return format!("the time of the signature is over; {}", self.clock());
        }
        if said_by_cdn.contains("req auth") {
            return self.wrong_signature();
        }
        if said_by_cdn.contains("denied") {
            return "an access list of the CDN refuses this relay (by address, referer or user agent); allow it in the \
                    domain's access control"
                .to_owned();
        }
        match code {
            "SignatureDoesNotMatch" => {
                "the signature is wrong; check access_key_secret, and bucket and region if they are set"
                    .to_owned()
            }
            "InvalidAccessKeyId" | "SecurityTokenExpired" | "InvalidSecurityToken" => {
                format!("OSS does not know the keys ({code}); check access_key_id and security_token of auth")
            }
            "AccessDenied" if self.signer == Signer::Oss => {
                "the keys may not read the object; grant oss:GetObject on the bucket to their user".to_owned()
            }
            "AccessDenied" => {
                "the bucket is private; set auth = { type = \"oss\", … } with keys that may read it, or \
                               configure a CDN domain in VOD"
                    .to_owned()
            }
            _ => self.without_a_reason(),
        }
    }

    fn wrong_signature(&self) -> String {
        match (self.signer, self.key) {
            (Signer::Cdn, Key::Secondary) => {
                "the CDN takes the signature of neither key; check keys and type of auth against the domain's URL signing".to_owned()
            }
            (Signer::Cdn, Key::Primary) => {
                "the CDN does not take the signature; check key and type of auth against the domain's URL signing".to_owned()
            }
            _ => WANTS_SIGNATURE.to_owned(),
        }
    }

    fn without_a_reason(&self) -> String {
        match self.signer {
            Signer::Nobody => format!("no reason is given; most likely {WANTS_SIGNATURE}"),
            _ => "no reason is given; check auth, and the access control of the domain or bucket".to_owned(),
        }
    }

    /// Whose clock it is, by the date of the answer.
    fn clock(&self) -> String {
        let date = self.headers.get(DATE).and_then(|value| value.to_str().ok());
        let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let ahead = theirs.map(|theirs| self.now.as_second() - theirs.timestamp().as_second());
        match ahead {
            Some(seconds) if seconds > TOLERABLE_SKEW => {
                format!("this machine's clock is {seconds} s ahead of theirs")
            }
            Some(seconds) if seconds < -TOLERABLE_SKEW => {
                format!("this machine's clock is {} s behind theirs", seconds.unsigned_abs())
            }
            _ => "check the clock of this machine and the validity period of the domain's URL signing"
                .to_owned(),
        }
    }
}

const WANTS_SIGNATURE: &str =
    "the CDN wants signed URLs; set auth = { type = \"A\", key = … } as in the domain's URL signing";

/// The text of the first such element. OSS's answers are flat, and nothing but a message hangs on it.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        host: &str,
        signer: Signer,
        key: Key,
        headers: &[(&'static str, &str)],
        body: &str,
        expect: &str,
    ) {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let now = "2023-11-14T22:13:20Z".parse().unwrap();
        let told = Denial { host, signer, key, headers: &headers, body, now }.explain();
        assert!(told.contains(expect), "{told}");
        assert!(!told.contains("d41d8cd9"), "{told}");
    }

    const CDN_HOST: &str = "vod.example.com";
    const INVALID: (&str, &str) = ("X-Tengine-Error", "denied by req auth: invalid md5hash=d41d8cd98f00b204");
    const EXPIRED: (&str, &str) = ("x-tengine-error", "denied by req auth: expired timestamp=1700000000");

    #[test]
    fn the_cdn_says_whether_it_was_the_signature_or_the_clock() {
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[INVALID], "", "check key and type of auth");
        check(CDN_HOST, Signer::Cdn, Key::Secondary, &[INVALID], "", "the signature of neither key");
        check(CDN_HOST, Signer::Nobody, Key::Primary, &[INVALID], "", "the CDN wants signed URLs; set auth");
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[EXPIRED], "", "check the clock of this machine");
        let late = ("date", "Tue, 14 Nov 2023 22:43:20 GMT");
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[EXPIRED, late], "", "clock is 1800 s behind theirs");
        let early = ("date", "Tue, 14 Nov 2023 22:03:20 GMT");
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[EXPIRED, early], "", "clock is 600 s ahead of theirs");
        let list = ("x-tengine-error", "denied by IP ACL");
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[list], "", "an access list of the CDN");
    }

    #[test]
    fn oss_says_it_in_its_body() {
        let host = "bucket.oss-cn-shanghai.aliyuncs.com";
        let body = |code: &str, message: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<Error>\n <Code>{code}</Code>\n <Message>{message}</Message>\n</Error>"
            )
        };
        let denied = body("AccessDenied", "You have no right to access this object because of bucket acl.");
        check(
            host,
            Signer::Nobody,
            Key::Primary,
            &[],
            &denied,
            "the bucket is private; set auth = { type = \"oss\"",
        );
        check(host, Signer::Cdn, Key::Primary, &[], &denied, "the bucket is private");
        check(host, Signer::Oss, Key::Primary, &[], &denied, "grant oss:GetObject");
        check(
            host,
            Signer::Oss,
            Key::Primary,
            &[],
            &body("SignatureDoesNotMatch", ""),
            "check access_key_secret",
        );
        check(host, Signer::Oss, Key::Primary, &[], &body("InvalidAccessKeyId", ""), "check access_key_id");
        check(host, Signer::Oss, Key::Primary, &[], &body("RequestTimeTooSkewed", ""), "check the clock");
        check(
            host,
            Signer::Oss,
            Key::Primary,
            &[],
            &body("AccessDenied", "Request has expired."),
            "check the clock",
        );
        let outin = "outin-0123456789abcdef.oss-cn-shanghai.aliyuncs.com";
        for signer in [Signer::Oss, Signer::Nobody] {
            check(
                outin,
                signer,
                Key::Primary,
                &[],
                &denied,
                "belongs to VOD itself, and no key of yours can sign",
            );
        }
    }

    #[test]
    fn without_a_word_the_likeliest_is_told() {
        check(
            CDN_HOST,
            Signer::Nobody,
            Key::Primary,
            &[],
            "<html>403</html>",
            "most likely the CDN wants signed URLs",
        );
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[], "", "check auth, and the access control");
        check(CDN_HOST, Signer::Cdn, Key::Primary, &[], "<Code>", "check auth, and the access control");
    }
}
