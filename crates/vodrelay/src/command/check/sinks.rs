//! What `check` finds about the sinks: whether they can be built, what their options mean, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use vodrelay_core::routing::OneOrMany;
use vodrelay_core::{Clock, Name, Sink, SinkFactory, SourceName, SystemClock, event_types, nearest};
use vodrelay_sinks::archive::{Survey, survey};

use super::{Finding, PATIENCE, Verdict, finding};
use crate::config::{Config, Loaded, SinkConfig};
use crate::relay::{build_sinks, factories};

pub(super) async fn findings(
    loaded: &Loaded,
    own_factories: Vec<Arc<dyn SinkFactory>>,
    offline: bool,
) -> Vec<Finding> {
    let sinks = match build_sinks(&loaded.config, &loaded.surroundings, &factories(own_factories)) {
        Ok(sinks) => sinks,
        Err(error) => {
            return vec![finding("sinks", Verdict::Wrong, error.to_string())];
        }
    };
    let mut findings = Vec::new();
    if sinks.is_empty() {
        let detail = "there is none, so every event is kept as unrouted; add [sinks.NAME]";
        findings.push(finding("sinks", Verdict::Warning, detail));
    }
    findings.extend(archives(loaded));
    for (name, sink) in &sinks {
        let what = format!("sink {name}");
        if offline {
            findings.push(finding(what, Verdict::Ok, "built; not asked (--offline)"));
        } else {
            findings.extend(ask(&what, Arc::clone(sink)).await);
        }
    }
    findings.extend(unknown_types(&loaded.config));
    findings.extend(unheard_failures(&loaded.config));
    findings
}

/// The event types that sinks want and VOD is not known to send. It may have new ones, so that is no error.
fn unknown_types(config: &Config) -> Vec<Finding> {
    let wanted = config.sinks.iter().flat_map(|(name, sink)| {
        sink.events.iter().flat_map(|events| &events.0).map(move |word| (name, word))
    });
    let unknown = wanted.filter(|(_, word)| !event_types::is_known(word));
    let told = |(name, word): (&Name, &String)| {
        let advice = match nearest(word, event_types::known()) {
            Some(near) => format!("did you mean {near}?"),
            None => "look whether it is spelled as VOD's documentation spells it".to_owned(),
        };
        let detail = format!("events has {word:?}, a type that VOD is not known to send; {advice}");
        finding(format!("sink {name}"), Verdict::Warning, detail)
    };
    unknown.map(told).collect()
}

/// The sources of whose failed jobs no sink is told.
fn unheard_failures(config: &Config) -> Vec<Finding> {
    if config.sinks.is_empty() {
        return Vec::new();
    }
    let of_source = |source: SourceName| {
        let labels = config.labels_of(&source).cloned().unwrap_or_default();
        let takes = |wanted: &Option<OneOrMany>, word: &str| {
            wanted.as_ref().is_none_or(|words| words.0.iter().any(|wanted| wanted == word))
        };
        let comes_by = |sink: &&SinkConfig| {
            takes(&sink.sources, source.as_str())
                && sink
                    .labels
                    .iter()
                    .all(|(name, words)| labels.get(name).is_some_and(|value| words.0.contains(value)))
        };
        let is_heard = config.sinks.values().filter(comes_by).any(|sink| takes(&sink.status, "fail"));
        let detail = "the status of each sink that takes its events leaves out \"fail\", so nobody hears of jobs that failed; add it to one";
        (!is_heard).then(|| finding(source.as_str(), Verdict::Warning, detail))
    };
    config.sources().into_iter().filter_map(of_source).collect()
}

async fn ask(what: &str, sink: Arc<dyn Sink>) -> Vec<Finding> {
    // A task of its own, so that a sink that panics takes nothing but its answer along.
    let mut asked = tokio::spawn(async move { sink.check().await });
    match tokio::time::timeout(PATIENCE, &mut asked).await {
        Ok(Ok(Ok(remarks))) => {
            let remarks = remarks.into_iter().map(|remark| finding(what, Verdict::Warning, remark));
            std::iter::once(finding(what, Verdict::Ok, "answers")).chain(remarks).collect()
        }
        Ok(Ok(Err(error))) => vec![finding(what, Verdict::Unreachable, error.to_string())],
        Ok(Err(_)) => {
            let detail = "panicked when it was asked; this is a bug in it, and the panic above says where";
            vec![finding(what, Verdict::Panicked, detail)]
        }
        Err(_) => {
            asked.abort();
            vec![finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}"))]
        }
    }
}

