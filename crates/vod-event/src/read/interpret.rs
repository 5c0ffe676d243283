//! From the content of a body to the normalised event.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use super::content::Content;
use super::image::{self, Images};
use super::members::{Members, shown};
use super::{Unreadable, UnreadableKind, catalogue};
use crate::event::{Event, EventError, Status};
use crate::json::{self, Member, Object, Oddity, Value};

/// What the content says, with the oddities of the body that it stands in.
pub(super) fn event(content: Content<'_>, oddities: &[Oddity]) -> Result<Event, Unreadable> {
    let mut members = Members::new();
    members.doubt_oddities("", oddities);
    members.doubt_oddities("MessageBody", content.oddities);
    let known = Known::in_content(content, &mut members);
    let event_type = event_type(known.event_type, &mut members)?;
    let is_dynamic_image = event_type == catalogue::DYNAMIC_IMAGE_COMPLETE;

    let status = members.status(known.status);
    let event_time = members.time(known.event_time);
    let video_id = members.id(known.video_id);
    let media_id = media_id(&known, &mut members);
    let mut job_id = members.id(known.job_id);
    let error = error(&known, status.as_ref(), &mut members);
    let extend = extend(known.extend, &mut members);

    let mut images = Vec::new();
    if is_dynamic_image {
        let found = image::images(known.info)?;
        members.kept.extend(known.info.filter(|_| found.says_more));
        job_id = job_id.or_else(|| promoted_job_id(&found));
        doubt_contradictions(&found, status.as_ref(), job_id.as_deref(), &mut members);
        doubt_gaps(&found, status.as_ref(), video_id.as_deref(), job_id.as_deref(), &mut members)?;
        images = found.images;
    } else {
        members.kept.extend(known.info);
        let has_main_id = video_id.is_some() || media_id.is_some();
        doubt_identity(&event_type, content.object, has_main_id, &mut members);
    }

    let is_strict = !oddities.iter().chain(content.oddities).any(|oddity| oddity.kind.breaks_raw_text());
    let fields = members.kept.iter().map(|member| (member.name.clone().into_owned(), raw(member, is_strict)));
    let fields: BTreeMap<_, _> = fields.collect();
    let doubts = members.doubts;
    Ok(Event {
        event_type,
        event_time,
        status,
        video_id,
        media_id,
        job_id,
        error,
        extend,
        images,
        fields,
        doubts,
    })
}

/// The members that the event has a place for.
#[derive(Default)]
struct Known<'v> {
    event_type: Option<&'v Member<'v>>,
    event_time: Option<&'v Member<'v>>,
    status: Option<&'v Member<'v>>,
    video_id: Option<&'v Member<'v>>,
    media_id: Option<&'v Member<'v>>,
    image_id: Option<&'v Member<'v>>,
    attached_media_id: Option<&'v Member<'v>>,
    job_id: Option<&'v Member<'v>>,
    error_code: Option<&'v Member<'v>>,
    error_message: Option<&'v Member<'v>>,
    code: Option<&'v Member<'v>>,
    message: Option<&'v Member<'v>>,
    extend: Option<&'v Member<'v>>,
    info: Option<&'v Member<'v>>,
}

impl<'v> Known<'v> {
    /// Sorts the members into places, and the others among those that are kept.
    fn in_content(content: Content<'v>, members: &mut Members<'v>) -> Self {
        let mut known = Self::default();
        for member in content.object.members() {
            let place = match &*member.name {
                "EventType" => &mut known.event_type,
                "EventTime" => &mut known.event_time,
                "Status" => &mut known.status,
                "VideoId" => &mut known.video_id,
                "MediaId" => &mut known.media_id,
                "ImageId" => &mut known.image_id,
                "AttachedMediaId" => &mut known.attached_media_id,
                "JobId" => &mut known.job_id,
                "ErrorCode" => &mut known.error_code,
                "ErrorMessage" => &mut known.error_message,
                "Code" => &mut known.code,
                "Message" => &mut known.message,
                "Extend" => &mut known.extend,
                "DynamicImageJobInfo" => &mut known.info,
                _ => {
                    members.kept.push(member);
                    continue;
                }
            };
            *place = Some(member);
        }
        match content.envelope {
            Some(envelope) => known.complete_from(envelope, content, members),
            None if content.object.get("MessageBody").is_some_and(|body| !matches!(body, Value::Null)) => {
                members.doubt("MessageBody", "holds no object, so this is not an envelope");
            }
            None => {}
        }
        known
    }

    /// Takes from the envelope what the content lacks, and keeps its other members.
    fn complete_from(&mut self, envelope: &'v Object<'v>, content: Content<'v>, members: &mut Members<'v>) {
        if content.was_string_in_string {
            members.doubt("MessageBody", "JSON text of JSON text, decoded twice");
        }
        // A look through the content for each member of the envelope would take a hostile body minutes.
        let inner: HashSet<&str> = content.object.members().iter().map(|member| &*member.name).collect();
        for member in envelope.members() {
            match &*member.name {
                "MessageBody" => {}
                "EventType" => prefer(&mut self.event_type, member, members),
                "EventTime" => prefer(&mut self.event_time, member, members),
                name if inner.contains(name) => {}
                _ => members.kept.push(member),
            }
        }
    }
}

