//! What the Kafka source and the Kafka sink have in common.

use levada_registry::{FieldPath, Report};

use super::sasl::Sasl;
use super::secret_ref::{SecretRef, check_either};
use super::tls::Tls;

/// How a broker is talked to, by the wire names of Kafka's `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// `PLAINTEXT`
    Plaintext,
    /// `SSL`
    Ssl,
    /// `SASL_PLAINTEXT`
    SaslPlaintext,
    /// `SASL_SSL`
    SaslSsl,
}

/// The connection settings of a Kafka block.
#[derive(Clone, Copy, Debug)]
pub struct KafkaConnection<'b> {
    /// `brokers`; `None` when the manifest has none, which is shown as `null`.
    pub brokers: Option<&'b [String]>,
    /// `brokersSecretRef`.
    pub brokers_secret_ref: Option<&'b SecretRef>,
    /// `topic`.
    pub topic: &'b str,
    /// `topicSecretRef`.
    pub topic_secret_ref: Option<&'b SecretRef>,
    /// `tls`.
    pub tls: Option<&'b Tls>,
    /// `sasl`.
    pub sasl: Option<&'b Sasl>,
    /// `securityProtocol`; empty: inferred from `tls` and `sasl`.
    pub security_protocol: &'b str,
}

// === impl SecurityProtocol ===

impl SecurityProtocol {
    /// Every protocol, in the order of the documentation.
    pub const ALL: [SecurityProtocol; 4] = [
        SecurityProtocol::Plaintext,
        SecurityProtocol::Ssl,
        SecurityProtocol::SaslPlaintext,
        SecurityProtocol::SaslSsl,
    ];

    /// Gives the protocol of a name; case does not matter, and `-` or a blank may stand for `_`.
    pub fn parse(name: &str) -> Option<Self> {
        let same = |written: char, known: char| {
            written.eq_ignore_ascii_case(&known) || (known == '_' && matches!(written, '-' | ' '))
        };
        let name = name.trim();
        Self::ALL.into_iter().find(|protocol| {
            let known = protocol.name();
            name.len() == known.len()
                && name.chars().zip(known.chars()).all(|(written, known)| same(written, known))
        })
    }

    /// Gives the wire name.
    pub fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// Tells whether it needs a `tls` block.
    pub fn has_tls(self) -> bool {
        matches!(self, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl)
    }

    /// Tells whether it needs a `sasl` block.
    pub fn has_sasl(self) -> bool {
        matches!(self, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
    }
}

// === impl KafkaConnection ===

impl KafkaConnection<'_> {
    /// Reports what is wrong with brokers, topic, protocol, TLS and SASL; `at` is the path of the
    /// block.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        self.check_brokers(at, report);
        check_either("topic", self.topic, self.topic_secret_ref, at, report);
        self.check_protocol(&at.child("securityProtocol"), report);
        if let Some(tls) = self.tls {
            tls.check(&at.child("tls"), report);
        }
        if let Some(sasl) = self.sasl {
            sasl.check(&at.child("sasl"), report);
        }
    }

    /// Source: dataflow-operator.md §7.1; missing brokers are an invalid value there, not a missing
    /// one.
    fn check_brokers(&self, at: &FieldPath, report: &mut Report) {
        if let Some(reference) = self.brokers_secret_ref {
            reference.check(&at.child("brokersSecretRef"), report);
            return;
        }
        let path = at.child("brokers");
        let brokers = self.brokers.unwrap_or_default();
        if brokers.iter().all(|broker| broker.trim().is_empty()) {
            let shown = self.brokers.map_or(serde_json::Value::Null, serde_json::Value::from);
            report.invalid(&path, shown, "brokers or brokersSecretRef is required");
            return;
        }
        for (index, broker) in brokers.iter().enumerate() {
            if broker.trim().is_empty() {
                let text = "an empty broker is left out";
                report.warning(&path.index(index), text.into());
            }
        }
    }

    /// Source: dataflow-operator.md §7.2, securityProtocol.
    fn check_protocol(&self, path: &FieldPath, report: &mut Report) {
        if self.security_protocol.is_empty() {
            return;
        }
        let Some(protocol) = SecurityProtocol::parse(self.security_protocol) else {
            let known = SecurityProtocol::ALL.map(SecurityProtocol::name);
            report.unsupported(path, self.security_protocol, known);
            return;
        };
        let name = protocol.name();
        for (block, is_there, is_needed) in [
            ("tls", self.tls.is_some(), protocol.has_tls()),
            ("sasl", self.sasl.is_some(), protocol.has_sasl()),
        ] {
            if is_needed && !is_there {
                let detail =
                    format!("{block} configuration is required for securityProtocol {name}");
                report.required(path, &detail);
            }
            if is_there && !is_needed {
                let detail = format!("{name} cannot be used with {block} configuration");
                report.forbidden(path, &detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_normalised() {
        for (name, protocol) in [
            ("PLAINTEXT", Some(SecurityProtocol::Plaintext)),
            ("ssl", Some(SecurityProtocol::Ssl)),
            ("sasl-ssl", Some(SecurityProtocol::SaslSsl)),
            ("Sasl Plaintext", Some(SecurityProtocol::SaslPlaintext)),
            (" SASL_SSL ", Some(SecurityProtocol::SaslSsl)),
            ("SASLSSL", None),
            ("TLS", None),
            ("ſſl", None),
        ] {
            assert_eq!(SecurityProtocol::parse(name), protocol, "{name}");
        }
    }
}
