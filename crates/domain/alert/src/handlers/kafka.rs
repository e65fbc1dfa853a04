//! `kafka`: writes to a Kafka topic.
//!
//! Source: kapacitor: reference (server) §4.5.
//!
//! - Differs: each way to spread records has a producer of its own; upstream keeps one per topic, and its first user chooses for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use levada_clients::http::TlsOptions;
use levada_settings::Secret;
use serde::Deserialize;

use super::connections::Connections;
use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kafka_producer::{KafkaSasl, KafkaSettings, Partitioner};
use super::kind::{Kind, Rule, Shape, StartError, TestRule, Trouble};
use super::render::{Scope, Template};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{Element, OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("kafka"),
    option_kind: "kafka",
    summary: "writes to a Kafka topic",
    rules: &[
        Rule::text("cluster", "cluster"),
        Rule::text("kafkaTopic", "topic"),
        Rule::text("template", "template").template(),
        Rule::new(Shape::Flag, "disablePartitionById", "disablePartitionById"),
        Rule::text("partitionHashAlgorithm", "partitionAlgorithm").default("crc32"),
    ],
    check,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

/// The element for handlers that name none, when there are several.
const CLUSTER_DEFAULT: &str = "default";

static SECTION: SectionRule = SectionRule {
    name: "kafka",
    element_key: Some("id"),
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("id", CLUSTER_DEFAULT),
        OptionRule::new("brokers", OptionDefault::Texts(&[])),
        OptionRule::new("timeout", OptionDefault::Duration("10s")),
        OptionRule::new("batch-size", OptionDefault::Int(100)),
        OptionRule::new("batch-timeout", OptionDefault::Duration("1s")),
        OptionRule::flag("use-ssl"),
        OptionRule::text("ssl-ca", ""),
        OptionRule::text("ssl-cert", ""),
        OptionRule::text("ssl-key", ""),
        OptionRule::flag("insecure-skip-verify"),
        OptionRule::text("sasl-username", ""),
        OptionRule::text("sasl-password", "").secret(),
        OptionRule::new("sasl_extensions", OptionDefault::Table(&[])),
        OptionRule::text("sasl-mechanism", ""),
        OptionRule::new("sasl-version", OptionDefault::Int(0)),
        OptionRule::text("sasl-gssapi-service-name", ""),
        OptionRule::text("sasl-gssapi-auth-type", ""),
        OptionRule::flag("sasl-gssapi-disable-pafxfast"),
        OptionRule::text("sasl-gssapi-kerberos-config-path", ""),
        OptionRule::text("sasl-gssapi-key-tab-path", ""),
        OptionRule::text("sasl-gssapi-realm", ""),
        OptionRule::text("sasl-oauth-service", ""),
        OptionRule::text("sasl-oauth-client-id", ""),
        OptionRule::text("sasl-oauth-client-secret", "").secret(),
        OptionRule::text("sasl-oauth-token-url", ""),
        OptionRule::new("sasl-oauth-scopes", OptionDefault::Texts(&[])),
        OptionRule::new("sasl-oauth-parameters", OptionDefault::Table(&[])),
        OptionRule::text("sasl-oauth-tenant-id", ""),
        OptionRule::new("sasl-oauth-token-expiry-margin", OptionDefault::Duration("10s")),
        OptionRule::text("sasl-access-token", "").secret(),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("cluster", Sample::Setting("id"), Goes::Option("cluster")),
    Field::new("topic", Sample::Text("test"), Goes::Option("topic")),
    Field::new("key", Sample::Text("key"), Goes::Id),
    Field::new("message", Sample::Text("test kafka message"), Goes::Option("template")),
];

/// Source: reference (server) §4.5.
const ALGORITHMS: &[(&str, Partitioner)] = &[
    ("crc32", Partitioner::Crc32),
    ("murmur2", Partitioner::Murmur2),
    ("murmur3", Partitioner::Murmur3),
    ("fnv-1a", Partitioner::Fnv1a),
];

/// Records of one request at most. Ours.
const BATCH_SIZE_MAX: i64 = 10_000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    brokers: Vec<String>,
    timeout: levada_settings::Duration,
    batch_size: i64,
    batch_timeout: levada_settings::Duration,
    use_ssl: bool,
    ssl_ca: String,
    ssl_cert: String,
    ssl_key: String,
    insecure_skip_verify: bool,
    sasl_username: String,
    sasl_password: String,
    #[serde(rename = "sasl_extensions")]
    sasl_extensions: BTreeMap<String, String>,
    sasl_mechanism: String,
    sasl_access_token: String,
}

struct Kafka {
    section: Section,
    cluster: String,
    topic: String,
    template: Option<Arc<dyn Template>>,
    partitioner: Partitioner,
    connections: Connections,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    partitioner(spec).map(|_| ())
}

