//! The binary: it says where it listens, and its words become settings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the binary, and gives the address that it prints.
fn start(words: &[&str]) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mns-emulator"));
    let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().to_owned();
    (Running(child), address)
}

fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_prints_its_endpoint_and_serves_what_it_was_told() {
    let (_running, address) = start(&["--queue", "a", "--queue", "b", "--format", "old", "--compact"]);
    let answer = get(&address, "/queues");
    assert!(answer.contains("<QueueURL>http://local/queues/b</QueueURL>"), "{answer}");
    let (_running, address) =
        start(&["--access-key-id", "AK", "--access-key-secret", "SK", "--fault", "throttle=1"]);
    assert!(get(&address, "/queues").contains("<Code>MissingVersionHeader</Code>"));
    assert!(get(&address, "/_emulator/faults").contains("\"throttle\""));
}

#[test]
fn it_ends_in_good_order_when_it_is_told_to() {
    for signal in ["-TERM", "-INT"] {
        let (mut running, _) = start(&[]);
        let id = running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn wrong_words_and_a_port_in_use_end_it_with_a_message() {
    let run = |words: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_mns-emulator")).args(words).output().unwrap()
    };
    let check = |words: &[&str], code: i32, message: &str| {
        let output = run(words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(message), "{words:?}: {stderr}");
    };
    check(&["--fault", "sloth"], 64, "\"sloth\" is no fault; there are throttle, ");
    check(&["--queue", "a_b"], 64, "cannot create the queue \"a_b\": InvalidQueueName");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["--listen", &address], 69, &format!("cannot listen on {address}: "));
}
