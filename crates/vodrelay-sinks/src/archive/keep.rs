//! Keeps an image: checked while it streams by, put into the store whole or not at all.

mod parts;

use futures_util::StreamExt;
use vod_event::Image;
use vodrelay_core::{Envelope, SinkError};

use self::parts::Parts;
use super::failure::Failure;
use super::fetch::Body;
use super::inspect::{Facts, Flaw, Format, Inspector, compare};
use super::record::{Kept, image_key};
use super::store::{Created, Kind, Reading, Store};

/// Up to here an image waits in memory for its check; a larger one goes to the store in parts meanwhile.
const IN_MEMORY: usize = 8 << 20;

/// Which image of which event it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'e> {
    pub(super) envelope: &'e Envelope,
    pub(super) image: &'e Image,
    /// Its place among the images of the event.
    pub(super) place: usize,
}

/// Why it is not kept.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It has to do with this image.
    Image(Failure),
    /// It has to do with the store, so that nothing else can be kept either.
    Store(SinkError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Image(failure)
    }
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        Self::Store(error)
    }
}

impl Trouble {
    pub(super) fn of_image(&self) -> Option<&Failure> {
        match self {
            Self::Image(failure) => Some(failure),
            Self::Store(_) => None,
        }
    }
}

impl Item<'_> {
    /// Tells images apart, so that one that fails again is not taken for another.
    pub(super) fn number(&self) -> u64 {
        let [bytes @ .., _, _, _, _, _, _, _, _] = *self.envelope.id.as_bytes();
        u64::from_be_bytes(bytes).wrapping_add(self.place as u64)
    }

    fn key(&self, format: Format) -> String {
        image_key(self.envelope, self.place, format)
    }

    /// Takes the body to its end and puts it into the store, if it is the whole image that the event tells of.
    pub(super) async fn keep(&self, store: &Store, mut body: Body<'_>) -> Result<Kept, Trouble> {
        let (mut inspector, mut parts, mut upload) = (Inspector::new(), Parts::default(), None);
        while let Some(chunk) = body.chunk().await? {
            inspector.take(&chunk).map_err(|flaw| body.flaw(&flaw))?;
            parts.push(&chunk);
            let format = inspector.format().filter(|_| parts.len() > IN_MEMORY);
            if let (None, Some(format)) = (&upload, format) {
                upload = Some(store.upload(&self.key(format), Kind::Image(format.media_type())).await?);
            }
            if let Some(upload) = &mut upload {
                while let Some(part) = parts.next_full() {
                    upload.part(part).await?;
                }
            }
        }
        let facts = inspector.finish().map_err(|flaw| body.flaw(&flaw))?;
        let doubts = compare(self.image, &facts).map_err(|what| body.mismatch(&what))?;
        let key = self.key(facts.format);
        let is_new = match upload {
            None => matches!(
                store.create(&key, Kind::Image(facts.format.media_type()), parts.rest()).await?,
                Created::New(_)
            ),
            Some(mut upload) => {
                if parts.len() > 0 {
                    upload.part(parts.rest()).await?;
                }
                upload.complete().await?
            }
        };
        if is_new { Ok(Kept::new(key, &facts, doubts)) } else { self.adopt(store, key).await }
    }

    /// What an earlier attempt, or another relay, has put into the store without saying so on the record.
    pub(super) async fn left_behind(&self, store: &Store) -> Result<Option<Kept>, SinkError> {
        for format in Format::ALL {
            let key = self.key(format);
            if let Some(Ok(facts)) = standing(store, &key).await?
                && let Ok(doubts) = compare(self.image, &facts)
            {
                return Ok(Some(Kept::new(key, &facts, doubts)));
            }
        }
        Ok(None)
    }

    /// The first image at a key stays, whatever the host sends later.
    async fn adopt(&self, store: &Store, key: String) -> Result<Kept, Trouble> {
        let facts = match standing(store, &key).await? {
            Some(Ok(facts)) => facts,
            // It may be the reading that was cut.
            Some(Err(Flaw::Empty | Flaw::CutShort(_))) => {
                let message = format!(
                    "what stands at {key} in the store ends in the middle; where that stays so, move it away, then replay the event"
                );
                return Err(SinkError::temporary_for_this_event(message).into());
            }
            Some(Err(flaw)) => return Err(Failure::occupied(&key, &flaw.to_string()).into()),
            None => {
                let message =
                    format!("{key} stands in the store and cannot be read; its key needs the right to");
                return Err(SinkError::temporary(message).into());
            }
        };
        match compare(self.image, &facts) {
            Ok(doubts) => Ok(Kept::new(key, &facts, doubts)),
            Err(what) => Err(Failure::occupied(&key, &what).into()),
        }
    }
}

/// What stands at a key, read to its end.
async fn standing(store: &Store, key: &str) -> Result<Option<Result<Facts, Flaw>>, SinkError> {
    let Some(Reading { mut chunks, .. }) = store.open_if_any(key).await? else { return Ok(None) };
    let mut inspector = Inspector::new();
    while let Some(chunk) = chunks.next().await {
        if let Err(flaw) = inspector.take(&chunk?) {
            return Ok(Some(Err(flaw)));
        }
    }
    Ok(Some(inspector.finish()))
}
