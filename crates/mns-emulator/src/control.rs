//! `/_emulator/`: what a test in another process or language asks of the emulator itself, as JSON, without a signature.

use http::{Method, Response};
use serde::Serialize;

use crate::answer::{Pieces, plain};
use crate::fault::Injection;
use crate::request::Request;
use crate::service::Service;

/// Answers a request for the emulator itself; nothing if it is one for the service.
pub(crate) fn answer(request: &Request, service: &Service) -> Option<Response<Pieces>> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let rest = path.strip_prefix("/_emulator/")?;
    let response = match (&request.method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::GET, ("ledger", "")) => json(&service.state().ledger),
        (&Method::DELETE, ("ledger", "")) => {
            service.state().ledger = crate::Ledger::default();
            plain(204, JSON, "")
        }
        (&Method::GET, ("faults", "")) => json(&service.state().plan.injections),
        (&Method::PUT, ("faults", "")) => match serde_json::from_slice::<Vec<Injection>>(&request.body) {
            Ok(injections) => {
                service.state().plan.injections = injections;
                plain(204, JSON, "")
            }
            Err(error) => problem(400, &format!("expected a list of faults: {error}")),
        },
        (&Method::POST, ("clock", "")) => match milliseconds(query) {
            Some(by) => {
                service.settings.clock.advance(by);
                json(&serde_json::json!({ "now": service.now() }))
            }
            None => problem(400, "expected POST /_emulator/clock?advance_ms=NUMBER"),
        },
        (&Method::GET, ("messages", queue)) => {
            let now = service.now();
            match service.state().messages(queue, now) {
                Some(messages) => json(&messages),
                None => {
                    problem(404, &format!("there is no queue {queue:?}; create it, or start with --queue"))
                }
            }
        }
        _ => problem(404, "the README of mns-emulator lists what can be asked here"),
    };
    Some(response)
}

const JSON: &str = "application/json";

fn json(value: &impl Serialize) -> Response<Pieces> {
    match serde_json::to_string(value) {
        Ok(text) => plain(200, JSON, text),
        Err(error) => plain(500, JSON, serde_json::json!({ "error": error.to_string() }).to_string()),
    }
}

fn problem(status: u16, message: &str) -> Response<Pieces> {
    plain(status, JSON, serde_json::json!({ "error": message }).to_string())
}

fn milliseconds(query: &str) -> Option<std::time::Duration> {
    let number = query.strip_prefix("advance_ms=")?.parse().ok()?;
    Some(std::time::Duration::from_millis(number))
}
