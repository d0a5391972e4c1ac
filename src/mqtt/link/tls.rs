//! TLS: certificate authorities, our certificate, and the expected name of the broker.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};
use crate::mqtt::access::TlsConfig;
use crate::mqtt::secret::secret_path;

/// Everything that the connections need, read once: certificates that are renewed count from the next start.
///
/// # Errors
/// A configuration error that names the file and what is wrong with it.
pub(crate) fn client(config: &TlsConfig) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(match &config.ca_file {
        Some(file) => roots_of(file)?,
        None => roots_of_machine()?,
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|e| Error::config(format!("the certificate authorities cannot be used: {e}"), PEM))?;
    let verifier: Arc<dyn ServerCertVerifier> = match &config.server_name {
        None => verifier,
        Some(name) => Arc::new(ServerNameVerifier { name: server_name(name)?, verifier }),
    };
    let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS cannot be set up: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match (&config.cert_file, &config.key_file) {
        (Some(certificate), Some(key)) => {
            let (chain, key) = (certificates(certificate)?, private_key(key)?);
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                Error::config(
                    format!("certificate {} and its key cannot be used: {e}", certificate.display()),
                    "check that publish.tls.key_file is the key of publish.tls.cert_file",
                )
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(client))
}

const PEM: &str = "give a PEM file (it begins with -----BEGIN …) that the daemon's user may read";

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::config(
            format!("publish.tls.server_name {name:?} is no host name"),
            "write the name as it stands in the broker's certificate",
        )
    })
}

fn unreadable(what: &str, file: &Path, why: &str) -> Error {
    Error::config(format!("the {what} file {} cannot be used: {why}", file.display()), PEM)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let path = secret_path(file)?;
    let read = || CertificateDer::pem_file_iter(&path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|e| unreadable("certificate", &path, &e.to_string()))?;
    if found.is_empty() {
        return Err(unreadable("certificate", &path, "no certificate is in it"));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let path = secret_path(file)?;
    PrivateKeyDer::from_pem_file(&path).map_err(|e| unreadable("key", &path, &e.to_string()))
}

fn roots_of(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| unreadable("CA", file, &e.to_string()))?;
    }
    Ok(roots)
}

fn roots_of_machine() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // a few of some hundred certificates may be unreadable
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::config(
            "this machine has no certificate authorities, so that no broker can be trusted over TLS",
            "install the package ca-certificates, or name the broker's CA by publish.tls.ca_file",
        ));
    }
    Ok(roots)
}

/// Checks a certificate for another name than that of the address.
#[derive(Debug)]
struct ServerNameVerifier {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ServerNameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
