//! What the tests of several connectors need.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;

use levada_model::ObjectRef;
use levada_registry::{FieldPath, Node, Report, Unknown, decode};
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_telemetry::metrics::Registry;
use serde::de::DeserializeOwned;

use crate::context::{BuildContext, Links};

/// Makes a context with the clock of the machine.
pub(crate) fn context() -> BuildContext {
    context_with(SystemClock::new())
}

/// Makes a context with this clock.
pub(crate) fn context_with(clock: Arc<dyn Clock>) -> BuildContext {
    BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "test"),
        base_dir: PathBuf::from("."),
        clock,
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records: 2000,
        batch_bytes: 128 << 10,
        is_exactly_once: false,
        is_compat: false,
        links: Links::default(),
    }
}

/// Decodes settings as a manifest's block; gives them and the problems of decoding.
pub(crate) fn settings<T: DeserializeOwned>(json: serde_json::Value) -> (T, Report) {
    let mut report = Report::new();
    let node = Node::from_json(&json);
    let at = FieldPath::field("config");
    let spec = decode(&node, &at, Unknown::Error, &mut report).unwrap();
    (spec, report)
}

/// Gives the problems as texts.
pub(crate) fn texts(report: &Report) -> Vec<String> {
    report.problems().iter().map(ToString::to_string).collect()
}

/// A CA with a server certificate for `localhost` and `127.0.0.1` and a client certificate, as files.
pub(crate) struct Certificates {
    /// The folder with `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub(crate) folder: tempfile::TempDir,
}

// === impl Certificates ===

impl Certificates {
    /// Makes new keys and certificates.
    pub(crate) fn new() -> Self {
        use rcgen::{
            BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        };
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write("ca.pem", ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::from_params(&ca, &ca_key);
        for (name, usage) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![usage];
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Certificates { folder }
    }

    /// Gives the path of one of the files.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Gives the content of one of the files.
    pub(crate) fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }
}
