//! Sends each line of its input to a queue, in batches of up to 16.
//!
//! `producer ENDPOINT QUEUE < lines`, with the keys in `ALIBABA_CLOUD_ACCESS_KEY_ID` and
//! `ALIBABA_CLOUD_ACCESS_KEY_SECRET`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;

use aliyun_credentials::{CredentialProvider, Environment};
use mns_client::{Client, Config, Encoding, MAX_BATCH, Outgoing};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, queue] = words.as_slice() else {
        return Err("usage: producer ENDPOINT QUEUE < lines".into());
    };
    let environment = Environment::new(&std::env::vars().collect());
    let credentials = CredentialProvider::new(Arc::new(environment));
    let queue = Client::new(Config::new(endpoint.parse()?), credentials)?.queue(queue.parse()?);

    let lines = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    for batch in lines.chunks(MAX_BATCH) {
        let messages = batch.iter().map(|line| Outgoing::encoded(line.as_bytes(), Encoding::Auto));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        // A batch that failed as a whole may be there in part, or not at all; whoever must not send twice asks first.
        for (line, result) in batch.iter().zip(queue.send_batch(&messages).await?) {
            match result {
                Ok(sent) => println!("{} {line}", sent.message_id),
                Err(error) => eprintln!("not sent: {line}: {error}"),
            }
        }
    }
    Ok(())
}
