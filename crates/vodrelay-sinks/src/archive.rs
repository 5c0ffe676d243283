//! Keeps each event as a record in an S3-compatible store or a folder, and the image itself beside it: the last step of
//! an event's way when it is to be kept. `docs/ARCHIVE.md` has the whole in words.

mod credentials;
mod failure;
mod fetch;
mod fetches;
mod image_hosts;
mod inspect;
mod keep;
mod meter;
mod options;
mod reader;
mod record;
mod round;
mod store;
mod survey;

use std::sync::Arc;

use async_trait::async_trait;
use object_store::UpdateVersion;
use vod_event::Event;
use vodrelay_core::config::{ConfigError, Options};
use vodrelay_core::{Clock, Delivery, Envelope, ImageStore, Receipt, Sink, SinkError, SinkFactory, SinkName};

use self::fetches::Fetches;
use self::image_hosts::{ImageHosts, Plan};
use self::meter::Meter;
pub use self::reader::{
    Found, FoundDoubt, FoundImage, FoundRecord, Items, Mismatch, ReadError, Reader, Verdict,
};
use self::record::{Record, State};
use self::round::Round;
use self::store::{Created, Kind, Store, ThreadsOfFolders, Updated};
pub use self::survey::{Survey, survey};

/// How often the record is read again because others have written it meanwhile.
const MOST_ROUNDS: usize = 5;

/// Makes archive sinks.
#[derive(Debug)]
pub struct Factory {
    clock: Arc<dyn Clock>,
    folders: ThreadsOfFolders,
}

impl Factory {
    /// A factory whose sinks sign image URLs, and mark their probes, with the time of this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, folders: ThreadsOfFolders::default() }
    }
}

impl SinkFactory for Factory {
    fn kind(&self) -> &'static str {
        "archive"
    }

    fn build(&self, name: SinkName, options: Options) -> Result<Arc<dyn Sink>, ConfigError> {
        let (store, image_hosts, fetches) = options::resolve(&options, &self.clock, &self.folders)?;
        let meter = Meter::new(&name);
        Ok(Arc::new(Archive { name, store, image_hosts, fetches, clock: Arc::clone(&self.clock), meter }))
    }

    fn images(&self, options: &Options) -> Result<Option<Arc<dyn ImageStore>>, ConfigError> {
        let store = options::store_unseen(options, &self.clock, &self.folders)?;
        Ok(Some(Arc::new(Reader::beside(store))))
    }
}

#[derive(Debug)]
struct Archive {
    name: SinkName,
    store: Store,
    image_hosts: ImageHosts,
    fetches: Fetches,
    clock: Arc<dyn Clock>,
    meter: Meter,
}

#[async_trait]
impl Sink for Archive {
    /// Writes the record under a key that depends on the event alone, then fetches the images that are not kept yet, and
    /// writes the record again. An image that would have to wait is left for later. A record that stands there already is
    /// of the same event, by an earlier attempt or by another relay: what it calls linked or failed is tried once more,
    /// and what it calls kept is fetched anew where it is no longer there.
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError> {
        let envelope = &delivery.envelope;
        let unreadable =
            |reason| SinkError::permanent(format!("the body cannot be read as an event: {reason}"));
        let event = envelope.event().map_err(unreadable)?;
        let plan = |image| self.image_hosts.plan(&self.name, image);
        let plans: Vec<Plan<'_>> = event.images.iter().map(plan).collect();

        let Some(written) = self.write_first(envelope, event, &plans).await? else {
            return Ok(Receipt::default());
        };
        Round::new(self, delivery, written).see_to_all(&event.images, &plans).await
    }

    /// Writes a small object, reads it again and takes it away; tells if the store does not heed conditions.
    async fn check(&self) -> Result<Vec<String>, SinkError> {
        self.store.probe(&format!("written by vodrelay check at {}", self.clock.now())).await
    }
}

/// The record as it stands in the store.
#[derive(Debug)]
struct Written {
    record: Record,
    version: UpdateVersion,
    /// Whether it stood there before this delivery.
    stood_before: bool,
}

impl Archive {
    /// Creates the record, or reads the one that is there; nothing where no image is to be fetched.
    async fn write_first(
        &self,
        envelope: &Envelope,
        event: &Event,
        plans: &[Plan<'_>],
    ) -> Result<Option<Written>, SinkError> {
        let states: Vec<State> = plans.iter().map(Plan::first_state).collect();
        let record = Record::first(envelope, event, &states).map_err(|error| not_written(&error))?;
        let json = record.json().map_err(|error| not_written(&error))?;
        let created = self.store.create(&record::key(envelope), Kind::Record, json.into()).await?;
        let written = match created {
            Created::New(version) => {
                let linked = states.iter().filter(|state| matches!(state, State::Linked { .. }));
                linked.for_each(|state| self.meter.came_to(state));
                Written { record, version, stood_before: false }
            }
            // Whatever stands there is believed only once it was read.
            Created::Before => self.read_again(envelope, event.images.len()).await?,
        };
        let has_work = plans.iter().any(|plan| matches!(plan, Plan::Fetch(..)));
        Ok(has_work.then_some(written))
    }

    /// Notes the states on the record, on top of whatever others have noted meanwhile.
    async fn write_again(
        &self,
        envelope: &Envelope,
        written: &mut Written,
        states: &[(usize, State)],
    ) -> Result<(), SinkError> {
        let key = record::key(envelope);
        for _ in 0..MOST_ROUNDS {
            let mut is_news = false;
            for (place, state) in states {
                is_news |= written.record.note(*place, state).map_err(|error| not_written(&error))?;
            }
            if !is_news {
                return Ok(());
            }
            let json = written.record.json().map_err(|error| not_written(&error))?;
            match self.store.update(&key, json, &written.version).await? {
                Updated::Done => return Ok(()),
                Updated::Changed => *written = self.read_again(envelope, written.record.images()).await?,
            }
        }
        Err(SinkError::temporary(format!("others keep writing the record {key} at the same time")))
    }

    async fn read_again(&self, envelope: &Envelope, images: usize) -> Result<Written, SinkError> {
        let key = record::key(envelope);
        let Some((json, version)) = self.store.read(&key).await? else {
            return Err(SinkError::temporary(format!(
                "the record {key} was taken out of the store a moment ago"
            )));
        };
        let record = Record::read(&json, &envelope.id.to_string(), images).map_err(|reason| {
            // It may be the reading that was cut.
            SinkError::temporary_for_this_event(format!(
                "what stands at {key} is no record of this event: {reason}; where that stays so, move it away, and the event is \
                 tried again"
            ))
        })?;
        Ok(Written { record, version, stood_before: true })
    }
}

fn not_written(error: &serde_json::Error) -> SinkError {
    SinkError::permanent(format!("the record cannot be written: {error}"))
}
