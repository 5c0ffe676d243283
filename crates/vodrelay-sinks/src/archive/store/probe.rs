//! What `vodrelay check` asks of a store: that it takes and gives back, and whether it heeds conditions.

use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use tokio::time::{Instant, timeout_at};
use vodrelay_core::SinkError;
use vodrelay_core::config::Span;

use super::fault::{self, Fault};
use super::{Kind, Place, Store};

/// Where the probes are written, in one piece and in parts, and taken away again.
const KEY: &str = ".vodrelay-check";
const IN_PARTS: &str = ".vodrelay-check-parts";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(12);

impl Store {
    /// Finds out whether objects can be written, in one piece like a record and in parts like an image, and read; and
    /// tells if the store does not heed conditions.
    pub(in super::super) async fn probe(&self, mark: &str) -> Result<Vec<String>, SinkError> {
        let deadline = Instant::now() + PATIENCE;
        if let Place::Folder(folder) = &self.place {
            return until(deadline, &self.name, folder.probe(mark)).await?;
        }
        if let Some(bucket) = self.bucket() {
            let asked = format!("whoever is asked for the keys of {}; set them in its options", self.name);
            // Without keys the first write says so, and what to do.
            let _ = until(deadline, &asked, bucket.keys.get_credential()).await?;
        }
        until(deadline, &self.name, self.write_and_read(mark)).await?
    }

    async fn write_and_read(&self, mark: &str) -> Result<Vec<String>, SinkError> {
        let [first, second, third] = [1, 2, 3].map(|number| Bytes::from(format!("{number} {mark}\n")));
        self.replace(KEY, Kind::Record, first.clone()).await?;
        self.expect(KEY, &first).await?;
        self.create_again(second.clone()).await?;
        let Some((_, version)) = self.read(KEY).await? else {
            return self.expect(KEY, &second).await.map(|()| Vec::new());
        };
        self.update(KEY, third.to_vec(), &version).await?;
        self.expect(KEY, &third).await?;
        let mut upload = self.upload(IN_PARTS, Kind::Image("text/plain")).await?;
        upload.part(second.clone().into()).await?;
        // Where one stands there since the last check, its key may write and not delete, which is a good key for an
        // archive.
        if upload.complete().await? {
            self.expect(IN_PARTS, &second).await?;
        }
        for key in [KEY, IN_PARTS] {
            let _ = self.objects.delete(&self.path(key)).await;
        }
        Ok(self.remarks())
    }

    /// Tries to create what stands there.
    async fn create_again(&self, content: Bytes) -> Result<(), SinkError> {
        let path = self.path(KEY);
        match self.put_new(&path, Kind::Record, content.into()).await {
            Ok(_) => self.heeds_conditions.get_or_init(|| false),
            Err(error) => match fault::of(&error) {
                Fault::Exists => self.heeds_conditions.get_or_init(|| true),
                Fault::NotImplemented => self.heeds_conditions.get_or_init(|| false),
                _ => return Err(self.failed("write", &path, &error)),
            },
        };
        Ok(())
    }

    async fn expect(&self, key: &str, content: &Bytes) -> Result<(), SinkError> {
        let path = self.path(key);
        let says = match self.read(key).await? {
            Some((read, _)) if read == content => return Ok(()),
            Some(_) => "gave back other bytes than were written a moment ago",
            None => "does not have the object that was written a moment ago",
        };
        Err(SinkError::temporary(format!("{} {says}: {path}", self.name)))
    }

    /// What there is to say of a store that was asked to create what existed.
    fn remarks(&self) -> Vec<String> {
        if !self.lacks_conditions() && self.heeds_versions.get() != Some(&false) {
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
