//! Handlers at work: real files, programs, sockets and requests.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_model::{Category, FieldValue, Str, Timestamp};
use levada_runtime::{Tasks, VirtualClock};
use levada_testkit::fake_http::{FakeServer, Reply, Request};
use levada_testkit::wait::until_async;

use super::*;
use crate::event::tests::{event, point};
use crate::event::{Event, EventData};
use crate::level::Level;
use crate::services::MemoryServices;
use crate::topics::{Handler, HandlerError, HandlerSetup, Topics, TopicsDeps, TopicsSettings};

const MOST: Duration = Duration::from_secs(10);

fn one() -> Event {
    event("cpu:host=a", Level::Critical)
}

fn started(spec: &HandlerSpec, deps: &HandlerDeps) -> Arc<dyn Handler> {
    spec.start(deps).unwrap_or_else(|error| panic!("{error}"))
}

fn context<'e>(error: &'e HandlerError, key: &str) -> &'e str {
    error.context.iter().find(|(known, _)| *known == key).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn log_appends_lines_with_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.log");
    let mut spec = spec("log", vec![Arg::from(path.to_str().unwrap())]);
    let handler = started(&spec, &HandlerDeps::default());
    handler.handle(&one()).await.unwrap();
    handler.handle(&one()).await.unwrap();
    let line = one().to_json();
    assert_eq!(std::fs::read(&path).unwrap(), [&line[..], &line[..]].concat());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::remove_file(&path).unwrap();
    spec.set("mode", vec![Arg::Int(0o640)]).unwrap();
    started(&spec, &HandlerDeps::default()).handle(&one()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);

    drop(folder);
    let error = handler.handle(&one()).await.unwrap_err();
    assert_eq!(error.message, "failed to write event to log file");
}

/// Keeps what it takes.
#[derive(Default)]
struct KeptPoints(Mutex<Vec<(String, Category, String)>>);

#[async_trait::async_trait]
impl EventPoints for KeptPoints {
    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: bytes::Bytes,
    ) -> Result<(), HandlerError> {
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        self.0.lock().unwrap().push((destination.to_owned(), category, lines));
        Ok(())
    }
}

#[tokio::test]
async fn gateway_writes_events_as_points() {
    let kept = Arc::<KeptPoints>::default();
    let deps = HandlerDeps {
        gateway: Arc::clone(&kept) as Arc<dyn EventPoints>,
        ..HandlerDeps::default()
    };
    let own = event("cpu:host=a", Level::Critical);
    // The first tag cannot be one in a line.
    let tags = [("dir", "C:\\"), ("host", "a b"), ("level", "mine")];
    let point = point("cpu", &tags, &[("v", FieldValue::Float(1.0))], 1);
    let one = Event {
        data: EventData::Point(Arc::new(point)),
        message: "two\nlines, \"quoted\"".into(),
        details: "<b>x</b>".into(),
        duration: 60_000_000_000,
        task: "cpu_alert".into(),
        previous_level: Level::Warning,
        ..own
    };
    let handler = started(&spec("gateway", Vec::new()), &deps);
    handler.handle_all(&[&one, &event("other", Level::Ok)]).await.unwrap();
    let (destination, category, lines) = kept.0.lock().unwrap().remove(0);
    assert_eq!((&*destination, category), ("", Category::KeyEvent));
    let time = one.time.0;
    assert!(
        lines.starts_with(&format!(
            "alert,host=a\\ b,level=CRITICAL,tag_level=mine,task=cpu_alert id=\"cpu:host=a\",message=\"two\nlines, \\\"quoted\\\"\",\
             details=\"<b>x</b>\",duration=60000000000i,previous_level=\"WARNING\",recoverable=true,name=\"cpu\",dir=\"C:\\\\\" {time}\nalert,"
        )),
        "{lines}"
    );
    let mut other = spec("gateway", Vec::new());
    other.set("category", vec![Arg::from("L")]).unwrap();
    other.set("measurement", vec![Arg::from("events")]).unwrap();
    other.set("destination", vec![Arg::from("team")]).unwrap();
    started(&other, &deps).handle(&one).await.unwrap();
    let (destination, category, lines) = kept.0.lock().unwrap().remove(0);
    assert_eq!((&*destination, category), ("team", Category::Logging));
    assert!(lines.starts_with("events,"), "{lines}");
    other.set("category", vec![Arg::from("alerts")]).unwrap();
    let error = other.start(&deps).err().unwrap().to_string();
    assert!(error.starts_with("unknown category \"alerts\"; known: metrics, metric, "), "{error}");
    let alone = started(&spec("gateway", Vec::new()), &HandlerDeps::default());
    let error = alone.handle(&one).await.unwrap_err();
    assert!(error.is_final && error.message.contains("`[gateway]` of levada.toml"), "{error:?}");
}

