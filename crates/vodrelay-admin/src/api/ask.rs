//! What a request says, with every mistake in it answered as all errors are.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use vodrelay_core::{Name, SinkName};

use super::Problem;
use crate::token::Caller;

/// The body, as JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = Json::<T>::from_request(request, state).await;
        let Json(body) = read.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(Self(body))
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = read.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(Self(asked))
    }
}

/// The sink that the path names.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) SinkName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = read.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        let bad = |error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}"));
        SinkName::new(&name).map(Self).map_err(bad)
    }
}

/// Who asks, for the log.
#[derive(Debug)]
pub(crate) struct By {
    token: Option<Name>,
    address: Option<SocketAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let token = parts.extensions.get::<Caller>().and_then(|caller| caller.name.clone());
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self { token, address: peer.map(|ConnectInfo(address)| *address) })
    }
}

impl By {
    /// The name of the token of whoever asks.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.as_ref().map(ToString::to_string)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(token) = &self.token {
            write!(f, "{token} at ")?;
        }
        match self.address {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unknown"),
        }
    }
}

/// Logs what was done with what a filter means: its parts by name, and of events, which may be five hundred, the count.
macro_rules! tell {
    ($filter:expr, $($rest:tt)*) => {{
        let filter: &vodrelay_core::ledger::LetterFilter = $filter;
        tracing::info!(
            filter.events = filter.events.len(),
            filter.sink = filter.sink.as_ref().map(tracing::field::display),
            filter.event_type = filter.event_type.as_deref(),
            filter.reason = filter.reason.as_deref(),
            filter.since = filter.since.map(tracing::field::display),
            filter.until = filter.until.map(tracing::field::display),
            $($rest)*
        );
    }};
}

pub(crate) use tell;
