//! Lets in whoever knows a token, to what that token is good for.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
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
    role: Role,
    /// What was shown; nothing where nothing was asked for.
    pub(crate) secret: Option<Secret>,
}

impl Tokens {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that may change things, for the commands of the relay itself.
    #[must_use]
    pub fn operating(&self) -> Option<&Secret> {
        self.0.iter().find(|token| token.role == Role::Operate).map(|token| &token.secret)
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
