//! A certificate with its issuers and the key to it, checked as far as the pair itself tells.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// What a listener shows of itself. Cloning it is cheap.
#[derive(Clone)]
pub struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    chain: Arc<[CertificateDer<'static>]>,
    names: Arc<[String]>,
    expires_at: Timestamp,
}

/// Why a pair is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IdentityError {
    /// Which of the two is wrong.
    pub part: Part,
    /// What is wrong with it, and how it should be.
    pub message: String,
}

/// The parts of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate and its issuers.
    Cert,
    /// The key.
    Key,
}

/// The key of the configuration that it stands under.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cert => "cert",
            Self::Key => "key",
        })
    }
}

fn wrong(part: Part, message: impl Into<String>) -> IdentityError {
    IdentityError { part, message: message.into() }
}

impl Identity {
    /// The pair from its two texts: the server's certificate with its issuers in their order, and its key.
    ///
    /// # Errors
    /// If one of them cannot be read, if the chain is not in order, or if the key is not that of the certificate. No
    /// message has a part of the key in it.
    pub fn from_pem(cert: &str, key: &str) -> Result<Self, IdentityError> {
        let chain = chain_of(cert)?;
        let parsed = chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        check_order(&parsed)?;
        let first = parsed.first().ok_or_else(nothing)?;
        let expires_at = first.validity().not_after.timestamp();
        let (names, expires_at) =
            (names_of(first), Timestamp::from_second(expires_at).unwrap_or(Timestamp::MAX));
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| wrong(Part::Key, "there is no private key in PEM (PKCS #8, PKCS #1 or SEC 1)"))?;
        Ok(Self {
            config: Arc::new(server(chain.clone(), key)?),
            names: names.into(),
            expires_at,
            chain: chain.into(),
        })
    }

    /// The names and addresses that the certificate is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When clients cease to take it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether both show the same certificates.
    #[must_use]
    pub fn is_that_of(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("names", &self.names).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The certificates of a text in PEM.
pub(crate) fn chain_of(cert: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(nothing()),
        Err(error) => Err(wrong(Part::Cert, format!("cannot be read: {error}"))),
    }
}

fn nothing() -> IdentityError {
    wrong(Part::Cert, "there is no certificate in PEM")
}

fn parse<'a>(cert: &'a CertificateDer<'static>) -> Result<X509Certificate<'a>, IdentityError> {
    let parsed = parse_x509_certificate(cert);
    Ok(parsed
        .map_err(|error| wrong(Part::Cert, format!("has a certificate that cannot be read: {error}")))?
        .1)
}

/// Clients find their way from each certificate to the next.
fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), IdentityError> {
    let mut pairs = chain.iter().zip(chain.iter().skip(1)).enumerate();
    match pairs.find(|(_, (cert, issuer))| cert.issuer().as_raw() != issuer.subject().as_raw()) {
        None => Ok(()),
        Some((index, _)) => {
            let (number, next) = (index + 1, index + 2);
            let message = format!(
                "certificate {next} did not issue certificate {number}: put the server's first, and each issuer behind"
            );
            Err(wrong(Part::Cert, message))
        }
    }
}

fn names_of(cert: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = cert.subject_alternative_name() else { return Vec::new() };
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::IpAddr::from(v4).to_string()),
            Err(_) => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(shown).collect()
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = made.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(Part::Key, "is not the key of the certificate; both have to be of one issue")
        }
        error => wrong(Part::Key, format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    /// The server's certificate, its issuer's, and the server's key.
    fn issued() -> (String, String, String) {
        let (issuer_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut issuer = CertificateParams::default();
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        issuer.distinguished_name.push(rcgen::DnType::CommonName, "issuer");
        let issuer_cert = issuer.self_signed(&issuer_key).unwrap();
        let mut params =
            CertificateParams::new(["relay.example.com".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "server");
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let cert = params.signed_by(&key, &Issuer::new(issuer, issuer_key)).unwrap();
        (cert.pem(), issuer_cert.pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_tells_its_names_and_when_it_ends() {
        let (cert, issuer, key) = issued();
        let identity = Identity::from_pem(&(cert + &issuer), &key).unwrap();
        assert_eq!(identity.names(), ["relay.example.com", "127.0.0.1"]);
        assert_eq!(identity.expires_at().to_string(), "2030-01-02T00:00:00Z");
    }

    #[test]
    fn what_is_no_pair_is_refused_and_named() {
        let (cert, issuer, key) = issued();
        let (_, _, other_key) = issued();
        let check = |cert: &str, key: &str, part: Part, says: &str| {
            let error = Identity::from_pem(cert, key).unwrap_err();
            assert!(error.part == part && error.message.contains(says), "{error:?}");
            assert!(!error.message.contains("PRIVATE"), "{error}");
        };
        check("", &key, Part::Cert, "no certificate");
        check(&key, &key, Part::Cert, "no certificate");
        check(&format!("{issuer}{cert}"), &key, Part::Cert, "certificate 2 did not issue certificate 1");
        check(&cert, "", Part::Key, "no private key");
        check(&cert, &cert, Part::Key, "no private key");
        check(&cert, &other_key, Part::Key, "not the key of the certificate");
    }
}
