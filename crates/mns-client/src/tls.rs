//! The cryptography below TLS, chosen once for the process.

/// Makes ring the provider, unless the program around us has already chosen one.
pub(crate) fn choose_provider() {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
