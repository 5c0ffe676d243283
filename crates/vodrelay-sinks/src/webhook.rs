//! POSTs each event to a URL: the last step of an event's way when a service wants it.

mod answer;
mod format;
mod options;
mod sign;
mod status;
mod type_name;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::Client;
use url::Url;
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::config::{ConfigError, Options};
use vodrelay_core::{Clock, Delivery, Receipt, Sink, SinkError, SinkFactory, SinkName, Span};

use self::format::{Format, Message};
use self::sign::SigningKeys;
use self::status::Verdicts;
use crate::exchange::innermost;

/// Makes webhook sinks.
#[derive(Debug)]
pub struct Factory {
    clock: Arc<dyn Clock>,
}

impl Factory {
    /// A factory whose sinks sign with the time of this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl SinkFactory for Factory {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn build(&self, _name: SinkName, options: Options) -> Result<Arc<dyn Sink>, ConfigError> {
        let target = options::resolve(&options)?;
        let client = client(&target.url)
            .map_err(|error| ConfigError::new("url", format!("no HTTP client could be made: {error}")))?;
        Ok(Arc::new(Webhook { target, client, clock: Arc::clone(&self.clock) }))
    }
}

/// A webhook as configured, with every secret at hand.
struct Target {
    url: Url,
    format: Format,
    /// Signs as VOD would: the key, and the URL that the handler checks against.
    vod_proof: Option<(PrivateKey, String)>,
    signing_keys: SigningKeys,
    verdicts: Verdicts,
    headers: HeaderMap,
}

struct Webhook {
    target: Target,
    client: Client,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Sink for Webhook {
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError> {
        let now = self.clock.now();
        let message = self.target.format.message(&delivery.envelope)?;
        self.note(&delivery.span);
        let headers = self.headers(delivery, &message, now);
        let request = self.client.post(self.target.url.clone()).headers(headers).body(message.body);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        answer::judge(response, &self.target.verdicts, now).await
    }

    /// Asks with OPTIONS, which no handler takes for an event; any answer shows that the way is open.
    async fn check(&self) -> Result<Vec<String>, SinkError> {
        let request = self.client.request(http::Method::OPTIONS, self.target.url.clone());
        request.send().await.map_err(|error| self.unreachable(error))?;
        Ok(Vec::new())
    }
}

impl Webhook {
    fn headers(&self, delivery: &Delivery, message: &Message, now: Timestamp) -> HeaderMap {
        let Target { vod_proof, signing_keys, headers, .. } = &self.target;
        let (id, seconds) = (delivery.envelope.id.to_string(), now.as_second());
        let mut headers = headers.clone();
        let mut set = |name: &'static str, value: String| {
            // Everything set here is ours and plain ASCII, so none is ever left out.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if let Some((key, url)) = vod_proof {
            let proof = CallbackProof::make(url, key, now);
            set(CallbackProof::TIMESTAMP_HEADER, proof.timestamp().to_owned());
            set(CallbackProof::SIGNATURE_HEADER, proof.signature_hex());
        }
        if let Some(signature) = signing_keys.sign(&id, seconds, &message.body) {
            set("webhook-signature", signature);
        }
        set("webhook-id", id);
        set("webhook-timestamp", seconds.to_string());
        set("vodrelay-attempt", delivery.attempt.to_string());
        set("vodrelay-received-at", delivery.envelope.received_at.to_string());
        if let Some(context) = delivery.span.context() {
            set("traceparent", context.traceparent());
        }
        if delivery.replay > 0 {
            set("vodrelay-replay", delivery.replay.to_string());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type));
        headers
    }

    /// Whom it calls, and nothing of the URL that may be a secret.
    fn note(&self, span: &Span) {
        let url = &self.target.url;
        span.set("http.request.method", "POST");
        span.set("url.scheme", url.scheme());
        span.set_with("server.address", || url.host_str().unwrap_or_default().to_owned());
        span.set("server.port", url.port_or_known_default().unwrap_or_default());
    }

    /// No answer at all: the message names the address and the innermost cause, and nothing of the URL's secrets.
    fn unreachable(&self, error: reqwest::Error) -> SinkError {
        let what = if error.is_connect() { "cannot connect to" } else { "no answer from" };
        SinkError::temporary(format!("{what} {}: {}", self.target.origin(), innermost(&error.without_url())))
    }
}

impl Target {
    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Webhook {
    /// Without path, query and headers, any of which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { format, .. } = &self.target;
        f.debug_struct("Webhook")
            .field("to", &self.target.origin())
            .field("format", format)
            .finish_non_exhaustive()
    }
}

fn client(url: &Url) -> reqwest::Result<Client> {
    crate::tls::choose_provider();
    let builder = Client::builder()
        .user_agent(concat!("vodrelay/", env!("CARGO_PKG_VERSION")))
        // A login page would otherwise swallow the event and answer 200.
        .redirect(reqwest::redirect::Policy::none())
        // Where events go is written in the configuration, not in the environment.
        .no_proxy()
        .http1_only()
        // Shorter than servers keep idle connections, so that a POST seldom meets one that is being closed.
        .pool_idle_timeout(std::time::Duration::from_secs(20));
    if url.scheme() == "http" {
        // Without TLS there is nothing to check, and the machine's certificates are megabytes.
        builder.tls_certs_only([]).build()
    } else {
        builder.build()
    }
}
