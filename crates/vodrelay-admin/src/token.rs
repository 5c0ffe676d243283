//! Lets in whoever knows a token, to what that token is good for.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};
use vodrelay_core::Name;
use vodrelay_core::config::Secret;

use crate::router::{Shared, problem};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looking at everything.
    Read,
    /// Changing things, too.
    Operate,
}

/// One token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The name that changes are noted under; `admin.token` has none.
    pub name: Option<Name>,
    /// What it is good for.
    pub role: Role,
    /// The token itself.
    pub secret: Secret,
}

/// All of them. Without any, whoever reaches the listener may do everything.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: Option<Name>,
    pub(crate) role: Role,
    /// What was shown; nothing where nothing was asked for.
    pub(crate) secret: Option<Secret>,
}

impl Tokens {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that may do most, for the commands of the relay itself: whoever has only one that reads can read with it.
    #[must_use]
    pub fn strongest(&self) -> Option<&Secret> {
        let operating = self.0.iter().find(|token| token.role == Role::Operate);
        operating.or_else(|| self.0.first()).map(|token| &token.secret)
    }

    pub(crate) fn holds(&self, secret: &Secret) -> bool {
        self.0.iter().any(|token| token.secret.expose() == secret.expose())
    }

    /// Whether a caller that other tokens let in would be let in by these.
    pub(crate) fn still_admit(&self, caller: &Caller) -> bool {
        self.is_empty() || caller.secret.as_ref().is_some_and(|secret| self.holds(secret))
    }

    /// Whose the request is, if it is anybody's.
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        if self.is_empty() {
            return Some(Caller { name: None, role: Role::Operate, secret: None });
        }
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let (scheme, given) = line.as_bytes().split_at_checked("Bearer ".len())?;
        let given = given.trim_ascii();
        // Each is compared, and in constant time, so that the time of an answer tells neither how much of a guess was right
        // nor which token it came close to.
        let matches: Vec<Choice> =
            self.0.iter().map(|token| given.ct_eq(token.secret.expose().as_bytes())).collect();
        let mut matching = self.0.iter().zip(matches).filter(|(_, matches)| bool::from(*matches));
        let (token, _) = matching.next().filter(|_| scheme.eq_ignore_ascii_case(b"Bearer "))?;
        Some(Caller { name: token.name.clone(), role: token.role, secret: Some(token.secret.clone()) })
    }
}

impl Extend<Token> for Tokens {
    fn extend<T: IntoIterator<Item = Token>>(&mut self, tokens: T) {
        self.0.extend(tokens);
    }
}

impl FromIterator<Token> for Tokens {
    fn from_iter<T: IntoIterator<Item = Token>>(tokens: T) -> Self {
        Self(tokens.into_iter().collect())
    }
}

/// Stands before every path that needs a token.
pub(crate) async fn require(State(state): State<Shared>, mut request: Request, next: Next) -> Response {
    if state.tokens.is_empty() && !is_of_this_machine(request.headers()) {
        let message = "this relay asks for no token, so it answers by its address or as localhost alone: a page of another site \
            could have its own name lead here; set admin.token to use another name";
        return problem(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let Some(caller) = state.tokens.caller(request.headers()) else {
        let answer = problem(
            StatusCode::UNAUTHORIZED,
            "the admin token is missing or wrong: send Authorization: Bearer TOKEN",
        );
        return ([(WWW_AUTHENTICATE, "Bearer")], answer).into_response();
    };
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && caller.role == Role::Read {
        let name = caller.name.as_ref().map_or("this token", Name::as_str);
        let message = format!("{name} may read and change nothing: its role is read, and this takes operate");
        return problem(StatusCode::FORBIDDEN, &message).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Whether it was asked for under a name that no stranger can make lead here. Browsers take whatever a name leads to for a
/// part of the site that has the name.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_can_have_is_not_of_this_machine() {
        let check = |host: &str, expect: bool| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            assert_eq!(is_of_this_machine(&headers), expect, "{host}");
        };
        for host in [
            "127.0.0.1:8081",
            "127.0.0.1",
            "192.0.2.7:80",
            "[::1]:8081",
            "[::1]",
            "localhost",
            "LOCALHOST:8081",
        ] {
            check(host, true);
        }
        check("relay.localhost:1", true);
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8081",
            "",
            ":1",
            "a:b:c",
        ] {
            check(host, false);
        }
        assert!(is_of_this_machine(&HeaderMap::new()));
    }
}
