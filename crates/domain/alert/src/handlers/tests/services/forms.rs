//! Trying out services with the values of a form.

use super::*;
use crate::services::service_tests;

fn form(kind: &str, deps: &HandlerDeps) -> Map<String, Value> {
    (by_option_kind(kind).unwrap().test.unwrap().options)(deps)
}

async fn tried(kind: &str, more: Value, deps: &HandlerDeps) -> Result<(), HandlerError> {
    let rule = by_option_kind(kind).unwrap().test.unwrap();
    let mut options = (rule.options)(deps);
    options.extend(super::super::options(more));
    (rule.run)(options, deps.clone()).await
}

/// The keys of the reference, in its order.
#[test]
fn forms_have_the_options_of_the_reference() {
    let forms = [
        (
            "alerta",
            "resource event environment severity group value message origin service correlate attributes timeout",
        ),
        (
            "bigpanda",
            "app_key message level event_data timestamp host primary_property secondary_property",
        ),
        ("discord", "workspace message level username avatar-url embed-title time-val"),
        ("hipchat", "room message level"),
        ("opsgenie", "teams recipients message-type message entity-id"),
        ("opsgenie2", "teams recipients message-type message entity-id recovery_action"),
        ("pagerduty", "incident-key description details level"),
        ("pagerduty2", "alert_id description level event_data timestamp links"),
        ("pushover", "user-key message device title url url-title sound level"),
        (
            "servicenow",
            "alert_id message level source node type resource metric_name message_key additional_info",
        ),
        ("slack", "workspace channel message level username icon-emoji"),
        ("talk", "title text"),
        ("teams", "channel_url alert_topic alert_id message level"),
        ("telegram", "chat-id parse-mode message disable-web-page-preview disable-notification"),
        ("victorops", "routingKey messageType message entityID"),
        (
            "zenoss",
            "alert_id level message action method type tid summary device component eventclasskey eventclass collector custom_fields",
        ),
        ("post", "endpoint url headers timeout"),
    ];
    for (kind, expected) in forms {
        let mut expected: Vec<&str> = expected.split(' ').collect();
        let form = form(kind, &HandlerDeps::default());
        let mut names: Vec<&str> = form.keys().map(|name| &**name).collect();
        expected.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, expected, "{kind}");
    }
}

#[test]
fn forms_start_with_the_settings_of_the_service_but_no_secrets() {
    let settings = json!({"enabled": true, "default": true, "channel": "#c", "token": "s3cret", "url": "http://s3cret/"});
    let services = MemoryServices::with("slack", json!([{"channel": "#other"}, settings]));
    let deps = HandlerDeps { services, ..HandlerDeps::default() };
    let form = form("slack", &deps);
    let expected = json!({
        "workspace": "", "channel": "#c", "message": "test slack message", "level": "CRITICAL",
        "username": "kapacitor", "icon-emoji": "",
    });
    assert_eq!(Value::Object(form), expected);
    for kind in HANDLERS.iter().filter(|kind| kind.test.is_some()) {
        let rule = kind.section.unwrap();
        let mut all = rule.defaults();
        for option in rule.options.iter().filter(|option| option.is_secret) {
            all.insert(option.name.to_owned(), "s3cret".into());
        }
        let deps = HandlerDeps {
            services: MemoryServices::with(rule.name, all.into()),
            ..HandlerDeps::default()
        };
        let shown = Value::Object((kind.test.unwrap().options)(&deps)).to_string();
        assert!(!shown.contains("s3cret"), "{kind:?}: {shown}");
    }
}

#[test]
fn tests_are_found_by_the_names_of_sections() {
    let names: Vec<&str> = service_tests().into_iter().map(|(name, _)| name).collect();
    assert!(
        names.is_sorted() && names.contains(&"httppost") && !names.contains(&"post"),
        "{names:?}"
    );
    assert!(KINDS.iter().all(|kind| names.contains(kind)), "{names:?}");
}

#[tokio::test]
async fn every_form_works_as_it_is() {
    for kind in KINDS {
        let (settings, status) = enabled(kind);
        let (server, seen) = server(Reply::new(status, ""));
        let deps = deps(kind, addressed(&settings, &server));
        tried(kind, json!({}), &deps).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let body = String::from_utf8_lossy(&seen.lock().unwrap()[0].body).replace('+', " ");
        let said = if *kind == "talk" { "text".to_owned() } else { "message".to_owned() };
        assert!(body.contains(&format!("test {kind} {said}")), "{kind}: {body}");

        let off = HandlerDeps::default();
        let error = tried(kind, json!({}), &off).await.unwrap_err();
        assert_eq!(error.message, NOT_ENABLED, "{kind}");
    }
}

