//! Answers requests: the way of each, step by step, with the places where faults strike.

mod receive;

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Response;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::answer::{Answer, Pieces, Reply, response};
use crate::clock::later;
use crate::connection::Presence;
use crate::fault::Fault;
use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::request::{Call, Request};
use crate::settings::Settings;
use crate::signature;
use crate::state::{Receive, State};

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) settings: Settings,
    state: Mutex<State>,
    /// Marked whenever a receive begins or ends to wait.
    pub(crate) parking: watch::Sender<()>,
}

/// What is needed to say no: the request's id and the host that was asked.
struct Asked<'r> {
    request_id: &'r str,
    host: &'r str,
}

impl Service {
    pub(crate) fn new(settings: Settings) -> Self {
        let state = Mutex::new(State::new(&settings));
        Self { settings, state, parking: watch::Sender::new(()) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Answers one request; nothing closes the connection.
    pub(crate) async fn answer(&self, request: &Request, presence: &Presence) -> Option<Response<Pieces>> {
        let request_id = self.state().mint.request_id(self.now());
        let asked = Asked { request_id: &request_id, host: request.header("host").unwrap_or("localhost") };
        let reply = match self.admit(request) {
            Ok(call) => self.reply(call, &asked, presence).await,
            Err(refusal) => {
                self.state().ledger.turn_away(refusal.code);
                asked.refused(&refusal)
            }
        };
        let response = response(reply, &request_id, &self.settings, self.now());
        tracing::debug!(
            http.method = %request.method, http.target = request.target, mns.request_id = request_id,
            http.status = response.as_ref().map(|response| response.status().as_u16()), "a request was answered",
        );
        response
    }

    fn admit(&self, request: &Request) -> Result<Call, Refusal> {
        signature::check(request, &self.settings, self.now())?;
        Call::read(request, self.settings.strict)
    }

    async fn reply(&self, call: Call, asked: &Asked<'_>, presence: &Presence) -> Reply {
        let operation = call.operation();
        self.state().ledger.tally(operation).requests += 1;
        if let Some(reply) = self.struck_before(operation, asked) {
            return reply;
        }
        let result = match self.perform(call, asked, presence).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => return Reply::Close,
            Err(refusal) => Err(refusal),
        };
        let slow = self.state().plan.strikes(Fault::Slow, operation);
        if slow {
            self.settings.clock.sleep_until(later(self.now(), self.settings.slow_by)).await;
        }
        self.struck_after(operation, result, asked)
    }

    /// Does what is asked for; gives nothing if the client has gone meanwhile.
    async fn perform(
        &self,
        call: Call,
        asked: &Asked<'_>,
        presence: &Presence,
    ) -> Result<Option<Answer>, Refusal> {
        let (now, host) = (self.now(), asked.host);
        let answer = match call {
            Call::Receive { queue, most, wait_seconds } => {
                return self.receive(Receive { queue, most, wait_seconds }, presence).await;
            }
            Call::ListQueue { prefix, marker, most, with_meta } => {
                self.state().list_queues((&prefix, &marker), most, with_meta, host, now)
            }
            Call::CreateQueue { queue, attributes } => {
                self.state().create_queue(&queue, &attributes, host, now)?
            }
            Call::SetQueueAttributes { queue, attributes } => {
                self.state().set_attributes(&queue, &attributes, now)?
            }
            Call::GetQueueAttributes { queue } => self.state().attributes(&queue, now)?,
            Call::DeleteQueue { queue } => self.state().delete_queue(&queue, self.settings.name_rest, now),
            Call::Send { queue, drafts, batch } => self.state().send(&queue, drafts, batch, now)?,
            Call::Peek { queue, most } => self.state().peek(&queue, most, now)?,
            Call::Delete { queue, handle } => self.state().delete(&queue, &handle, now)?,
            Call::BatchDelete { queue, handles } => self.state().batch_delete(&queue, &handles, now)?,
            Call::ChangeVisibility { queue, handle, timeout } => {
                self.state().change_visibility(&queue, &handle, timeout, now)?
            }
        };
        Ok(Some(answer))
    }

    fn struck_before(&self, operation: Operation, asked: &Asked<'_>) -> Option<Reply> {
        let mut state = self.state();
        let mut strikes = |fault| state.plan.strikes(fault, operation);
        if strikes(Fault::DropBefore) {
            return Some(Reply::Close);
        }
        if strikes(Fault::Unavailable) {
            return Some(Reply::Gateway { status: 503, page: "" });
        }
        if strikes(Fault::BadGateway) {
            let page =
                "<html><head><title>502 Bad Gateway</title></head><body><hr>502 Bad Gateway</body></html>";
            return Some(Reply::Gateway { status: 502, page });
        }
        let refusal = if strikes(Fault::Throttle) {
            Refusal::TOO_MANY_REQUESTS
        } else if strikes(Fault::ErrorBefore) {
            Refusal::INTERNAL_ERROR
        } else {
            return None;
        };
        state.ledger.tally(operation).error(refusal.code);
        Some(asked.refused(&refusal))
    }

    fn struck_after(
        &self,
        operation: Operation,
        result: Result<Answer, Refusal>,
        asked: &Asked<'_>,
    ) -> Reply {
        let mut state = self.state();
        if state.plan.strikes(Fault::DropAfter, operation) {
            return Reply::Close;
        }
        let strikes = state.plan.strikes(Fault::ErrorAfter, operation);
        let result = if strikes { Err(Refusal::INTERNAL_ERROR) } else { result };
        let answer = match result {
            Ok(answer) => answer,
            Err(refusal) => {
                note_refusal(&mut state, operation, &refusal);
                Answer::refused(&refusal, asked.request_id, asked.host)
            }
        };
        if state.plan.strikes(Fault::Cut, operation) { Reply::Cut(answer) } else { Reply::Whole(answer) }
    }
}

/// An empty queue is no error, but it costs a request like any other.
fn note_refusal(state: &mut State, operation: Operation, refusal: &Refusal) {
    use Operation::{BatchPeekMessage, BatchReceiveMessage, PeekMessage, ReceiveMessage};
    let looks = matches!(operation, ReceiveMessage | BatchReceiveMessage | PeekMessage | BatchPeekMessage);
    let tally = state.ledger.tally(operation);
    if looks && *refusal == Refusal::MESSAGE_NOT_EXIST { tally.empty += 1 } else { tally.error(refusal.code) }
}

impl Asked<'_> {
    fn refused(&self, refusal: &Refusal) -> Reply {
        Reply::Whole(Answer::refused(refusal, self.request_id, self.host))
    }
}
