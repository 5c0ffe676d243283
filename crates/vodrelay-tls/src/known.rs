//! A client that knows the certificate of its server, so that no name and no issuer has to vouch for it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::identity::{IdentityError, chain_of};

/// A client that takes the first of these certificates and no other: who has its key is who is meant, under whatever
/// address.
///
/// # Errors
/// If there is no certificate in the text.
pub fn knowing(cert: &str) -> Result<ClientConfig, IdentityError> {
    let known = chain_of(cert)?.swap_remove(0);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Known { known, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| IdentityError {
        part: crate::Part::Cert,
        message: format!("no TLS can be spoken: {error}"),
    })?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct Known {
    known: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if shown.as_ref() == self.known.as_ref() {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{Identity, accept};

    #[tokio::test]
    async fn the_certificate_that_is_known_is_taken_under_any_name_and_no_other_is() {
        let made = || {
            let made = rcgen::generate_simple_self_signed(["relay.example.com".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((cert, key), (other, _)) = (made(), made());
        let identity = Identity::from_pem(&cert, &key).unwrap();
        for (known, expect) in [(&cert, true), (&other, false)] {
            let (near, far) = duplex(1 << 14);
            let serving = async {
                let mut stream = accept(Some(&identity), far).await?;
                stream.write_all(b"yes").await?;
                stream.shutdown().await
            };
            let asking = async {
                let connector = TlsConnector::from(Arc::new(knowing(known).unwrap()));
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let mut stream = connector.connect(name, near).await?;
                let mut heard = String::new();
                stream.read_to_string(&mut heard).await?;
                std::io::Result::Ok(heard)
            };
            let (_, heard) = tokio::join!(serving, asking);
            assert_eq!(heard.is_ok_and(|heard| heard == "yes"), expect);
        }
    }
}