/// What the options of the archives say by themselves.
fn archives(loaded: &Loaded) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut findings = Vec::new();
    let mut places = BTreeMap::new();
    for (name, sink) in loaded.config.sinks.iter().filter(|(_, sink)| sink.kind == "archive") {
        // What cannot be read so is of a kind of somebody's own, and was built a moment ago.
        let surveyed = survey(&sink.options(&loaded.surroundings), sink.settings().timeout.0, &clock);
        let Ok(Survey { place, images, doubts }) = surveyed else { continue };
        let what = format!("sink {name}");
        findings.push(finding(what.clone(), Verdict::Ok, images));
        findings.extend(doubts.into_iter().map(|doubt| finding(what.clone(), Verdict::Warning, doubt)));
        if let Some(other) = places.get(&place) {
            let detail = format!(
                "writes to the same place as sink {other}, {place}; give each a prefix, or take one out"
            );
            findings.push(finding(what, Verdict::Warning, detail));
        } else {
            places.insert(place, name);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use vodrelay_core::testing::MockSink;

    use super::*;

    #[test]
    fn failures_that_nobody_hears_of_are_told_once_for_each_source() {
        let check = |sinks: &str, expect: &[&str]| {
            let text = format!(
                "data_dir = \"d\"\n[http.callbacks.main]\npublic_url = \"https://r.example.com/cb\"\nkeys = [\"Abcdef0123456789\"]\n\
                 labels = {{ region = \"cn\" }}\n{sinks}"
            );
            let loaded =
                crate::config::from_text(&text, Some("vodrelay.toml".into()), Default::default()).unwrap();
            let found = unheard_failures(&loaded.config);
            assert_eq!(found.iter().map(|found| found.what.as_str()).collect::<Vec<_>>(), expect, "{sinks}");
        };
        let cms = "[sinks.cms]\nkind = \"webhook\"\nstatus = [\"success\"]\n";
        let other = |rest: &str| format!("{cms}[sinks.other]\nkind = \"webhook\"\n{rest}");
        check("", &[]);
        check(cms, &["callbacks.main"]);
        check(&other(""), &[]);
        check(&other("status = [\"fail\"]"), &[]);
        check(&other("labels = { region = \"cn\" }"), &[]);
        check(&other("labels = { region = \"sg\" }"), &["callbacks.main"]);
    }

    #[test]
    fn a_type_that_vod_does_not_send_is_told_with_the_nearest_that_it_does() {
        let check = |events: &str, expect: &[&str]| {
            let text = format!("data_dir = \"d\"\n[sinks.cms]\nkind = \"webhook\"\nevents = {events}\n");
            let loaded =
                crate::config::from_text(&text, Some("vodrelay.toml".into()), Default::default()).unwrap();
            let found = unknown_types(&loaded.config);
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (found, says) in found.iter().zip(expect) {
                assert!(found.what == "sink cms" && found.detail.ends_with(says), "{found:?}");
            }
        };
        check("[\"DynamicImageComplete\", \"TranscodeComplete\"]", &[]);
        check("\"DynamicImageCompleted\"", &["did you mean DynamicImageComplete?"]);
        check("\"dynamicimagecomplete\"", &["did you mean DynamicImageComplete?"]);
        check("[\"Complete\", \"other\"]", &["documentation spells it", "documentation spells it"]);
    }

    #[tokio::test]
    async fn remarks_are_warnings_beside_a_good_answer() {
        let mut sink = MockSink::new();
        sink.expect_check().return_once(|| Ok(vec!["s3://b is odd".to_owned()]));
        let findings = ask("sink archive", Arc::new(sink)).await;
        let said: Vec<(Verdict, &str)> =
            findings.iter().map(|finding| (finding.verdict, finding.detail.as_str())).collect();
        assert_eq!(said, [(Verdict::Ok, "answers"), (Verdict::Warning, "s3://b is odd")]);
    }

    #[tokio::test]
    async fn a_sink_that_panics_is_a_finding() {
        let mut sink = MockSink::new();
        sink.expect_check().return_once(|| panic!("a bug of the sink"));
        let findings = ask("sink archive", Arc::new(sink)).await;
        let said: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(said, [Verdict::Panicked]);
    }
}
