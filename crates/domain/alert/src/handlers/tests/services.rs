//! Handlers that report to services: what they send, byte for byte, what they make of answers, and trying them out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_model::FieldValue;
use levada_testkit::fake_http::{FakeServer, Reply, Request};

use super::*;
use crate::event::tests::{batch, event, point};
use crate::event::{Details, Event, EventData};
use crate::level::Level;
use crate::services::{MemoryServices, NOT_ENABLED};
use crate::topics::HandlerError;

mod answers;
mod forms;

/// Data of the event of most cases.
const RESULT: &str = r#"{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","value"],"values":[["1970-01-01T00:00:01Z",61]]}]}"#;

/// One request that is expected.
struct Case {
    kind: &'static str,
    /// Settings; `@` at the start of a text is the address of the server.
    section: Value,
    options: Value,
    event: Event,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    /// The status that is answered.
    status: u16,
}

fn at(level: Level) -> Event {
    event("cpu:host=a", level)
}

/// Puts the address of a server into settings.
fn addressed(value: &Value, server: &FakeServer) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('@') {
            Some(path) => server.url(path).into(),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| addressed(item, server)).collect(),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, item)| (key.clone(), addressed(item, server)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

/// A server that keeps what it is asked.
fn server(reply: Reply) -> (FakeServer, Arc<Mutex<Vec<Request>>>) {
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let kept = seen.clone();
    let server = FakeServer::start(move |request| {
        kept.lock().unwrap().push(request.clone());
        reply.clone()
    });
    (server, seen)
}

thread_local! {
    /// Making one reads the authorities of the system, which takes its time.
    static CLIENTS: Clients = Clients::default();
}

fn deps(kind: &str, section: Value) -> HandlerDeps {
    let rule = by_option_kind(kind).unwrap().section.unwrap();
    HandlerDeps {
        services: MemoryServices::with(rule.name, section),
        topic: "the-topic".into(),
        clients: CLIENTS.with(Clients::clone),
        ..HandlerDeps::default()
    }
}

async fn handle(
    kind: &str,
    options: &Value,
    event: &Event,
    deps: &HandlerDeps,
) -> Result<(), HandlerError> {
    let options = super::options(options.clone());
    let spec = HandlerSpec::from_options(by_option_kind(kind).unwrap(), &options).unwrap();
    spec.start(deps).unwrap_or_else(|error| panic!("{kind}: {error}")).handle(event).await
}

/// A full setting per kind, and the status that means success.
fn enabled(kind: &str) -> (Value, u16) {
    let (settings, status) = match kind {
        "slack" => (json!({"url": "@/hook", "channel": "#c"}), 200),
        "discord" => (json!({"url": "@/hook"}), 204),
        "teams" => (json!({"channel-url": "@/hook"}), 200),
        "telegram" => (json!({"url": "@/bot", "token": "1:t", "chat-id": "7"}), 200),
        "hipchat" => (json!({"url": "@/room", "room": "r", "token": "t"}), 204),
        "talk" => (json!({"url": "@/hook", "author_name": "me"}), 200),
        "pagerduty" => (json!({"url": "@/pd", "service-key": "k"}), 200),
        "pagerduty2" => (json!({"url": "@/pd2", "routing-key": "k"}), 202),
        "opsgenie" => (json!({"url": "@/og", "recovery_url": "@/note", "api-key": "k"}), 200),
        "opsgenie2" => (json!({"url": "@/og2", "api-key": "k"}), 202),
        "victorops" => (json!({"url": "@/vo", "api-key": "k", "routing-key": "r"}), 200),
        "alerta" => (json!({"url": "@/api", "token": "t"}), 201),
        "bigpanda" => (json!({"url": "@/bp", "app-key": "k", "token": "t"}), 201),
        "servicenow" => (json!({"url": "@/sn", "source": "src"}), 200),
        "zenoss" => (json!({"url": "@/z"}), 200),
        "pushover" => (json!({"url": "@/po", "token": "t", "user-key": "u"}), 200),
        other => panic!("no settings for {other}"),
    };
    let mut settings = super::options(settings);
    settings.insert("enabled".to_owned(), true.into());
    (settings.into(), status)
}

/// The kinds with settings above.
const KINDS: &[&str] = &[
    "alerta",
    "bigpanda",
    "discord",
    "hipchat",
    "opsgenie",
    "opsgenie2",
    "pagerduty",
    "pagerduty2",
    "pushover",
    "servicenow",
    "slack",
    "talk",
    "teams",
    "telegram",
    "victorops",
    "zenoss",
];

fn case(kind: &'static str, options: Value, event: Event, target: &'static str) -> Case {
    let (section, status) = enabled(kind);
    Case { kind, section, options, event, target, headers: &[], body: String::new(), status }
}

impl Case {
    fn with(mut self, more: Value) -> Self {
        let Value::Object(section) = &mut self.section else { panic!("an object") };
        section.extend(super::options(more));
        self
    }

    fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Case { headers, ..self }
    }

    fn sends(self, body: impl Into<String>) -> Self {
        Case { body: body.into(), ..self }
    }
}

