//! What a request says, with every mistake in it answered as all errors are: 400 for one in the path or the query, or a
//! body that is no JSON, 422 for a body that makes no sense.

mod said;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use vodrelay_core::{Name, SinkName};

use self::said::Said;
use super::Problem;
use crate::token::Caller;

/// The body, as JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = Json::<Said>::from_request(request, state).await;
        let Json(said) = read.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        said.read("the body").map(Self).map_err(Problem::invalid)
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Pairs(pairs) = Pairs::from_request_parts(parts, state).await?;
        let words = pairs.into_iter().map(|(name, value)| (name, Said::Word(value))).collect();
        Said::Object(words)
            .read("the query")
            .map(Self)
            .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))
    }
}

/// The same, of whoever knows the names only while it reads them. None stands there twice.
#[derive(Debug)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = read.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|two| two.first() == two.last()).and_then(<[_]>::first) {
            Some(name) => Err(wrong(name, "it stands there twice; give it once")),
            None => Ok(Self(pairs)),
        }
    }
}

/// One of them, by the rules of all others.
pub(crate) fn word<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, Problem> {
    let read = Said::Word(value.to_owned()).read(name);
    read.map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))
}

/// That something is wrong with the path or the query. The name is cut: a message is no place for whatever somebody sends.
pub(crate) fn wrong(name: &str, why: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    Problem::new(StatusCode::BAD_REQUEST, format!("{name}: {why}"))
}

/// The number that the path ends with.
#[derive(Debug)]
pub(crate) struct Numbered(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for Numbered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<u64>::from_request_parts(parts, state).await;
        read.map(|Path(id)| Self(id)).map_err(|error| wrong("id", &error.body_text()))
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
