#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::spec::is_same_name;
use super::*;

mod protocols;
mod run;
mod services;

pub(super) fn spec(method: &str, args: Vec<Arg>) -> HandlerSpec {
    HandlerSpec::from_call(by_method(method).unwrap(), args).unwrap()
}

/// A sensible value for a rule.
fn sample(rule: &Rule) -> Vec<Arg> {
    let text = |text: &str| Arg::from(text);
    match (rule.shape, rule.name) {
        (Shape::Flag, _) => Vec::new(),
        (Shape::Text, "partitionHashAlgorithm") => vec![text("murmur2")],
        (Shape::Text, "category") => vec![text("logging")],
        (Shape::Text, "path") => vec![text("/tmp/x")],
        (Shape::Text, "url") => vec![text("http://h/")],
        (Shape::Text, _) => vec![text("x")],
        (Shape::Int, _) => vec![Arg::Int(0o640)],
        (Shape::Bool, _) => vec![Arg::Bool(true)],
        (Shape::Duration, _) => vec![Arg::Duration(5_000_000_000)],
        (Shape::Texts, _) => vec![text("a"), text("b")],
        (Shape::Pair | Shape::Entry, _) => vec![text("k"), text("v")],
        (Shape::Link, _) => vec![text("http://h/"), text("there")],
        (Shape::SnmpData, _) => vec![text("1.2"), text("s"), text("v")],
        (Shape::Qos, _) => vec![Arg::Int(2)],
    }
}

/// A handler with everything set.
fn full(kind: &'static Kind) -> HandlerSpec {
    let mut spec = HandlerSpec::new(kind);
    for rule in kind.rules {
        spec.push(rule, sample(rule)).unwrap();
    }
    spec
}

#[test]
fn the_table_is_whole() {
    assert_eq!(HANDLERS.len(), 28);
    let methods: BTreeSet<_> = HANDLERS.iter().filter_map(|kind| kind.method).collect();
    assert_eq!(methods.len(), 26);
    let kinds: BTreeSet<_> = HANDLERS.iter().map(|kind| kind.option_kind).collect();
    assert_eq!(kinds.len(), 28);
    for kind in HANDLERS {
        assert!(!kind.summary.is_empty() && !kind.summary.ends_with('.'), "{kind:?}");
        let names: BTreeSet<_> = kind.rules.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), kind.rules.len(), "{kind:?}");
        let options: BTreeSet<_> =
            kind.rules.iter().map(|rule| rule.option.to_lowercase()).collect();
        assert_eq!(options.len(), kind.rules.len(), "{kind:?}");
        assert!(std::ptr::eq(by_option_kind(kind.option_kind).unwrap(), *kind));
        if let Some(method) = kind.method {
            assert!(std::ptr::eq(by_method(method).unwrap(), *kind));
        }
    }
    let listed = |wanted: fn(&Kind) -> bool| {
        let kinds = HANDLERS.iter().filter(|kind| wanted(kind));
        let mut names: Vec<&str> = kinds.map(|kind| kind.option_kind).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(
        listed(|kind| kind.is_global),
        "bigpanda discord hipchat opsgenie opsgenie2 pagerduty pagerduty2 servicenow slack smtp teams telegram victorops zenoss"
    );
    assert_eq!(
        listed(|kind| kind.has_state_changes_only),
        "bigpanda discord hipchat servicenow slack smtp teams telegram zenoss"
    );
    assert_eq!(by_method("HipChat").unwrap().go_type(), "*pipeline.HipChatHandler");
    assert!(
        by_method("slak").is_none() && by_method("publish").is_none() && by_method("").is_none()
    );
    assert!(is_same_name("URL", "uRL") && !is_same_name("URL", "url"));
}

#[test]
fn options_read_back_for_every_kind() {
    for kind in HANDLERS {
        let spec = full(kind);
        assert_eq!(spec.check(&with_any_template()), Ok(()), "{kind:?}");
        let options = spec.to_options();
        assert_eq!(options.len(), kind.rules.len(), "{kind:?}");
        let again = HandlerSpec::from_options(kind, &options).unwrap();
        assert_eq!(again.to_options(), options, "{kind:?}");
        assert_eq!(again, spec, "{kind:?}");
    }
}

/// Takes every template.
struct Any;

