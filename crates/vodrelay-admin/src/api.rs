//! `/api/v1`: what people and their tools ask of a running relay, as JSON.

mod ask;
pub(crate) mod audit;
mod drain;
mod events;
mod forget;
mod gaps;
pub(crate) mod images;
mod letters;
mod now;
mod operations;
mod probes;
mod refused;
mod replay;
mod replays;
mod sink_orders;
mod sinks;
pub(crate) mod stream;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vodrelay_core::JournalError;
use vodrelay_core::readmission::ReadmissionError;
use vodrelay_core::replay::ReplayError;

use crate::router::{Shared, problem};

/// Where all of it stands. A later version that breaks a caller stands elsewhere.
pub(crate) const ROOT: &str = "/api/v1";

/// The paths below [`ROOT`]: those of the table, and no others.
pub(crate) fn router() -> Router<Shared> {
    operations::all()
        .into_iter()
        .fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "there is no such method at this path")
        })
}

/// Why a path does not do what it was asked.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    message: String,
}

/// What a path answers.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        problem(self.status, &self.message).into_response()
    }
}

impl Problem {
    /// That the request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }
}

impl From<ReadmissionError> for Problem {
    fn from(error: ReadmissionError) -> Self {
        let status = match error {
            ReadmissionError::UnknownCallback { .. } | ReadmissionError::AtWork => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message: error.to_string() }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Senseless(why) => Self::invalid(why),
            ReplayError::NotConfigured(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ReplayError::Journal(error) => error.into(),
        }
    }
}

impl From<JournalError> for Problem {
    /// What passes by itself is 503, so that tools try again.
    fn from(error: JournalError) -> Self {
        let status = match error {
            JournalError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message: error.to_string() }
    }
}
