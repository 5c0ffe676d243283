//! A server that plays a script: a closure decides the answer to each request, and bytes are bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aliyun_credentials::{CredentialProvider, Credentials};
use mns_client::{Client, Config, Queue, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it was on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

type Play = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

/// The server, and what it saw.
pub(crate) struct Script {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
}

impl Script {
    /// Starts a server that answers with what `play` says; an empty answer closes the connection unanswered.
    pub(crate) async fn start(play: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<usize>>::default());
        let (requests, opened, play): (_, _, Arc<Play>) =
            (Arc::clone(&seen), Arc::clone(&connections), Arc::new(play));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *opened.lock().unwrap() += 1;
                tokio::spawn(converse(stream, Arc::clone(&requests), Arc::clone(&play)));
            }
        });
        Self { address, seen, connections }
    }

    /// A client of this server that makes no request again by itself.
    pub(crate) fn client(&self) -> Client {
        client(&self.endpoint(), Retry::never())
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn queue(&self) -> Queue {
        self.client().queue("demo-q".parse().unwrap())
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// A client with the key that tests use.
pub(crate) fn client(endpoint: &str, retry: Retry) -> Client {
    let mut config = Config::new(endpoint.parse().unwrap());
    config.retry = retry;
    Client::new(config, CredentialProvider::fixed(Credentials::new("AK", "SK"))).unwrap()
}

async fn converse(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, play: Arc<Play>) {
    while let Some(request) = read_request(&mut stream).await {
        let answer = play(&request);
        seen.lock().unwrap().push(request);
        if answer.is_empty() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = read.split_off(head_end);
    let mut request = Request { head: String::from_utf8(read).unwrap(), body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        stream.read_buf(&mut body).await.ok().filter(|&count| count > 0)?;
    }
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}