#[tokio::test]
async fn tcp_sends_the_line_and_an_empty_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        got
    });
    let spec = spec("tcp", vec![Arg::from(&*address)]);
    let handler = started(&spec, &HandlerDeps::default());
    handler.handle(&one()).await.unwrap();
    let mut expected = one().to_json();
    expected.push(b'\n');
    assert_eq!(reader.join().unwrap(), expected);
    let error = handler.handle(&one()).await.unwrap_err();
    assert_eq!(
        (&*error.message, context(&error, "address")),
        ("failed to send event over TCP", &*address)
    );
}

fn script(folder: &tempfile::TempDir, text: &str) -> String {
    let path = folder.path().join("program.sh");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn exec_feeds_a_program_and_tells_of_failures() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let path = script(&folder, "cat > \"$1\"; echo seen; echo bad >&2; exit $2");
    let args = |code: &str| {
        vec![
            Arg::from("/bin/sh"),
            Arg::from(&*path),
            Arg::from(out.to_str().unwrap()),
            Arg::from(code),
        ]
    };
    let deps = HandlerDeps::default();
    started(&spec("exec", args("0")), &deps).handle(&one()).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), one().to_json());
    let error = started(&spec("exec", args("3")), &deps).handle(&one()).await.unwrap_err();
    assert_eq!(error.message, "exec command failed");
    assert_eq!(context(&error, "output"), "seen\nbad\n");
    assert_eq!(context(&error, "error"), "exit status: 3");
    let missing = spec("exec", vec![Arg::from("/no/such/program")]);
    let error = started(&missing, &deps).handle(&one()).await.unwrap_err();
    assert!(context(&error, "error").contains("No such file"), "{error:?}");
}

#[tokio::test]
async fn exec_bounds_time_and_output() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody reads the input, and far more is printed than a pipe holds.
    let path = script(&folder, "head -c 1000000 /dev/zero; exit 1");
    let call = |path: &str| spec("exec", vec![Arg::from("/bin/sh"), Arg::from(path)]);
    let deps = HandlerDeps::default();
    let mut big = one();
    big.message = "x".repeat(1_000_000).into();
    let error = started(&call(&path), &deps).handle(&big).await.unwrap_err();
    assert_eq!(context(&error, "output").len(), 64 << 10);
    let path = script(&folder, "exec sleep 600");
    let deps = HandlerDeps { exec_timeout: Duration::from_millis(50), ..deps };
    let error = started(&call(&path), &deps).handle(&one()).await.unwrap_err();
    assert_eq!(context(&error, "error"), "killed after 50ms");
}

#[tokio::test]
async fn exec_does_not_wait_for_what_a_program_leaves_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = script(&folder, "echo said; sleep 6 & exit 1");
    let call = spec("exec", vec![Arg::from("/bin/sh"), Arg::from(&*path)]);
    let handler = started(&call, &HandlerDeps::default());
    let event = one();
    let done = tokio::time::timeout(Duration::from_secs(4), handler.handle(&event)).await;
    assert_eq!(context(&done.unwrap().unwrap_err(), "output"), "said\n");
}

/// A server that keeps what it is asked.
fn server(status: u16, body: &'static str) -> (FakeServer, Arc<Mutex<Vec<Request>>>) {
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let kept = seen.clone();
    let server = FakeServer::start(move |request| {
        kept.lock().unwrap().push(request.clone());
        Reply::new(status, body)
    });
    (server, seen)
}

/// A configuration with one endpoint.
fn with_endpoint(options: Value) -> HandlerDeps {
    HandlerDeps { services: MemoryServices::with("httppost", options), ..HandlerDeps::default() }
}

#[tokio::test]
async fn post_sends_json_with_headers() {
    let (server, seen) = server(204, "");
    let mut spec = spec("post", vec![Arg::from(&*server.url("/hook?x=1"))]);
    spec.set("header", vec![Arg::from("X-Token"), Arg::from("s3")]).unwrap();
    spec.set("timeout", vec![Arg::Duration(5_000_000_000)]).unwrap();
    started(&spec, &HandlerDeps::default()).handle(&one()).await.unwrap();
    let seen = seen.lock().unwrap();
    let request = &seen[0];
    assert_eq!((&*request.method, &*request.target), ("POST", "/hook?x=1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-token"), Some("s3"));
    assert_eq!(request.body, one().to_json());
}

