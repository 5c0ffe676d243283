//! What each kind of receiver wants to be sent, and how it says that it took it.
//!
//! A robot answers 200 to what it refuses as well, with a code in the body. How requests are signed stands in the robots'
//! own documents: DingTalk wants milliseconds and signs with the secret, Feishu wants seconds and signs nothing at all
//! with a key made of both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use vodrelay_core::config::Secret;

use crate::alert::Alert;
use crate::words::{beginning, harmless};

/// How an alert is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// As JSON, for a program of one's own.
    #[default]
    Json,
    /// A text from a robot of a DingTalk group.
    DingTalk,
    /// A text from a robot of a Feishu or Lark group.
    Feishu,
    /// A text from a robot of a WeCom group.
    WeCom,
}

/// One request.
pub(crate) struct Message {
    pub(crate) url: Url,
    pub(crate) body: Vec<u8>,
    /// How many of the alerts are in it: those at the beginning.
    pub(crate) alerts: usize,
}

impl Format {
    /// Whether requests can be signed with a secret.
    pub(crate) const fn signs(self) -> bool {
        matches!(self, Self::DingTalk | Self::Feishu)
    }

    /// The longest text, in bytes. WeCom cuts at 2,048, the others refuse above 20,000.
    const fn longest(self) -> usize {
        match self {
            Self::WeCom => 2_000,
            Self::Json | Self::DingTalk | Self::Feishu => 15_000,
        }
    }

    /// The request with as many of the alerts as fit, and one at least.
    pub(crate) fn message(
        self,
        alerts: &[Alert],
        relay: &str,
        (url, secret): (&Url, Option<&Secret>),
        now: Timestamp,
    ) -> Message {
        let (text, count) = text(alerts, relay, self.longest());
        let (mut url, alerts) = (url.clone(), alerts.get(..count).unwrap_or(alerts));
        let body = match self {
            Self::Json => {
                json!({"source": "vodrelay", "version": env!("CARGO_PKG_VERSION"), "relay": relay, "alerts": alerts})
            }
            Self::DingTalk => {
                if let Some(secret) = secret {
                    let timestamp = now.as_millisecond().to_string();
                    let sign = sign(secret.expose(), &format!("{timestamp}\n{}", secret.expose()));
                    url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
                }
                json!({"msgtype": "text", "text": {"content": text}})
            }
            Self::Feishu => {
                let mut body = json!({"msg_type": "text", "content": {"text": text}});
                if let (Some(secret), Value::Object(members)) = (secret, &mut body) {
                    let timestamp = now.as_second().to_string();
                    let sign = sign(&format!("{timestamp}\n{}", secret.expose()), "");
                    members.insert("timestamp".to_owned(), timestamp.into());
                    members.insert("sign".to_owned(), sign.into());
                }
                body
            }
            Self::WeCom => json!({"msgtype": "text", "text": {"content": text}}),
        };
        Message { url, body: body.to_string().into_bytes(), alerts: count }
    }

    /// Whether the body of a 2xx says that it was taken.
    ///
    /// # Errors
    /// With what it says instead.
    pub(crate) fn judge(self, body: &[u8]) -> Result<(), String> {
        let (who, code, message) = match self {
            Self::Json => return Ok(()),
            Self::DingTalk => ("DingTalk", ["errcode", "errcode"], "errmsg"),
            Self::WeCom => ("WeCom", ["errcode", "errcode"], "errmsg"),
            // The second is what robots of the first generation answer.
            Self::Feishu => ("Feishu", ["code", "StatusCode"], "msg"),
        };
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let [name, older] = code;
        let Some(found) = answer.get(name).or_else(|| answer.get(older)).and_then(Value::as_i64) else {
            return Err(format!("answered 200 with something that is no answer of {who}; check the url"));
        };
        if found == 0 {
            return Ok(());
        }
        let said = answer.get(message).and_then(Value::as_str).unwrap_or("nothing else");
        Err(format!("refused it with {name} {found}: {}", harmless(said)))
    }
}

/// Base64 of an HMAC-SHA256.
fn sign(key: &str, message: &str) -> String {
    // A key of any length will do for an HMAC, so this is never left out.
    let code = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    code.map_or_else(
        |_| String::new(),
        |code| STANDARD.encode(code.chain_update(message).finalize().into_bytes()),
    )
}

/// The texts of as many alerts as fit, and how many that are.
fn text(alerts: &[Alert], relay: &str, longest: usize) -> (String, usize) {
    let (mut all, mut count) = (String::new(), 0);
    for alert in alerts {
        let text = alert.text(relay);
        if count > 0 && all.len() + 2 + text.len() > longest {
            break;
        }
        all = if count == 0 { text } else { format!("{all}\n\n{text}") };
        count += 1;
    }
    (beginning(&all, longest).to_owned(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the programs that the robots' documents show, in another language.
    #[test]
    fn signatures_are_those_of_the_documents() {
        assert_eq!(sign("SECabc", "1700000000000\nSECabc"), "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM=");
        assert_eq!(sign("1700000000\nSECabc", ""), "XprR1de+0SSBnwWyU/4k6x2TL+Q2SJlM5NNEdAv7MWg=");
    }

    #[test]
    fn a_robot_says_in_the_body_whether_it_took_it() {
        let check = |format: Format, body: &str, expect: Result<(), &str>| {
            assert_eq!(format.judge(body.as_bytes()), expect.map_err(str::to_owned), "{body}");
        };
        check(Format::Json, "whatever", Ok(()));
        check(Format::DingTalk, r#"{"errcode":0,"errmsg":"ok"}"#, Ok(()));
        check(
            Format::DingTalk,
            r#"{"errcode":310000,"errmsg":"sign not match, see https://open.dingtalk.com/"}"#,
            Err("refused it with errcode 310000: sign not match, see https[:]//open.dingtalk.com/"),
        );
        check(Format::WeCom, r#"{"errcode":0,"errmsg":"ok"}"#, Ok(()));
        check(Format::WeCom, r#"{"errcode":93000}"#, Err("refused it with errcode 93000: nothing else"));
        check(Format::Feishu, r#"{"code":0,"msg":"success","data":{}}"#, Ok(()));
        check(Format::Feishu, r#"{"StatusCode":0,"StatusMessage":"success"}"#, Ok(()));
        check(
            Format::Feishu,
            r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}"#,
            Err("refused it with code 19021: sign match fail or timestamp is not within one hour"),
        );
        let no_answer = "answered 200 with something that is no answer of WeCom; check the url";
        check(Format::WeCom, "<html>login</html>", Err(no_answer));
        check(Format::WeCom, r#"{"errcode":"0"}"#, Err(no_answer));
    }

    #[test]
    fn as_many_alerts_go_into_a_message_as_fit_and_one_at_least() {
        let long = |length: usize| Alert {
            title: "x".repeat(length),
            ..Alert::test(Timestamp::from_second(1_700_000_000).unwrap())
        };
        let check = |lengths: &[usize], expect: usize| {
            let alerts: Vec<Alert> = lengths.iter().map(|length| long(*length)).collect();
            let (text, count) = text(&alerts, "r", 2_000);
            assert!(text.len() <= 2_000 && count == expect, "{lengths:?}: {count}");
        };
        check(&[10, 10, 10], 3);
        check(&[10, 1_900, 10], 1);
        check(&[5_000, 10], 1);
        check(&[800, 800, 800], 2);
    }
}
