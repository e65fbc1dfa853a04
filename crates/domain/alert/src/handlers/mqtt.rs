//! `mqtt`: publishes to an MQTT topic.
//!
//! Source: kapacitor: reference (server) §4.5. Differs: a broker is connected when something is published, and may be away at the start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_clients::http::TlsOptions;
use levada_clients::mqtt::{Message, MqttSettings, Quality};
use levada_settings::Secret;
use serde::Deserialize;

use super::connections::{Connections, failed};
use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Place, Rule, Shape, StartError, TestRule, Trouble};
use super::outgoing::first;
use super::render::Text;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("mqtt"),
    option_kind: "mqtt",
    summary: "publishes to an MQTT topic",
    rules: &[
        Rule::text("brokerName", "broker-name"),
        Rule::text("topic", "topic").template().at(Place::Both),
        Rule::new(Shape::Qos, "qos", "qos"),
        Rule::new(Shape::Bool, "retained", "retained"),
    ],
    check,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "mqtt",
    element_key: Some("name"),
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("name", "default"),
        OptionRule::flag("default"),
        OptionRule::text("url", ""),
        OptionRule::text("ssl-ca", ""),
        OptionRule::text("ssl-cert", ""),
        OptionRule::text("ssl-key", ""),
        OptionRule::flag("insecure-skip-verify"),
        OptionRule::text("client-id", ""),
        OptionRule::text("username", ""),
        OptionRule::text("password", "").secret(),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("broker-name", Sample::Setting("name"), Goes::Option("broker-name")),
    Field::new("topic", Sample::Text(""), Goes::Option("topic")),
    Field::new("message", Sample::Text("test MQTT message"), Goes::Message),
    Field::new("qos", Sample::Text("at-most-once"), Goes::Option("qos")),
    Field::new("retained", Sample::Json("false"), Goes::Option("retained")),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    ssl_ca: String,
    ssl_cert: String,
    ssl_key: String,
    insecure_skip_verify: bool,
    client_id: String,
    username: String,
    password: String,
}

struct Mqtt {
    section: Section,
    broker: String,
    topic: Text,
    quality: Quality,
    is_retained: bool,
    connections: Connections,
    timeout: Duration,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    match spec.int("qos") {
        Some(quality) if !(0..=2).contains(&quality) => {
            Err(Trouble::enable(format!("invalid QoS {quality}; it must be 0, 1 or 2")))
        }
        _ => Ok(()),
    }
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    Ok(Arc::new(Mqtt {
        section: Section::new(&SECTION, deps),
        broker: spec.owned("brokerName"),
        topic: Text::of(spec, deps, "topic")?,
        quality: match spec.int("qos") {
            Some(2) => Quality::ExactlyOnce,
            Some(1) => Quality::AtLeastOnce,
            _ => Quality::AtMostOnce,
        },
        is_retained: spec.flag("retained"),
        connections: deps.connections.clone(),
        timeout: deps.request_timeout,
    }))
}

impl Mqtt {
    async fn publish(&self, event: &Event) -> Result<(), HandlerError> {
        let element = self.section.find(&self.broker)?;
        let settings: Settings = element.read()?;
        let topic = self.topic.render(event)?;
        if topic.is_empty() {
            return Err(HandlerError::new("missing MQTT topic").finally());
        }
        let client_id = first(&settings.client_id, &element.name).to_owned();
        let settings = MqttSettings {
            url: settings.url,
            tls: TlsOptions {
                ca_file: settings.ssl_ca.into(),
                cert_file: settings.ssl_cert.into(),
                key_file: settings.ssl_key.into(),
                insecure_skip_verify: settings.insecure_skip_verify,
            },
            client_id,
            username: settings.username,
            password: Secret::from(settings.password),
            timeout: self.timeout,
        };
        let message = Message {
            topic: topic.to_string(),
            payload: event.message.as_bytes().to_vec().into(),
            quality: self.quality,
            is_retained: self.is_retained,
        };
        let broker = self.connections.broker(&element.name, settings)?;
        broker.publish(message).await.map_err(failed)
    }
}

#[async_trait]
impl Handler for Mqtt {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.publish(event).await.map_err(|error| error.during("failed to publish to MQTT"))
    }
}