fn partitioner(spec: &HandlerSpec) -> Result<Partitioner, Trouble> {
    let algorithm = spec.text("partitionHashAlgorithm").unwrap_or_default();
    let known = ALGORITHMS.iter().find(|(name, _)| *name == algorithm);
    match known {
        Some(_) if spec.flag("disablePartitionById") => Ok(Partitioner::Random),
        Some((_, partitioner)) => Ok(*partitioner),
        None => {
            let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
            Err(Trouble::enable(format!(
                "unknown partition hash algorithm `{algorithm}`; known: {}",
                known.join(", ")
            )))
        }
    }
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let section = Section::new(&SECTION, deps);
    let cluster = spec.owned("cluster");
    // Source: reference (server) §4.5: upstream refuses to start the task.
    if !cluster.is_empty() && !section.elements().iter().any(|element| element.name == cluster) {
        return Err(Trouble::enable(format!("unknown cluster {cluster:?}")).into());
    }
    let template = spec
        .text("template")
        .map(|text| deps.templates.parse("template", text, Scope::Data).map_err(Trouble::enable));
    Ok(Arc::new(Kafka {
        section,
        cluster,
        topic: spec.owned("kafkaTopic"),
        template: template.transpose()?,
        partitioner: partitioner(spec)?,
        connections: deps.connections.clone(),
    }))
}

// === impl Settings ===

impl Settings {
    fn of(element: &Element) -> Result<Self, HandlerError> {
        let settings: Settings = element.read()?;
        if settings.brokers.iter().all(|broker| broker.trim().is_empty()) {
            return Err(HandlerError::new("no brokers: `brokers` is not set").finally());
        }
        Ok(settings)
    }

    fn into_producer(self, partitioner: Partitioner) -> Result<KafkaSettings, HandlerError> {
        let sasl = self.sasl()?;
        let tls = TlsOptions {
            ca_file: self.ssl_ca.into(),
            cert_file: self.ssl_cert.into(),
            key_file: self.ssl_key.into(),
            insecure_skip_verify: self.insecure_skip_verify,
        };
        // Certificates are of no use without TLS.
        let has_tls = self.use_ssl || tls != TlsOptions::default();
        Ok(KafkaSettings {
            brokers: self.brokers,
            timeout: self.timeout.into(),
            batch_size: self.batch_size.clamp(1, BATCH_SIZE_MAX) as usize,
            batch_timeout: self.batch_timeout.into(),
            tls: has_tls.then_some(tls),
            sasl,
            partitioner,
        })
    }

    fn sasl(&self) -> Result<Option<KafkaSasl>, HandlerError> {
        let mechanism = match &*self.sasl_mechanism.to_ascii_uppercase() {
            "" if self.sasl_username.is_empty() => return Ok(None),
            "" => "PLAIN".to_owned(),
            mechanism => mechanism.to_owned(),
        };
        match &*mechanism {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => Ok(Some(KafkaSasl::Password {
                mechanism,
                username: self.sasl_username.clone(),
                password: Secret::from(self.sasl_password.clone()),
            })),
            "OAUTHBEARER" if !self.sasl_extensions.is_empty() => {
                let text = "SASL extensions are not available here";
                Err(HandlerError::new(text).finally())
            }
            "OAUTHBEARER" if !self.sasl_access_token.is_empty() => {
                Ok(Some(KafkaSasl::Token(Secret::from(self.sasl_access_token.clone()))))
            }
            "OAUTHBEARER" => {
                let text = "SASL mechanism OAUTHBEARER needs `sasl-access-token`";
                Err(HandlerError::new(text).finally())
            }
            other => {
                let text = format!(
                    "SASL mechanism {other} is not available here; known: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"
                );
                Err(HandlerError::new(text).finally())
            }
        }
    }
}

// === impl Kafka ===

impl Kafka {
    /// Finds the cluster of the handler; without one the only cluster, or the one with the default name.
    fn element(&self) -> Result<Element, HandlerError> {
        let elements = self.section.elements();
        let has_default = elements.iter().any(|element| element.name == CLUSTER_DEFAULT);
        let name = match &*self.cluster {
            "" if elements.len() > 1 && has_default => CLUSTER_DEFAULT,
            name => name,
        };
        self.section.find(name)
    }

    async fn write(&self, event: &Event) -> Result<(), HandlerError> {
        let element = self.element()?;
        let settings = Settings::of(&element)?.into_producer(self.partitioner)?;
        if self.topic.is_empty() {
            return Err(HandlerError::new("no topic: `kafkaTopic` is not set").finally());
        }
        let value = match &self.template {
            Some(template) => {
                let text = template.render(event);
                text.map_err(|error| HandlerError::new(error).finally())?.as_bytes().to_vec()
            }
            None => event.to_json(),
        };
        let name = format!("{} {:?}", element.name, self.partitioner);
        let producer = self.connections.producer(&name, settings)?;
        let written = producer.send(&self.topic, &event.id, value).await;
        let topics = self.connections.kafka_topics();
        topics.count(&element.name, &self.topic, written.is_ok());
        written
    }
}

#[async_trait]
impl Handler for Kafka {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.write(event).await.map_err(|error| error.during("failed to write to Kafka"))
    }
}
