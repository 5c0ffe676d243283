//! One `[alerts.NAME]`: where messages go, and whether one arrived.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use url::Url;
use vodrelay_core::Name;
use vodrelay_core::config::Secret;

use crate::alert::Alert;
use crate::kind::Kind;
use crate::robot::Format;
use crate::words::harmless;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much of an answer is read.
const ANSWER: usize = 64 << 10;
/// Shorter pieces of a URL are words, and stand in answers by chance.
const SHORTEST_SECRET: usize = 8;

/// Where alerts go. Cloning it is cheap.
#[derive(Clone)]
pub struct Channel {
    name: Name,
    format: Format,
    kinds: BTreeSet<Kind>,
    url: Url,
    secret: Option<Secret>,
    client: Client,
}

/// Why a message did not arrive. It has no secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    message: String,
}

impl Channel {
    /// A channel; an empty set of kinds is all of them.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(
        name: Name,
        format: Format,
        kinds: BTreeSet<Kind>,
        (url, secret): (Url, Option<Secret>),
    ) -> Result<Self, String> {
        let client = client(&url).map_err(|error| format!("no HTTP client could be made: {error}"))?;
        Ok(Self { name, format, kinds, url, secret, client })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it is and where it leads, without secrets.
    #[must_use]
    pub fn summary(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = if kinds.is_empty() { "everything".to_owned() } else { kinds.join(", ") };
        format!("{} to {}, of {kinds}", self.format_name(), self.origin())
    }

    /// Whether it takes alerts of that kind.
    #[must_use]
    pub fn takes(&self, kind: Kind) -> bool {
        kind == Kind::Test || self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Sends as many of the alerts as fit into one message, from the first on, and answers how many.
    ///
    /// # Errors
    /// If it is not known that they arrived.
    pub async fn send(&self, alerts: &[Alert], relay: &str, now: Timestamp) -> Result<usize, SendError> {
        let message = self.format.message(alerts, relay, (&self.url, self.secret.as_ref()), now);
        let request = self.client.post(message.url).header(CONTENT_TYPE, "application/json");
        let answer = request.body(message.body).send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let body = beginning(answer).await;
        if !status.is_success() {
            let said = harmless(&self.without_secrets(&String::from_utf8_lossy(&body)));
            return Err(self.failed(&format!("answered {}: {said}", status.as_u16())));
        }
        self.format.judge(&body).map_err(|said| self.failed(&said))?;
        Ok(message.alerts)
    }

    fn unreachable(&self, error: reqwest::Error) -> SendError {
        let what = if error.is_connect() { "cannot be connected to" } else { "gave no answer" };
        let error = error.without_url();
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        self.failed(&format!("{what}: {cause}"))
    }

    fn failed(&self, what: &str) -> SendError {
        SendError { message: self.without_secrets(&format!("{} {what}", self.origin())) }
    }

    /// Whoever answers may repeat what he was sent.
    fn without_secrets(&self, text: &str) -> String {
        let values = self.url.query_pairs().map(|(_, value)| value.into_owned());
        let steps = self.url.path_segments().into_iter().flatten().map(str::to_owned);
        let secret = self.secret.iter().map(|secret| secret.expose().to_owned());
        let long_enough = |piece: &String| piece.len() >= SHORTEST_SECRET;
        let pieces = values.chain(steps).filter(long_enough).chain(secret);
        pieces.fold(text.to_owned(), |text, piece| text.replace(&piece, "***"))
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn format_name(&self) -> &'static str {
        match self.format {
            Format::Json => "JSON",
            Format::DingTalk => "a DingTalk robot",
            Format::Feishu => "a Feishu robot",
            Format::WeCom => "a WeCom robot",
        }
    }
}

impl fmt::Debug for Channel {
    /// Without the URL: of a robot it is the key to the group.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({}, {:?})", self.name, self.format)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SendError {}

/// The beginning of the body, as far as it comes.
async fn beginning(mut answer: reqwest::Response) -> Vec<u8> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        read.extend_from_slice(chunk.get(..chunk.len().min(ANSWER - read.len())).unwrap_or_default());
        if read.len() >= ANSWER {
            break;
        }
    }
    read
}

