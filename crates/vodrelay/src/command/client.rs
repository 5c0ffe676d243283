//! The HTTP clients of the commands: as VOD's, and for the relay's own listeners.

use std::time::Duration;

use vodrelay_core::config::{Surroundings, TlsFiles};

use crate::exit::{Code, Failure, io_failure};

/// A client that behaves as VOD's does: no redirects, no proxies, a time limit.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client, Failure> {
    built(client_builder(timeout))
}

/// The same, for a listener of the relay: where that speaks TLS, its certificate is known from the configuration.
pub(crate) fn client_of_relay(
    timeout: Duration,
    tls: Option<&TlsFiles>,
    surroundings: &Surroundings,
) -> Result<reqwest::Client, Failure> {
    let Some(files) = tls else { return client(timeout) };
    let path = surroundings.resolve(&files.cert);
    let cert = std::fs::read_to_string(&path).map_err(|error| {
        io_failure(&format!("cannot read the relay's certificate {}", path.display()), &error)
    })?;
    let known = vodrelay_tls::knowing(&cert)
        .map_err(|error| Failure::new(Code::Configuration, format!("{}: {error}", path.display())))?;
    built(client_builder(timeout).tls_backend_preconfigured(known))
}

/// What went wrong with a request, down to the cause: that a connection was refused, or that TLS was not spoken.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    causes(error).pop().unwrap_or_else(|| error.to_string())
}

/// What lies behind the error of a request, the deepest last.
pub(crate) fn causes(error: &reqwest::Error) -> Vec<String> {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.map(ToString::to_string).collect()
}

fn client_builder(timeout: Duration) -> reqwest::ClientBuilder {
    // The first provider that is installed stays; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(timeout)
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder
        .build()
        .map_err(|error| Failure::new(Code::Internal, format!("no HTTP client could be made: {error}")))
}

/// How a listener is spoken to.
pub(crate) fn scheme(tls: Option<&TlsFiles>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}
