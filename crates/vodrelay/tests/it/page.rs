//! The page at `/` of the admin listener, in a browser, over a relay as its users run it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use vodrelay_core::testing::event_body;

use crate::browser::{Browser, DOWN, ENTER, ESCAPE};
use crate::cli::check_in;
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, attempt, client, configuration, free_port, until, webhook};
use crate::slow_tests_are_asked_for;

/// One browser at a time: the machine has few cores, and each of them wants all.
static BROWSER: Mutex<()> = Mutex::const_new(());

const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x1b\x26\x31\xff\x6a\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// A relay, what it delivers to, and a browser that has its page open.
struct Scene {
    relay: Process,
    receiver: Receiver,
    images: SocketAddr,
    browser: Browser,
    client: reqwest::Client,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    async fn open(languages: &str, more: &str) -> Option<Self> {
        if !slow_tests_are_asked_for() {
            return None;
        }
        let alone = BROWSER.lock().await;
        let client = client();
        let browser = Browser::start(languages).await?;
        let folder = tempfile::tempdir().unwrap();
        let (receiver, images) = (Receiver::start().await, images().await);
        let relay = start(folder.path(), &receiver, images, free_port(), free_port(), more).await;
        let scene = Self { relay, receiver, images, browser, client, folder, _alone: alone };
        scene.browser.open(&format!("{}/", scene.origin())).await;
        Some(scene)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.relay.admin)
    }

    async fn send(&self, body: Bytes) {
        accepted(&self.client, self.relay.http, body).await;
    }

    /// An event with an image that the archive fetches.
    fn with_image(&self, video: &str) -> Bytes {
        let info = json!({"JobId": video, "Status": "success", "FileURL": format!("http://{}/{video}.gif", self.images)});
        json!({
            "EventType": "DynamicImageComplete", "EventTime": "2024-03-05T09:12:58Z", "Status": "success", "VideoId": video,
            "JobId": video, "DynamicImageJobInfo": info.to_string(),
        })
        .to_string()
        .into()
    }

    async fn count(&self, selector: &str) -> u64 {
        let count = self
            .browser
            .run("return document.querySelectorAll(arguments[0]).length", &[json!(selector)])
            .await;
        count.as_u64().unwrap()
    }

    async fn check_quiet(&self, foreseen: &[&str]) {
        self.browser.check_quiet(&self.origin(), foreseen).await;
    }
}

async fn start(
    folder: &Path,
    receiver: &Receiver,
    images: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
    more: &str,
) -> Process {
    let archive = format!(
        r#"
[sinks.archive]
kind = "archive"
[sinks.archive.options]
url = "file:archive"
[[sinks.archive.options.image_hosts]]
name = "{images}"
allow_addresses = ["127.0.0.1"]
"#
    );
    let config = configuration(http, admin) + more + &webhook(receiver.address) + &archive;
    Process::start_with(folder, &config, http, admin).await
}

