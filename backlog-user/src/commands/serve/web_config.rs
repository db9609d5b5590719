//! `--web-config`: TLS and passwords, in the file format of Prometheus exporters. Settings that
//! this service does not support are rejected by name, since ignoring them could open a door.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use super::users::Users;

/// The format of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Tls>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
}

/// See the module documentation.
#[derive(Clone, Default)]
pub(super) struct WebConfig {
    pub(super) tls: Option<TlsAcceptor>,
    /// None: no password is required.
    pub(super) users: Option<Arc<Users>>,
}

/// The current configuration, which a reload replaces.
pub(super) type SharedWeb = Arc<Mutex<WebConfig>>;

/// The current configuration.
pub(super) fn present(shared: &SharedWeb) -> WebConfig {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads the file again, for a renewed certificate or a changed password.
pub(super) fn reload(shared: &SharedWeb, file: &Path) -> Result<()> {
    let new = WebConfig::read(file)?;
    let mut now = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if now.tls.is_some() != new.tls.is_some() {
        bail!("--web-config: restart the service to begin or end TLS");
    }
    *now = new;
    Ok(())
}

impl WebConfig {
    /// Reads the file and those that it names.
    pub(super) fn read(file: &Path) -> Result<Self> {
        Self::parse(file).with_context(|| format!("--web-config: {}", file.display()))
    }

    fn parse(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).context("cannot read it")?;
        // An empty file requires nothing, as with other exporters.
        let File { tls_server_config, basic_auth_users } =
            if text.trim().is_empty() { File::default() } else { serde_saphyr::from_str(&text)? };
        // File names are relative to the configuration file.
        let folder = file.parent().unwrap_or(Path::new("."));
        let tls = tls_server_config.map(|tls| tls.acceptor(folder)).transpose()?;
        let users = match basic_auth_users {
            users if users.is_empty() => None,
            users => Some(Arc::new(Users::new(users)?)),
        };
        Ok(Self { tls, users })
    }
}

impl Tls {
    fn acceptor(&self, folder: &Path) -> Result<TlsAcceptor> {
        let certificate_file = folder.join(&self.cert_file);
        let name = certificate_file.display();
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(&certificate_file)
                .and_then(Iterator::collect)
                .with_context(|| format!("cannot read the certificate in {name}"))?;
        if certificates.is_empty() {
            bail!("{name} has no certificate: give a file in PEM");
        }
        let key_file = folder.join(&self.key_file);
        let key = PrivateKeyDer::from_pem_file(&key_file)
            .with_context(|| format!("cannot read the key in {}", key_file.display()))?;
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS 1.2 and 1.3")?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .with_context(|| format!("the certificate in {name} and its key do not fit"))?;
        Ok(TlsAcceptor::from(Arc::new(server)))
    }
}

#[cfg(test)]
mod tests {
    use super::WebConfig;
    use std::fs;

    fn read(text: &str) -> Result<WebConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yml");
        fs::write(&file, text).unwrap();
        WebConfig::read(&file).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (text, word) in [
            ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "client_ca_file"),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS13}", "min_version"),
            ("http_server_config: {http2: true}", "http_server_config"),
            ("rate_limit: {interval: 1s}", "rate_limit"),
            ("tls_server_config: {cert_file: a}", "key_file"),
            ("tls_server_config: {cert_file: a, key_file: b}", "cannot read the certificate in"),
            ("basic_auth_users: {alice: secret}", "alice"),
        ] {
            let error = read(text).err().unwrap();
            assert!(error.starts_with("--web-config: ") && error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn users_and_nothing_at_all() {
        let empty = read("").unwrap();
        assert!(empty.tls.is_none() && empty.users.is_none());
        let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let users = read(&format!("basic_auth_users:\n  alice: {hash}\n")).unwrap().users;
        assert!(users.is_some());
    }
}
