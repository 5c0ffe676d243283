//! Requests before they are signed: everything that the protocol fixes of them. Pure.

use std::time::Duration;

use aliyun_credentials::Credentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::attributes::AttributeChanges;
use crate::message::Outgoing;
use crate::name::{QueueName, ReceiptHandle};
use crate::retry::Repeat;
use crate::signature::Signed;
use crate::xml::Writer;

const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";
const VERSION: (&str, &str) = ("x-mns-version", "2015-06-06");

/// Everything but the unreserved characters is escaped, so that no URL library finds anything to mend.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query, as they are signed and sent.
    pub(crate) target: String,
    /// Headers of this operation whose names begin with `x-mns-`.
    pub(crate) own: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    /// How long the service is asked to wait before it answers.
    pub(crate) wait: Duration,
    pub(crate) repeat: Repeat,
    /// That there is no message is an answer, and no error.
    pub(crate) may_find_nothing: bool,
    /// The answer has one message at most, which is looked for even where the answer is no XML.
    pub(crate) has_one_message: bool,
}

impl Request {
    fn new(method: Method, target: String) -> Self {
        let (own, body, wait) = (Vec::new(), None, Duration::ZERO);
        let (may_find_nothing, has_one_message) = (false, false);
        Self { method, target, own, body, wait, repeat: Repeat::Always, may_find_nothing, has_one_message }
    }

    /// A request that looks for messages.
    fn look(target: String) -> Self {
        Self { may_find_nothing: true, ..Self::new(Method::GET, target) }
    }

    fn with_body(self, body: String) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn send(queue: &QueueName, message: &Outgoing) -> Self {
        let mut writer = Writer::open("Message");
        write_message(&mut writer, message);
        Self::post(queue, writer.close("Message"))
    }

    pub(crate) fn send_batch(queue: &QueueName, messages: &[Outgoing]) -> Self {
        let mut writer = Writer::open("Messages");
        for message in messages {
            writer.begin("Message");
            write_message(&mut writer, message);
            writer.end("Message");
        }
        Self::post(queue, writer.close("Messages"))
    }

    fn post(queue: &QueueName, body: String) -> Self {
        let request = Self::new(Method::POST, messages(queue)).with_body(body);
        Self { repeat: Repeat::IfUnsent, ..request }
    }

    pub(crate) fn receive(queue: &QueueName, most: Option<usize>, wait_seconds: u64) -> Self {
        let has_one_message = most.is_none_or(|most| most == 1);
        let most = most.map(|most| format!("numOfMessages={most}&")).unwrap_or_default();
        let target = format!("{}?{most}waitseconds={wait_seconds}", messages(queue));
        Self { wait: Duration::from_secs(wait_seconds), has_one_message, ..Self::look(target) }
    }

    pub(crate) fn peek(queue: &QueueName, most: Option<usize>) -> Self {
        let most = most.map(|most| format!("&numOfMessages={most}")).unwrap_or_default();
        Self::look(format!("{}?peekonly=true{most}", messages(queue)))
    }

    pub(crate) fn delete(queue: &QueueName, handle: &ReceiptHandle) -> Self {
        Self::new(Method::DELETE, format!("{}?ReceiptHandle={}", messages(queue), escaped(handle)))
    }

    pub(crate) fn delete_batch(queue: &QueueName, handles: &[ReceiptHandle]) -> Self {
        let mut writer = Writer::open("ReceiptHandles");
        for handle in handles {
            writer.text("ReceiptHandle", handle.as_str());
        }
        Self::new(Method::DELETE, messages(queue)).with_body(writer.close("ReceiptHandles"))
    }

    pub(crate) fn change_visibility(queue: &QueueName, handle: &ReceiptHandle, seconds: u64) -> Self {
        let handle = escaped(handle);
        let target = format!("{}?ReceiptHandle={handle}&VisibilityTimeout={seconds}", messages(queue));
        Self { repeat: Repeat::IfUndone, ..Self::new(Method::PUT, target) }
    }