#[tokio::test]
async fn post_uses_endpoints() {
    let (server, seen) = server(200, "");
    let deps = with_endpoint(json!({
        "endpoint": "e",
        "url": server.url("/from-endpoint"),
        "headers": {"a": "1", "b": "1"},
        "basic-auth": {"username": "user", "password": "pass"},
        "alert-template": "plain body",
    }));
    let mut of_endpoint = spec("post", vec![]);
    of_endpoint.set("endpoint", vec![Arg::from("e")]).unwrap();
    of_endpoint.set("header", vec![Arg::from("B"), Arg::from("2")]).unwrap();
    started(&of_endpoint, &deps).handle(&one()).await.unwrap();
    let seen = seen.lock().unwrap();
    let request = &seen[0];
    assert_eq!(request.path(), "/from-endpoint");
    assert_eq!((request.header("a"), request.header("b")), (Some("1"), Some("2")));
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(request.header("content-type"), None, "a template says itself what it is");
    assert_eq!(request.body, b"plain body");
    let mut unknown = spec("post", vec![]);
    unknown.set("endpoint", vec![Arg::from("b")]).unwrap();
    let error = unknown.start(&deps).err().unwrap();
    assert_eq!(error.to_string(), "endpoint 'b' does not exist");
}

#[tokio::test]
async fn post_tells_of_failures() {
    let (server, _) = server(500, "the reason");
    let mut failing = spec("post", vec![Arg::from(&*server.url("/"))]);
    let deps = HandlerDeps::default();
    let error = started(&failing, &deps).handle(&one()).await.unwrap_err();
    assert_eq!(error.message, "POST returned non 2xx status code");
    assert_eq!(context(&error, "code"), "500");
    assert_eq!(
        context(&error, "error"),
        "unknown error, use .captureResponse() to capture the HTTP response"
    );
    failing.set("captureResponse", vec![]).unwrap();
    let error = started(&failing, &deps).handle(&one()).await.unwrap_err();
    assert_eq!(context(&error, "error"), "the reason");

    let slow = FakeServer::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        Reply::new(200, "")
    });
    let mut late = spec("post", vec![Arg::from(&*slow.url("/?secret"))]);
    late.set("timeout", vec![Arg::Duration(20_000_000)]).unwrap();
    let error = started(&late, &deps).handle(&one()).await.unwrap_err();
    assert_eq!(error.message, "failed to POST alert data");
    assert!(!context(&error, "error").contains("secret"), "{error:?}");
    assert!(context(&error, "error").contains("timed out"), "{error:?}");
}

#[tokio::test]
async fn publish_goes_on_to_other_topics_and_stops_in_circles() {
    let deps = TopicsDeps {
        tasks: Tasks::new(),
        runtime: tokio::runtime::Handle::current(),
        clock: VirtualClock::new(Timestamp(0)),
        store: None,
        silencer: None,
    };
    let topics = Topics::new(TopicsSettings::default(), deps);
    let deps = HandlerDeps { topics: Some(topics.downgrade()), ..HandlerDeps::default() };
    let to = |names: &[&str]| {
        let mut map = Map::new();
        map.insert("topics".to_owned(), names.iter().copied().collect());
        let spec = HandlerSpec::from_options(by_option_kind("publish").unwrap(), &map).unwrap();
        HandlerSetup::new("p", started(&spec, &deps))
    };
    topics.event_state_set(
        "b",
        "cpu:host=a",
        crate::topics::EventState {
            level: Level::Warning,
            ..crate::topics::EventState::of(&one())
        },
    );
    topics.handler_add("a", to(&["b", "c"])).unwrap();
    topics.handler_add("c", to(&["c"])).unwrap();
    topics.publish("a", one());
    let failed = || topics.handlers("c")[0].1.failed;
    until_async("the circle ended", MOST, || failed() == 1).await;
    assert_eq!(topics.status("b").unwrap().collected, 1);
    assert_eq!(topics.event_state("b", "cpu:host=a").unwrap().level, Level::Critical);
    assert_eq!(topics.status("c").unwrap().collected, 16, "once from `a`, then around");
    let id: Str = "cpu:host=a".into();
    assert!(topics.event_state("c", &id).is_some());
}

fn rendered(text: &str, scope: Scope, event: &Event) -> Result<String, String> {
    let template = GoTemplates::default().parse("t", text, scope)?;
    template.render(event).map(|text| text.to_string())
}

