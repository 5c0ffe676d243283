//! Lets in whoever knows the token.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::router::{Shared, problem};

/// Stands before every path that needs the token.
pub(crate) async fn require(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let Some(token) = &state.token else { return next.run(request).await };
    if knows(request.headers(), token.expose()) {
        return next.run(request).await;
    }
    let answer = problem(
        StatusCode::UNAUTHORIZED,
        "the admin token is missing or wrong: send Authorization: Bearer TOKEN",
    );
    ([(WWW_AUTHENTICATE, "Bearer")], answer).into_response()
}

fn knows(headers: &HeaderMap, token: &str) -> bool {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Some((scheme, given)) = line.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    // In constant time, so that the time of an answer does not tell how much of a guess was right.
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.trim_ascii().ct_eq(token.as_bytes()))
}
