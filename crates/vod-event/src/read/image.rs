//! `DynamicImageJobInfo`: an object, an array of them, or the JSON text of either.

use super::members::{Members, joined, tell};
use super::{Embedded, Unreadable};
use crate::event::{Doubt, Image};
use crate::json::{ErrorKind, Member, Object, OddityKind, Value};

const INFO: &str = "DynamicImageJobInfo";
/// A job makes one image; a list that never ends would only fill memory and disks.
const MOST_IMAGES: usize = 100;

/// What the info says.
#[derive(Default)]
pub(super) struct Images {
    pub(super) images: Vec<Image>,
    pub(super) doubts: Vec<Doubt>,
    /// Whether the info says more than the images do, so that it has to be kept whole.
    pub(super) says_more: bool,
    has_too_many: bool,
}

pub(super) fn images(info: Option<&Member<'_>>) -> Result<Images, Unreadable> {
    let mut found = Images::default();
    match info.map(|info| &info.value) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.trim_ascii().is_empty() => {}
        Some(Value::String(text)) => found.take_text(text)?,
        Some(value) => found.take(value),
    }
    Ok(found)
}

impl Images {
    fn take_text(&mut self, text: &str) -> Result<(), Unreadable> {
        let embedded = Embedded::in_text(text);
        let document = match embedded.parse() {
            Ok(document) => document,
            Err(error) if matches!(error.kind, ErrorKind::DuplicateName(_)) => {
                return Err(Unreadable::from(error).inside(INFO));
            }
            Err(error) => {
                self.keep("", format!("text that is not JSON: {error}"));
                return Ok(());
            }
        };
        if embedded.was_string_in_string() {
            self.doubt("", "JSON text of JSON text, decoded twice");
        }
        for oddity in &document.oddities {
            self.says_more |= oddity.kind == OddityKind::LoneSurrogate;
            self.doubt(&oddity.path, oddity.kind.what());
        }
        self.take(&document.value);
        Ok(())
    }

    fn take(&mut self, value: &Value<'_>) {
        match value {
            Value::Object(object) => self.take_image(object),
            Value::Array(elements) => {
                for element in elements {
                    match element {
                        Value::Object(object) => self.take_image(object),
                        _ => self.keep("", "an element that is not an object"),
                    }
                }
            }
            _ => self.keep("", "neither an object nor a list of them"),
        }
    }

    fn take_image(&mut self, object: &Object<'_>) {
        if self.images.len() >= MOST_IMAGES {
            self.says_more = true;
            if !self.has_too_many {
                self.has_too_many = true;
                self.doubts.push(Doubt {
                    field: INFO.to_owned(),
                    what: format!("more than {MOST_IMAGES} images; the others stand in the field alone"),
                });
            }
            return;
        }
        let mut members = Members::inside(INFO);
        let [mut job_id, mut status, mut url, mut size, mut fps, mut width, mut height] = [None; 7];
        for member in object.members() {
            let place = match &*member.name {
                "JobId" => &mut job_id,
                "Status" => &mut status,
                "FileURL" => &mut url,
                "FileSize" => &mut size,
                "Fps" => &mut fps,
                "Width" => &mut width,
                "Height" => &mut height,
                _ => {
                    self.says_more = true;
                    continue;
                }
            };
            *place = Some(member);
        }
        let image = Image {
            job_id: members.id(job_id),
            status: members.status(status),
            url: members.id(url),
            size_bytes: members.whole(size),
            fps: members.decimal(fps),
            width_px: members.whole(width),
            height_px: members.whole(height),
        };
        if image.url.as_deref().is_some_and(|url| !is_http(url)) {
            members.doubt("FileURL", "neither http nor https, so it is never fetched");
        }
        self.says_more |= !members.kept.is_empty();
        members.doubts.into_iter().for_each(|doubt| tell(&mut self.doubts, || doubt));
        self.images.push(image);
    }

    fn keep(&mut self, path: &str, what: impl Into<String>) {
        self.says_more = true;
        self.doubt(path, what);
    }

    fn doubt(&mut self, path: &str, what: impl Into<String>) {
        tell(&mut self.doubts, || Doubt { field: joined(INFO, path), what: what.into() });
    }
}

fn is_http(url: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}
