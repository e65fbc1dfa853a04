use std::io::Read as _;
use std::sync::{Arc, Mutex};

use levada_codec::compression::{Compression, compress_all, decompress_all};
use levada_model::{ErrorKind, Timestamp};
use levada_runtime::Tasks;
use levada_testkit::fake_http::{FakeServer, Reply, Request};

use super::*;

type Seen = Arc<Mutex<Vec<Request>>>;

fn server(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (FakeServer, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let server = FakeServer::start(move |request| {
        kept.lock().unwrap().push(request.clone());
        reply(request)
    });
    (server, seen)
}

async fn client(config: Config) -> Client {
    Client::new(&config, &Tasks::new()).await.unwrap()
}

fn query(text: &str) -> Query {
    Query { text: text.into(), ..Query::default() }
}

#[tokio::test]
async fn queries_are_forms_with_what_is_given() {
    let (server, seen) = server(|_| Reply::new(200, "{\"results\":[]}"));
    let config = Config {
        username: "ann".into(),
        password: "p:w".to_owned().into(),
        ..Config::of(server.url("/base/"))
    };
    let client = client(config).await;
    let mut full = query("SELECT a FROM b WHERE c = $c & 'd'");
    full.database = "d b".into();
    full.parameters.insert("c".into(), "x".into());
    full.epoch = "ns".into();
    assert_eq!(client.query(&full).await.unwrap(), "{\"results\":[]}");
    client.query(&query("SELECT 1")).await.unwrap();
    let seen = seen.lock().unwrap();
    let of = |index: usize| String::from_utf8(seen[index].body.clone()).unwrap();
    assert_eq!(seen[0].target, "/base/query");
    assert_eq!(seen[0].header("authorization"), Some("Basic YW5uOnA6dw=="));
    assert_eq!(
        of(0),
        "db=d+b&epoch=ns&params=%7B%22c%22%3A%22x%22%7D&q=SELECT+a+FROM+b+WHERE+c+%3D+%24c+%26+%27d%27"
    );
    assert_eq!(of(1), "q=SELECT+1");
}

#[tokio::test]
async fn lines_are_written_compressed_and_with_a_token() {
    let (server, seen) = server(|_| Reply::new(204, ""));
    let url = server.url("");
    let tokened = Config {
        username: "ann".into(),
        token: "t0k".to_owned().into(),
        ..Config::of(url.as_str())
    };
    let target = WriteTarget {
        database: "d&b".into(),
        precision: "s".into(),
        consistency: "one".into(),
        ..WriteTarget::default()
    };
    let lines = Bytes::from_static(b"m f=1 1\n");
    client(tokened).await.write(&target, lines.clone()).await.unwrap();
    let plain = Config { compress: false, ..Config::of(url) };
    client(plain).await.write(&target, lines.clone()).await.unwrap();
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    client(Config::of(server.url(""))).await.write(&target, large.clone()).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].target, "/write?db=d%26b&precision=s&consistency=one");
    assert_eq!(seen[0].header("authorization"), Some("Token t0k"));
    let plain =
        |request: &Request| decompress_all(Compression::Gzip, &request.body, 2 << 20).unwrap();
    assert_eq!(plain(&seen[0]), lines);
    assert_eq!(seen[1].body, lines);
    assert_eq!(seen[1].header("content-encoding"), None);
    assert_eq!(plain(&seen[2]), large);
}

#[tokio::test]
async fn flux_is_posted_as_the_original_posts_it() {
    let (server, seen) = server(|_| Reply::new(200, "#datatype\n"));
    let client = client(Config::of(server.url(""))).await;
    let flux = FluxQuery {
        text: "from(bucket: \"b\")".into(),
        now: Timestamp(300_000_000_000),
        org: "o 1".into(),
        org_id: String::new(),
    };
    assert_eq!(client.flux(&flux).await.unwrap(), "#datatype\n");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].target, "/api/v2/query?org=o+1");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
    let body = std::str::from_utf8(&seen[0].body).unwrap();
    assert!(body.starts_with(
        r#"{"type":"flux","now":"1970-01-01T00:05:00Z","query":"from(bucket: \"b\")""#
    ));
}