fn client(url: &Url) -> reqwest::Result<Client> {
    // An error says that there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("vodrelay/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Where alerts go is written in the configuration, not in the environment.
        .no_proxy()
        .http1_only()
        .timeout(PATIENCE)
        // Alerts are rare; a connection that is kept is closed when the next one comes.
        .pool_max_idle_per_host(0);
    // Without TLS there is nothing to check, and the machine's certificates are megabytes.
    if url.scheme() == "http" { builder.tls_certs_only([]).build() } else { builder.build() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::alert::State;
    use crate::stand_in::StandIn;

    fn now() -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_123).unwrap()
    }

    fn alert() -> Alert {
        Alert {
            kind: Kind::SinkDown,
            subject: Some("cms".to_owned()),
            state: State::Firing,
            title: "sink cms is down".to_owned(),
            what: Some("it fails".to_owned()),
            since: now(),
            at: now(),
            count: 1,
            next: Some("look".to_owned()),
        }
    }

    const TEXT: &str = "[vodrelay relay-1] sink cms is down\nit fails\n\
        since 2023-11-14T22:13:20Z, told 2023-11-14T22:13:20Z\nnext: look";

    /// Sends one alert, and compares all that arrives.
    async fn check(table: &str, answer: &str, expect: (&str, Value)) {
        let stand_in = StandIn::start(&[(200, answer)]).await;
        let sent = stand_in.channel(table).send(&[alert()], "relay-1", now()).await;
        assert_eq!(sent, Ok(1));
        assert_eq!(stand_in.seen(), [(expect.0.to_owned(), expect.1)]);
    }

    #[tokio::test]
    async fn each_format_is_what_its_receiver_wants() {
        let alerts = json!([{
            "kind": "sink_down", "subject": "cms", "state": "firing", "title": "sink cms is down", "what": "it fails",
            "since": "2023-11-14T22:13:20.123Z", "at": "2023-11-14T22:13:20.123Z", "count": 1, "next": "look",
        }]);
        let version = env!("CARGO_PKG_VERSION");
        check(
            "url = \"http://127.0.0.1:PORT/hook?key=1\"",
            "",
            (
                "/hook?key=1",
                json!({"source": "vodrelay", "version": version, "relay": "relay-1", "alerts": alerts}),
            ),
        )
        .await;
        let text = json!({"msgtype": "text", "text": {"content": TEXT}});
        check(
            "url = \"http://127.0.0.1:PORT/robot/send?access_token=t\"\nformat = \"dingtalk\"\nsecret = \"SECabc\"",
            r#"{"errcode":0,"errmsg":"ok"}"#,
            ("/robot/send?access_token=t&timestamp=1700000000123&sign=IqXBU%2FaLfwMA3S%2FtDcfRmHx5vWHw9Y1aOgFLBr1Ti9w%3D", text.clone()),
        )
        .await;
        check(
            "url = \"http://127.0.0.1:PORT/cgi-bin/webhook/send?key=k\"\nformat = \"wecom\"",
            r#"{"errcode":0,"errmsg":"ok"}"#,
            ("/cgi-bin/webhook/send?key=k", text),
        )
        .await;
        let signed = "XprR1de+0SSBnwWyU/4k6x2TL+Q2SJlM5NNEdAv7MWg=";
        check(
            "url = \"http://127.0.0.1:PORT/open-apis/bot/v2/hook/h\"\nformat = \"feishu\"\nsecret = \"SECabc\"",
            r#"{"code":0,"msg":"success","data":{}}"#,
            (
                "/open-apis/bot/v2/hook/h",
                json!({"msg_type": "text", "content": {"text": TEXT}, "timestamp": "1700000000", "sign": signed}),
            ),
        )
        .await;
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said_without_a_secret() {
        async fn check(table: &str, status: u16, answer: &str, expect: &str) {
            let stand_in = StandIn::start(&[(status, answer)]).await;
            let channel = stand_in.channel(table);
            let said = channel.send(&[alert()], "relay-1", now()).await.unwrap_err().to_string();
            let said = said.replace(&stand_in.address.port().to_string(), "PORT");
            assert_eq!(said, format!("http://127.0.0.1:PORT {expect}"));
            assert!(!format!("{channel:?} {}", channel.summary()).contains("0123456789"));
        }
        let json = "url = \"http://127.0.0.1:PORT/hooks/T0123456789/x?key=K0123456789\"";
        check(json, 500, "no\nway", "answered 500: no way").await;
        check(json, 404, "/hooks/T0123456789/x?key=K0123456789", "answered 404: /hooks/***/x?key=***").await;
        check(json, 302, "", "answered 302: ").await;
        let robot = "url = \"http://127.0.0.1:PORT/robot/send?access_token=A0123456789\"\nformat = \"dingtalk\"\n\
            secret = \"SEC0123456789\"";
        let answer = r#"{"errcode":300001,"errmsg":"token A0123456789 or SEC0123456789 is not exist"}"#;
        check(robot, 200, answer, "refused it with errcode 300001: token *** or *** is not exist").await;
    }

    #[tokio::test]
    async fn whoever_is_not_there_is_named_without_a_secret() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stand_in = StandIn::start(&[(200, "")]).await;
        let table = format!("url = \"http://{free}/hook/T0123456789\"");
        let said = stand_in.channel(&table).send(&[alert()], "relay-1", now()).await.unwrap_err().to_string();
        assert!(said.starts_with(&format!("http://{free} cannot be connected to: ")), "{said}");
        assert!(!said.contains("T0123456789"));
    }
}
