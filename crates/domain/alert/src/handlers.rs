//! Handlers: one file and one line in [`HANDLERS`] each.
//!
//! A handler is defined in a script (`.slack().channel('#ops')`) or as a topic handler (`kind: slack`, `options: {channel: '#ops'}`).
//! Both become a [`HandlerSpec`]: a kind and an ordered list of properties, checked against the [`Rule`]s of the kind.
//!
//! ```text
//! script call, options JSON ─▶ HandlerSpec ─▶ check ─▶ start ─▶ dyn Handler
//! ```
//!
//! A kind whose service is switched off, or that has no address to send to, says so when it is used.

mod address_filter;
mod connections;
mod deps;
mod endpoint;
mod form;
mod global;
mod go_templates;
mod http;
mod kafka_producer;
mod kind;
mod options;
mod outgoing;
mod payload;
mod render;
mod spec;
#[cfg(test)]
mod tests;
mod views;

mod aggregate;
mod alerta;
mod big_panda;
mod discord;
mod email;
mod exec;
mod gateway;
mod hip_chat;
mod kafka;
mod log;
mod mqtt;
mod ops_genie;
mod ops_genie2;
mod pager_duty;
mod pager_duty2;
mod post;
mod publish;
mod pushover;
mod sensu;
mod service_now;
mod slack;
mod snmp_trap;
mod talk;
mod tcp;
mod teams;
mod telegram;
mod victor_ops;
mod zenoss;

pub use address_filter::{AddressFilter, Denied, Network, NetworkError};
pub use connections::Connections;
pub use deps::{
    EXEC_MAX_DEFAULT, EXEC_TIMEOUT_DEFAULT, HandlerDeps, REQUEST_TIMEOUT_DEFAULT,
    SERVER_URL_DEFAULT,
};
pub use endpoint::{Endpoint, endpoint};
pub use gateway::{EventPoints, NoGateway};
pub use global::{global_handlers, state_changes};
pub use go_templates::GoTemplates;
pub use http::{Clients, Tls};
pub use kafka_producer::{
    KafkaProducer, KafkaProducers, KafkaSasl, KafkaSettings, KafkaStats, NoKafka, Partitioner,
};
pub use kind::{
    Kind, Place, Rule, Shape, Stage, Start, StartError, TestOutcome, TestRule, Trouble,
};
pub use options::OptionsError;
pub use render::{PlainTemplates, Scope, Template, Templates};
pub use spec::{Arg, HandlerSpec, Property, PropertyError};

/// All kinds, in the order of the documents.
pub static HANDLERS: &[&Kind] = &[
    &log::KIND,
    &tcp::KIND,
    &exec::KIND,
    &post::KIND,
    &email::KIND,
    &victor_ops::KIND,
    &pager_duty::KIND,
    &pager_duty2::KIND,
    &pushover::KIND,
    &sensu::KIND,
    &slack::KIND,
    &discord::KIND,
    &big_panda::KIND,
    &telegram::KIND,
    &hip_chat::KIND,
    &alerta::KIND,
    &ops_genie::KIND,
    &ops_genie2::KIND,
    &talk::KIND,
    &mqtt::KIND,
    &snmp_trap::KIND,
    &kafka::KIND,
    &teams::KIND,
    &service_now::KIND,
    &zenoss::KIND,
    &publish::KIND,
    &aggregate::KIND,
    &gateway::KIND,
];

/// Finds a kind by the method of scripts; the case of the first letter does not count.
pub fn by_method(method: &str) -> Option<&'static Kind> {
    HANDLERS
        .iter()
        .copied()
        .find(|kind| kind.method.is_some_and(|known| spec::is_same_name(known, method)))
}

/// Finds a kind by the `kind` of topic handlers.
pub fn by_option_kind(name: &str) -> Option<&'static Kind> {
    HANDLERS.iter().copied().find(|kind| kind.option_kind == name)
}
