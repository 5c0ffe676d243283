//! What makes each metric move: a relay with everything that it can have, and everything that can happen to it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use mns_emulator::{AccessKey, Attributes, Emulator, Fault, Operation, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::metric;
use vodrelay_core::testing::{Picture, event_body};

use super::scrape::Scrape;
use crate::cli::check_in;
use crate::receiver::Receiver;
use crate::relay::{
    KEY, PUBLIC_URL, Process, accepted, attempt, callback_of, client, configuration, free_port, status,
};
use crate::reload::reload;
use crate::slow_tests_are_asked_for;

const PATIENCE: Duration = Duration::from_secs(30);

/// These say what is so, and do not move while a process lives.
const STANDING: [&str; 2] = ["vodrelay_build_info", "process_max_fds"];

/// What a relay would have to be brought into for these is the business of another test.
pub(super) const ELSEWHERE: [(&str, &str); 1] =
    [("vodrelay_mns_refused_total", "a_message_that_the_journal_refuses_for_good_holds_up_no_other")];

/// How the figures stood, and which have moved.
struct Watch {
    admin: SocketAddr,
    before: Scrape,
    moved: BTreeSet<&'static str>,
}

impl Watch {
    /// Waits until all of the table are there.
    async fn begin(admin: SocketAddr) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = Scrape::of(admin).await;
            let there = before.names();
            let missing: Vec<&str> =
                metric::all().map(|metric| metric.name).filter(|name| !there.contains(name)).collect();
            if missing.is_empty() {
                return Self { admin, before, moved: BTreeSet::new() };
            }
            assert!(Instant::now() < deadline, "not there from the start: {missing:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// After what was done, each of these comes to say something else than before.
    async fn moves(&mut self, by: &str, names: &[&'static str]) {
        let deadline = Instant::now() + PATIENCE;
        let mut left: Vec<&'static str> = names.to_vec();
        loop {
            let now = Scrape::of(self.admin).await;
            left.retain(|name| !now.differs(&self.before, name));
            if left.is_empty() {
                self.before = now;
                self.moved.extend(names);
                return;
            }
            assert!(Instant::now() < deadline, "{by} does not move {left:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Scrape) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.before) {
            assert!(Instant::now() < deadline, "{what} is not seen");
            sleep(Duration::from_millis(50)).await;
            self.before = Scrape::of(self.admin).await;
        }
    }

    /// All of the table have moved, but for those that need not.
    fn end(&self) {
        let excused = STANDING.into_iter().chain(ELSEWHERE.map(|(name, _)| name)).collect::<BTreeSet<_>>();
        let all: BTreeSet<&str> = metric::all().map(|metric| metric.name).collect();
        let still: Vec<&&str> = all.difference(&self.moved).filter(|name| !excused.contains(*name)).collect();
        assert!(still.is_empty(), "nothing here makes these move: {still:?}");
        let needless: Vec<&&str> = excused.intersection(&self.moved).collect();
        assert!(needless.is_empty(), "these need no excuse: {needless:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_there_from_the_start_and_moves() {
    if !slow_tests_are_asked_for() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = World::start().await;
    let (http, admin) = (free_port(), free_port());
    let config = world.configuration(http, admin);
    let mut relay = Process::start_with(folder, &config, http, admin).await;
    let mut watch = Watch::begin(admin).await;
    callbacks(&mut watch, &world, http).await;
    sinks(&mut watch, &world, http, folder).await;
    queue(&mut watch, &world).await;
    process(&mut watch, &relay, folder, &config).await;
    assert_eq!(relay.terminate(), Some(0));
    after_a_restart(&mut watch, &world, folder).await;
    with_a_full_journal(&mut watch, &world).await;
    watch.end();
}

async fn callbacks(watch: &mut Watch, world: &World, http: SocketAddr) {
    let client = client();
    accepted(&client, http, world.picture(2, 40_000)).await;
    let names = [
        "vodrelay_events_received_total",
        "vodrelay_ack_duration_seconds",
        "vodrelay_source_last_accepted_timestamp_seconds",
        "vodrelay_callback_key_last_used_timestamp_seconds",
        "vodrelay_clock_offset_seconds",
        "vodrelay_journal_events",
        "vodrelay_journal_events_appended_total",
        "vodrelay_journal_deliveries_settled_total",
        "vodrelay_journal_fsync_duration_seconds",
        "vodrelay_journal_wal_bytes",
        "vodrelay_last_progress_timestamp_seconds",
        "vodrelay_sink_attempts_total",
        "vodrelay_sink_attempt_duration_seconds",
        "vodrelay_delivery_age_seconds",
        "vodrelay_archive_images_total",
        "vodrelay_archive_bytes_total",
        "vodrelay_archive_fetch_duration_seconds",
        "vodrelay_spans_dropped_total",
    ];
    watch.moves("a callback", &names).await;
    assert_eq!(watch.before.sum("vodrelay_archive_bytes_total", &[]), 40_000.0);
    assert_eq!(
        watch.before.sum("vodrelay_archive_images_total", &[r#"state="kept""#, r#"cause="none""#]),
        1.0
    );

    accepted(&client, http, world.picture(2, 40_000)).await;
    watch
        .moves(
            "a try of the provider",
            &["vodrelay_duplicates_total", "vodrelay_provider_retries_seen_total"],
        )
        .await;
    assert_eq!(attempt(&client, http, event_body(1), "AnotherKey2026").await, Some(401));
    let names = ["vodrelay_auth_failures_total", "vodrelay_refusals_total", "vodrelay_refusals_kept"];
    watch.moves("a wrong key", &names).await;
    let long_ago = jiff::Timestamp::now() - Duration::from_secs(600);
    let late = callback_of(long_ago, &client, &format!("http://{http}"), event_body(1), KEY);
    assert_eq!(status(late).await, Some(401));
    watch.until("a clock that is ahead", |now| (595.0..630.0).contains(&offset(now))).await;
    let other = event_body(3).to_vec();
    let other = String::from_utf8(other).unwrap().replace("DynamicImageComplete", "NobodyKnowsThisOne");
    accepted(&client, http, other.into()).await;
    watch
        .moves("an event for no sink", &["vodrelay_events_unrouted_total", "vodrelay_unrouted_events"])
        .await;
    watch.until("a clock that is right", |now| (-5.0..25.0).contains(&offset(now))).await;
    let strange = [r#"event_type="other""#, r#"outcome="accepted""#];
    assert_eq!(watch.before.sum("vodrelay_events_received_total", &strange), 1.0, "strangers make no series");
    accepted(&client, http, "no event".into()).await;
    watch.moves("no event", &["vodrelay_events_unreadable_total", "vodrelay_unreadable_events"]).await;

    let mut slow = begin(http, 9).await;
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    watch.moves("a body that does not come", &["vodrelay_ack_over_3s_total"]).await;
}

async fn sinks(watch: &mut Watch, world: &World, http: SocketAddr, folder: &Path) {
    let client = client();
    world.down.answer_with(503);
    world.gone.answer_with(410);
    for number in 10..60 {
        accepted(&client, http, event_body(number)).await;
    }
    let names = [
        "vodrelay_sink_pending",
        "vodrelay_sink_oldest_pending_seconds",
        "vodrelay_journal_oldest_pending_seconds",
        "vodrelay_journal_bytes",
        "vodrelay_retry_overdue_seconds",
        "vodrelay_breaker_state",
        "vodrelay_dead_letters_total",
        "vodrelay_sink_dead_letters",
    ];
    watch.moves("sinks that fail", &names).await;
    watch.moves("people who are told of them", &["vodrelay_alerts_total"]).await;
    watch
        .until("a breaker that is open", |now| now.sum("vodrelay_breaker_state", &[r#"sink="down""#]) == 1.0)
        .await;
    check_in(folder, &["sinks", "pause", "hook"], "", 0, "hook is paused since");
    watch.moves("a pause", &["vodrelay_sink_paused"]).await;
    check_in(folder, &["sinks", "resume", "hook"], "", 0, "hook goes on");
    // Two more than there are places for.
    for number in 0..3 {
        accepted(&client, http, world.picture(100 + 2 * number, SLOW)).await;
    }
    watch.moves("images that wait for others", &["vodrelay_sink_postponed_total"]).await;
}

async fn queue(watch: &mut Watch, world: &World) {
    world.emulator.inject(Fault::WrongMd5.always());
    world.send(1_000);
    let names =
        ["vodrelay_mns_polls_total", "vodrelay_mns_deletions_total", "vodrelay_mns_md5_mismatches_total"];
    watch.moves("a message", &names).await;
    assert_eq!(watch.before.sum("vodrelay_mns_up", &[r#"queue="main""#]), 1.0);
    watch
        .until("a poll that waits", |now| now.sum("vodrelay_mns_pollers", &[r#"queue="main""#]) == 1.0)
        .await;
    world.emulator.clear_faults();
    let away = Fault::Unavailable.always().on(Operation::BatchReceiveMessage).on(Operation::ReceiveMessage);
    world.emulator.inject(away);
    world.send(1_001);
    watch.moves("a queue that is away", &["vodrelay_mns_up", "vodrelay_mns_pollers"]).await;
    world.emulator.clear_faults();
    world.emulator.inject(Fault::EarlyEmpty.always());
    watch.moves("polls that end early", &["vodrelay_mns_receive_empty_total"]).await;
    world.emulator.clear_faults();
    // The service of the other queue answered so before anybody looked; counters begin with 0.
    watch
        .until("a message without a handle", |now| {
            now.sum("vodrelay_mns_without_handle_total", &[r#"queue="odd""#]) > 0.0
        })
        .await;
    watch.moved.insert("vodrelay_mns_without_handle_total");
}

async fn process(watch: &mut Watch, relay: &Process, folder: &Path, config: &str) {
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut stream = begin(relay.http, 1_000_000).await;
        stream.write_all(&[b' '; 900_000]).await.unwrap();
        crowd.push(stream);
    }
    let names = ["process_open_fds", "process_cpu_seconds_total", "process_resident_memory_bytes"];
    watch.moves("a crowd", &names).await;
    drop(crowd);
    std::fs::write(folder.join("ballast"), vec![1; 64 << 20]).unwrap();
    watch.moves("a file on the disk", &["vodrelay_disk_free_bytes"]).await;
    assert!(reload(relay, folder, &config.replace("[admin]", "[admin] # again")).await);
    watch.moves("a reload", &["vodrelay_config_reload_timestamp_seconds"]).await;
    assert!(!reload(relay, folder, "nonsense = 1").await);
    watch.moves("a reload that is refused", &["vodrelay_config_last_reload_successful"]).await;
}

async fn after_a_restart(watch: &mut Watch, world: &World, folder: &Path) {
    let (http, admin) = (free_port(), free_port());
    let config = world.configuration(http, admin).replace("[sinks.down", "[sinks.another");
    let mut relay = Process::start_with(folder, &config, http, admin).await;
    watch.admin = admin;
    let names =
        ["vodrelay_orphaned_deliveries", "process_start_time_seconds", "process_virtual_memory_bytes"];
    watch.moves("a restart without a sink", &names).await;
    assert_eq!(relay.terminate(), Some(0));
}

async fn with_a_full_journal(watch: &mut Watch, world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let (http, admin) = (free_port(), free_port());
    let config = world.configuration(http, admin).replace("256MiB", "1000000GiB");
    let _relay = Process::start_with(folder.path(), &config, http, admin).await;
    watch.admin = admin;
    let names = ["vodrelay_journal_writable", "vodrelay_journal_min_free_bytes"];
    watch.moves("a disk without room", &names).await;
    world.send(2_000);
    let names = ["vodrelay_mns_paused", "vodrelay_mns_lease_renewals_total"];
    watch.moves("a message that waits for room", &names).await;
}

/// A callback whose head says that so much comes, and none of it.
async fn begin(http: SocketAddr, length: usize) -> TcpStream {
    let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(KEY), jiff::Timestamp::now());
    let head = format!(
        "POST /vod/callback HTTP/1.1\r\nhost: relay\r\ncontent-length: {length}\r\n\
         x-vod-timestamp: {}\r\nx-vod-signature: {}\r\n\r\n",
        proof.timestamp(),
        proof.signature_hex()
    );
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// How far the relay takes its clock to be ahead of the provider's.
fn offset(scrape: &Scrape) -> f64 {
    scrape.sum("vodrelay_clock_offset_seconds", &[r#"source="callbacks.main""#])
}

/// Who sends to the relay, and whom it sends to.
struct World {
    hook: Receiver,
    down: Receiver,
    gone: Receiver,
    people: Receiver,
    /// Takes no spans.
    collector: SocketAddr,
    images: SocketAddr,
    emulator: Emulator,
    odd: SocketAddr,
}

/// An image of this size takes long to come.
const SLOW: usize = 200_000;

impl World {
    async fn start() -> Self {
        let settings = Settings { access_keys: vec![AccessKey::new("AK", "SK")], ..Settings::default() };
        let emulator = Emulator::start(settings).await.unwrap();
        let attributes = Attributes { visibility_timeout: 2, ..Attributes::default() };
        emulator.create_queue("vod-events", attributes).unwrap();
        Self {
            hook: Receiver::start().await,
            down: Receiver::start().await,
            gone: Receiver::start().await,
            people: Receiver::start().await,
            collector: serve(Router::new().fallback(async || StatusCode::BAD_REQUEST)).await,
            images: serve(Router::new().fallback(image)).await,
            emulator,
            odd: serve(Router::new().fallback(async || ODD)).await,
        }
    }

    fn send(&self, number: usize) {
        self.emulator.send("vod-events", str::from_utf8(&event_body(number)).unwrap()).unwrap();
    }

    fn picture(&self, number: usize, size: usize) -> bytes::Bytes {
        Picture { number, size }.event(self.images)
    }

    fn configuration(&self, http: SocketAddr, admin: SocketAddr) -> String {
        let queue = |name: &str, endpoint: &str| {
            format!(
                "[mns.queues.{name}]\nendpoint = \"{endpoint}\"\nqueue = \"vod-events\"\n\
                 credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}\n"
            )
        };
        let webhook = |name: &str, receiver: &Receiver| {
            format!(
                "[sinks.{name}]\nkind = \"webhook\"\nevents = [\"DynamicImageComplete\"]\n\
                 retry = {{ first = \"100ms\", cap = \"200ms\" }}\n[sinks.{name}.options]\nurl = \"http://{}/hook\"\n",
                receiver.address
            )
        };
        [
            configuration(http, admin),
            queue("main", &self.emulator.endpoint()),
            queue("odd", &format!("http://{}", self.odd)),
            webhook("hook", &self.hook),
            webhook("down", &self.down),
            webhook("gone", &self.gone),
            format!("[alerts.people]\nurl = \"http://{}/\"\n", self.people.address),
            format!("[traces]\nendpoint = \"http://{}/v1/traces\"\n", self.collector),
            format!(
                "[sinks.archive]\nkind = \"archive\"\nevents = [\"DynamicImageComplete\"]\n[sinks.archive.options]\n\
                 url = \"file:archive\"\nfetches = 1\n[[sinks.archive.options.image_hosts]]\nname = \"{}\"\n\
                 allow_addresses = [\"127.0.0.1\"]\n",
                self.images
            ),
        ]
        .concat()
    }
}

/// A message without a handle.
const ODD: &str =
    "<Messages><Message><MessageId>1</MessageId><MessageBody>a</MessageBody></Message></Messages>";

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn image(uri: Uri) -> impl IntoResponse {
    let picture = Picture::at(uri.path()).unwrap();
    if picture.size == SLOW {
        sleep(Duration::from_secs(4)).await;
    }
    Body::from(picture.chunks().collect::<Vec<_>>().concat())
}