fn chats() -> Vec<Case> {
    vec![
        case("slack", json!({}), at(Level::Critical), "/hook").sends(
            r##"{"attachments":[{"fallback":"cpu:host=a is CRITICAL","color":"danger","text":"cpu:host=a is CRITICAL","mrkdwn_in":["text"]}],"channel":"#c","icon_emoji":"","text":"","username":"kapacitor"}"##,
        ),
        case(
            "slack",
            json!({"channel": "#ops", "username": "<u>", "icon-emoji": ":x:"}),
            at(Level::Warning),
            "/hook",
        )
        .with(json!({"token": "xoxb", "icon-emoji": ":y:"}))
        .headers(&[("authorization", "Bearer xoxb")])
        .sends(
            r##"{"attachments":[{"fallback":"cpu:host=a is WARNING","color":"warning","text":"cpu:host=a is WARNING","mrkdwn_in":["text"]}],"channel":"#ops","icon_emoji":":x:","text":"","username":"\u003cu\u003e"}"##,
        ),
        case("slack", json!({}), at(Level::Info), "/hook").with(json!({"icon-emoji": ":y:"})).sends(
            r##"{"attachments":[{"fallback":"cpu:host=a is INFO","color":"good","text":"cpu:host=a is INFO","mrkdwn_in":["text"]}],"channel":"#c","icon_emoji":":y:","text":"","username":"kapacitor"}"##,
        ),
        case("discord", json!({}), at(Level::Critical), "/hook").sends(
            r#"{"avatar_url":"","embeds":[{"color":16342867,"title":"","description":"cpu:host=a is CRITICAL","timestamp":""}],"username":""}"#,
        ),
        case(
            "discord",
            json!({"username": "u", "avatar-url": "http://a/", "embed-title": "{{ .Level }} {{ .Name }}"}),
            at(Level::Warning),
            "/hook",
        )
        .with(json!({"timestamp": true, "embed-title": "unused", "username": "other"}))
        .sends(
            r#"{"avatar_url":"http://a/","embeds":[{"color":16026936,"title":"WARNING cpu","description":"cpu:host=a is WARNING","timestamp":"1970-01-01T00:00:01Z"}],"username":"u"}"#,
        ),
        case("discord", json!({}), at(Level::Ok), "/hook").with(json!({"embed-title": "unused"})).sends(
            r#"{"avatar_url":"","embeds":[{"color":8021490,"title":"","description":"cpu:host=a is OK","timestamp":""}],"username":""}"#,
        ),
        case("teams", json!({}), at(Level::Critical), "/hook").sends(
            r#"{"@type":"MessageCard","@context":"http://schema.org/extensions","title":"CRITICAL: [cpu:host=a]","text":"cpu:host=a is CRITICAL","summary":"CRITICAL: [cpu:host=a] - cpu:host=a is CRITICAL...","themeColor":"CC4A31"}"#,
        ),
        // 70 bytes would cut the last letter apart.
        case(
            "teams",
            json!({}),
            Event { id: "".into(), message: format!("{}é{}", "x".repeat(46), "y".repeat(9)).into(), ..at(Level::Warning) },
            "/hook",
        )
        .sends(
            r#"{"@type":"MessageCard","@context":"http://schema.org/extensions","title":"WARNING: [the-topic]","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxéyyyyyyyyy","summary":"WARNING: [the-topic] - xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...","themeColor":"FFA533"}"#,
        ),
        case("telegram", json!({}), at(Level::Critical), "/bot1:t/sendMessage")
            .sends(r#"{"chat_id":"7","text":"cpu:host=a is CRITICAL"}"#),
        case(
            "telegram",
            json!({"chat-id": "8", "parse-mode": "HTML", "disable-notification": true}),
            at(Level::Ok),
            "/bot1:t/sendMessage",
        )
        .with(json!({"disable-web-page-preview": true, "parse-mode": "Markdown"}))
        .sends(
            r#"{"chat_id":"8","text":"cpu:host=a is OK","parse_mode":"HTML","disable_web_page_preview":true,"disable_notification":true}"#,
        ),
        case("hipchat", json!({}), at(Level::Critical), "/room/r/notification?auth_token=t").sends(
            r#"{"color":"red","from":"kapacitor","message":"cpu:host=a is CRITICAL","notify":true}"#,
        ),
        case(
            "hipchat",
            json!({"room": "a b/c", "token": "x&y"}),
            at(Level::Warning),
            "/room/a%20b%2Fc/notification?auth_token=x%26y",
        )
        .sends(
            r#"{"color":"yellow","from":"kapacitor","message":"cpu:host=a is WARNING","notify":true}"#,
        ),
        case("talk", json!({}), at(Level::Info), "/hook")
            .sends(r#"{"authorName":"me","text":"cpu:host=a is INFO","title":"cpu:host=a"}"#),
    ]
}

fn pagers() -> Vec<Case> {
    vec![
        case("pagerduty", json!({}), at(Level::Critical), "/pd").sends(
            r#"{"client":"kapacitor","client_url":"http://localhost:9092","description":"cpu:host=a is CRITICAL","details":"d","event_type":"trigger","incident_key":"cpu:host=a","service_key":"k"}"#,
        ),
        case("pagerduty", json!({"service-key": "own"}), at(Level::Ok), "/pd").sends(
            r#"{"client":"kapacitor","client_url":"http://localhost:9092","description":"cpu:host=a is OK","details":"d","event_type":"resolve","incident_key":"cpu:host=a","service_key":"own"}"#,
        ),
        case("pagerduty2", json!({}), at(Level::Critical), "/pd2")
            .headers(&[("accept", "application/vnd.pagerduty+json;version=2")])
            .sends(format!(
                r#"{{"routing_key":"k","event_action":"trigger","dedup_key":"cpu:host=a","payload":{{"summary":"cpu:host=a is CRITICAL","source":"a","severity":"critical","timestamp":"1970-01-01T00:00:01.000000000Z","class":"tid","component":"","group":"","custom_details":{{"result":{RESULT}}}}},"images":null,"links":null,"client":"kapacitor","client_url":"http://localhost:9092"}}"#
            )),
        case(
            "pagerduty2",
            json!({"service-key": "older", "links": [{"href": "http://h/{{ .ID }}"}, {"href": "http://i/", "text": "{{ .Level }}"}]}),
            Event { data: EventData::None, ..at(Level::Ok) },
            "/pd2",
        )
        .sends(
            r#"{"routing_key":"older","event_action":"resolve","dedup_key":"cpu:host=a","payload":{"summary":"cpu:host=a is OK","source":"unknown","severity":"info","timestamp":"1970-01-01T00:00:01.000000000Z","class":"tid","component":"","group":"","custom_details":{"result":{"series":null}}},"images":null,"links":[{"href":"http://h/cpu:host=a","text":"http://h/cpu:host=a"},{"href":"http://i/","text":"OK"}],"client":"kapacitor","client_url":"http://localhost:9092"}"#,
        ),
        case("opsgenie", json!({}), at(Level::Critical), "/og/").sends(format!(
            r#"{{"alias":"cpu:host=a","apiKey":"k","description":{},"details":{{"Level":"CRITICAL","Monitoring Tool":"Kapacitor"}},"entity":"cpu:host=a","message":"cpu:host=a is CRITICAL","monitoring_tool":"kapacitor","note":""}}"#,
            json!(RESULT)
        )),
        case("opsgenie", json!({"teams-list": ["t"]}), at(Level::Ok), "/note/")
            .with(json!({"teams": ["other"], "recipients": ["r1", "r2"]}))
            .sends(format!(
                r#"{{"alias":"cpu:host=a","apiKey":"k","description":{},"details":{{"Level":"RECOVERY","Monitoring Tool":"Kapacitor"}},"entity":"cpu:host=a","message":"cpu:host=a is OK","monitoring_tool":"kapacitor","note":"cpu:host=a is OK","recipients":["r1","r2"],"teams":["t"]}}"#,
                json!(RESULT)
            )),
        case("opsgenie2", json!({}), at(Level::Critical), "/og2")
            .headers(&[("authorization", "GenieKey k")])
            .sends(format!(
                r#"{{"alias":"Y3B1Omhvc3Q9YQ==","description":{},"details":{{"Kapacitor Task Name":"cpu","Level":"CRITICAL","Monitoring Tool":"Kapacitor","host":"a"}},"entity":"cpu:host=a","message":"cpu:host=a is CRITICAL","note":"","priority":"P1"}}"#,
                json!(RESULT)
            )),
        case(
            "opsgenie2",
            json!({"teams-list": ["t"], "details": true}),
            Event { data: EventData::None, ..at(Level::Warning) },
            "/og2",
        )
        .with(json!({"recipients": ["u"]}))
        .sends(
            r#"{"alias":"Y3B1Omhvc3Q9YQ==","description":"d","details":{"Kapacitor Task Name":"","Level":"WARNING","Monitoring Tool":"Kapacitor"},"entity":"cpu:host=a","message":"cpu:host=a is WARNING","note":"","priority":"P3","responders":[{"name":"t","type":"team"},{"type":"user","username":"u"}]}"#,
        ),
        case(
            "opsgenie2",
            json!({}),
            Event { details: Details::from(""), data: EventData::None, ..at(Level::Info) },
            "/og2",
        )
        .with(json!({"details": true}))
        .sends(
            r#"{"alias":"Y3B1Omhvc3Q9YQ==","description":"{\"series\":null}","details":{"Kapacitor Task Name":"","Level":"INFO","Monitoring Tool":"Kapacitor"},"entity":"cpu:host=a","message":"cpu:host=a is INFO","note":"","priority":"P5"}"#,
        ),
        case("opsgenie2", json!({}), at(Level::Ok), "/og2/Y3B1Omhvc3Q9YQ==/notes?identifierType=alias")
            .headers(&[("authorization", "GenieKey k")])
            .sends(r#"{"note":"cpu:host=a is OK"}"#),
        case(
            "opsgenie2",
            json!({"recovery_action": "close"}),
            at(Level::Ok),
            "/og2/Y3B1Omhvc3Q9YQ==/close?identifierType=alias",
        )
        .sends(r#"{"note":"cpu:host=a is OK"}"#),
        case("victorops", json!({}), at(Level::Warning), "/vo/k/r").sends(format!(
            r#"{{"data":{},"entity_id":"cpu:host=a","message_type":"WARNING","monitoring_tool":"kapacitor","state_message":"cpu:host=a is WARNING","timestamp":1}}"#,
            json!(RESULT)
        )),
        case("victorops", json!({"routing-key": "own/key"}), at(Level::Ok), "/vo/k/own%2Fkey")
            .with(json!({"json-data": true}))
            .sends(format!(
                r#"{{"data":{RESULT},"entity_id":"cpu:host=a","message_type":"RECOVERY","monitoring_tool":"kapacitor","state_message":"cpu:host=a is OK","timestamp":1}}"#
            )),
        case("pushover", json!({}), at(Level::Critical), "/po")
            .headers(&[("content-type", "application/x-www-form-urlencoded")])
            .sends("token=t&user=u&message=cpu%3Ahost%3Da+is+CRITICAL&priority=1"),
        case(
            "pushover",
            json!({"user-key": "own", "device": "d", "title": "a b", "url": "http://h/?x", "url-title": "é", "sound": "s"}),
            at(Level::Ok),
            "/po",
        )
        .sends("token=t&user=own&message=cpu%3Ahost%3Da+is+OK&priority=-2&device=d&title=a+b&url=http%3A%2F%2Fh%2F%3Fx&url_title=%C3%A9&sound=s"),
    ]
}

fn rich() -> Event {
    let fields = [
        ("app_key", FieldValue::Str("no".into())),
        ("state", FieldValue::Str("up & <ok>".into())),
        ("value", FieldValue::Float(61.5)),
    ];
    let point = point("cpu", &[("dc", "eu"), ("host", "a"), ("state", "tag")], &fields, 1);
    Event { data: EventData::Point(Arc::new(point)), ..at(Level::Warning) }
}

fn desks() -> Vec<Case> {
    let long = |count: usize| "x".repeat(count);
    vec![
        case("alerta", json!({}), at(Level::Critical), "/api/alert")
            .headers(&[("authorization", "Bearer t")])
            .sends(format!(
                r#"{{"correlate":["cpu"],"environment":"","event":"cpu:host=a","group":"host=a","origin":"","rawData":{RESULT},"resource":"cpu","service":["cpu"],"severity":"critical","tags":["host=a"],"text":"cpu:host=a is CRITICAL","timeout":86400,"value":""}}"#
            )),
        case(
            "alerta",
            json!({
                "token": "own", "token-prefix": "Key", "resource": "{{ .TaskName }}", "event": "e", "group": "g",
                "environment": "{{ .Level }}", "value": "{{ index .Fields \"value\" }}", "origin": "o",
                "service": ["{{ .Name }}", "s"], "correlate": ["c"], "timeout": "1m",
                "attributes": {"b": "{{ .Level }}", "a": 1.5, "c": [true, "{{ x }}"]},
            }),
            Event { data: EventData::None, ..at(Level::Info) },
            "/api/alert",
        )
        .with(json!({"environment": "other", "origin": "other"}))
        .headers(&[("authorization", "Key own")])
        .sends(
            r#"{"attributes":{"a":1.5,"b":"INFO","c":[true,"{{ x }}"]},"correlate":["c"],"environment":"INFO","event":"e","group":"g","origin":"o","rawData":{"series":null},"resource":"tid","service":["","s"],"severity":"informational","tags":[],"text":"cpu:host=a is INFO","timeout":60,"value":"\u003cno value\u003e"}"#,
        ),
        case("alerta", json!({}), at(Level::Ok), "/api/alert")
            .with(json!({"environment": "prod", "origin": "me", "timeout": "90s", "token-prefix": "Key"}))
            .headers(&[("authorization", "Key t")])
            .sends(format!(
                r#"{{"correlate":["cpu"],"environment":"prod","event":"cpu:host=a","group":"host=a","origin":"me","rawData":{RESULT},"resource":"cpu","service":["cpu"],"severity":"ok","tags":["host=a"],"text":"cpu:host=a is OK","timeout":90,"value":""}}"#
            )),
        case("bigpanda", json!({}), at(Level::Critical), "/bp")
            .headers(&[("authorization", "Bearer t")])
            .sends(
                r#"{"app_key":"k","check":"cpu:host=a","description":"cpu:host=a is CRITICAL","details":"d","host":"a","status":"critical","task":"tid:cpu","timestamp":1,"value":"61"}"#,
            ),
        case(
            "bigpanda",
            json!({
                "app-key": "own", "url": "@/elsewhere", "host": "h-{{ .Name }}", "primary-property": "p",
                "secondary-property": "s", "attributes": {"dc": "{{ .Group }}", "n": 1},
            }),
            Event { details: Details::from("&lt;b&gt; &amp; &#34;"), ..rich() },
            "/elsewhere",
        )
        .sends(
            r#"{"app_key":"own","check":"cpu:host=a","dc":"host=a","description":"cpu:host=a is WARNING","details":"\u003cb\u003e \u0026 \"","host":"h-cpu","n":1,"primary_property":"p","secondary_property":"s","state":"up \u0026 \u003cok\u003e","status":"warning","task":"tid:cpu","timestamp":1,"value":"61.5"}"#,
        ),
        case("bigpanda", json!({}), Event { level: Level::Info, details: Details::from("{}"), ..rich() }, "/bp")
            .with(json!({"auto-attributes": "tags"}))
            .sends(
                r#"{"app_key":"k","check":"cpu:host=a","dc":"eu","description":"cpu:host=a is WARNING","host":"a","state":"tag","status":"ok","task":"tid:cpu","timestamp":1}"#,
            ),
        case("servicenow", json!({}), at(Level::Critical), "/sn").sends(
            r#"{"records":[{"source":"src","message_key":"cpu:host=a","severity":"1","description":"cpu:host=a is CRITICAL"}]}"#,
        ),
        case(
            "servicenow",
            json!({
                "source": "{{ .TaskName }}", "node": "{{ index .Tags \"host\" }}", "type": "t", "resource": "r", "metric_name": "m",
                "message_key": long(1_025), "additional_info": {"b": "{{ .ID }}", "a": 2},
                "username": "u", "password": "p",
            }),
            Event { message: long(4_001).into(), ..at(Level::Warning) },
            "/sn",
        )
        .headers(&[("authorization", "Basic dTpw")])
        .sends(format!(
            r#"{{"records":[{{"source":"tid","node":"a","type":"t","resource":"r","metric_name":"m","message_key":"{}","severity":"4","description":"{}","additional_info":"{{\"a\":2,\"b\":\"cpu:host=a\"}}"}}]}}"#,
            long(1_024),
            long(4_000)
        )),
        case("servicenow", json!({"node": long(101)}), at(Level::Ok), "/sn")
            .with(json!({"username": "su", "password": "sp", "source": ""}))
            .headers(&[("authorization", "Basic c3U6c3A=")])
            .sends(format!(
                r#"{{"records":[{{"source":"","node":"{}","message_key":"cpu:host=a","severity":"5","description":"cpu:host=a is OK"}}]}}"#,
                long(100)
            )),
        case("zenoss", json!({}), at(Level::Critical), "/z").sends(
            r#"{"action":"EventsRouter","method":"add_event","data":[{"collector":"Kapacitor","component":"","device":"","evclass":"","evclasskey":"","severity":"Critical","summary":"cpu:host=a is CRITICAL"}],"type":"rpc","tid":1}"#,
        ),
        case(
            "zenoss",
            json!({
                "action": "A", "method": "m", "type": "t", "tid": 7, "collector": "c", "summary": long(257), "device": "{{ index .Tags \"host\" }}",
                "component": "co", "eventclasskey": "k", "eventclass": "e", "message": long(4_097),
                "customField": {"json": "{\"b\":1,\"a\":[\"{{ .Level }}\"]}", "broken": "{x", "n": 3, "device": "own"},
            }),
            at(Level::Ok),
            "/z",
        )
        .with(json!({"severity-map": {"OK": 0}, "username": "u", "password": "p"}))
        .headers(&[("authorization", "Basic dTpw")])
        .sends(format!(
            r#"{{"action":"A","method":"m","data":[{{"broken":"{{x","collector":"c","component":"co","device":"own","evclass":"e","evclasskey":"k","json":{{"a":["OK"],"b":1}},"message":"{}","n":3,"severity":0,"summary":"{}"}}],"type":"t","tid":7}}"#,
            long(4_096),
            long(256)
        )),
    ]
}

#[tokio::test]
async fn requests_are_sent_as_the_reference_says() {
    let cases: Vec<Case> = [chats(), pagers(), desks()].into_iter().flatten().collect();
    for kind in KINDS {
        assert!(cases.iter().any(|case| case.kind == *kind), "no case for {kind}");
    }
    for case in cases {
        let kind = case.kind;
        let (server, seen) = server(Reply::new(case.status, ""));
        let deps = deps(kind, addressed(&case.section, &server));
        let options = addressed(&case.options, &server);
        handle(kind, &options, &case.event, &deps)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{kind}");
        let request = &seen[0];
        assert_eq!((&*request.method, &*request.target), ("POST", case.target), "{kind}");
        if kind != "pushover" {
            assert_eq!(request.header("content-type"), Some("application/json"), "{kind}");
            let parsed: Result<Value, _> = serde_json::from_slice(&request.body);
            assert!(parsed.is_ok(), "{kind}");
        }
        for (name, value) in case.headers {
            assert_eq!(request.header(name), Some(*value), "{kind}: {name}");
        }
        let always = ["alerta", "bigpanda", "opsgenie2"];
        let is_known = case.headers.iter().any(|(name, _)| *name == "authorization");
        let is_sent = request.header("authorization").is_some();
        assert_eq!(is_sent, is_known || always.contains(&kind), "{kind}");
        assert_eq!(String::from_utf8_lossy(&request.body), case.body, "{kind}");
    }
}

#[tokio::test]
async fn a_batch_shows_its_group_and_first_row() {
    let points = vec![
        point("mem", &[("host", "b"), ("x", "1")], &[("used", FieldValue::Int(5))], 3),
        point("mem", &[("host", "b"), ("x", "2")], &[("used", FieldValue::Int(6))], 4),
    ];
    let data = EventData::Batch(Arc::new(batch("mem", &[("host", "b")], 4, points)), 1);
    let many = EventData::Many([data.clone(), EventData::None].into());
    let (settings, status) = enabled("opsgenie2");
    for (data, expected) in [(data, "b"), (many, "b")] {
        let (server, seen) = server(Reply::new(status, ""));
        let deps = deps("opsgenie2", addressed(&settings, &server));
        let event = Event { data, ..at(Level::Critical) };
        handle("opsgenie2", &json!({}), &event, &deps).await.unwrap();
        let body: Value = serde_json::from_slice(&seen.lock().unwrap()[0].body).unwrap();
        assert_eq!(body["details"]["Kapacitor Task Name"], "mem");
        assert_eq!(body["details"]["host"], expected);
        assert!(
            body["description"].as_str().unwrap().contains("[\"1970-01-01T00:00:04Z\",6,\"2\"]")
        );
    }
}

#[tokio::test]
async fn settings_are_read_at_every_event() {
    let (server, seen) = server(Reply::new(200, "ok"));
    let services = Arc::new(MemoryServices::default());
    let deps = HandlerDeps { services: services.clone(), ..HandlerDeps::default() };
    let spec = HandlerSpec::new(by_option_kind("slack").unwrap());
    let handler = spec.start(&deps).unwrap_or_else(|error| panic!("{error}"));
    let one = at(Level::Critical);
    let error = handler.handle(&one).await.unwrap_err();
    assert_eq!((&*error.message, error.reason()), ("failed to send event to Slack", NOT_ENABLED));
    services.set("slack", json!({"enabled": true, "url": server.url("/a"), "channel": "#a"}));
    handler.handle(&one).await.unwrap();
    services.set("slack", json!([
        {"enabled": true, "workspace": "x", "url": server.url("/x"), "channel": "#x"},
        {"enabled": true, "workspace": "y", "default": true, "url": server.url("/y"), "channel": "#y"},
    ]));
    handler.handle(&one).await.unwrap();
    handle("slack", &json!({"workspace": "x"}), &one, &deps).await.unwrap();
    let error = handle("slack", &json!({"workspace": "z"}), &one, &deps).await.unwrap_err();
    assert_eq!(error.reason(), "unknown workspace \"z\" of section `slack`; known: x, y");
    let seen = seen.lock().unwrap();
    let targets: Vec<&str> = seen.iter().map(|request| &*request.target).collect();
    assert_eq!(targets, ["/a", "/y", "/x"]);
}
