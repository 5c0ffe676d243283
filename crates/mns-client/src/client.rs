//! The client of an account: its queues as a whole.

use std::sync::Arc;

use aliyun_credentials::CredentialProvider;

use crate::answer::{Answer, done, unexpected};
use crate::attributes::AttributeChanges;
use crate::config::Config;
use crate::error::Error;
use crate::name::QueueName;
use crate::queue::Queue;
use crate::request::Request;
use crate::transport::Transport;

/// A client for the queues of an account in a region. Clones share its connections, of which it opens as many as
/// requests are under way, so that long polls hold up nothing else.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
}

impl Client {
    /// A client that signs with what the provider gives. Nothing is sent yet.
    ///
    /// # Errors
    /// If TLS cannot be set up on this machine.
    pub fn new(config: Config, credentials: CredentialProvider) -> Result<Self, Error> {
        Ok(Self { transport: Arc::new(Transport::new(config, credentials)?) })
    }

    /// A queue, which may or may not be there.
    #[must_use]
    pub fn queue(&self, name: QueueName) -> Queue {
        Queue::new(Arc::clone(&self.transport), name)
    }

    /// Creates a queue. One that is there with these attributes is as good.
    ///
    /// # Errors
    /// [`QueueAlreadyExist`](crate::ErrorKind::QueueAlreadyExist) if it is there with others;
    /// [`QueueDeletedRecently`](crate::ErrorKind::QueueDeletedRecently) if one of that name was deleted a moment ago.
    pub async fn create_queue(
        &self,
        name: &QueueName,
        attributes: &AttributeChanges,
    ) -> Result<Created, Error> {
        let request = Request::create_queue(name, attributes);
        let during = |error: Error| error.during(format!("create queue {name}"));
        let answer = self.ask(&request).await.map_err(during)?;
        done(&answer).map_err(during)?;
        Ok(if answer.status == 204 { Created::WasThere } else { Created::New })
    }

    /// Deletes a queue with everything in it. One that is not there is no error.
    ///
    /// # Errors
    /// If the service does not do it.
    pub async fn delete_queue(&self, name: &QueueName) -> Result<(), Error> {
        let answer = self.ask(&Request::delete_queue(name)).await;
        let done = answer.and_then(|answer| done(&answer));
        done.map_err(|error| error.during(format!("delete queue {name}")))
    }

    /// One page of the account's queues.
    ///
    /// # Errors
    /// If the service does not answer.
    pub async fn list_queues(&self, list: &ListQueues) -> Result<QueuePage, Error> {
        let request = Request::list_queues(list.prefix.as_deref(), list.marker.as_deref(), list.most);
        let during = |error: Error| error.during("list queues");
        let answer = self.ask(&request).await.map_err(during)?;
        let root = answer.root.as_ref().filter(|root| root.name == "Queues");
        let root = root.ok_or_else(|| during(unexpected(&answer, "Queues")))?;
        let urls = root.children_named("Queue").filter_map(|queue| queue.text_of("QueueURL"));
        let names =
            urls.filter_map(|url| QueueName::new(url.trim().rsplit('/').next().unwrap_or_default()).ok());
        let next = root.text_of("NextMarker").map(str::trim).filter(|marker| !marker.is_empty());
        Ok(QueuePage { queues: names.collect(), next: next.map(str::to_owned) })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Error> {
        self.transport.send(request, &self.transport.config.retry).await
    }
}

/// How a queue came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// It was there, with these attributes.
    WasThere,
}

/// Which queues to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQueues {
    /// Only those whose names begin so.
    pub prefix: Option<String>,
    /// [`QueuePage::next`] of the page before; none for the first.
    pub marker: Option<String>,
    /// How many at most: 1 to 1,000, by default the most.
    pub most: Option<usize>,
}

/// A page of queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuePage {
    /// Their names.
    pub queues: Vec<QueueName>,
    /// The marker of the next page, if there is one.
    pub next: Option<String>,
}
