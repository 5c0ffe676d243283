//! What `vodrelay check` asks of a store: that it takes and gives back, and whether it heeds conditions.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use vodrelay_core::SinkError;

use super::fault::{self, Fault};
use super::{Kind, Store};

/// Where the probes are written, in one piece and in parts, and taken away again.
const KEY: &str = ".vodrelay-check";
const IN_PARTS: &str = ".vodrelay-check-parts";

impl Store {
    /// Finds out whether objects can be written, in one piece like a record and in parts like an image, and read; and
    /// tells if the store does not heed conditions.
    pub(in super::super) async fn probe(&self, mark: &str) -> Result<Vec<String>, SinkError> {
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
