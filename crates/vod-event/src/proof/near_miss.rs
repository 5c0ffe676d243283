//! Which other spelling of a URL or key a proof was made for: what goes wrong most often when callbacks are set up.

use super::{CallbackProof, Endpoint, NamedKey};

/// A spelling that would have matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The URL that the proof was made for.
    pub url: String,
    /// The name of the key.
    pub key: String,
    /// How URL and key differ from what is configured, as short sentence fragments.
    pub differences: Vec<&'static str>,
}

/// The spelling with the fewest differences.
pub(super) fn find(endpoint: &Endpoint, proof: &CallbackProof) -> Option<NearMiss> {
    let mut urls = spellings(&endpoint.url);
    urls.sort_by_key(|spelling| spelling.differences.len());
    let is_as_configured = |url: &str, key: &NamedKey| proof.matches(url, &key.key);
    if endpoint.keys.iter().any(|key| is_as_configured(&endpoint.url, key)) {
        return None;
    }
    let attempt = |spelling: &Spelling| {
        endpoint.keys.iter().find_map(|named| {
            let key = named.key.expose();
            let (is_padded, trimmed) = (key.trim() != key, key.trim());
            if proof.matches(&spelling.url, &named.key) {
                return Some(spelling.near_miss(named, None));
            }
            let is_match = is_padded && proof.matches_text(&spelling.url, trimmed).into();
            is_match.then(|| spelling.near_miss(named, Some("the key without the blanks around it")))
        })
    };
    urls.iter().find_map(attempt)
}

#[derive(Clone)]
struct Spelling {
    url: String,
    differences: Vec<&'static str>,
}

impl Spelling {
    fn near_miss(&self, key: &NamedKey, key_difference: Option<&'static str>) -> NearMiss {
        let differences = self.differences.iter().copied().chain(key_difference).collect();
        NearMiss { url: self.url.clone(), key: key.name.clone(), differences }
    }
}

/// Every way to spell the URL that is known to go wrong, the configured one first.
fn spellings(url: &str) -> Vec<Spelling> {
    let mut spellings = vec![Spelling { url: url.to_owned(), differences: Vec::new() }];
    vary(&mut spellings, "without the blanks around it", |url| Some(url.trim().to_owned()));
    vary(&mut spellings, "http instead of https", |url| {
        Some(format!("http://{}", url.strip_prefix("https://")?))
    });
    vary(&mut spellings, "https instead of http", |url| {
        Some(format!("https://{}", url.strip_prefix("http://")?))
    });
    vary(&mut spellings, "the host in lower case", |url| {
        let url = Parts::of(url)?;
        Some(url.with_authority(&url.authority.to_ascii_lowercase()))
    });
    vary(&mut spellings, "without the port", |url| {
        let url = Parts::of(url)?;
        let (host, port) = url.authority.rsplit_once(':')?;
        matches!(port, "80" | "443").then(|| url.with_authority(host))
    });
    vary(&mut spellings, "with the port", |url| {
        let url = Parts::of(url)?;
        let has_port = url.authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if url.scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
        (!has_port).then(|| url.with_authority(&format!("{}:{port}", url.authority)))
    });
    vary(&mut spellings, "without the query", |url| Some(url.split_once('?')?.0.to_owned()));
    vary(&mut spellings, "without the slash at the end", |url| {
        let url = Parts::of(url)?;
        Some(url.with_path(url.path.strip_suffix('/')?))
    });
    vary(&mut spellings, "with a slash at the end", |url| {
        let url = Parts::of(url)?;
        (!url.path.ends_with('/')).then(|| url.with_path(&format!("{}/", url.path)))
    });
    vary(&mut spellings, "percent escapes in upper case", |url| Some(escapes(url, char::to_ascii_uppercase)));
    vary(&mut spellings, "percent escapes in lower case", |url| Some(escapes(url, char::to_ascii_lowercase)));
    spellings
}

/// Adds to each spelling its variation, where there is one.
fn vary(spellings: &mut Vec<Spelling>, difference: &'static str, vary: impl Fn(&str) -> Option<String>) {
    let varied = |spelling: &Spelling| {
        let url = vary(&spelling.url)?;
        let is_new = !spellings.iter().any(|other| other.url == url);
        let differences = spelling.differences.iter().copied().chain([difference]).collect();
        is_new.then_some(Spelling { url, differences })
    };
    let varied: Vec<_> = spellings.iter().filter_map(varied).collect();
    spellings.extend(varied);
}

/// A URL in pieces; no more of its grammar than is needed to spell it differently.
struct Parts<'u> {
    scheme: &'u str,
    authority: &'u str,
    path: &'u str,
    /// The query with its question mark.
    query: &'u str,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(Self { scheme, authority, path, query })
    }

    fn with_authority(&self, authority: &str) -> String {
        format!("{}://{authority}{}{}", self.scheme, self.path, self.query)
    }

    fn with_path(&self, path: &str) -> String {
        format!("{}://{}{path}{}", self.scheme, self.authority, self.query)
    }
}

fn escapes(url: &str, convert: fn(&char) -> char) -> String {
    let mut digits_left = 0;
    let convert_escaped = |character: char| {
        if character == '%' {
            digits_left = 2;
            return character;
        }
        let is_escaped = digits_left > 0;
        digits_left -= i32::from(is_escaped);
        if is_escaped { convert(&character) } else { character }
    };
    url.chars().map(convert_escaped).collect()
}
