//! What `vodrelay check` asks of a store: that it takes and gives back, and whether it heeds conditions.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use vodrelay_core::SinkError;

use super::{Kind, Store};

/// Where the probe is written, and taken away again.
const KEY: &str = ".vodrelay-check";

impl Store {
    /// Finds out whether objects can be written, in one piece like a record and in parts like an image, and read; and
    /// tells if the store does not heed conditions.
    pub(in super::super) async fn probe(&self, mark: &str) -> Result<Vec<String>, SinkError> {
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