    pub(crate) fn create_queue(queue: &QueueName, attributes: &AttributeChanges) -> Self {
        Self::new(Method::PUT, format!("/queues/{queue}")).with_body(attributes.write())
    }

    pub(crate) fn set_attributes(queue: &QueueName, attributes: &AttributeChanges) -> Self {
        Self::new(Method::PUT, format!("/queues/{queue}?metaoverride=true")).with_body(attributes.write())
    }

    pub(crate) fn attributes(queue: &QueueName) -> Self {
        Self::new(Method::GET, format!("/queues/{queue}"))
    }

    pub(crate) fn delete_queue(queue: &QueueName) -> Self {
        Self::new(Method::DELETE, format!("/queues/{queue}"))
    }

    pub(crate) fn list_queues(prefix: Option<&str>, marker: Option<&str>, most: Option<usize>) -> Self {
        let own = [
            ("x-mns-prefix", prefix.map(str::to_owned)),
            ("x-mns-marker", marker.map(str::to_owned)),
            ("x-mns-ret-number", most.map(|most| most.to_string())),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Self { own, ..Self::new(Method::GET, "/queues".to_owned()) }
    }

    /// Every header that goes out, the signature among them. The token of temporary keys is not signed.
    pub(crate) fn headers(&self, credentials: &Credentials, now: Timestamp) -> Vec<(&'static str, String)> {
        // Timestamps outside of the years that the format has are none that a clock shows.
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default();
        let md5 = self.body.as_ref().map(content_md5);
        let content_type = self.body.as_ref().map(|_| CONTENT_TYPE);
        let own: Vec<(&str, &str)> = self.own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let authorization = Signed {
            method: self.method.as_str(),
            target: &self.target,
            date: &date,
            content_md5: md5.as_deref(),
            content_type,
            own: &[own.as_slice(), &[VERSION]].concat(),
        }
        .authorization(&credentials.access_key_id, credentials.access_key_secret.expose());
        let mut headers = self.own.clone();
        headers.extend([("date", date), (VERSION.0, VERSION.1.to_owned()), ("authorization", authorization)]);
        headers.extend(md5.map(|md5| ("content-md5", md5)));
        headers.extend(content_type.map(|kind| ("content-type", kind.to_owned())));
        if self.body.is_none() && self.method != Method::GET {
            // The documents ask for a length, and an HTTP library gives none where there is no body.
            headers.push(("content-length", "0".to_owned()));
        }
        let token = credentials.security_token.as_ref();
        headers.extend(token.map(|token| ("security-token", token.expose().to_owned())));
        headers
    }
}

fn messages(queue: &QueueName) -> String {
    format!("/queues/{queue}/messages")
}

fn escaped(handle: &ReceiptHandle) -> String {
    utf8_percent_encode(handle.as_str(), RESERVED).to_string()
}

/// In the form of the official clients: Base64 of the hex digits, not of the bytes.
fn content_md5(body: &String) -> String {
    STANDARD.encode(format!("{:032x}", u128::from_be_bytes(Md5::digest(body).into())))
}

fn write_message(writer: &mut Writer, message: &Outgoing) {
    writer.text("MessageBody", &message.body);
    if let Some(delay) = message.delay {
        writer.text("DelaySeconds", &whole_seconds(delay).to_string());
    }
    if let Some(priority) = message.priority {
        writer.text("Priority", &priority.to_string());
    }
    if let Some(group) = &message.message_group_id {
        writer.text("MessageGroupId", group);
    }
    if message.user_properties.is_empty() {
        return;
    }
    writer.begin("UserProperties");
    for property in &message.user_properties {
        writer.begin("PropertyValue");
        writer.text("Name", &property.name);
        writer.text("Value", &property.value);
        writer.text("Type", property.kind.as_str());
        writer.end("PropertyValue");
    }
    writer.end("UserProperties");
}

/// The service counts in seconds; what is begun counts as whole.
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