#[tokio::test]
async fn answers_are_unzipped_and_capped_at_the_edge() {
    let body = "x".repeat(1000);
    let zipped = compress_all(Compression::Gzip, body.as_bytes()).unwrap();
    let plain = body.clone();
    let (server, _) = server(move |request| match request.body.ends_with(b"zip") {
        true => Reply::new(200, zipped.clone()).with("Content-Encoding", "gzip"),
        false => Reply::new(200, plain.clone()),
    });
    for (bytes_max, is_taken) in [(1000, true), (999, false)] {
        let config = Config { answer_bytes_max: bytes_max, ..Config::of(server.url("")) };
        let client = client(config).await;
        for text in ["zip", "plain"] {
            match client.query(&query(text)).await {
                Ok(answer) => assert!(is_taken && answer == body, "{text} {bytes_max}"),
                Err(error) => {
                    assert!(!is_taken, "{error}");
                    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn refusals_have_a_kind_and_the_words_of_the_server() {
    for (status, body, kind, text) in [
        (
            404,
            r#"{"error":"database not found: \"d\""}"#,
            ErrorKind::NotFound,
            "404 Not Found: database not found: \"d\"",
        ),
        (
            401,
            r#"{"code":"unauthorized","message":"no"}"#,
            ErrorKind::Unauthorized,
            "401 Unauthorized: no",
        ),
        (
            500,
            r#"{"error":"retention policy not found: r"}"#,
            ErrorKind::NotFound,
            "500 Internal Server Error: retention policy not found: r",
        ),
        (
            500,
            r#"{"error":"timeout"}"#,
            ErrorKind::Unavailable,
            "500 Internal Server Error: timeout",
        ),
        (503, "busy\r\nnow", ErrorKind::Busy, "503 Service Unavailable: busy  now"),
        (413, "", ErrorKind::TooLarge, "413 Payload Too Large"),
        (302, "", ErrorKind::Invalid, "302 Found"),
    ] {
        let (server, _) = server(move |_| Reply::new(status, body).with("Retry-After", "7"));
        let client = client(Config::of(server.url(""))).await;
        let error = client.query(&query("x")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string(), format!("`{}` answered {text}", server.url("")));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn dropped_points_are_told_also_behind_a_long_text() {
    let long = format!("{{\"error\":\"partial write: {} dropped=12\"}}", "x".repeat(1000));
    let (server, _) = server(move |_| Reply::new(400, long.clone()));
    let client = client(Config::of(server.url(""))).await;
    let error = client.write(&WriteTarget::default(), Bytes::new()).await.unwrap_err();
    assert_eq!(dropped_points(&error), Some(12));
    assert!(error.to_string().len() < 600);
    assert_eq!(dropped_points(&ClientError::new(ErrorKind::Invalid, "dropped=0")), None);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_cannot_be_reached() {
    let (good, seen) = server(|_| Reply::new(204, ""));
    let (cut, cut_seen) = server(|_| Reply::cut());
    let config = Config {
        urls: vec!["http://127.0.0.1:1".into(), cut.url(""), good.url("")],
        ..Config::default()
    };
    let client = client(config).await;
    client.ping().await.unwrap();
    client.ping().await.unwrap();
    // The second one goes where the first one was answered.
    assert_eq!((cut_seen.lock().unwrap().len(), seen.lock().unwrap().len()), (1, 2));
}

#[tokio::test]
async fn a_server_that_is_busy_is_not_the_next_one_to_be_asked() {
    let (busy, _) = server(|_| Reply::new(503, ""));
    let (good, _) = server(|_| Reply::new(204, "").with("X-Influxdb-Version", "1.6"));
    let config = Config { urls: vec![busy.url(""), good.url("")], ..Config::default() };
    let client = client(config).await;
    assert!(client.ping().await.unwrap_err().is_transient());
    assert_eq!(client.ping().await.unwrap(), "1.6");
}

#[tokio::test]
async fn databases_are_created_by_quoted_names_and_errors_in_the_answer_count() {
    let (server, seen) = server(|request| match request.body.ends_with(b"bad%22") {
        true => Reply::new(200, r#"{"results":[{"error":"no space"}]}"#),
        false => Reply::new(200, r#"{"results":[{"statement_id":0}]}"#),
    });
    let client = client(Config::of(server.url(""))).await;
    client.create_database("a\"b", "r\\p").await.unwrap();
    let error = client.create_database("bad", "").await.unwrap_err();
    assert_eq!(error.to_string(), "no space");
    let mut body = String::new();
    seen.lock().unwrap()[0].body.as_slice().read_to_string(&mut body).unwrap();
    assert_eq!(body, "q=CREATE+DATABASE+%22a%5C%22b%22+WITH+NAME+%22r%5C%5Cp%22");
}

#[tokio::test]
async fn no_more_queries_run_at_once_than_may() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (running.clone(), most.clone());
    let (server, _) = server(move |_| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        now.fetch_sub(1, Ordering::SeqCst);
        Reply::new(200, "{}")
    });
    let client = client(Config { queries_max: 2, ..Config::of(server.url("")) }).await;
    let one = query("x");
    let ask = || client.query(&one);
    let answers = tokio::join!(ask(), ask(), ask(), ask(), ask());
    assert!(answers.0.is_ok() && answers.4.is_ok());
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn clusters_are_found_by_name_or_as_the_default() {
    let one: Arc<dyn InfluxDb> = Arc::new(client(Config::default()).await);
    let clusters = Clusters::new("a", [("a".to_owned(), one)]);
    assert!(clusters.get("").is_ok() && clusters.get("a").is_ok());
    assert_eq!(clusters.get("b").err(), Some(ClusterError::Unknown("b".into())));
    assert_eq!(Clusters::default().get("").err(), Some(ClusterError::None));
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    for urls in [vec![], vec!["x".to_owned()], vec!["ftp://h".to_owned()]] {
        let config = Config { urls, ..Config::default() };
        let error = Client::new(&config, &Tasks::new()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let config = Config { token: "a\nb".to_owned().into(), ..Config::default() };
    assert!(Client::new(&config, &Tasks::new()).await.is_err());
}
