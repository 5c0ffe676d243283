//! A service that answers what none should: each answer costs what it must, and nothing beside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vodrelay_mns::QueueSettings;

use crate::stage::{Stage, settings, text};
use crate::trouble::Log;

const STEP: Duration = Duration::from_millis(500);

/// A request: its first line and its body.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    body: String,
}

impl Asked {
    fn is_receive(&self) -> bool {
        self.line.starts_with("GET")
    }

    fn handles(&self) -> Vec<&str> {
        let after = self.body.split("<ReceiptHandle>").skip(1);
        after.map(|rest| rest.split_once("</").unwrap().0).collect()
    }
}

/// A status and a document; nothing is no answer at all.
type Answer = Option<(u16, String)>;
type Play = dyn FnMut(&Asked) -> Answer + Send;

/// A server that plays what a closure says, and what it was asked.
struct Hostile {
    endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    async fn start(play: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, play): (_, Arc<Mutex<Play>>) = (Arc::clone(&asked), Arc::new(Mutex::new(play)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&seen), Arc::clone(&play)));
            }
        });
        Self { endpoint, asked }
    }

    fn queue(&self) -> QueueSettings {
        settings(&format!(
            "[queues.main]\nendpoint = \"{}\"\nqueue = \"q\"\n\
             credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}",
            self.endpoint
        ))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn deletions(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.line.starts_with("DELETE")).collect()
    }
}

async fn converse(mut stream: TcpStream, seen: Arc<Mutex<Vec<Asked>>>, play: Arc<Mutex<Play>>) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let rest = read.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut read, rest)).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while read.len() < length {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let rest = read.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut read, rest)).unwrap();
        let asked = Asked { line: head.lines().next().unwrap().to_owned(), body };
        let answer = play.lock().unwrap()(&asked);
        seen.lock().unwrap().push(asked);
        let Some((status, document)) = answer else { return std::future::pending().await };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{document}", document.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn message(number: usize, source: &str) -> String {
    format!(
        "<Message><MessageId>{number}</MessageId><MessageBody>{source}</MessageBody>\
         <ReceiptHandle>h{number}</ReceiptHandle></Message>"
    )
}

fn messages(each: impl IntoIterator<Item = String>) -> Answer {
    Some((200, format!("<Messages>{}</Messages>", each.into_iter().collect::<String>())))
}

