//! Keeps each event as one object in an S3-compatible store or a folder: the last step of an event's way when it is
//! to be kept. The image itself will stand beside its record; for now the record only points to it.

mod credentials;
mod options;
mod reader;
mod record;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use vodrelay_core::config::{ConfigError, Options};
use vodrelay_core::{Clock, Delivery, Receipt, Sink, SinkError, SinkFactory, SinkName};

use self::options::Purpose;
pub use self::reader::{Found, FoundImage, Items, Mismatch, ReadError, Reader, Record, Verdict};
use self::store::{Kind, Store};

/// Makes archive sinks.
#[derive(Debug)]
pub struct Factory {
    clock: Arc<dyn Clock>,
}

impl Factory {
    /// A factory whose sinks mark their probes with the time of this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl SinkFactory for Factory {
    fn kind(&self) -> &'static str {
        "archive"
    }

    fn build(&self, _name: SinkName, options: Options) -> Result<Arc<dyn Sink>, ConfigError> {
        Ok(Arc::new(Archive {
            store: options::resolve(&options, Purpose::Write, &self.clock)?,
            clock: Arc::clone(&self.clock),
        }))
    }
}

#[derive(Debug)]
struct Archive {
    store: Store,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Sink for Archive {
    /// Writes the record under a key that depends on the event alone. One that stands there already is the same
    /// event, kept by an earlier attempt or by another relay.
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError> {
        let key = record::key(&delivery.envelope);
        let json = record::json(&delivery.envelope).map_err(SinkError::permanent)?;
        self.store.create(&key, Kind::Record, json.into()).await.map(|_| Receipt::default())
    }

    /// Writes a small object, reads it again and takes it away; tells if the store does not heed conditions.
    async fn check(&self) -> Result<Vec<String>, SinkError> {
        self.store.probe(&format!("written by vodrelay check at {}", self.clock.now())).await
    }
}
