//! Handlers that speak other protocols than HTTP, against real servers where there are some.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::event::tests::event;
use crate::event::{Details, Event};
use crate::level::Level;
use crate::services::{MemoryServices, NOT_ENABLED, section_rule};
use crate::topics::{Handler, HandlerError};

mod email;
mod kafka;
mod mqtt;
mod sensu;
mod snmp_trap;

const KINDS: [&str; 5] = ["smtp", "mqtt", "snmptrap", "sensu", "kafka"];

fn one() -> Event {
    event("cpu:host=a", Level::Critical)
}

fn deps(services: &Arc<MemoryServices>) -> HandlerDeps {
    HandlerDeps {
        services: services.clone(),
        request_timeout: Duration::from_secs(5),
        ..HandlerDeps::default()
    }
}

fn handler(kind: &str, value: Value, deps: &HandlerDeps) -> Arc<dyn Handler> {
    let kind = by_option_kind(kind).unwrap();
    let spec = HandlerSpec::from_options(kind, &options(value)).unwrap();
    spec.start(deps).unwrap_or_else(|error| panic!("{error}"))
}

/// Handles an event and gives why that failed, and whether trying again may help.
async fn failure(handler: &Arc<dyn Handler>, event: &Event) -> (String, bool) {
    let error = handler.handle(event).await.unwrap_err();
    (error.reason().to_owned(), !error.is_final)
}

/// Tries a service with what the request says over the defaults.
async fn tried(kind: &str, more: Value, deps: &HandlerDeps) -> Result<(), HandlerError> {
    let rule = by_option_kind(kind).unwrap().test.unwrap();
    let mut form = (rule.options)(deps);
    form.extend(options(more));
    (rule.run)(form, deps.clone()).await
}

/// Source: reference (server) §1.11; the values are ours.
#[test]
fn forms_have_the_options_of_the_reference() {
    for (kind, expected) in [
        ("smtp", json!({"to": [], "subject": "test subject", "body": "test body"})),
        (
            "mqtt",
            json!({
                "broker-name": "default", "topic": "", "message": "test MQTT message",
                "qos": "at-most-once", "retained": false,
            }),
        ),
        (
            "snmptrap",
            json!({
                "trap-oid": "1.1.1.1",
                "data-list": [{"oid": "1.1.1.1.2", "type": "s", "value": "test snmptrap message"}],
            }),
        ),
        (
            "sensu",
            json!({
                "name": "testName", "source": "Kapacitor", "output": "testOutput", "handlers": [],
                "metadata": {}, "level": "CRITICAL",
            }),
        ),
        (
            "kafka",
            json!({
                "cluster": "default", "topic": "test", "key": "key", "message": "test kafka message",
            }),
        ),
    ] {
        let rule = by_option_kind(kind).unwrap().test.unwrap();
        assert_eq!(Value::Object((rule.options)(&HandlerDeps::default())), expected, "{kind}");
    }
}

/// Source: reference (server) §4.5, §7.2.
#[test]
fn sections_have_the_keys_and_secrets_of_the_reference() {
    for (section, keys, secrets) in [
        (
            "smtp",
            "enabled host port username password no-verify global state-changes-only from to toTemplates idle-timeout",
            "password",
        ),
        (
            "mqtt",
            "enabled name default url ssl-ca ssl-cert ssl-key insecure-skip-verify client-id username password",
            "password",
        ),
        ("snmptrap", "enabled addr community retries", "community"),
        ("sensu", "enabled addr source handlers", ""),
    ] {
        let rule = section_rule(section).unwrap();
        let names: Vec<&str> = rule.options.iter().map(|option| option.name).collect();
        assert_eq!(names.join(" "), keys);
        let hidden = rule.options.iter().filter(|option| option.is_secret);
        let hidden: Vec<&str> = hidden.map(|option| option.name).collect();
        assert_eq!(hidden.join(" "), secrets);
    }
    let kafka = section_rule("kafka").unwrap();
    let secrets = ["sasl-password", "sasl-access-token", "sasl-oauth-client-secret"];
    assert!(secrets.into_iter().all(|name| kafka.option(name).unwrap().is_secret));
    let defaults =
        [("timeout", json!("10s")), ("batch-size", json!(100)), ("batch-timeout", json!("1s"))];
    for (name, value) in defaults {
        assert_eq!(kafka.option(name).unwrap().default.to_json(), value);
    }
}

#[tokio::test]
async fn services_that_are_not_enabled_say_so_and_may_be_enabled_later() {
    for kind in KINDS {
        let services = Arc::new(MemoryServices::default());
        let value = if kind == "snmptrap" { json!({"trap-oid": "1.1"}) } else { json!({}) };
        let handler = handler(kind, value, &deps(&services));
        assert_eq!(failure(&handler, &one()).await, (NOT_ENABLED.to_owned(), false), "{kind}");
        services.set(kind, json!({"enabled": true, "addr": "127.0.0.1:1"}));
        if let Err(error) = handler.handle(&one()).await {
            assert_ne!(error.reason(), NOT_ENABLED, "{kind}");
        }
        services.set(kind, json!({"enabled": true, "brokers": 1, "port": "s3cret", "name": 1, "url": 1, "retries": "x", "addr": 1}));
        let (text, _) = failure(&handler, &one()).await;
        assert_eq!(text, "a setting of the service has the wrong type", "{kind}");
    }
}