#[test]
fn templates_see_the_event() {
    let event = Event { duration: 61_000_000_000, category: "net".into(), ..one() };
    let check = |scope, text: &str, expected: &str| {
        assert_eq!(rendered(text, scope, &event).unwrap(), expected, "{text}");
    };
    check(
        Scope::Event,
        "{{ .ID }}|{{ .Message }}|{{ .Level }}|{{ .Time.Unix }}|{{ .Duration }}|{{ .Details }}",
        "cpu:host=a|cpu:host=a is CRITICAL|CRITICAL|1|1m1s|d",
    );
    check(
        Scope::Event,
        "{{ .Name }} {{ .TaskName }} {{ .Group }} {{ index .Tags \"host\" }} {{ .Fields }} {{ index .Fields \"value\" | printf \"%0.2f\" }}",
        "cpu tid host=a a map[value:61] 61.00",
    );
    check(Scope::Mail, "{{ .Category }} {{ .Recoverable }} {{ .Tags.host }}", "net true a");
    check(
        Scope::Data,
        "{{ range .Data.Series }}{{ .Name }} {{ .Tags.host }} {{ .Columns }} {{ range .Values }}{{ index . 1 }}{{ end }}{{ end }}",
        "cpu a [time value] 61",
    );
    check(Scope::Data, "{{ .PreviousLevel }} {{ .Recoverable }} {{ .Level }}", "OK true CRITICAL");
    let sent = String::from_utf8(event.to_json()).unwrap();
    check(Scope::Data, "{{ json . }}", &sent);
    let nothing = Event { data: crate::event::EventData::None, ..one() };
    let sent = String::from_utf8(nothing.to_json()).unwrap();
    assert_eq!(rendered("{{ json . }}", Scope::Data, &nothing).unwrap(), sent);
    let error = rendered("{{ .Category }}", Scope::Event, &event).unwrap_err();
    assert!(error.contains("can't evaluate field Category in type alert.TemplateData"), "{error}");
    let error = rendered("{{ .x", Scope::Event, &event).unwrap_err();
    assert!(error.contains("template: t:1: "), "{error}");
}

#[tokio::test]
async fn post_renders_its_address_and_the_body_of_its_endpoint() {
    let (server, seen) = server(200, "");
    let deps = with_endpoint(json!({
        "endpoint": "e",
        "url": server.url("/{{ .Level }}?id={{ .ID | urlquery }}"),
        "alert-template": "{{ range .Data.Series }}{{ json .Tags }}{{ end }}",
    }));
    let mut post = spec("post", vec![]);
    post.set("endpoint", vec![Arg::from("e")]).unwrap();
    started(&post, &deps).handle(&one()).await.unwrap();
    assert_eq!(seen.lock().unwrap()[0].target, "/CRITICAL?id=cpu%3Ahost%3Da");
    assert_eq!(seen.lock().unwrap()[0].body, b"{\"host\":\"a\"}\n");
    let broken = spec("post", vec![Arg::from("http://h/{{ .Nope }}")]);
    let error = started(&broken, &deps).handle(&one()).await.unwrap_err();
    assert!(
        context(&error, "error").contains("can't evaluate field Nope in type alert.Data"),
        "{error:?}"
    );
}

