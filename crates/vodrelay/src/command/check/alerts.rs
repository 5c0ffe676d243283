//! What `check` finds about those who are told what is wrong. Nobody is told anything here.

use super::{Finding, Verdict, finding};
use crate::config::Loaded;

pub(super) fn alerts(loaded: &Loaded) -> Vec<Finding> {
    let settings = match loaded.config.alerts.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("alerts", Verdict::Wrong, error.to_string())],
    };
    let told = |channel: &vodrelay_alerts::Channel| {
        let detail =
            format!("{}; not tried here, `vodrelay alerts test {}` does", channel.summary(), channel.name());
        finding(format!("alerts {}", channel.name()), Verdict::Ok, detail)
    };
    let mut findings: Vec<Finding> = settings.channels.iter().map(told).collect();
    findings
        .extend(settings.warnings.into_iter().map(|warning| finding("alerts", Verdict::Warning, warning)));
    if settings.channels.is_empty() && !loaded.config.expected().is_empty() {
        let detail = "expect_every is set, and nobody is told of silence; add [alerts.NAME]";
        findings.push(finding("alerts", Verdict::Warning, detail));
    }
    findings
}
