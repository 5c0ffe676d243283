//! What `check` finds about the keys of callbacks, by what the running relay says of their use: the evidence that a rotation
//! waits for.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Verdict, finding};
use crate::command::ask::RunningRelay;
use crate::config::Loaded;
use crate::output;

const METRIC: &str = "vodrelay_callback_key_last_used_timestamp_seconds{";
/// By then VOD has the other key everywhere, or has nothing to tell.
const LONG: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Nothing where it does not tell.
pub(super) async fn findings(loaded: &Loaded, relay: &RunningRelay, now: Timestamp) -> Vec<Finding> {
    let Ok(settings) = loaded.config.http.resolve(&loaded.surroundings) else { return Vec::new() };
    let Ok(metrics) = relay.metrics().await else { return Vec::new() };
    let callbacks = settings.callbacks.iter().map(|callback| {
        let keys = callback.endpoint.keys.iter().map(|key| key.name.as_str());
        judge(callback.name.as_str(), &keys.collect::<Vec<_>>(), &metrics, now)
    });
    callbacks.flatten().collect()
}

fn judge(callback: &str, keys: &[&str], metrics: &str, now: Timestamp) -> Vec<Finding> {
    let ages: Vec<_> = keys
        .iter()
        .map(|key| (*key, last_used(metrics, callback, key).map(|at| now.duration_since(at))))
        .collect();
    if ages.iter().all(|(_, age)| age.is_none()) {
        return Vec::new();
    }
    let is_idle = |age: &Option<SignedDuration>| age.is_none_or(|age| age > LONG);
    let told = |(key, age): &(&str, Option<SignedDuration>)| {
        let used = match age {
            Some(age) => format!("was last used {} ago", output::age(age.as_secs().max(0))),
            None => "was not used since the relay knows".to_owned(),
        };
        let what = format!("callback {callback}");
        if keys.len() > 1 && is_idle(age) {
            let detail = format!(
                "key {key} {used}; where VOD has another one in each region and application, take it out"
            );
            return finding(what, Verdict::Warning, detail);
        }
        finding(what, Verdict::Ok, format!("key {key} {used}"))
    };
    ages.iter().map(told).collect()
}

/// Whatever the labels are called, one has the callback and one the key.
fn last_used(metrics: &str, callback: &str, key: &str) -> Option<Timestamp> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let (callback, key) = (quoted(callback), quoted(key));
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(METRIC)?.rsplit_once("} "));
    let mut values = lines.filter_map(|(labels, value)| {
        let has = |text: &str| labels.contains(&format!("={text}"));
        (has(&callback) && has(&key)).then(|| value.parse::<f64>().ok())?
    });
    let seconds = values.next().filter(|seconds| *seconds > 0.0)?;
    Timestamp::from_second(seconds as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nobody_uses_any_more_may_go() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let check = |metrics: &[(&str, &str, i64)], expect: &[(Verdict, &str)]| {
            let line = |(callback, key, ago): &(&str, &str, i64)| {
                format!("{METRIC}callback=\"{callback}\",key=\"{key}\"}} {}\n", 1_800_000_000 - ago)
            };
            let metrics: String = metrics.iter().map(line).collect();
            let found = judge("main", &["old", "new"], &metrics, now);
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (found, (verdict, says)) in found.iter().zip(expect) {
                assert!(found.verdict == *verdict && found.detail.contains(says), "{found:?}");
            }
        };
        check(&[], &[]);
        check(&[("other", "old", 1)], &[]);
        check(
            &[("main", "old", 700), ("main", "new", 5)],
            &[
                (Verdict::Ok, "key old was last used 11 min ago"),
                (Verdict::Ok, "key new was last used 5 s ago"),
            ],
        );
        check(
            &[("main", "old", 864_000), ("main", "new", 5)],
            &[
                (Verdict::Warning, "key old was last used 10 d ago; where VOD has another one"),
                (Verdict::Ok, "key new"),
            ],
        );
        check(
            &[("main", "new", 5)],
            &[(Verdict::Warning, "key old was not used since the relay knows"), (Verdict::Ok, "key new")],
        );
    }
}
