//! When the provider asks its source, and what its callers get meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aliyun_credentials::{
    CredentialError, CredentialProvider, CredentialSource, Credentials, Environment, ErrorKind, Secret,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

const START: i64 = 1_700_000_000;

/// A source that plays a script, and then goes on saying that it is unreachable.
#[derive(Debug)]
struct Script {
    answers: Mutex<VecDeque<Result<Credentials, CredentialError>>>,
    fetches: AtomicUsize,
    changed: AtomicBool,
    /// A fetch takes one; tests that let fetches hang give none.
    gate: Semaphore,
}

/// A provider on a clock that stands still until it is moved.
struct Scene {
    provider: CredentialProvider,
    source: Arc<Script>,
    now: Arc<Mutex<Timestamp>>,
}

#[async_trait]
impl CredentialSource for Script {
    async fn fetch(&self) -> Result<Credentials, CredentialError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| Err(CredentialError::new(ErrorKind::Unreachable, "nobody answers")))
    }

    async fn has_changed(&self) -> bool {
        self.changed.swap(false, Ordering::SeqCst)
    }
}

impl Scene {
    fn new(answers: impl IntoIterator<Item = Result<Credentials, CredentialError>>) -> Self {
        let source = Arc::new(Script {
            answers: Mutex::new(answers.into_iter().collect()),
            fetches: AtomicUsize::default(),
            changed: AtomicBool::default(),
            gate: Semaphore::new(1000),
        });
        let now = Arc::new(Mutex::new(Timestamp::from_second(START).unwrap()));
        let clock = Arc::clone(&now);
        let as_source: Arc<dyn CredentialSource> = Arc::<Script>::clone(&source);
        let provider = CredentialProvider::with_now(as_source, move || *clock.lock().unwrap());
        Self { provider, source, now }
    }

    fn at(&self, seconds: i64) -> &Self {
        *self.now.lock().unwrap() = Timestamp::from_second(START + seconds).unwrap();
        self
    }

    /// What a caller gets, by its id, and how often the source has been asked by then.
    async fn ask(&self) -> (Result<String, ErrorKind>, usize) {
        let result = self.provider.credentials().await;
        let id = result.map(|credentials| credentials.access_key_id.clone()).map_err(|error| error.kind);
        (id, self.source.fetches.load(Ordering::SeqCst))
    }
}

/// Temporary keys that end so many seconds after the start.
fn until(id: &str, seconds: i64) -> Credentials {
    let end = Timestamp::from_second(START).unwrap() + SignedDuration::from_secs(seconds);
    let security_token = Some(Secret::new("token"));
    Credentials { expires_at: Some(end), security_token, ..Credentials::new(id, "secret") }
}

fn got(id: &str, fetches: usize) -> (Result<String, ErrorKind>, usize) {
    (Ok(id.to_owned()), fetches)
}