#[tokio::test]
async fn post_follows_its_endpoint_when_settings_change() {
    let (server, seen) = server(200, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.tmpl");
    std::fs::write(&path, "from a file: {{ .Level }}").unwrap();
    let services =
        MemoryServices::with("httppost", json!({"endpoint": "e", "url": server.url("/a")}));
    let deps = HandlerDeps { services: services.clone(), ..HandlerDeps::default() };
    let mut post = spec("post", vec![]);
    post.set("endpoint", vec![Arg::from("e")]).unwrap();
    let handler = started(&post, &deps);
    handler.handle(&one()).await.unwrap();
    let of_file = json!({
        "endpoint": "e", "url": server.url("/b"), "alert-template-file": path.to_str().unwrap(),
        "row-template": "r", "basic-auth": {"username": "only"},
    });
    services.set("httppost", of_file);
    handler.handle(&one()).await.unwrap();
    let found = endpoint(&*services, "e").unwrap();
    assert_eq!((found.row_template.as_deref(), found.basic_auth), (Some("r"), None));
    services.set("httppost", json!([]));
    let error = handler.handle(&one()).await.unwrap_err();
    assert_eq!((error.reason(), error.is_final), ("endpoint 'e' does not exist", true));
    services.set("httppost", json!({"endpoint": "e", "alert-template-file": "/no/such/file"}));
    let error = handler.handle(&one()).await.unwrap_err();
    assert!(error.reason().starts_with("cannot read `/no/such/file`: "), "{error:?}");
    let seen = seen.lock().unwrap();
    let sent: Vec<(&str, &[u8])> =
        seen.iter().map(|request| (&*request.target, &*request.body)).collect();
    assert_eq!(sent, [("/a", &*one().to_json()), ("/b", &b"from a file: CRITICAL"[..])]);
}

#[tokio::test]
async fn aggregate_sends_one_event_per_interval() {
    let clock = VirtualClock::new(Timestamp(0));
    let deps = TopicsDeps {
        tasks: Tasks::new(),
        runtime: tokio::runtime::Handle::current(),
        clock: clock.clone(),
        store: None,
        silencer: None,
    };
    let topics = Topics::new(TopicsSettings::default(), deps);
    let deps = HandlerDeps {
        topics: Some(topics.downgrade()),
        handler_id: "all".into(),
        ..HandlerDeps::default()
    };
    let value = json!({"interval": 10_000_000_000_i64, "topic": "sum"});
    let aggregate = by_option_kind("aggregate").unwrap();
    let spec = HandlerSpec::from_options(aggregate, &options(value)).unwrap();
    assert!(spec.start(&HandlerDeps { handler_id: "".into(), ..deps.clone() }).is_err());
    topics.handler_add("t", HandlerSetup::new("all", started(&spec, &deps))).unwrap();
    let publish = |id: &str, level, time, duration| {
        topics.publish("t", Event { time: Timestamp(time), duration, ..event(id, level) });
    };
    publish("a", Level::Warning, -5, 7);
    publish("b", Level::Info, -3, 2);
    let handled = |count| topics.handlers("t")[0].1.handled == count;
    until_async("both were gathered", MOST, || handled(2)).await;
    assert!(topics.status("sum").is_none());
    clock.advance(Duration::from_secs(10));
    until_async("the sum came", MOST, || topics.status("sum").is_some()).await;
    let state = topics.event_state("sum", "all").unwrap();
    assert_eq!(&*state.message, "Received 2 events in the last 10s.");
    assert_eq!(&**state.details.text(), "a is WARNING\nb is INFO");
    assert_eq!((state.level, state.time, state.duration), (Level::Warning, Timestamp(-3), 7));
    publish("c", Level::Info, 0, 0);
    until_async("it was gathered", MOST, || handled(3)).await;
    topics.handler_remove("t", "all").unwrap().drained().await;
    let state = topics.event_state("sum", "all").unwrap();
    assert_eq!(&*state.message, "Received 1 events in the last 10s.", "the rest is not lost");
    assert_eq!(topics.status("sum").unwrap().collected, 2);
}

/// A server with a certificate that nobody knows; it answers each request with 200.
pub(super) struct SecretServer {
    pub(super) url: String,
    /// Its certificate.
    pub(super) pem: String,
    tasks: Tasks,
}

impl Drop for SecretServer {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

impl SecretServer {
    /// Starts it; with `client` it wants to see that certificate.
    pub(super) async fn start(client: Option<&rcgen::Certificate>) -> Self {
        use tokio_rustls::rustls::server::WebPkiClientVerifier;
        use tokio_rustls::rustls::{RootCertStore, ServerConfig};
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        tasks.spawn(levada_runtime::TaskKind::Alert, "secret server", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate hangs up.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                answer(stream).await;
            }
        });
        SecretServer { url, pem: made.cert.pem(), tasks }
    }
}

/// Reads a request with a JSON body and answers it.
async fn answer(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut request = Vec::new();
    while !request.trim_ascii_end().ends_with(b"}") {
        let mut part = [0; 1024];
        let Ok(count @ 1..) = stream.read(&mut part).await else { return };
        request.extend_from_slice(&part[..count]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
}

/// U-18: honoured in scripts, too.
#[tokio::test]
async fn post_checks_certificates_unless_told_otherwise() {
    let server = SecretServer::start(None).await;
    let deps = HandlerDeps::default();
    let mut post = spec("post", vec![Arg::from(&*server.url)]);
    let error = started(&post, &deps).handle(&one()).await.unwrap_err();
    assert!(context(&error, "error").contains("certificate"), "{error:?}");
    post.set("skipSSLVerification", vec![]).unwrap();
    started(&post, &deps).handle(&one()).await.unwrap();
}
