//! A relay with a sink of one's own: it writes one line for each event into a file.
//!
//! ```toml
//! [sinks.lines]
//! kind = "lines"
//! options = { path = "events.txt" }
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use vodrelay_core::config::{ConfigError, Options};
use vodrelay_core::{Delivery, Receipt, Sink, SinkError, SinkFactory, SinkName};

fn main() -> ExitCode {
    vodrelay::main(vec![Arc::new(LinesFactory)])
}

#[derive(Debug)]
struct LinesFactory;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinesOptions {
    path: PathBuf,
}

impl SinkFactory for LinesFactory {
    fn kind(&self) -> &'static str {
        "lines"
    }

    fn build(&self, _name: SinkName, options: Options) -> Result<Arc<dyn Sink>, ConfigError> {
        let LinesOptions { path } = options.parse()?;
        Ok(Arc::new(Lines { path: options.surroundings().resolve(&path) }))
    }
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
}

impl Lines {
    async fn append(&self, line: &str) -> std::io::Result<()> {
        let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&self.path).await?;
        file.write_all(line.as_bytes()).await?;
        file.sync_data().await
    }

    fn failed(&self, error: &std::io::Error) -> SinkError {
        SinkError::temporary(format!("cannot write {}: {error}", self.path.display()))
    }
}

#[async_trait]
impl Sink for Lines {
    async fn deliver(&self, delivery: &Delivery) -> Result<Receipt, SinkError> {
        let event = delivery.envelope.event().map_err(SinkError::permanent)?;
        let line = format!("{} {}\n", delivery.envelope.id, event.event_type);
        self.append(&line).await.map_err(|error| self.failed(&error))?;
        Ok(Receipt::default())
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        self.append("").await.map_err(|error| self.failed(&error))?;
        Ok(Vec::new())
    }
}
