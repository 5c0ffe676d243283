//! The queue client: a service may answer whatever it likes, and the client says what that is or why it cannot be read.
//!
//! The first byte chooses the request, the second the status; the rest is the body.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Credentials};
use libfuzzer_sys::fuzz_target;
use mns_client::{Client, Config, Encoding, Outgoing, Queue, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

const STATUSES: [u16; 8] = [200, 201, 204, 400, 403, 404, 500, 503];

static SERVICE: LazyLock<Service> = LazyLock::new(Service::start);

struct Service {
    runtime: Runtime,
    queue: Queue,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Service {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let given = Arc::clone(&answer);
        let address = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer_all(stream, Arc::clone(&given)));
                }
            });
            address
        });
        let mut config = Config::new(format!("http://{address}").parse().expect("an endpoint"));
        config.retry = Retry::never();
        config.timeout = Duration::from_secs(5);
        let keys = CredentialProvider::fixed(Credentials::new("AK", "SK"));
        let client = Client::new(config, keys).expect("a client");
        Self { runtime, queue: client.queue("q".parse().expect("a name")), answer }
    }
}

/// Answers each request on the connection with what is given at that moment.
async fn answer_all(mut stream: TcpStream, given: Arc<Mutex<Vec<u8>>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while request.len() < head + length {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        request.drain(..head + length);
        let answer = given.lock().expect("nobody panics here").clone();
        stream.write_all(&answer).await?;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [request, status, body @ ..] = bytes else { return };
    let service = &*SERVICE;
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let mut answer = format!("HTTP/1.1 {status} Any\r\nx-mns-request-id: ID\r\n{length}\r\n").into_bytes();
    answer.extend_from_slice(if status == 204 { &[] } else { body });
    *service.answer.lock().expect("nobody panics here") = answer;

    // The time limit is made inside the runtime, whose clock it needs.
    let asked = service
        .runtime
        .block_on(async { timeout(Duration::from_secs(20), ask(&service.queue, *request)).await });
    asked.expect("an answer that is there ends the request");
});

async fn ask(queue: &Queue, request: u8) {
    match request % 6 {
        0 => {
            let Ok(poll) = queue.receive_batch(16, Duration::ZERO).await else { return };
            for message in &poll.messages {
                for encoding in [Encoding::Raw, Encoding::Base64, Encoding::Auto] {
                    let _ = message.decode(encoding);
                }
            }
            let handles: Vec<_> =
                poll.messages.into_iter().map(|message| message.receipt_handle).take(16).collect();
            if !handles.is_empty()
                && let Ok(results) = queue.delete_batch(&handles).await
            {
                assert_eq!(results.len(), handles.len(), "a result for each handle");
            }
        }
        1 => drop(queue.receive(Duration::ZERO).await),
        2 => {
            let messages = [Outgoing::new("one"), Outgoing::new("two")];
            if let Ok(results) = queue.send_batch(&messages).await {
                assert_eq!(results.len(), messages.len(), "a result for each message");
            }
        }
        3 => drop(queue.send(&Outgoing::new("one")).await),
        4 => drop(queue.peek_batch(16).await),
        _ => drop(queue.attributes().await),
    }
}