#[tokio::test]
async fn values_of_the_request_are_sent() {
    let event_data = json!({
        "Name": "x", "TaskName": "t1", "Group": "nil", "Tags": {"host": "h1"}, "Fields": {"n": 5, "s": "text"}
    });
    let rows = json!({"Result": {"series": [
        {"name": "m", "tags": {"host": "h2"}, "columns": ["time", "v"], "values": [["1970-01-01T00:00:02Z", 1.5], [3, null]]},
        {"name": "o"},
    ]}});
    let cases = [
        (
            "bigpanda",
            json!({"app_key": "a", "level": "warning", "timestamp": "1970-01-01T00:01:00Z", "event_data": event_data, "host": ""}),
            json!({
                "app_key": "a", "check": "", "description": "test bigpanda message", "host": "h1", "n": "5", "s": "text",
                "status": "warning", "task": "t1:x", "timestamp": 60,
            }),
        ),
        (
            "victorops",
            json!({"messageType": "RECOVERY", "entityID": "e", "routingKey": "q"}),
            json!({"message_type": "RECOVERY", "entity_id": "e", "state_message": "test victorops message"}),
        ),
        (
            "pagerduty2",
            json!({"event_data": rows, "links": [{"href": "http://h/"}]}),
            json!({
                "links": [{"href": "http://h/", "text": "http://h/"}], "dedup_key": "testAlertID",
                "payload": {"source": "unknown", "custom_details": {"result": {"series": [
                    {"name": "m", "tags": {"host": "h2"}, "columns": ["time", "v"], "values": [["1970-01-01T00:00:02Z", 1.5], ["1970-01-01T00:00:00.000000003Z", null]]},
                    {"name": "o"},
                ]}}},
            }),
        ),
        ("teams", json!({"alert_id": "", "alert_topic": "T"}), json!({"title": "CRITICAL: [T]"})),
        (
            "zenoss",
            json!({"custom_fields": {"f": "[1]"}, "tid": 9}),
            json!({"tid": 9, "data": [{"f": [1]}]}),
        ),
        (
            "alerta",
            json!({"severity": "informational", "timeout": "1h"}),
            json!({"severity": "informational", "timeout": 3600}),
        ),
    ];
    for (kind, more, expected) in cases {
        let (settings, status) = enabled(kind);
        let (server, seen) = server(Reply::new(status, ""));
        let deps = deps(kind, addressed(&settings, &server));
        tried(kind, more, &deps).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let body: Value = serde_json::from_slice(&seen.lock().unwrap()[0].body).unwrap();
        assert_contains(&body, &expected, kind);
    }
}

/// Says whether all that is expected is there.
fn assert_contains(body: &Value, expected: &Value, kind: &str) {
    match (body, expected) {
        (Value::Object(body), Value::Object(expected)) => {
            for (key, value) in expected {
                assert_contains(body.get(key).unwrap_or(&Value::Null), value, kind);
            }
        }
        (Value::Array(body), Value::Array(expected)) => {
            assert_eq!(body.len(), expected.len(), "{kind}");
            for (body, expected) in body.iter().zip(expected) {
                assert_contains(body, expected, kind);
            }
        }
        _ => assert_eq!(body, expected, "{kind}"),
    }
}

#[tokio::test]
async fn forms_say_what_is_wrong() {
    let many: Vec<Value> = vec![json!({}); 1_001];
    let cases = [
        ("slack", json!({"level": "loud"}), "unknown alert level 'loud'"),
        ("slack", json!({"message": 5}), "option `message` must be a text"),
        ("slack", json!({"workspace": "w"}), "unknown workspace \"w\" of section `slack`; known: "),
        (
            "slack",
            json!({"channel": 5}),
            "'channel' expected type 'string', got unconvertible type 'float64'",
        ),
        ("bigpanda", json!({"timestamp": "yesterday"}), "invalid time `yesterday`; for example"),
        ("bigpanda", json!({"event_data": "x"}), "invalid data of an event: "),
        (
            "bigpanda",
            json!({"event_data": {"Result": {"series": many}}}),
            "more than 1000 series or values",
        ),
        ("alerta", json!({"value": "{{ .x"}), "template: value:1: "),
    ];
    for (kind, more, expected) in cases {
        let (settings, status) = enabled(kind);
        let (server, seen) = server(Reply::new(status, ""));
        let deps = deps(kind, addressed(&settings, &server));
        let error = tried(kind, more, &deps).await.unwrap_err();
        assert!(error.message.contains(expected), "{kind}: {error:?}");
        assert!(seen.lock().unwrap().is_empty(), "{kind}");
    }
}