/// Hands out what is not deleted yet, as many as are asked for, and deletes as `delete` says; `None` waits for ever.
fn queue_of(
    bodies: Vec<String>,
    mut delete: impl FnMut(&[&str]) -> Option<(u16, String)> + Send,
) -> impl FnMut(&Asked) -> Answer + Send {
    let mut left: Vec<(usize, String)> = bodies.into_iter().enumerate().collect();
    move |asked| {
        if asked.is_receive() {
            let most = if asked.line.contains("numOfMessages=1&") { 1 } else { usize::MAX };
            if left.is_empty() {
                return None;
            }
            return messages(left.iter().take(most).map(|(number, body)| message(*number, body)));
        }
        let handles = asked.handles();
        let refused = delete(&handles);
        if refused.is_none() {
            left.retain(|(number, _)| !handles.contains(&format!("h{number}").as_str()));
        }
        refused.or(Some((204, String::new())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_makes_answers_unreadable_holds_up_no_other_and_is_kept() {
    let mut bodies: Vec<String> = (0..16).map(text).collect();
    bodies[7] = "{\"a\":1<2}".to_owned();
    let server = Hostile::start(queue_of(bodies, |_| None)).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass_until("all of them", |stage| stage.in_journal() == 16 && server.deletions().len() == 16).await;
    let unreadable = stage.journal.inner.events().into_iter().filter(|event| event.event().is_err());
    assert_eq!(unreadable.map(|event| event.body.clone()).collect::<Vec<_>>(), ["{\"a\":1<2}"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_costs_its_batch_is_found_by_halving() {
    let refused = || (400, "<Error><Code>ReceiptHandleError</Code></Error>".to_owned());
    let mut gone = false;
    let delete = move |handles: &[&str]| {
        // Once it is alone, it is let go, so that the test ends.
        gone |= handles == ["h7"];
        handles.contains(&"h7").then(refused).filter(|_| !gone)
    };
    let server = Hostile::start(queue_of((0..16).map(text).collect(), delete)).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass(Duration::from_secs(10), STEP).await;
    let sizes: Vec<usize> = server.deletions().iter().map(|asked| asked.handles().len()).take(9).collect();
    assert_eq!(sizes, [16, 8, 4, 4, 2, 2, 1, 1, 8]);
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_asked_for_are_deleted_in_batches() {
    let server = Hostile::start(queue_of((0..100).map(text).collect(), |_| None)).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass_until("the deletions", |_| server.deletions().len() >= 7).await;
    assert_eq!(stage.in_journal(), 100);
    let handles: Vec<usize> = server.deletions().iter().map(|asked| asked.handles().len()).collect();
    assert_eq!((handles.iter().sum::<usize>(), handles.iter().max()), (100, Some(&16)));
}

#[tokio::test(start_paused = true)]
async fn entries_without_a_handle_are_said_and_backed_off() {
    let (log, _guard) = Log::start();
    let server =
        Hostile::start(|_| messages(["<Message><MessageId>x</MessageId></Message>".to_owned()])).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass(Duration::from_secs(60), STEP).await;
    assert!((5..=9).contains(&server.asked().len()), "{} requests in a minute", server.asked().len());
    assert!(log.lines()[0].contains("without a handle"), "{:#?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn one_entry_without_a_handle_among_good_ones_is_said() {
    let (log, _guard) = Log::start();
    let mut answers = vec![messages([message(1, &text(1)), "<Message/>".to_owned()])];
    let server =
        Hostile::start(
            move |asked| {
                if asked.is_receive() { answers.pop().flatten() } else { Some((204, String::new())) }
            },
        )
        .await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.until("the deletion", |_| server.deletions().len() == 1).await;
    let lines = log.lines();
    assert!(
        lines.iter().any(|line| line.contains("without a handle") && line.contains("messages=1")),
        "{lines:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn deletions_that_fail_entry_by_entry_are_said_and_backed_off() {
    let (log, _guard) = Log::start();
    let delete = |handles: &[&str]| {
        let entry = |handle: &&str| {
            format!(
                "<Error><ErrorCode>InternalError</ErrorCode><ReceiptHandle>{handle}</ReceiptHandle></Error>"
            )
        };
        Some((404, format!("<Errors>{}</Errors>", handles.iter().map(entry).collect::<String>())))
    };
    let server = Hostile::start(queue_of((0..16).map(text).collect(), delete)).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass(Duration::from_secs(120), STEP).await;
    let asked = server.asked().len();
    assert!((16..=40).contains(&asked), "{asked} requests in two minutes, four in each round");
    let lines = log.lines();
    let said = |line: &&String| line.contains("cannot be deleted") && line.contains("InternalError");
    assert_eq!(lines.iter().filter(said).count(), 1, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn each_error_has_the_mend_that_fits() {
    let coded = |code: &str| format!("<Error><Code>{code}</Code></Error>");
    for (status, document, mend) in [
        (407, "proxy auth".to_owned(), "a proxy in between asks for credentials"),
        (400, coded("SecurityTokenExpired"), "the temporary keys have run out"),
        (400, coded("InvalidSecurityToken.Expired"), "the temporary keys have run out"),
        (403, coded("AccessDenied"), "the RAM policy"),
    ] {
        let (log, _guard) = Log::start();
        let server = Hostile::start(move |_| Some((status, document.clone()))).await;
        let stage = Stage::new().await;
        let running = stage.start_queue(server.queue());
        stage.until("a word", |_| !log.lines().is_empty()).await;
        assert!(log.lines()[0].contains(mend), "{:#?}", log.lines());
        running.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_busy_is_asked_once_at_a_time() {
    let server =
        Hostile::start(|_| Some((429, "<Error><Code>TooManyRequests</Code></Error>".to_owned()))).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass(Duration::from_secs(60), STEP).await;
    // After waits of at least 0.5, 1, 2, 4, 8 and 16 seconds.
    assert!((6..=8).contains(&server.asked().len()), "{} requests in a minute", server.asked().len());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_is_said_after_the_first_time_limit() {
    let (log, _guard) = Log::start();
    let server = Hostile::start(|_| None).await;
    let stage = Stage::new().await;
    let _running = stage.start_queue(server.queue());
    stage.pass(Duration::from_secs(42), STEP).await;
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("no answer in time"), "{lines:#?}");
}
