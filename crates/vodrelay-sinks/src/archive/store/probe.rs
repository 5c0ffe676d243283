//! What `vodrelay check` asks of a store: that it takes and gives back, and whether it heeds conditions.

use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use tokio::time::timeout;
use vodrelay_core::SinkError;
use vodrelay_core::config::Span;

use super::{Kind, Store};

/// Where the probe is written, and taken away again.
const KEY: &str = ".vodrelay-check";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(12);

impl Store {
    /// Finds out whether objects can be written, in one piece like a record and in parts like an image, and read; and
    /// tells if the store does not heed conditions.
    pub(in super::super) async fn probe(&self, mark: &str) -> Result<Vec<String>, SinkError> {
        self.within(PATIENCE, self.write_and_read(mark)).await
    }

    /// A store that hangs is named, which whoever waits for the check could not do.
    async fn within<T>(
        &self,
        patience: Duration,
        probe: impl Future<Output = Result<T, SinkError>>,
    ) -> Result<T, SinkError> {
        let late = |_| SinkError::temporary(format!("no answer of {} within {}", self.name, Span(patience)));
        timeout(patience, probe).await.map_err(late)?
    }

    async fn write_and_read(&self, mark: &str) -> Result<Vec<String>, SinkError> {
        let (first, second) = (Bytes::from(format!("1 {mark}\n")), Bytes::from(format!("2 {mark}\n")));
        self.replace(KEY, Kind::Record, first.clone()).await?;
        self.expect(&first).await?;
        self.create(KEY, Kind::Record, second.clone().into()).await?;
        let remarks = self.remarks();
        let mut upload = self.upload(KEY, Kind::Image("text/plain")).await?;
        upload.part(second.clone().into()).await?;
        upload.complete().await?;
        self.expect(&second).await?;
        // A key that may write and not delete is a good key for an archive.
        let _ = self.objects.delete(&self.path(KEY)).await;
        Ok(remarks)
    }

    async fn expect(&self, content: &Bytes) -> Result<(), SinkError> {
        let path = self.path(KEY);
        let says = match self.read(KEY).await? {
            Some((read, _)) if read == content => return Ok(()),
            Some(_) => "gave back other bytes than were written a moment ago",
            None => "does not have the object that was written a moment ago",
        };
        Err(SinkError::temporary(format!("{} {says}: {path}", self.name)))
    }

    /// What there is to say of a store that was asked to create what existed.
    fn remarks(&self) -> Vec<String> {
        if !self.lacks_conditions() {
            return Vec::new();
        }
        let remark = format!(
            "{} does not heed the condition of a conditional write, so the relay looks before it writes; two relays that \
             get the same event at the same moment may both write its objects, which is safe: they have the same keys \
             and tell of the same event",
            self.name
        );
        vec![remark]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_store_that_hangs_is_named() {
        let name = "s3://media at http://h:1".to_owned();
        let store = Store::new(Arc::new(InMemory::new()), Path::default(), name, None);
        let hangs = store.within::<()>(Duration::from_millis(1), std::future::pending()).await;
        assert_eq!(hangs.unwrap_err().message, "no answer of s3://media at http://h:1 within 1ms");
        assert_eq!(store.within(PATIENCE, async { Ok(7) }).await, Ok(7));
    }
}
