//! `[sinks.NAME.options]` of a webhook, from text to a target.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;
use vod_event::PrivateKey;
use vodrelay_core::config::{ConfigError, Options, Secret, SecretSource, Span, Surroundings};

use super::Target;
use super::format::{Format, FormatName};
use super::sign::SigningKeys;
use super::status::{StatusPattern, Verdicts};

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    url: String,
    #[serde(default)]
    format: FormatName,
    vod_key: Option<SecretSource>,
    vod_url: Option<String>,
    secret: Option<OneOrMore>,
    source: Option<String>,
    success: Option<Vec<StatusPattern>>,
    permanent: Option<Vec<StatusPattern>>,
    #[serde(default)]
    short: WrittenShort,
    #[serde(default)]
    headers: BTreeMap<String, SecretSource>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenShort {
    status: Option<Vec<StatusPattern>>,
    age: Option<Span>,
}

/// Reads the options and everything they refer to.
pub(super) fn resolve(options: &Options) -> Result<Target, ConfigError> {
    let written: Written = options.parse()?;
    let surroundings = options.surroundings();
    let url = target_url(&written.url)?;
    Ok(Target {
        format: format(&written)?,
        vod_proof: vod_proof(&written, surroundings)?,
        signing_keys: signing_keys(written.secret.as_ref(), surroundings)?,
        headers: headers(&written.headers, surroundings)?,
        verdicts: Verdicts {
            success: written.success.unwrap_or_else(|| vec![StatusPattern::class(2)]),
            permanent: written.permanent.unwrap_or_else(|| vec![StatusPattern::one(410)]),
            short: written.short.status.unwrap_or_else(|| [400, 413, 422].map(StatusPattern::one).to_vec()),
            short_age: written.short.age.map_or(Duration::from_hours(24), |Span(age)| age),
        },
        url,
    })
}

fn target_url(text: &str) -> Result<Url, ConfigError> {
    if text.is_empty() {
        let message = "is missing; expected a URL like https://cms.internal/hooks/vod";
        return Err(ConfigError::new("url", message));
    }
    let wrong = |cause: String| {
        ConfigError::new("url", format!("expected a URL like https://cms.internal/hooks/vod: {cause}"))
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{:?} is neither http nor https", url.scheme())));
    }
    Ok(url)
}

fn format(written: &Written) -> Result<Format, ConfigError> {
    if written.source.is_some() && written.format != FormatName::CloudEvents {
        return Err(ConfigError::new("source", "belongs to format = \"cloudevents\"; leave it out"));
    }
    if written.source.as_ref().is_some_and(|source| source.trim().is_empty()) {
        return Err(ConfigError::new("source", "expected a URI reference, it is empty"));
    }
    let source = || written.source.clone().unwrap_or_else(|| "//vod.aliyuncs.com".to_owned());
    Ok(match written.format {
        FormatName::Raw => Format::Raw,
        FormatName::Standard => Format::Standard,
        FormatName::CloudEvents => Format::CloudEvents { source: source() },
    })
}

fn vod_proof(
    written: &Written,
    surroundings: &Surroundings,
) -> Result<Option<(PrivateKey, String)>, ConfigError> {
    let Some(key) = &written.vod_key else {
        let lonely = |_: &String| ConfigError::new("vod_url", "needs vod_key, which signs for that URL");
        return written.vod_url.as_ref().map_or(Ok(None), |url| Err(lonely(url)));
    };
    if written.format != FormatName::Raw {
        let message = "signs the provider's own bytes, so it belongs to format = \"raw\"; use secret here";
        return Err(ConfigError::new("vod_key", message));
    }
    let key = key.resolve(surroundings).map_err(|error| error.within("vod_key"))?;
    let url = written.vod_url.clone().unwrap_or_else(|| written.url.clone());
    Ok(Some((PrivateKey::new(key.expose()), url)))
}

fn signing_keys(
    written: Option<&OneOrMore>,
    surroundings: &Surroundings,
) -> Result<SigningKeys, ConfigError> {
    let Some(OneOrMore(sources)) = written else { return Ok(SigningKeys::default()) };
    let resolve =
        |source: &SecretSource| source.resolve(surroundings).map_err(|error| error.within("secret"));
    let secrets = sources.iter().map(resolve).collect::<Result<Vec<Secret>, _>>()?;
    SigningKeys::new(&secrets).map_err(|message| ConfigError::new("secret", message))
}

fn headers(
    written: &BTreeMap<String, SecretSource>,
    surroundings: &Surroundings,
) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::with_capacity(written.len() + 10);
    for (name, value) in written {
        let wrong = |message: &str| ConfigError::new(format!("headers.{name}"), message);
        let value = value.resolve(surroundings).map_err(|error| error.within(&format!("headers.{name}")))?;
        let header = HeaderName::try_from(name).map_err(|_| wrong("is no name of a header"))?;
        if is_ours(header.as_str()) {
            return Err(wrong("is set by the relay itself; leave it out"));
        }
        let mut value = HeaderValue::try_from(value.expose())
            .map_err(|_| wrong("has characters that no header may have"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

fn is_ours(header: &str) -> bool {
    let ours = ["content-type", "content-length", "transfer-encoding", "connection"];
    let prefixes = ["webhook-", "vodrelay-", "x-vod-"];
    ours.contains(&header) || prefixes.iter().any(|prefix| header.starts_with(prefix))
}

/// A secret, or a list of them.
struct OneOrMore(Vec<SecretSource>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a secret: a string, { env = "NAME" } or { file = "path" }, or a list of those"#)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![SecretSource::Plain(value.to_owned())]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMore, A::Error> {
        SecretSource::deserialize(MapAccessDeserializer::new(map)).map(|source| OneOrMore(vec![source]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMore, A::Error> {
        let sources = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        if sources.is_empty() { Err(A::Error::invalid_length(0, &self)) } else { Ok(OneOrMore(sources)) }
    }
}