/// A host that has the same image at every path.
async fn images() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(async || PIXEL)).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_found_and_told_whole() {
    let Some(scene) = Scene::open("en", "").await else { return };
    let browser = &scene.browser;
    for number in 0..3 {
        scene.send(event_body(number)).await;
    }
    scene.send(scene.with_image("0123456789abcdef0123456789abcdef")).await;
    browser.until_says("Latest events").await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 4").await;
    browser.click("nav a[href='#/events']").await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 4").await;
    browser.until("document.querySelectorAll('.thumb canvas').length === 1").await;

    // What arrives stands on top without anybody asking, and its deliveries move.
    scene.send(event_body(7)).await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 5").await;
    browser.until("document.querySelector('.rows > li').innerText.includes('00000007')").await;
    browser.until("document.querySelectorAll('.rows .state.good').length === 5").await;

    // A video's id alone is enough; what is no video's is a job's.
    browser.type_into("#search", &format!("0123456789abcdef0123456789abcdef{ENTER}")).await;
    browser.until("location.hash.includes('video=0123456789abcdef')").await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 1").await;
    browser.click("a.button[href='#/events']").await;
    browser.type_into("#search", &format!("status:fail{ENTER}")).await;
    browser.until_says("No event matches.").await;
    browser.click("a.button[href='#/events']").await;
    browser.type_into("#search", &format!("type:DynamicImageComplete state:delivered{ENTER}")).await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 5").await;
    browser.until("document.querySelector('select[name=state]').value === 'delivered'").await;

    browser.open(&format!("{}/#/events?video=0123456789abcdef0123456789abcdef", scene.origin())).await;
    browser.click(".rows a.row").await;
    browser.until("document.querySelector('.pictures img')?.naturalWidth === 1").await;
    for says in ["Received from callbacks.main", "hook: delivered", "archive: archived", "35 B, from archive"]
    {
        browser.until_says(says).await;
    }
    browser.click(".raw button").await;
    browser.until("document.querySelector('.raw pre')").await;
    let shown = browser.run("return document.querySelector('.raw pre').textContent", &[]).await;
    assert_eq!(shown, json!(String::from_utf8_lossy(&scene.with_image("0123456789abcdef0123456789abcdef"))));
    scene.check_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed() {
    let Some(scene) = Scene::open("en", "").await else { return };
    let browser = &scene.browser;
    scene.receiver.answer_with(410);
    for number in 0..4 {
        scene.send(event_body(number)).await;
    }
    browser.until_says("Dead letters: 4.").await;
    browser.click("nav a[href='#/dead']").await;
    browser.until("document.querySelectorAll('.letter').length === 4").await;
    browser.until_says("410 Gone").await;

    scene.receiver.answer_with(200);
    browser.click(".letter .actions button").await;
    browser.until("document.querySelectorAll('.letter').length === 3").await;
    browser.until_says("Replayed: 1.").await;
    until("the one", Duration::from_secs(20), || scene.receiver.count() == 1).await;

    browser.click(".letter input").await;
    browser.until_says("Chosen: 1").await;
    browser.click(".selection button.main").await;
    browser.until("document.querySelectorAll('.letter').length === 2").await;

    browser.click(".title button.main").await;
    browser.click("dialog button.main").await;
    browser.until_says("No dead letter.").await;
    browser.until_says("replayed 2, looked at 2").await;
    until("all of them", Duration::from_secs(20), || scene.receiver.count() == 4).await;
    scene.check_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_purged() {
    let tokens =
        "token = \"for everything\"\n[admin.tokens.reader]\ntoken = \"for looking\"\nrole = \"read\"\n";
    let Some(scene) = Scene::open("en", tokens).await else { return };
    let browser = &scene.browser;
    let there = async |count: u64| {
        browser.until(&format!("document.querySelectorAll('.letter').length === {count}")).await;
    };
    browser.type_into("#token", &format!("for everything{ENTER}")).await;
    browser.until_says("All is well").await;
    scene.receiver.answer_with(410);
    for number in 0..4 {
        scene.send(event_body(number)).await;
    }
    scene.send(Bytes::from_static(b"no event")).await;
    browser.click("nav a[href='#/dead']").await;
    there(5).await;

    // What is chosen, of a sink or of none, and no other; not before that is confirmed.
    let choose = "for (const letter of document.querySelectorAll('.letter'))
        if (/no sink|00000002/.test(letter.innerText)) letter.querySelector('input').click()";
    browser.run(choose, &[]).await;
    browser.until_says("Chosen: 2").await;
    browser.click("[data-key='purge.chosen']").await;
    browser.until("document.querySelector('dialog').innerText.includes('Purge what is chosen: 2?')").await;
    browser.press(ESCAPE).await;
    browser.until("!document.querySelector('dialog')").await;
    there(5).await;
    browser.click("[data-key='purge.chosen']").await;
    browser.click("dialog button.main").await;
    browser.until_says("Purged: 2.").await;
    there(3).await;
    browser.until("!document.getElementById('main').innerText.match(/no sink|00000002/)").await;
    browser.until("document.querySelector('.selection').hidden").await;

    // All that match, and no others.
    browser.open(&format!("{}/#/dead?reason=404", scene.origin())).await;
    browser.until_says("No dead letter matches.").await;
    browser.until("document.querySelector('[data-key=\"purge.all\"]').disabled").await;
    browser.open(&format!("{}/#/dead?reason=410", scene.origin())).await;
    there(3).await;
    browser.click("[data-key='purge.all']").await;
    browser.until("document.querySelector('dialog').innerText.includes('410')").await;
    // It comes after the question, so it is not meant.
    sleep(Duration::from_millis(1_100)).await;
    scene.send(event_body(9)).await;
    there(4).await;
    browser.click("dialog button.main").await;
    browser.until_says("Purged: 3.").await;
    there(1).await;
    browser.until_says("00000009").await;

    browser.click("#forget").await;
    browser.type_into("#token", &format!("for looking{ENTER}")).await;
    there(1).await;
    browser.click("#language").await;
    browser.until_says("清理全部匹配项").await;
    browser.click("[data-key='purge.all']").await;
    browser.click("dialog button.main").await;
    browser.until_says("其角色为 read").await;
    there(1).await;
    scene.check_quiet(&["401 (Unauthorized)", "403 (Forbidden)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_event_says_is_text() {
    let Some(scene) = Scene::open("en", "").await else { return };
    let browser = &scene.browser;
    let script = "<script>window.harmed=1</script>";
    let hostile = [
        json!({"EventType": "DynamicImageComplete", "Status": "success", "VideoId": script, "JobId": "\"'><img src=x onerror=harmed=1>",
            "Extend": format!("\u{202e}desrever\u{2066}\u{200b}\u{0000}{}", "<b>x</b>".repeat(5_000)),
            "DynamicImageJobInfo": {"JobId": "j", "Status": "success", "FileURL": "javascript:harmed=1"}}),
        json!({"EventType": "<iframe srcdoc='<script>parent.harmed=1</script>'>", "VideoId": "\u{202e}../../x?y#z&quot;"}),
        json!({"EventType": "A".repeat(60_000), "VideoId": "javascript:harmed=1", "Status": "__proto__", "constructor": 1}),
    ];
    for event in hostile {
        scene.send(event.to_string().into()).await;
    }
    scene.send(Bytes::from_static(b"\xff<script>window.harmed=1</script>")).await;
    let width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    for view in ["#/", "#/events", "#/dead"] {
        browser.open(&format!("{}/{view}", scene.origin())).await;
        browser.until("document.querySelectorAll('main [data-row]').length > 0").await;
        browser.until(width).await;
    }
    browser.open(&format!("{}/#/events", scene.origin())).await;
    browser.until("document.querySelectorAll('.rows > li[data-id]').length === 4").await;
    let links = browser
        .run("return [...document.querySelectorAll('.rows a')].map((a) => a.getAttribute('href'))", &[])
        .await;
    for link in links.as_array().unwrap() {
        let link = link.as_str().unwrap();
        browser.open(&format!("{}/{link}", scene.origin())).await;
        browser.until("document.querySelector('.time li')").await;
        browser.click(".raw button").await;
        browser.until("document.querySelector('.raw pre')").await;
        browser.until(width).await;
        assert_eq!(scene.count("main script, main iframe, main b, main img[src='x']").await, 0, "{link}");
        let bad =
            "return [...document.querySelectorAll('a')].every((a) => a.href.startsWith(location.origin))";
        assert_eq!(browser.run(bad, &[]).await, json!(true), "{link}");
    }
    browser.open(&format!("{}/{}", scene.origin(), links[3].as_str().unwrap())).await;
    browser.until_says(script).await;
    for mark in ["U+202E", "U+2066", "U+200B", "U+0000"] {
        browser.until_says(mark).await;
    }
    browser.until_says("more characters").await;
    assert_eq!(browser.run("return window.harmed ?? null", &[]).await, Value::Null);
    scene.check_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_two_languages_and_is_used_by_keys_alone() {
    let Some(scene) = Scene::open("zh-CN,zh", "").await else { return };
    let browser = &scene.browser;
    for number in 0..3 {
        scene.send(event_body(number)).await;
    }
    browser.until_says("最新事件").await;
    browser.until("document.documentElement.lang === 'zh-CN'").await;
    browser.click("#language").await;
    browser.until_says("Latest events").await;
    browser.open(&format!("{}/", scene.origin())).await;
    browser.until_says("Latest events").await;

    browser.press("2").await;
    // The first page has some of them, too.
    browser.until("document.querySelectorAll('.rows:not(.plain) > li[data-id]').length === 3").await;
    let focus = "document.activeElement.closest('li')?.dataset.id";
    let id = async |place: usize| {
        browser
            .run("return document.querySelectorAll('.rows > li')[arguments[0]].dataset.id", &[json!(place)])
            .await
    };
    browser.press("j").await;
    browser.until(&format!("{focus} === {}", id(0).await)).await;
    browser.press(DOWN).await;
    browser.press("j").await;
    browser.press("k").await;
    browser.until(&format!("{focus} === {}", id(1).await)).await;
    let second = id(1).await;
    browser.press(ENTER).await;
    browser.until(&format!("location.hash === '#/events/' + {second}")).await;
    browser.until_says("What it says").await;
    browser.press(ESCAPE).await;
    browser.until("location.hash === '#/events'").await;
    browser.until(&format!("{focus} === {second}")).await;
    browser.press("/").await;
    browser.until("document.activeElement.id === 'search'").await;
    browser.press("2").await;
    browser.until("document.activeElement.value === '2'").await;
    browser.press(ESCAPE).await;
    browser.press("?").await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser.press(ESCAPE).await;
    browser.until("!document.querySelector('dialog')").await;
    browser.press("3").await;
    browser.until_says("No dead letter.").await;
    browser.click("#theme").await;
    browser.until("getComputedStyle(document.documentElement).colorScheme === 'light'").await;
    scene.check_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_drawn_again_stays_where_it_is() {
    let Some(scene) = Scene::open("en", "").await else { return };
    let browser = &scene.browser;
    let sent = |times| {
        let cell = "document.querySelector(\"[data-key='hook.pause']\").closest('tr').children[3]";
        format!("{cell}.innerText === '{times}'")
    };
    scene.send(event_body(1)).await;
    browser.until(&sent(1)).await;
    browser.press_on("[data-key='hook.pause']").await;
    scene.send(event_body(2)).await;
    browser.until(&sent(2)).await;
    browser.release().await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser.press(ESCAPE).await;

    browser.open(&format!("{}/#/events", scene.origin())).await;
    let rows = |count| format!("document.querySelectorAll('li[data-id] .state.good').length === {count}");
    browser.until(&rows(2)).await;
    let select = "getSelection().selectAllChildren(document.querySelector('li .ids .value'))";
    browser.run(select, &[]).await;
    let selected = browser.run("return getSelection().toString()", &[]).await;
    assert_ne!(selected, json!(""));
    scene.send(event_body(3)).await;
    browser.until(&rows(3)).await;
    assert_eq!(browser.run("return getSelection().toString()", &[]).await, selected);
    scene.check_quiet(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_drawn_becomes_what_is_drawn() {
    let Some(scene) = Scene::open("en", "").await else { return };
    let kept = scene.browser.run(include_str!("page/lists.js"), &[]).await;
    assert!(kept.as_u64().is_some_and(|kept| kept > 300), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_the_token_and_shows_who_may_only_look_that_they_may_not() {
    let tokens =
        "token = \"for everything\"\n[admin.tokens.reader]\ntoken = \"for looking\"\nrole = \"read\"\n";
    let Some(scene) = Scene::open("en", tokens).await else { return };
    let browser = &scene.browser;
    browser.type_into("#token", &format!("wrong{ENTER}")).await;
    browser.until_says("No token of this relay.").await;
    browser.type_into("#token", &format!("for looking{ENTER}")).await;
    browser.until_says("All is well").await;
    scene.send(scene.with_image("ab")).await;
    browser.until_says("ab").await;
    browser.click("[data-key='hook.pause']").await;
    browser.click("dialog button.main").await;
    browser.until_says("its role is read").await;
    browser.open(&format!("{}/#/events", scene.origin())).await;
    browser.until("document.querySelectorAll('.thumb canvas').length === 1").await;
    assert_eq!(
        browser.run("return Object.keys(localStorage).length + document.cookie.length", &[]).await,
        json!(0)
    );
    browser.click("#forget").await;
    browser.until("document.getElementById('token')").await;
    assert_eq!(browser.run("return sessionStorage.length", &[]).await, json!(0));
    scene.check_quiet(&["401 (Unauthorized)", "403 (Forbidden)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_are_held_and_a_relay_that_comes_back_is_found() {
    let Some(mut scene) = Scene::open("en", "").await else { return };
    scene.send(event_body(1)).await;
    assert_eq!(attempt(&scene.client, scene.relay.http, event_body(2), "AnotherKey2026").await, Some(401));
    let browser = &scene.browser;
    browser
        .until(
            "[...document.querySelectorAll('.tile')].some((tile) => /Accepted\\n\\n?1/.test(tile.innerText))",
        )
        .await;
    browser.until_says("Wrong proof").await;
    browser.click("[data-key='hook.pause']").await;
    browser.type_into("dialog input", "a <b>deployment</b>").await;
    browser.click("dialog button.main").await;
    browser.until_says("a <b>deployment</b>").await;
    scene.send(event_body(3)).await;
    browser.until_says("hook is paused since").await;
    browser.click("[data-key='hook.resume']").await;
    browser.until_says("hook goes on.").await;
    until("what waited", Duration::from_secs(20), || scene.receiver.count() == 2).await;
    check_in(scene.folder.path(), &["drain"], "", 0, "");
    scene.browser.until_says("The relay is drained").await;

    assert_eq!(scene.relay.terminate(), Some(0));
    scene.browser.until_says("Not connected").await;
    let (http, admin) = (scene.relay.http, scene.relay.admin);
    scene.relay = start(scene.folder.path(), &scene.receiver, scene.images, http, admin, "").await;
    scene.browser.until("document.getElementById('live').dataset.state === 'live'").await;
    scene.send(event_body(9)).await;
    scene.browser.until_says("00000009").await;
    scene
        .check_quiet(&["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE"])
        .await;
}

/// Writes what each view looks like at three widths and in both themes, for whoever changes the page.
#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_looked_at() {
    let Some((_, folder)) = std::env::vars().find(|(name, _)| name == "PAGE_SCREENSHOTS") else {
        return eprintln!("skipped: set RUN_SLOW_TESTS=1 and PAGE_SCREENSHOTS=FOLDER");
    };
    let Some(scene) = Scene::open("en", "").await else { return };
    scene.receiver.answer_with(410);
    scene.send(event_body(0)).await;
    sleep(Duration::from_secs(1)).await;
    scene.receiver.answer_with(200);
    for number in 1..20 {
        scene.send(scene.with_image(&format!("{number:032x}"))).await;
    }
    attempt(&scene.client, scene.relay.http, event_body(2), "AnotherKey2026").await;
    sleep(Duration::from_secs(2)).await;
    let first = scene
        .browser
        .run("return fetch('api/v1/events?limit=1').then((r) => r.json()).then((e) => e.events[0].id)", &[]);
    let story = format!("#/events/{}", first.await.as_str().unwrap());
    for (view, hash) in [("now", "#/"), ("events", "#/events"), ("story", &story), ("dead", "#/dead")] {
        for width in [360, 820, 1440] {
            for theme in ["light", "dark"] {
                let screen =
                    json!({"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": width < 500});
                scene.browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
                let feature = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
                scene.browser.devtools("Emulation.setEmulatedMedia", feature).await;
                scene.browser.open(&format!("{}/{hash}", scene.origin())).await;
                sleep(Duration::from_secs(1)).await;
                let width_fits =
                    "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
                scene.browser.until(width_fits).await;
                let taken = scene.browser.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
                let bytes = decoded(taken["data"].as_str().unwrap());
                std::fs::write(Path::new(&folder).join(format!("{view}-{width}-{theme}.png")), bytes)
                    .unwrap();
            }
        }
    }
}

/// Base64, which nothing else here needs.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.trim_end_matches('=').bytes().map(|byte| u32::from(digit(byte))).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let number = four.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - four.len()));
        number.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    });
    bytes.collect()
}