impl Templates for Any {
    fn parse(&self, _: &str, _: &str, _: Scope) -> Result<std::sync::Arc<dyn Template>, String> {
        PlainTemplates.parse("any", "", Scope::Event)
    }
}

fn with_any_template() -> HandlerDeps {
    HandlerDeps { templates: std::sync::Arc::new(Any), ..HandlerDeps::default() }
}

fn options(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn options_as_the_reference_writes_them() {
    let cases = [
        (
            "slack",
            json!({"workspace": "w", "channel": "#ops", "username": "u", "icon-emoji": ":x:"}),
        ),
        (
            "pagerduty2",
            json!({"routing-key": "k", "links": [{"href": "h"}, {"href": "h", "text": "t"}]}),
        ),
        (
            "snmptrap",
            json!({"trap-oid": "1.1", "data-list": [{"oid": "1", "type": "i", "value": "{{ .Level }}"}]}),
        ),
        ("mqtt", json!({"topic": "t", "qos": "exactly-once", "retained": true})),
        (
            "post",
            json!({"url": "http://h", "headers": {"a": "b"}, "capture-response": true, "timeout": 1000}),
        ),
        ("smtp", json!({"to": ["a", "b"], "to-field": ["{{ .Name }}"]})),
        ("exec", json!({"prog": "/bin/true", "args": ["-x"]})),
        ("log", json!({"path": "/tmp/x", "mode": 384})),
        ("tcp", json!({"address": "h:1"})),
        ("publish", json!({"topics": ["a", "b"]})),
        ("aggregate", json!({"interval": 1000000000, "topic": "t"})),
        (
            "opsgenie2",
            json!({"teams-list": ["t"], "recipients-list": ["r"], "recovery_action": "close"}),
        ),
        (
            "alerta",
            json!({"token-prefix": "Bearer", "service": ["s"], "correlate": ["c"], "attributes": {"k": "v"}}),
        ),
        ("zenoss", json!({"eventclasskey": "k", "tid": 1, "customField": {"k": "v"}})),
    ];
    for (kind, value) in cases {
        let kind = by_option_kind(kind).unwrap();
        let spec = HandlerSpec::from_options(kind, &options(value.clone())).unwrap();
        assert_eq!(spec.check(&with_any_template()), Ok(()), "{value}");
        let sorted = |map: Map<String, Value>| -> std::collections::BTreeMap<String, Value> {
            map.into_iter().collect()
        };
        assert_eq!(sorted(spec.to_options()), sorted(options(value)));
    }
}

#[test]
fn options_that_are_not_taken() {
    let error = |kind: &str, value: Value| {
        let kind = by_option_kind(kind).unwrap();
        HandlerSpec::from_options(kind, &options(value)).unwrap_err().to_string()
    };
    assert_eq!(
        error("slack", json!({"chanel": "x", "Alpha": 1, "channel": 1})),
        "failed to decode options into *slack.HandlerConfig: 2 error(s) decoding:\n\n\
         * 'channel' expected type 'string', got unconvertible type 'float64'\n\
         * '' has invalid keys: Alpha, chanel"
    );
    let cases = [
        (
            "aggregate",
            json!({"interval": true}),
            "'interval' expected type 'time.Duration', got unconvertible type 'bool'",
        ),
        ("aggregate", json!({"interval": "5 parsecs"}), "'interval': invalid duration `5 parsecs`"),
        (
            "smtp",
            json!({"to": "a"}),
            "'to' expected type '[]string', got unconvertible type 'string'",
        ),
        (
            "smtp",
            json!({"to": ["a", 1]}),
            "'to[1]' expected type 'string', got unconvertible type 'float64'",
        ),
        (
            "post",
            json!({"headers": {"a": []}}),
            "'headers[a]' expected type 'string', got unconvertible type '[]interface {}'",
        ),
        (
            "mqtt",
            json!({"qos": "twice"}),
            "'qos': unknown QoS level \"twice\"; known: at-most-once, at-least-once, exactly-one",
        ),
        (
            "log",
            json!({"mode": 1.5}),
            "'mode' expected type 'int64', got unconvertible type 'float64'",
        ),
        ("pagerduty2", json!({"links": [{"url": "x"}]}), "'links[0]' has invalid keys: url"),
        (
            "telegram",
            json!({"disable-notification": "yes"}),
            "'disable-notification' expected type 'bool', got unconvertible type 'string'",
        ),
    ];
    for (kind, value, expected) in cases {
        let text = error(kind, value);
        assert!(text.contains(expected), "{text}");
    }
    let spec = |kind: &str, value| {
        HandlerSpec::from_options(by_option_kind(kind).unwrap(), &options(value))
    };
    let interval =
        |value| spec("aggregate", json!({"interval": value})).unwrap().duration("interval");
    assert_eq!(interval(json!("5m")), Some(300_000_000_000), "Differs: texts are read, too");
    let quality = |word: &str| spec("mqtt", json!({"qos": word})).unwrap().int("qos");
    assert_eq!((quality("exactly-one"), quality("at-most-once")), (Some(2), Some(0)));
    let alias = spec("servicenow", json!({"metric_name": "m", "MESSAGEKEY": "k"})).unwrap();
    assert_eq!((alias.text("metricName"), alias.text("messageKey")), (Some("m"), Some("k")));
    assert!(spec("slack", json!({"channel": null})).unwrap().properties.is_empty());
    assert!(!spec("post", json!({"capture-response": false})).unwrap().flag("captureResponse"));
}

#[test]
fn calls_of_scripts() {
    let text = |text: &str| Arg::from(text);
    let error = |method: &str, args| {
        HandlerSpec::from_call(by_method(method).unwrap(), args).unwrap_err().to_string()
    };
    assert_eq!(error("log", vec![]), "reflect: Call with too few input arguments");
    assert_eq!(error("slack", vec![text("x")]), "reflect: Call with too many input arguments");
    assert_eq!(error("tcp", vec![Arg::Int(1)]), "reflect: Call using int64 as type string");
    assert_eq!(error("post", vec![text("a"), text("b")]), "post expects 0 or 1 arguments, got 2");
    assert_eq!(
        error("exec", vec![text("a"), Arg::Bool(true)]),
        "reflect: Call using bool as type string"
    );
    let exec = spec("exec", vec![text("p"), text("a"), text("b")]);
    assert_eq!(exec.text("prog"), Some("p"));
    assert_eq!(exec.texts("args").len(), 2);
    let mut mail = spec("email", vec![text("a"), text("b")]);
    mail.set("to", vec![text("c")]).unwrap();
    assert_eq!(mail.texts("to").into_iter().map(|to| &**to).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(spec("post", vec![]).text("url").is_none());
}

#[test]
fn properties_of_scripts() {
    let text = |text: &str| Arg::from(text);
    let mut slack = spec("slack", vec![]);
    assert!(slack.has_property("channel") && slack.has_property("Channel"));
    assert!(!slack.has_property("message"), "it is the alert's");
    assert!(!spec("log", vec![text("/x")]).has_property("path"), "an argument only");
    assert!(!spec("alerta", vec![]).has_property("tokenPrefix"), "an option only");
    slack.set("channel", vec![text("#a")]).unwrap();
    slack.set("Channel", vec![text("#b")]).unwrap();
    assert_eq!(slack.text("channel"), Some("#b"), "the last one counts");
    let mut error = |name: &str, args| slack.set(name, args).unwrap_err().to_string();
    assert_eq!(error("slak", vec![]), "no property \"slak\"");
    assert_eq!(
        error("channel", vec![text("a"), text("b")]),
        "too many arguments to set property Channel"
    );
    assert_eq!(
        error("channel", vec![Arg::Int(1)]),
        "reflect.Set: value of type int64 is not assignable to type string"
    );
    let mut post = spec("post", vec![]);
    assert_eq!(post.set("header", vec![text("k")]).unwrap_err(), PropertyError::TooFew);
    assert_eq!(
        post.set("captureResponse", vec![Arg::Bool(true)]).unwrap_err(),
        PropertyError::TooMany
    );
    post.set("captureResponse", vec![]).unwrap();
    assert!(post.flag("captureResponse") && !post.flag("skipSSLVerification"));
    let alerta = spec("alerta", vec![]);
    assert_eq!((alerta.text("event"), alerta.text("value")), (Some("{{ .ID }}"), None));
    let mut many = spec("post", vec![]);
    let outcome = (0..2_000).try_for_each(|_| many.set("header", vec![text("a"), text("b")]));
    assert_eq!((outcome, many.properties.len()), (Err(PropertyError::TooLong), 1_000));
}

#[test]
fn mistakes_have_the_texts_of_the_original() {
    let text = |text: &str| Arg::from(text);
    let trouble = |method: &str, args, properties: &[(&str, Vec<Arg>)]| {
        let mut spec = spec(method, args);
        properties.iter().for_each(|(name, args)| spec.set(name, args.clone()).unwrap());
        let found = spec.check(&with_any_template()).unwrap_err();
        assert_eq!(spec.check_define().is_err(), found.stage == Stage::Define);
        (found.stage, found.text)
    };
    let define = |text: &str| (Stage::Define, text.to_owned());
    let enable = |text: &str| (Stage::Enable, text.to_owned());
    assert_eq!(
        trouble("log", vec![text("x")], &[]),
        enable("failed to create log alert handler: log path must be absolute: x is not absolute")
    );
    let (_, mode) = trouble("log", vec![text("/x")], &[("mode", vec![Arg::Int(0o444)])]);
    assert!(mode.contains("invalid file mode 0o444"), "{mode}");
    assert_eq!(
        trouble("post", vec![text("u")], &[("header", vec![text("Authenticate"), text("x")])]),
        define("invalid post: cannot set 'authenticate' header")
    );
    assert_eq!(trouble("post", vec![], &[]), enable("Either URL or endpoint must be non-empty"));
    assert_eq!(
        trouble("post", vec![text("u")], &[("header", vec![text("a b"), text("x")])]),
        define("invalid post: invalid header \"a b\"")
    );
    assert_eq!(
        trouble("snmpTrap", vec![text("")], &[]),
        define("invalid SNMP trap \"\": you must supply a trap Oid")
    );
    assert_eq!(
        trouble("snmpTrap", vec![text("1.1")], &[("data", vec![text("1"), text("x"), text("v")])]),
        define("invalid SNMP trap \"1.1\": unsupported data type \"x\" for data entry \"1\"")
    );
    assert_eq!(
        trouble("mqtt", vec![text("t")], &[("qos", vec![Arg::Int(3)])]).1,
        "invalid QoS 3; it must be 0, 1 or 2"
    );
    let (_, algorithm) = trouble("kafka", vec![], &[("partitionHashAlgorithm", vec![text("md5")])]);
    assert!(algorithm.contains("unknown partition hash algorithm `md5`"), "{algorithm}");
    assert_eq!(trouble("tcp", vec![text("")], &[]).0, Stage::Enable);
    assert_eq!(trouble("exec", vec![text("")], &[]).0, Stage::Enable);
    let plain = spec("sensu", vec![]);
    assert_eq!(plain.check(&HandlerDeps::default()), Ok(()));
    let mut broken = plain;
    broken.set("source", vec![text("{{ .x")]).unwrap();
    assert_eq!(broken.check(&HandlerDeps::default()).unwrap_err().stage, Stage::Enable);
    let option = |kind: &str, value| {
        let spec =
            HandlerSpec::from_options(by_option_kind(kind).unwrap(), &options(value)).unwrap();
        spec.check(&with_any_template()).unwrap_err().text
    };
    for interval in [json!(0), json!(-1), json!(null)] {
        let text = option("aggregate", json!({"topic": "t", "interval": interval}));
        assert_eq!(text, "aggregate interval must be positive");
    }
    assert_eq!(option("publish", json!({})), "publish topics must not be empty");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("href|text|oid|type|value|[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn options_of_any_form_are_read_or_refused(
        index in 0usize..27,
        keys in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        values in proptest::collection::vec(any_json(), 6),
    ) {
        let kind = HANDLERS[index];
        let mut map = Map::new();
        for (key, value) in keys.iter().zip(values) {
            let option = kind.rules.get(key.index(kind.rules.len() + 1)).map_or("other", |rule| rule.option);
            map.insert(option.to_owned(), value);
        }
        if let Ok(spec) = HandlerSpec::from_options(kind, &map) {
            let again = HandlerSpec::from_options(kind, &spec.to_options()).unwrap();
            prop_assert_eq!(again.to_options(), spec.to_options());
            prop_assert!(spec.check(&with_any_template()).err().is_none_or(|found| !found.text.is_empty()));
        }
    }
}
