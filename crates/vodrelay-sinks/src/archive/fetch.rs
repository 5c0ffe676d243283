//! Asks an image's host for it: signs the URL, judges every address before a connection is made, follows no redirect
//! that is not listed, and hands the body on as it comes.

mod addresses;
mod denied;
mod health;
mod pace;

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION};
use jiff::Timestamp;
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

pub(super) use self::addresses::{Guard, Refused};
use self::denied::Denial;
pub(super) use self::health::{Health, Visit};
use self::pace::{Lag, Pace};
use super::failure::{Cause, Failure};
use super::image_hosts::{ImageHost, Key, named, names_a_user};
use super::inspect::Flaw;
use crate::exchange::{TO_DRAIN, TO_READ, beginning, innermost, retry_after, speaks_plain_http};

/// How many redirects are followed where an entry lists their hosts.
const MOST_REDIRECTS: usize = 3;
/// How much of a denial is read for its reason, in bytes.
const EXCERPT: usize = 4 << 10;

/// The client of one entry.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// Its connections serve again.
    pooled: Client,
    /// Each request has a connection of its own.
    fresh: Client,
}

impl Clients {
    /// # Errors
    /// If https is wanted and the machine has no certificates to check it with.
    pub(super) fn new(guard: &Guard, connect_timeout: Duration, is_https: bool) -> reqwest::Result<Self> {
        let client = |most_idle| client(guard, connect_timeout, is_https, most_idle);
        Ok(Self { pooled: client(usize::MAX)?, fresh: client(0)? })
    }
}

/// `most_idle` connections to a host wait for the next request.
fn client(
    guard: &Guard,
    connect_timeout: Duration,
    is_https: bool,
    most_idle: usize,
) -> reqwest::Result<Client> {
    crate::tls::choose_provider();
    let builder = || {
        Client::builder()
            .user_agent(concat!("vodrelay/", env!("CARGO_PKG_VERSION")))
            // Each hop is judged here, not in the client.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up by itself, past the guard.
            .no_proxy()
            .dns_resolver(Arc::new(guard.clone()))
            .connect_timeout(connect_timeout)
            .http1_only()
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(most_idle)
    };
    match builder().build() {
        // Without certificates http still works, and an https connection fails and says why.
        Err(_) if !is_https => builder().tls_certs_only([]).build(),
        built => built,
    }
}

/// Asks for the image with the first key, and where that is denied with the second, if there is one.
pub(super) async fn fetch<'h>(host: &'h ImageHost, url: &Url, now: Timestamp) -> Result<Body<'h>, Failure> {
    let unsignable = |error| Failure::unsignable(&named(url), &host.name, &error);
    let signed = host.auth.sign(url, now).map_err(unsignable)?;
    match ask(host, signed, Key::Primary, now).await {
        Err(denied) if denied.cause == Cause::Denied => {
            match host.auth.sign_with_secondary(url, now).map_err(unsignable)? {
                Some(signed) => ask(host, signed, Key::Secondary, now).await,
                None => Err(denied),
            }
        }
        answered => answered,
    }
}

/// Asks for a signed URL, and for those that it leads to.
async fn ask(host: &ImageHost, signed: Url, key: Key, now: Timestamp) -> Result<Body<'_>, Failure> {
    let mut url = signed;
    for _ in 0..=MOST_REDIRECTS {
        let response = get(host, &url).await?;
        match response.status() {
            StatusCode::OK => return Body::begin(host, named(&url), response),
            StatusCode::FORBIDDEN => return Err(denied(host, &url, key, response, now).await),
            status if leads_on(status) => url = next_hop(host, &url, &response)?,
            status => {
                let after = retry_after(response.headers(), now);
                beginning(response, 0, TO_DRAIN).await;
                return Err(Failure::status(&named(&url), status, after));
            }
        }
    }
    Err(Failure::too_many_redirects(&named(&url), MOST_REDIRECTS))
}

/// One request, up to the head of its answer. A server may close a connection that waited without saying so, and it is
/// found out only by the next request: that one is made once more, on a connection of its own.
async fn get(host: &ImageHost, url: &Url) -> Result<Response, Failure> {
    let refuse = |refused| Failure::address(&named(url), &host.name, refused);
    // The client connects to a literal address without asking its resolver.
    if let Some(address) = literal_address(url) {
        host.guard.admit(address).map_err(refuse)?;
    }
    // What is kept is what the host has, not what a client of this kind would like better.
    let send = |client: &Client| client.get(url.clone()).header(ACCEPT_ENCODING, "identity").send();
    let answered = timeout(host.limits.idle, async {
        match send(&host.clients.pooled).await {
            Err(error) if is_of_a_used_connection(&error) => send(&host.clients.fresh).await,
            answered => answered,
        }
    });
    let error = match answered.await {
        Err(_) => return Err(Failure::stalled(&named(url), host.limits.idle)),
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(error)) => error.without_url(),
    };
    Err(match (Refused::among_causes(&error), among_causes::<hyper::Error>(&error)) {
        (Some(refused), _) => refuse(refused),
        (None, Some(of_http)) if of_http.is_parse() => Failure::garbled(&named(url), innermost(&error)),
        _ => host.unreachable(url, &innermost(&error).to_string()),
    })
}

