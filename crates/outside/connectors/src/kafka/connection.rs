//! From the settings of a block to those of the client.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::blocks::kafka::{KafkaConnection, SecurityProtocol};
use crate::blocks::{Sasl, Tls};

/// Where a cluster is and how it is talked to.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    brokers: Vec<String>,
    pub(crate) topic: String,
    protocol: SecurityProtocol,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
    base_dir: PathBuf,
}

/// PEM text instead of a path. Source: dataflow-operator.md §1.3, rule 3.
const PEM_BEGIN: &str = "-----BEGIN";

// === impl Connection ===

impl Connection {
    /// Takes over a block whose references are resolved; paths are relative to `base_dir`.
    pub(crate) fn new(block: &KafkaConnection<'_>, base_dir: &Path) -> Self {
        let brokers = block.brokers.unwrap_or_default().iter();
        let brokers = brokers.map(|broker| broker.trim().to_owned());
        let inferred = match (block.tls, block.sasl) {
            (None, None) => SecurityProtocol::Plaintext,
            (Some(_), None) => SecurityProtocol::Ssl,
            (None, Some(_)) => SecurityProtocol::SaslPlaintext,
            (Some(_), Some(_)) => SecurityProtocol::SaslSsl,
        };
        Connection {
            brokers: brokers.filter(|broker| !broker.is_empty()).collect(),
            topic: block.topic.to_owned(),
            protocol: SecurityProtocol::parse(block.security_protocol).unwrap_or(inferred),
            tls: block.tls.cloned(),
            sasl: block.sasl.cloned(),
            base_dir: base_dir.to_owned(),
        }
    }

    /// Gives the brokers as one text, for the client and for people.
    pub(crate) fn brokers(&self) -> String {
        self.brokers.join(",")
    }

    /// Tells whether both may be the same cluster: they have a broker in common.
    pub(crate) fn shares_broker_with(&self, brokers: &[String]) -> bool {
        self.brokers.iter().any(|broker| brokers.contains(broker))
    }

    /// Gives the brokers one by one.
    pub(crate) fn broker_list(&self) -> &[String] {
        &self.brokers
    }

    /// Gives the settings of a client, without what is special to consumers or producers.
    ///
    /// - Errors: a certificate or key that is neither PEM text nor a file.
    pub(crate) fn client(&self) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config.set("client.id", "levada");
        config.set("security.protocol", self.protocol.name().to_ascii_lowercase());
        // An idle connection that the broker closes is no news.
        config.set("log.connection.close", "false");
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "2000");
        config.set("statistics.interval.ms", "0");
        // What is said at lower levels is written for people who debug the client.
        config.set_log_level(RDKafkaLogLevel::Notice);
        if let Some(tls) = self.tls.as_ref().filter(|_| self.protocol.has_tls()) {
            self.set_tls(tls, &mut config)?;
        }
        if let Some(sasl) = self.sasl.as_ref().filter(|_| self.protocol.has_sasl()) {
            set_sasl(sasl, &mut config);
        }
        Ok(config)
    }

    fn set_tls(&self, tls: &Tls, config: &mut ClientConfig) -> Result<(), String> {
        let has_ca = !tls.ca_file.trim().is_empty();
        if has_ca {
            self.set_pem("caFile", &tls.ca_file, "ssl.ca", config)?;
        }
        if !tls.cert_file.trim().is_empty() && !tls.key_file.trim().is_empty() {
            self.set_pem("certFile", &tls.cert_file, "ssl.certificate", config)?;
            self.set_pem("keyFile", &tls.key_file, "ssl.key", config)?;
        }
        // Source: dataflow-operator.md §1.4, a CA forces the check.
        if tls.insecure_skip_verify && !has_ca {
            config.set("enable.ssl.certificate.verification", "false");
        }
        Ok(())
    }

    fn set_pem(
        &self,
        field: &str,
        value: &str,
        key: &str,
        config: &mut ClientConfig,
    ) -> Result<(), String> {
        let value = value.trim();
        if value.starts_with(PEM_BEGIN) {
            config.set(format!("{key}.pem"), value);
            return Ok(());
        }
        let path = self.base_dir.join(value);
        match std::fs::File::open(&path) {
            Ok(_) => config.set(format!("{key}.location"), path.display().to_string()),
            Err(error) => {
                return Err(format!("tls.{field}: cannot read `{}`: {error}", path.display()));
            }
        };
        Ok(())
    }
}

fn set_sasl(sasl: &Sasl, config: &mut ClientConfig) {
    let mechanism = match sasl.mechanism.as_str() {
        "" => "PLAIN".to_owned(),
        mechanism => mechanism.to_ascii_uppercase(),
    };
    config.set("sasl.mechanism", mechanism);
    config.set("sasl.username", &sasl.username);
    config.set("sasl.password", sasl.password.expose());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn block<'b>(
        brokers: &'b [String],
        tls: Option<&'b Tls>,
        sasl: Option<&'b Sasl>,
    ) -> KafkaConnection<'b> {
        KafkaConnection {
            brokers: Some(brokers),
            brokers_secret_ref: None,
            topic: "t",
            topic_secret_ref: None,
            tls,
            sasl,
            security_protocol: "",
        }
    }

    #[test]
    fn the_protocol_follows_the_blocks() {
        let brokers = [" a:1".to_owned(), String::new(), "b:2".to_owned()];
        let (tls, sasl) = (Tls::default(), Sasl::default());
        for (tls, sasl, protocol) in [
            (None, None, "plaintext"),
            (Some(&tls), None, "ssl"),
            (None, Some(&sasl), "sasl_plaintext"),
            (Some(&tls), Some(&sasl), "sasl_ssl"),
        ] {
            let connection = Connection::new(&block(&brokers, tls, sasl), Path::new("."));
            let config = connection.client().unwrap();
            assert_eq!(config.get("security.protocol"), Some(protocol));
            assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        }
    }

    #[test]
    fn certificates_are_text_or_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key.pem"), "x").unwrap();
        let tls = Tls {
            insecure_skip_verify: true,
            ca_file: "\n-----BEGIN CERTIFICATE-----\n".into(),
            cert_file: "-----BEGIN CERTIFICATE-----".into(),
            key_file: "key.pem".into(),
            ..Tls::default()
        };
        let brokers = ["a:1".to_owned()];
        let connection = Connection::new(&block(&brokers, Some(&tls), None), folder.path());
        let config = connection.client().unwrap();
        assert_eq!(config.get("ssl.ca.pem"), Some("-----BEGIN CERTIFICATE-----"));
        assert!(config.get("ssl.key.location").unwrap().ends_with("key.pem"));
        assert_eq!(config.get("enable.ssl.certificate.verification"), None, "a CA wins");
        let tls = Tls { ca_file: "none.pem".into(), ..Tls::default() };
        let connection = Connection::new(&block(&brokers, Some(&tls), None), folder.path());
        let error = connection.client().unwrap_err();
        assert!(error.starts_with("tls.caFile: cannot read `"), "{error}");
    }

    #[test]
    fn an_empty_mechanism_is_plain() {
        let brokers = ["a:1".to_owned()];
        for (written, meant) in [("", "PLAIN"), ("scram-sha-512", "SCRAM-SHA-512")] {
            let sasl = Sasl { mechanism: written.into(), ..Sasl::default() };
            let connection = Connection::new(&block(&brokers, None, Some(&sasl)), Path::new("."));
            assert_eq!(connection.client().unwrap().get("sasl.mechanism"), Some(meant));
        }
    }
}
