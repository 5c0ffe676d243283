//! A headless Chromium, driven over the W3C's WebDriver protocol, of which a few commands are all that is needed here.
#![expect(clippy::indexing_slicing, reason = "an answer that lacks something fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::relay::client;

/// The name of a reference to an element in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const DOWN: &str = "\u{e015}";

/// A browser with one tab, and what it has said.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// Nothing where there is no browser on this machine, which is said.
    pub(crate) async fn start(languages: &str) -> Option<Self> {
        let is_there = |name: &str| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        if let Some(missing) = ["chromium", "chromedriver"].into_iter().find(|name| !is_there(name)) {
            eprintln!("NOT CHECKED: the page in a browser, since {missing} is not installed");
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().unwrap();
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ];
        let mut flags = flags.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
            _profile: profile,
        };
        let _ = client();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags, "prefs": {"intl.accept_languages": languages}},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let begun = browser.command("POST", "/session", wanted).await;
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    async fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("http://{}{path}", self.address);
        let request = match method {
            "POST" => self.http.post(url).json_text(&body),
            _ => self.http.get(url),
        };
        let text = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }

    async fn do_there(&self, what: &str, body: Value) -> Value {
        self.command("POST", &format!("/session/{}/{what}", self.session), body).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.do_there("url", json!({"url": url})).await;
    }

    /// What the script returns, run in the page.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.do_there("execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// The text that is to be seen in the page.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.getElementById('main').innerText", &[]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&format!("return !!({expression})"), &[]).await != json!(true) {
            assert!(
                Instant::now() < deadline,
                "{expression} is not so; the page says:\n{}",
                self.text().await
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_says(&self, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.until(&format!("document.body.innerText.includes({text})")).await;
    }

    /// Clicks on the first element that the selector means, once there is one.
    pub(crate) async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({})", json!(selector))).await;
        let element = self.find(selector).await;
        self.do_there(&format!("element/{element}/click"), json!({})).await;
    }

    /// Presses the button of the mouse on that element and keeps it pressed.
    pub(crate) async fn press_on(&self, selector: &str) {
        let element = self.find(selector).await;
        let there = json!({"type": "pointerMove", "origin": {ELEMENT: element}, "x": 0, "y": 0});
        self.point(json!([there, {"type": "pointerDown", "button": 0}])).await;
    }

    /// Releases it, wherever it is.
    pub(crate) async fn release(&self) {
        self.point(json!([{"type": "pointerUp", "button": 0}])).await;
    }

    async fn point(&self, actions: Value) {
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": actions});
        self.do_there("actions", json!({"actions": [mouse]})).await;
    }

    /// Types into it, as at a keyboard.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        self.until(&format!("document.querySelector({})", json!(selector))).await;
        let element = self.find(selector).await;
        self.do_there(&format!("element/{element}/value"), json!({"text": text})).await;
    }

    async fn find(&self, selector: &str) -> String {
        let found = self.do_there("element", json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Presses a key, wherever the focus is.
    pub(crate) async fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.do_there("actions", json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}))
            .await;
    }

    /// A command of Chromium's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.do_there("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Whatever it complained of, but what is foreseen; and whom it asked for anything.
    pub(crate) async fn check_quiet(&self, origin: &str, foreseen: &[&str]) {
        let complaints = self.do_there("se/log", json!({"type": "browser"})).await;
        for complaint in complaints.as_array().unwrap() {
            let text = complaint["message"].as_str().unwrap();
            let is_foreseen = foreseen.iter().any(|part| text.contains(part));
            assert!(is_foreseen, "the browser complains: {text}");
        }
        let events = self.do_there("se/log", json!({"type": "performance"})).await;
        let mut asked = 0;
        for event in events.as_array().unwrap() {
            let event: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
            let (message, request) = (&event["message"], &event["message"]["params"]["request"]);
            let ours = message["params"]["documentURL"].as_str().is_some_and(|url| url.starts_with(origin));
            if message["method"] == "Network.requestWillBeSent" && ours {
                let url = request["url"].as_str().unwrap();
                let own = url.strip_prefix("blob:").unwrap_or(url);
                // The browser's own fields bring their signs along.
                assert!(own.starts_with(origin) || own.starts_with("data:"), "the page asks {url}");
                asked += 1;
            }
        }
        assert!(asked > 3, "it asked {asked} times");
    }
}

impl Drop for Browser {
    /// The driver ends its browser when the session ends, and not when it is killed.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let head = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.session, self.address
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// It says on which port it listens, and nothing more that anybody needs.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port =
        lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    std::thread::spawn(move || lines.for_each(drop));
    port.unwrap()
}

/// The workspace's client has no JSON of its own.
trait JsonText {
    fn json_text(self, body: &Value) -> Self;
}

impl JsonText for reqwest::RequestBuilder {
    fn json_text(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}
