//! What the client makes of a service that fails, and how often it asks again.

use std::sync::Arc;
use std::time::Duration;

use aliyun_credentials::{CredentialError, CredentialProvider, CredentialSource, Credentials};
use mns_client::{Client, Config, Error, ErrorKind, Outgoing, Queue, Retry};
use mns_emulator::{AccessKey, Attributes, Emulator, Fault, Operation, Settings};

use crate::emulated::{emulated, frozen};
use crate::script::client;

/// The same queue, through a client that asks three times, at once.
fn patient(emulator: &Emulator) -> Queue {
    let retry = Retry { attempts: 3, first: Duration::ZERO, cap: Duration::ZERO };
    client(&emulator.endpoint(), retry).queue("orders".parse().unwrap())
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    for (fault, kind, status) in [
        (Fault::Throttle, ErrorKind::Throttled, Some(429)),
        (Fault::ErrorBefore, ErrorKind::Unavailable, Some(500)),
        (Fault::ErrorAfter, ErrorKind::Unavailable, Some(500)),
        (Fault::Unavailable, ErrorKind::Unavailable, Some(503)),
        (Fault::BadGateway, ErrorKind::Unavailable, Some(502)),
        (Fault::DropBefore, ErrorKind::Disconnected, None),
        (Fault::DropAfter, ErrorKind::Disconnected, None),
        (Fault::Cut, ErrorKind::Disconnected, None),
    ] {
        let (emulator, queue) = emulated(frozen()).await;
        emulator.inject(fault.always());
        let errors: [Error; 3] = [
            queue.send(&Outgoing::new("a")).await.unwrap_err(),
            queue.receive(Duration::ZERO).await.unwrap_err(),
            queue.attributes().await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.status()), (kind, status), "{fault}: {error}");
            assert!(error.is_temporary(), "{fault}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_safe_is_asked_again_and_a_send_is_not() {
    for fault in [
        Fault::Throttle,
        Fault::ErrorBefore,
        Fault::Unavailable,
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Cut,
    ] {
        let (emulator, _) = emulated(frozen()).await;
        let queue = patient(&emulator);
        emulator.inject(fault.always().times(2));
        queue.attributes().await.unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert_eq!(emulator.ledger().of(Operation::GetQueueAttributes).requests, 3, "{fault}");
        emulator.inject(fault.always().times(1));
        queue.send(&Outgoing::new("a")).await.unwrap_err();
        assert_eq!(emulator.ledger().of(Operation::SendMessage).requests, 1, "{fault}");
    }
}

#[tokio::test]
async fn patience_ends() {
    let (emulator, _) = emulated(frozen()).await;
    emulator.inject(Fault::Throttle.always());
    let error = patient(&emulator).receive(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(emulator.ledger().of(Operation::ReceiveMessage).requests, 3);
}

#[tokio::test]
async fn a_deletion_whose_answer_got_lost_is_done() {
    let (emulator, _) = emulated(frozen()).await;
    let queue = patient(&emulator);
    emulator.send("orders", "a").unwrap();
    emulator.send("orders", "b").unwrap();
    let poll = queue.receive_batch(16, Duration::ZERO).await.unwrap();
    let handles: Vec<_> = poll.messages.into_iter().map(|message| message.receipt_handle).collect();
    for fault in [Fault::DropAfter, Fault::ErrorAfter] {
        emulator.inject(fault.always().times(1));
        queue
            .delete(&handles[0])
            .await
            .unwrap_or_else(|error| assert_eq!(fault, Fault::ErrorAfter, "{error}"));
    }
    emulator.inject(Fault::Cut.always().times(1));
    assert_eq!(queue.delete_batch(&handles).await.unwrap(), [Ok(()), Ok(())]);
    assert_eq!(emulator.messages("orders"), []);
    let again = queue.delete(&handles[1]).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::MessageNotExist, "no answer got lost this time");
}

#[tokio::test]
async fn a_change_of_visibility_that_may_have_happened_is_not_made_again() {
    let (emulator, _) = emulated(frozen()).await;
    let queue = patient(&emulator);
    emulator.send("orders", "a").unwrap();
    let poll = queue.receive(Duration::ZERO).await.unwrap();
    let handle = &poll.messages[0].receipt_handle;
    emulator.inject(Fault::Throttle.always().times(1));
    let retimed = queue.change_visibility(handle, Duration::from_secs(60)).await.unwrap();
    emulator.inject(Fault::DropAfter.always().times(1));
    let error = queue.change_visibility(&retimed.receipt_handle, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "and not that there is no such message");
}

#[tokio::test]
async fn entries_of_batches_fail_alone() {
    let (emulator, queue) = emulated(frozen()).await;
    emulator.inject(Fault::PartialBatch.always().times(1));
    let sent = queue.send_batch(&[Outgoing::new("a"), Outgoing::new("b")]).await.unwrap();
    assert_eq!(sent[0].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(sent[1].is_ok());
    emulator.inject(Fault::WrongMd5.always().times(1));
    let poll = queue.receive_batch(16, Duration::ZERO).await.unwrap();
    assert_eq!((poll.messages.len(), poll.messages[0].body_md5_matches()), (1, Some(false)));
    emulator.inject(Fault::PartialBatch.always().times(1));
    let handles = [poll.messages[0].receipt_handle.clone()];
    assert_eq!(queue.delete_batch(&handles).await.unwrap()[0].as_ref().unwrap_err().code, "InternalError");
    assert_eq!(queue.delete_batch(&handles).await.unwrap(), [Ok(())]);
}

/// Gives keys that are out of date, and after that the right ones.
#[derive(Debug, Default)]
struct Rotated(std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl CredentialSource for Rotated {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(if asked == 0 { Credentials::new("AK", "former") } else { Credentials::new("AK", "SK") })
    }
}

#[tokio::test]
async fn keys_that_were_changed_are_fetched_anew_and_used_at_once() {
    let access_keys = vec![AccessKey::new("AK", "SK")];
    let emulator = Emulator::start(Settings { access_keys, ..Settings::default() }).await.unwrap();
    emulator.create_queue("orders", Attributes::default()).unwrap();
    // The provider asks its source at most every ten seconds; this clock lets them pass between any two looks.
    let seconds = std::sync::atomic::AtomicI64::new(1_700_000_000);
    let now = move || {
        let seconds = seconds.fetch_add(11, std::sync::atomic::Ordering::Relaxed);
        jiff::Timestamp::from_second(seconds).unwrap()
    };
    let provider = CredentialProvider::with_now(Arc::new(Rotated::default()), now);
    let mut config = Config::new(emulator.endpoint().parse().unwrap());
    config.retry = Retry::never();
    let queue = Client::new(config, provider).unwrap().queue("orders".parse().unwrap());
    queue.send(&Outgoing::new("a")).await.unwrap();
    assert_eq!(emulator.ledger().turned_away["SignatureDoesNotMatch"], 1);
    assert_eq!(emulator.messages("orders").len(), 1);
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let (emulator, _) = emulated(frozen()).await;
    let provider = CredentialProvider::fixed(Credentials::new("AK", ""));
    let client = Client::new(Config::new(emulator.endpoint().parse().unwrap()), provider).unwrap();
    let error = client.queue("orders".parse().unwrap()).receive(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("the access key secret in the configuration is empty"), "{error}");
    assert_eq!(emulator.ledger().requests(), 0);
}