/// Whether the connection ended before anything of an answer was there. What cannot be connected to, or sends something
/// that cannot be read, is no better the second time.
fn is_of_a_used_connection(error: &reqwest::Error) -> bool {
    let of_http = among_causes::<hyper::Error>(error);
    !error.is_connect() && of_http.is_some_and(|error| !error.is_parse())
}

/// The error of that type among the causes.
fn among_causes<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

impl ImageHost {
    fn unreachable(&self, url: &Url, cause: &str) -> Failure {
        if speaks_plain_http(cause) {
            return Failure::plain_http(&named(url), &self.name);
        }
        Failure::unreachable(&named(url), &cause)
    }
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if the entry lists that host. It is asked as it stands there: a signature is for the host
/// that the keys belong to.
fn next_hop(host: &ImageHost, url: &Url, response: &Response) -> Result<Url, Failure> {
    let (from, status) = (named(url), response.status());
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let next = location.and_then(|location| url.join(location).ok());
    let next = next.filter(|next| matches!(next.scheme(), "http" | "https") && !names_a_user(next));
    let Some(next) = next else { return Err(Failure::redirect_to_nowhere(&from, status)) };
    if host.redirects.iter().any(|listed| listed.matches(&next)) {
        return Ok(host.upgraded(next));
    }
    if next.host() == url.host() && (url.scheme(), next.scheme()) == ("http", "https") {
        return Err(Failure::redirect_to_https(&from, &host.name, status));
    }
    Err(Failure::redirect(&from, &host.name, status, &named(&next)))
}

async fn denied(host: &ImageHost, url: &Url, key: Key, response: Response, now: Timestamp) -> Failure {
    let headers = response.headers().clone();
    let body = beginning(response, EXCERPT, TO_READ).await;
    let denial = Denial {
        host: url.host_str().unwrap_or_default(),
        signer: host.auth.signer(),
        key,
        headers: &headers,
        body: &String::from_utf8_lossy(&body),
        now,
    };
    Failure::denied(&named(url), &denial.explain())
}

/// An image on its way, chunk by chunk, within the limits of its entry.
#[derive(Debug)]
pub(super) struct Body<'h> {
    host: &'h ImageHost,
    /// Who sends it, for messages.
    from: String,
    response: Response,
    announced: Option<u64>,
    got: u64,
    pace: Pace,
}

impl<'h> Body<'h> {
    fn begin(host: &'h ImageHost, from: String, response: Response) -> Result<Self, Failure> {
        let encoding = response.headers().get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
        if let Some(encoding) = encoding {
            return Err(Failure::encoded(&from, encoding.as_bytes()));
        }
        let announced = response.content_length();
        if announced.is_some_and(|length| length > host.limits.max_size) {
            return Err(Failure::too_large(&from, &host.name, host.limits.max_size));
        }
        let pace = Pace::new(host.limits.idle, host.limits.min_speed);
        Ok(Self { host, from, response, announced, got: 0, pace })
    }

    /// The next bytes, or nothing at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let started = Instant::now();
            let next = timeout(self.pace.patience(), self.response.chunk()).await;
            let came = match &next {
                Ok(Ok(Some(chunk))) => chunk.len(),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(_)) | Err(_) => 0,
            };
            self.pace.note(started.elapsed(), came).map_err(|lag| self.lagging(lag))?;
            match next {
                Ok(Ok(chunk)) => return self.within_limits(chunk),
                Ok(Err(error)) => return Err(self.broken_off(error)),
                // Its patience is over, and the pace was good enough.
                Err(_) => {}
            }
        }
    }

    fn within_limits(&mut self, chunk: Option<Bytes>) -> Result<Option<Bytes>, Failure> {
        self.got += chunk.as_ref().map_or(0, Bytes::len) as u64;
        if self.got > self.host.limits.max_size {
            return Err(Failure::too_large(&self.from, &self.host.name, self.host.limits.max_size));
        }
        Ok(chunk)
    }

    fn lagging(&self, lag: Lag) -> Failure {
        match lag {
            Lag::Stalled => Failure::stalled(&self.from, self.host.limits.idle),
            Lag::Slow => Failure::slow(&self.from, &self.host.name, self.host.limits.min_speed),
        }
    }

    fn broken_off(&self, error: reqwest::Error) -> Failure {
        Failure::cut_short(&self.from, self.got, self.announced, innermost(&error.without_url()))
    }

    /// What came is not one whole image.
    pub(super) fn flaw(&self, flaw: &Flaw) -> Failure {
        Failure::flaw(&self.from, flaw)
    }

    /// What came is whole, and another image.
    pub(super) fn mismatch(&self, what: &str) -> Failure {
        Failure::mismatch(&self.from, what)
    }
}