#[tokio::test]
async fn what_does_not_expire_is_fetched_once() {
    let scene = Scene::new([Ok(Credentials::new("a", "secret"))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(1_000_000_000).ask().await, got("a", 1));
}

#[tokio::test]
async fn an_hour_is_renewed_five_minutes_before_its_end() {
    let scene = Scene::new([Ok(until("a", 3600)), Ok(until("b", 7200))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(3299).ask().await, got("a", 1));
    assert_eq!(scene.at(3309).ask().await, got("b", 2));
}

#[tokio::test]
async fn a_short_life_is_renewed_in_its_last_fifth() {
    let scene = Scene::new([Ok(until("a", 100)), Ok(until("b", 200))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(79).ask().await, got("a", 1));
    assert_eq!(scene.at(90).ask().await, got("b", 2));
}

#[tokio::test]
async fn while_the_old_ones_are_valid_a_failure_costs_nobody_anything() {
    let scene = Scene::new([Ok(until("a", 3600))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(3400).ask().await, got("a", 2));
    for _ in 0..100 {
        assert_eq!(scene.at(3409).ask().await, got("a", 2), "asked again before the pause is over");
    }
    assert_eq!(scene.at(3410).ask().await, got("a", 3));
    assert_eq!(scene.at(3599).ask().await, got("a", 4));
}

#[tokio::test]
async fn after_the_end_a_failure_is_an_error_and_the_source_is_not_hammered() {
    let scene = Scene::new([Ok(until("a", 3600))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(3600).ask().await, (Err(ErrorKind::Unreachable), 2));
    for _ in 0..100 {
        assert_eq!(scene.at(3609).ask().await, (Err(ErrorKind::Unreachable), 2));
    }
    scene.source.answers.lock().unwrap().push_back(Ok(until("b", 7200)));
    assert_eq!(scene.at(3610).ask().await, got("b", 3));
}

#[tokio::test]
async fn what_is_fetched_expired_is_an_error_that_names_it() {
    let scene = Scene::new([Ok(until("STS.old", -1))]);
    let error = scene.provider.credentials().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Expired);
    assert!(error.message.contains("STS.old expired at 2023-11-14T22:13:19Z"), "{error}");
}

#[tokio::test]
async fn what_is_not_renewed_yet_is_looked_for_after_each_pause() {
    let same = || Ok(until("a", 3600));
    let scene = Scene::new([same(), same(), same(), Ok(until("b", 7200))]);
    assert_eq!(scene.ask().await, got("a", 1));
    assert_eq!(scene.at(3300).ask().await, got("a", 2));
    assert_eq!(scene.at(3305).ask().await, got("a", 2));
    assert_eq!(scene.at(3310).ask().await, got("a", 3));
    assert_eq!(scene.at(3320).ask().await, got("b", 4));
    assert_eq!(scene.at(3400).ask().await, got("b", 4));
}

#[tokio::test]
async fn a_change_at_the_source_is_seen_after_the_pause() {
    let scene = Scene::new([Ok(Credentials::new("a", "secret")), Ok(Credentials::new("b", "secret"))]);
    assert_eq!(scene.ask().await, got("a", 1));
    scene.source.changed.store(true, Ordering::SeqCst);
    assert_eq!(scene.at(9).ask().await, got("a", 1));
    assert_eq!(scene.at(10).ask().await, got("b", 2));
    assert_eq!(scene.at(20).ask().await, got("b", 2));
}

#[tokio::test]
async fn what_a_service_refuses_is_fetched_again_once() {
    let scene = Scene::new([Ok(Credentials::new("a", "secret")), Ok(Credentials::new("b", "secret"))]);
    let refused = scene.provider.credentials().await.unwrap();
    scene.provider.invalidate(&refused);
    assert_eq!(scene.at(9).ask().await, got("a", 1));
    assert_eq!(scene.at(10).ask().await, got("b", 2));
    // A second caller who was refused with the same old ones changes nothing.
    scene.provider.invalidate(&refused);
    assert_eq!(scene.at(20).ask().await, got("b", 2));
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_the_looking() {
    let scene = Scene::new([]);
    assert_eq!(scene.ask().await, (Err(ErrorKind::Unreachable), 1));
    assert_eq!(scene.at(-5).ask().await, (Err(ErrorKind::Unreachable), 1));
    assert_eq!(scene.at(-86_400).ask().await, (Err(ErrorKind::Unreachable), 2));
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let scene = Scene::new([Ok(until("a", 3600)), Ok(until("b", 7200))]);
    scene.source.gate.forget_permits(1000);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let provider = scene.provider.clone();
            tokio::spawn(async move { provider.credentials().await.unwrap().access_key_id.clone() })
        })
        .collect();
    while scene.source.fetches.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    scene.source.gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "a");
    }
    assert_eq!(scene.source.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_renewal_while_the_old_ones_are_valid() {
    let scene = Scene::new([Ok(until("a", 3600)), Ok(until("b", 7200))]);
    assert_eq!(scene.ask().await, got("a", 1));
    scene.source.gate.forget_permits(1000);
    scene.at(3400);
    let renewing = tokio::spawn({
        let provider = scene.provider.clone();
        async move { provider.credentials().await.unwrap().access_key_id.clone() }
    });
    while scene.source.fetches.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    // Longer than a pause into a fetch that hangs, too.
    assert_eq!(scene.at(3500).ask().await, got("a", 2));
    scene.source.gate.add_permits(1);
    assert_eq!(renewing.await.unwrap(), "b");
    assert_eq!(scene.ask().await, got("b", 2));
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_leave_the_next_one_to_hammer() {
    let scene = Scene::new([Ok(until("a", 3600)), Ok(until("b", 7200))]);
    assert_eq!(scene.ask().await, got("a", 1));
    scene.source.gate.forget_permits(1000);
    scene.at(3400);
    tokio::select! {
        biased;
        _ = scene.provider.credentials() => panic!("the gate is closed"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(scene.ask().await, got("a", 2));
    scene.source.gate.add_permits(1);
    assert_eq!(scene.at(3410).ask().await, got("b", 3));
}

#[tokio::test]
async fn what_expires_during_a_renewal_that_fails_is_not_returned() {
    let scene = Scene::new([Ok(until("a", 3600))]);
    assert_eq!(scene.ask().await, got("a", 1));
    scene.source.gate.forget_permits(1000);
    scene.at(3590);
    let ask = async { scene.ask().await.0 };
    let expire = async {
        scene.at(3600);
        scene.source.gate.add_permits(1);
    };
    assert_eq!(tokio::join!(biased; ask, expire).0, Err(ErrorKind::Unreachable));
}

#[tokio::test]
async fn fixed_ones_are_those() {
    let provider = CredentialProvider::fixed(Credentials::new("a", "s3cret"));
    assert_eq!(provider.credentials().await.unwrap().access_key_id, "a");
    assert!(!format!("{provider:?}").contains("s3cret"));
    let error = CredentialProvider::fixed(Credentials::new("a", "")).credentials().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Missing);
}

#[tokio::test]
async fn the_environment_is_read_by_the_names_of_the_providers_tools() {
    let environment = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned()));
        Environment::new(&pairs.collect())
    };
    let keys = [("ACCESS_KEY_ID", "id"), ("ACCESS_KEY_SECRET", "s3cret")];
    let source = environment(&[keys[0], keys[1], ("SECURITY_TOKEN", "s3cret token")]);
    assert!(!format!("{source:?}").contains("s3cret"));
    crate::check_error(source.fetch().await, ErrorKind::Malformed, "security token");
    let with_token = environment(&[keys[0], keys[1], ("SECURITY_TOKEN", "t")]).fetch().await.unwrap();
    assert_eq!(with_token.security_token, Some(Secret::new("t")));
    let without = environment(&[keys[0], keys[1], ("SECURITY_TOKEN", "")]).fetch().await.unwrap();
    assert_eq!(without, Credentials::new("id", "s3cret"));
    let missing = |pairs| async move { environment(pairs).fetch().await };
    crate::check_error(missing(&[]).await, ErrorKind::Missing, "ALIBABA_CLOUD_ACCESS_KEY_ID is not set");
    crate::check_error(missing(&[("ACCESS_KEY_ID", "id")]).await, ErrorKind::Missing, "ACCESS_KEY_SECRET");
}
