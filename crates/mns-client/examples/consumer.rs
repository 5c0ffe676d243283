//! Receives messages until it is interrupted, prints each, and deletes what it has printed.
//!
//! `consumer ENDPOINT QUEUE`, with the keys in `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Environment};
use mns_client::{Client, Config, Encoding, MAX_BATCH, MAX_WAIT, Message, Queue};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, queue] = words.as_slice() else { return Err("usage: consumer ENDPOINT QUEUE".into()) };
    let environment = Environment::new(&std::env::vars().collect());
    let credentials = CredentialProvider::new(Arc::new(environment));
    let queue = Client::new(Config::new(endpoint.parse()?), credentials)?.queue(queue.parse()?);
    // One future for all rounds, so that an interruption while messages are in hand is heard afterwards.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let messages = tokio::select! {
            messages = receive(&queue) => messages?,
            _ = &mut interrupted => return Ok(()),
        };
        consume(&queue, messages).await;
    }
}

/// Waits until there is something, patiently. Dropped, it takes its long poll with it.
async fn receive(queue: &Queue) -> Result<Vec<Message>, mns_client::Error> {
    loop {
        match queue.receive_batch(MAX_BATCH, MAX_WAIT).await {
            Ok(poll) if !poll.messages.is_empty() => return Ok(poll.messages),
            Ok(poll) if poll.is_early() => sleep(Duration::from_secs(5)).await,
            Ok(_) => {}
            Err(error) if error.is_temporary() => {
                eprintln!("{error}; trying again");
                sleep(Duration::from_secs(5)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn consume(queue: &Queue, messages: Vec<Message>) {
    let mut done = Vec::new();
    for message in messages {
        let payload = message.decode(Encoding::Auto).unwrap_or_default();
        println!("{} {}", message.message_id, String::from_utf8_lossy(&payload));
        // Now that the work is done, and not before.
        done.push(message.receipt_handle);
    }
    match queue.delete_batch(&done).await {
        Ok(results) => {
            for error in results.into_iter().filter_map(Result::err) {
                eprintln!("a message comes again: {error}");
            }
        }
        Err(error) => eprintln!("{} messages come again: {error}", done.len()),
    }
}