/// Keeps what the content says, or takes what the envelope does.
fn prefer<'v>(inner: &mut Option<&'v Member<'v>>, outer: &'v Member<'v>, members: &mut Members<'v>) {
    match (inner.map(|inner| &inner.value), &outer.value) {
        (None | Some(Value::Null), _) => *inner = Some(outer),
        (_, Value::Null) => {}
        (Some(Value::String(inner)), Value::String(outer)) if inner.trim_ascii() == outer.trim_ascii() => {}
        (_, Value::String(outer_text)) => {
            members.doubt(&outer.name, format!("the envelope says {}", shown(outer_text)));
        }
        _ => members.doubt(&outer.name, format!("the envelope says {}", shown(outer.raw))),
    }
}

fn event_type<'v>(member: Option<&'v Member<'v>>, members: &mut Members<'v>) -> Result<String, Unreadable> {
    let missing = |what: &'static str| Unreadable::new(UnreadableKind::NoEventType, what);
    let Some(Member { value: Value::String(text), .. }) = member else {
        let is_absent = member.is_none_or(|member| matches!(member.value, Value::Null));
        return Err(missing(if is_absent { "EventType is missing" } else { "EventType is not a string" }));
    };
    if text.trim_ascii().is_empty() {
        return Err(missing("EventType is empty"));
    }
    members.word(member).ok_or_else(|| missing("EventType is empty"))
}

/// The first of the three that there is; the others are kept.
fn media_id<'v>(known: &Known<'v>, members: &mut Members<'v>) -> Option<String> {
    let mut first = None;
    for member in [known.media_id, known.image_id, known.attached_media_id].into_iter().flatten() {
        if first.is_some() {
            members.kept.push(member);
        } else {
            first = members.id(Some(member));
        }
    }
    first
}

fn error<'v>(known: &Known<'v>, status: Option<&Status>, members: &mut Members<'v>) -> Option<EventError> {
    let is_success = status == Some(&Status::Success);
    let code = members.word(known.error_code);
    let message = members.text(known.error_message);
    let says_nothing =
        |text: &Option<String>| text.as_deref().is_none_or(|text| is_success && text.is_empty());
    let has_error = !(says_nothing(&code) && says_nothing(&message));
    if has_error || is_success {
        members.kept.extend(known.code);
        members.kept.extend(known.message);
        return has_error.then_some(EventError { code, message });
    }
    let code = members.text(known.code);
    let message = members.text(known.message);
    (code.is_some() || message.is_some()).then_some(EventError { code, message })
}

/// The text as it came, which is JSON text where the user's data came as JSON.
fn extend<'v>(member: Option<&'v Member<'v>>, members: &mut Members<'v>) -> Option<String> {
    let member = member?;
    match &member.value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_owned()),
        _ => {
            members.doubt(&member.name, "not a string; its JSON text stands for it");
            Some(member.raw.to_owned())
        }
    }
}

/// The job id that all images agree on.
fn promoted_job_id(found: &Images) -> Option<String> {
    let mut ids = found.images.iter().map(|image| image.job_id.as_ref());
    let first = ids.next().flatten()?;
    ids.all(|id| id == Some(first)).then(|| first.clone())
}

fn doubt_contradictions(
    found: &Images,
    status: Option<&Status>,
    job_id: Option<&str>,
    members: &mut Members<'_>,
) {
    members.doubts.extend_from_slice(&found.doubts);
    for image in &found.images {
        if let (Some(inner), Some(outer)) = (&image.status, status)
            && inner != outer
        {
            let what = format!(
                "{} contradicts the event's {}, which counts",
                shown(inner.as_str()),
                shown(outer.as_str())
            );
            members.doubt("DynamicImageJobInfo.Status", what);
        }
        if let (Some(inner), Some(outer)) = (image.job_id.as_deref(), job_id)
            && inner != outer
        {
            members.doubt("DynamicImageJobInfo.JobId", "differs from the event's, which counts");
        }
    }
}

fn doubt_gaps(
    found: &Images,
    status: Option<&Status>,
    video_id: Option<&str>,
    job_id: Option<&str>,
    members: &mut Members<'_>,
) -> Result<(), Unreadable> {
    if video_id.is_none() && job_id.is_none() {
        let what = "DynamicImageComplete with neither VideoId nor JobId";
        return Err(Unreadable::new(UnreadableKind::NoMainId, what));
    }
    if video_id.is_none() {
        members.doubt("VideoId", "missing");
    }
    if job_id.is_none() {
        members.doubt("JobId", "missing");
    }
    if status == Some(&Status::Success) {
        if found.images.is_empty() && !found.says_more {
            members.doubt("DynamicImageJobInfo", "missing, though the job succeeded");
        }
        if found.images.iter().any(|image| image.url.is_none()) {
            members.doubt("DynamicImageJobInfo.FileURL", "missing, though the job succeeded");
        }
    }
    Ok(())
}

/// Doubts a known type that is about nothing, and what other vendors send.
fn doubt_identity(event_type: &str, content: &Object<'_>, has_main_id: bool, members: &mut Members<'_>) {
    let has_stand_in = || catalogue::stand_in(event_type).is_some_and(|name| content.get(name).is_some());
    if let Some(vendor) = catalogue::other_vendor(content)
        && !has_main_id
    {
        members.doubt("EventType", format!("looks like an event of {vendor}"));
    }
    if catalogue::is_known(event_type) && !has_main_id && !has_stand_in() {
        members.doubt("", "none of VideoId, MediaId, ImageId, AttachedMediaId");
    }
}

/// The value's own text; written anew where the text around it is not quite JSON, and where it goes over several lines:
/// records and exports are a line for each event.
fn raw(member: &Member<'_>, is_strict: bool) -> Box<RawValue> {
    let text = if is_strict && !member.raw.contains(['\n', '\r']) {
        member.raw.to_owned()
    } else {
        let mut text = String::with_capacity(member.raw.len());
        json::write(&member.value, &mut text);
        text
    };
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
