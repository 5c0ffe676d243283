//! A small file that someone else may replace at any time.

use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tokio::fs;
use tokio::io::AsyncReadExt;

use crate::error::{CredentialError, ErrorKind};

/// No file of keys comes near this size, in bytes; one that does is another file.
const LIMIT: u64 = 64 * 1024;

/// A JSON file, and what it looked like when it was read.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// Nothing where it was not there, so that it counts as changed once it is.
    seen: Mutex<Option<Stamp>>,
}

/// What tells a file that was replaced from the one that was read.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Watched {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Mutex::default() }
    }

    /// The path, for messages.
    pub(crate) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Whether the file is another than the one that was read.
    pub(crate) async fn has_changed(&self) -> bool {
        let stamp = fs::metadata(&self.path).await.ok().map(|metadata| Stamp::of(&metadata));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamp
    }

    /// Reads it. What is wrong with it is told by place, never by content.
    pub(crate) async fn read(&self) -> Result<Value, CredentialError> {
        let text = self.read_text().await?;
        serde_json::from_slice(&text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let message = format!(
                "the file {} is not JSON: it goes wrong at {place}; look whether it was written to its end",
                self.name()
            );
            CredentialError::new(ErrorKind::Malformed, message)
        })
    }

    async fn read_text(&self) -> Result<Vec<u8>, CredentialError> {
        // Before it is opened, since to open a pipe is to wait for whoever writes to it.
        let metadata = fs::metadata(&self.path).await;
        let stamp = metadata.as_ref().ok().map(Stamp::of);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        let metadata = metadata.map_err(|error| self.cannot_read(&error))?;
        if !metadata.is_file() || metadata.len() > LIMIT {
            let message = format!(
                "{} is not a file of keys: expected a file of at most {LIMIT} bytes; correct the path",
                self.name()
            );
            return Err(CredentialError::new(ErrorKind::Malformed, message));
        }
        let mut text = Vec::new();
        let file = fs::File::open(&self.path).await.map_err(|error| self.cannot_read(&error))?;
        file.take(LIMIT).read_to_end(&mut text).await.map_err(|error| self.cannot_read(&error))?;
        Ok(text)
    }

    fn cannot_read(&self, error: &std::io::Error) -> CredentialError {
        let (kind, next) = match error.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::Missing, "write it, or correct the path"),
            std::io::ErrorKind::PermissionDenied => {
                (ErrorKind::Refused, "give this user the right to read it")
            }
            _ => (ErrorKind::Unreachable, "look after the disk that it is on"),
        };
        CredentialError::new(kind, format!("cannot read the file {}: {error}; {next}", self.name()))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), length: metadata.len() }
    }
}
