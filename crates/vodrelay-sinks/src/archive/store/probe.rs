//! What `vodrelay check` asks of a store: that it takes and gives back, and whether it heeds conditions.

use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use tokio::time::{Instant, timeout_at};
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
        let deadline = Instant::now() + PATIENCE;
        if let Some(bucket) = &self.bucket {
            let asked = format!("whoever is asked for the keys of {}; set them in its options", self.name);
            // Without keys the first write says so, and what to do.
            let _ = until(deadline, &asked, bucket.keys.get_credential()).await?;
        }
        until(deadline, &self.name, self.write_and_read(mark)).await?
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

/// Whoever hangs is named, which those who wait for the check could not do.
async fn until<T>(deadline: Instant, asked: &str, answer: impl Future<Output = T>) -> Result<T, SinkError> {
    let late = |_| SinkError::temporary(format!("no answer within {} of {asked}", Span(PATIENCE)));
    timeout_at(deadline, answer).await.map_err(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_hangs_is_named() {
        let deadline = Instant::now() + PATIENCE;
        assert_eq!(until(deadline, "s3://media", async { 7 }).await, Ok(7));
        let hangs = until::<()>(deadline, "s3://media at http://h:1", std::future::pending()).await;
        assert_eq!(hangs.unwrap_err().message, "no answer within 12s of s3://media at http://h:1");
    }
}
