//! Destinations that are real servers: what was written is there, value by value, also when the connection was cut or held in
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_codec::compression::Compression;
use levada_gateway::destination::EndpointSpec;
use levada_gateway::egress::{InfluxSpec, InfluxTarget, KafkaSpec, Kind, RemoteWriteSpec};
use levada_runtime::{Clock, SystemClock, TaskKind};
use levada_settings::Secret;
use levada_testkit::instance::Instance;
use levada_testkit::kafka::Proxy as KafkaProxy;
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::services::{INFLUXDB, KAFKA, VICTORIA_METRICS};

use crate::bench::{Bench, TOO_LONG};

/// Gives a name that no other run has.
fn unique(name: &str) -> String {
    format!("{name}_{}", SystemClock::new().now().0)
}

/// Seconds of points that are as old as an hour.
fn start() -> i64 {
    SystemClock::new().now().0 / 1_000_000_000 - 3_600
}

const ROUNDS: i64 = 40;
const POINTS: i64 = 250;

/// Writes numbered points in rounds, and does something with the connection in the middle.
async fn write_through_faults(
    bench: &Bench,
    line: impl Fn(i64) -> String,
    fault: impl Fn(i64),
) -> i64 {
    for round in 0..ROUNDS {
        fault(round);
        let body: String = (round * POINTS..(round + 1) * POINTS).map(&line).collect();
        bench.write(body).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ROUNDS * POINTS
}

async fn get(url: &str, query: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params(url, query).unwrap();
    let answer = reqwest::Client::new().get(url.clone()).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{url}: {status} {text}");
    text
}

/// Cuts, refuses and holds, and lets all through again.
fn fault(proxy: &Proxy, round: i64) {
    match round {
        8 => proxy.cut(),
        12 => proxy.set(Link::Refuse),
        18 => proxy.set(Link::Forward),
        22 => proxy.set(Link::Hold),
        26 => proxy.cut(),
        27 => proxy.set(Link::Forward),
        32 => proxy.cut_after(300),
        _ => {}
    }
}

#[tokio::test]
async fn influxdb_has_every_point_after_faults() {
    let name = "influxdb_has_every_point_after_faults";
    let Some(address) = INFLUXDB.address(name) else { return };
    let database = unique("gateway_egress");
    let query = |q: String| {
        let (address, database) = (address.clone(), database.clone());
        async move {
            let client = reqwest::Client::new();
            let form = [("q", q.as_str()), ("db", &database), ("epoch", "ns")];
            let url = reqwest::Url::parse_with_params(&format!("http://{address}/query"), form);
            let answer = client.post(url.unwrap()).send().await.unwrap();
            serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap()
        }
    };
    let proxy = Proxy::start(&address);
    let kind = Kind::Influx(InfluxSpec {
        target: InfluxTarget::Database { name: database.clone(), retention_policy: String::new() },
        username: String::new(),
        password: Secret::from(String::new()),
        is_gzip: true,
    });
    let endpoint = EndpointSpec {
        url: format!("http://{}", proxy.address()),
        timeout: Duration::from_millis(700),
        ..EndpointSpec::default()
    };
    let bench = Bench::start(kind, vec![endpoint], Compression::Zstd).await;
    let second = start();
    let line = |n: i64| {
        format!(
            "cpu,host=h\\ {} n={n}i,f={},u={n}u,b={},s=\"t {n} \\\"q\\\"\" {}000000{:03}\n",
            n % 7,
            n as f64 / 8.0,
            n % 2 == 0,
            second + n / 1_000,
            n % 1_000,
        )
    };
    // The database is not there at first: the points wait for it.
    bench.write(line(0)).await;
    let retries = &bench.senders[0].stats().retries;
    bench.until(|| retries.load(Ordering::Relaxed) > 0).await;
    assert_eq!(bench.counts_of(0).queued, 1);
    query(format!("CREATE DATABASE {database}")).await;
    let written = write_through_faults(&bench, line, |round| fault(&proxy, round)).await;
    let counts = bench.drained().await;
    assert_eq!(counts.delivered, u64::try_from(written).unwrap() + 1);
    let answer = query("SELECT n, f, u, b, s, host FROM cpu".to_owned()).await;
    let rows = answer["results"][0]["series"][0]["values"].as_array();
    let rows = rows.unwrap_or_else(|| panic!("{answer}")).clone();
    assert_eq!(rows.len(), usize::try_from(written).unwrap());
    for (n, row) in (0_i64..).zip(&rows) {
        let time = format!("{}000000{:03}", second + n / 1_000, n % 1_000);
        assert_eq!(row[0].to_string(), time);
        assert_eq!((row[1].as_i64(), row[3].as_i64()), (Some(n), Some(n)), "{row}");
        assert_eq!(row[2].as_f64(), Some(n as f64 / 8.0));
        assert_eq!(row[4].as_bool(), Some(n % 2 == 0));
        assert_eq!(row[5].as_str().unwrap(), format!("t {n} \"q\""));
        assert_eq!(row[6].as_str().unwrap(), format!("h {}", n % 7));
    }
    // A type that is not that of the field: only these points are refused.
    let bad = format!("cpu n=\"text\" {second}000000001\n");
    bench.write(format!("{}{bad}{}", line(1), line(2))).await;
    let counts = bench.drained().await;
    assert_eq!(counts.dead_lettered, 1);
    let letters = bench.gateway.outlets()[0].queue.dead_letters();
    assert!(letters[0].reason.contains("conflict"), "{letters:?}");
    query(format!("DROP DATABASE {database}")).await;
    bench.stop().await;
}

#[tokio::test]
async fn victoria_metrics_has_every_sample_after_faults() {
    let name = "victoria_metrics_has_every_sample_after_faults";
    let Some(address) = VICTORIA_METRICS.address(name) else { return };
    let metric = unique("gateway_egress");
    let proxy = Proxy::start(&address);
    let endpoint = EndpointSpec {
        url: format!("http://{}/api/v1/write", proxy.address()),
        timeout: Duration::from_millis(700),
        ..EndpointSpec::default()
    };
    let kind = Kind::RemoteWrite(RemoteWriteSpec::default());
    let bench = Bench::start(kind, vec![endpoint], Compression::Zstd).await;
    let second = start();
    let line = |n: i64| {
        let (series, at) = (n % 10, second + n / 10);
        format!("{metric},series=s{series} v={},s=\"x\" {at}000000000\n", n as f64 / 4.0)
    };
    let written = write_through_faults(&bench, line, |round| fault(&proxy, round)).await;
    let counts = bench.drained().await;
    assert_eq!(counts.delivered, u64::try_from(written).unwrap());
    let seen = samples(&address, &metric, second, |n| n as f64 / 4.0).await;
    assert_eq!(seen, usize::try_from(written).unwrap());
    bench.stop().await;
}

/// Gives how many samples of a metric VictoriaMetrics has, ten of each second, and makes sure that each has its value.
async fn samples(address: &str, metric: &str, second: i64, value_of: impl Fn(i64) -> f64) -> usize {
    get(&format!("http://{address}/internal/force_flush"), &[]).await;
    let select = format!("{{__name__=\"{metric}_v\"}}");
    let export = format!("http://{address}/api/v1/export");
    let times = [(second - 10).to_string(), (second + 4_000).to_string()];
    let query = [("match[]", &*select), ("start", &times[0]), ("end", &times[1])];
    let text = get(&export, &query).await;
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let one: serde_json::Value = serde_json::from_str(line).unwrap();
        let series = one["metric"]["series"].as_str().unwrap();
        let series: i64 = series.trim_start_matches('s').parse().unwrap();
        let values = one["values"].as_array().unwrap().iter();
        for (value, at) in values.zip(one["timestamps"].as_array().unwrap()) {
            let n = (at.as_i64().unwrap() / 1_000 - second) * 10 + series;
            assert_eq!(value.as_f64(), Some(value_of(n)));
            seen.insert(n);
        }
    }
    seen.len()
}

/// Writes through a server that is ended and started again, and gives how many points that were.
async fn write_through_an_end(
    bench: &Bench,
    server: &Instance,
    end: fn(&Instance),
    line: impl Fn(i64) -> String,
) -> i64 {
    let written = write_through_faults(bench, line, |round| match round {
        10 => end(server),
        25 => server.restart(),
        _ => {}
    });
    let written = written.await;
    let counts = bench.drained().await;
    assert_eq!(counts.delivered, u64::try_from(written).unwrap());
    written
}

#[tokio::test]
async fn influxdb_that_crashes_has_every_point_afterwards() {
    let test = "influxdb_that_crashes_has_every_point_afterwards";
    let Some(server) = Instance::start(INFLUXDB, &[], test) else { return };
    let address = server.address();
    let query = format!("http://{address}/query");
    let kind = Kind::Influx(InfluxSpec {
        target: InfluxTarget::Database { name: "crash".into(), retention_policy: String::new() },
        username: String::new(),
        password: Secret::from(String::new()),
        is_gzip: true,
    });
    let endpoint = EndpointSpec {
        url: format!("http://{address}"),
        timeout: Duration::from_secs(5),
        ..EndpointSpec::default()
    };
    let bench = Bench::start(kind, vec![endpoint], Compression::Zstd).await;
    let create = [("q", "CREATE DATABASE crash")];
    let url = reqwest::Url::parse_with_params(&query, create).unwrap();
    assert!(reqwest::Client::new().post(url).send().await.unwrap().status().is_success());
    let second = start();
    let line =
        |n: i64| format!("m,t={} n={n}i {}000000{:03}\n", n % 7, second + n / 1_000, n % 1_000);
    let written = write_through_an_end(&bench, &server, Instance::kill, line).await;
    let text = get(&query, &[("db", "crash"), ("q", "SELECT n FROM m"), ("epoch", "ns")]).await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap().clone();
    assert_eq!(rows.len(), usize::try_from(written).unwrap());
    for (n, row) in (0_i64..).zip(&rows) {
        assert_eq!(row[0].to_string(), format!("{}000000{:03}", second + n / 1_000, n % 1_000));
        assert_eq!(row[1].as_i64(), Some(n));
    }
    bench.stop().await;
}

#[tokio::test]
async fn kafka_has_every_body_after_faults() {
    let Some(address) = KAFKA.address("kafka_has_every_body_after_faults") else { return };
    let topic = unique("gateway-egress");
    let proxy = KafkaProxy::start(&address);
    let kind = Kind::Kafka(KafkaSpec {
        brokers: vec![proxy.address()],
        topic: topic.clone(),
        timeout: Duration::from_secs(5),
        ..KafkaSpec::default()
    });
    let bench = Bench::start(kind, Vec::new(), Compression::Gzip).await;
    let second = start();
    let line = |n: i64| format!("m,t={} n={n}i {}000000000\n", n % 3, second + n);
    let written = write_through_faults(&bench, line, |round| match round {
        8 => proxy.cut(),
        12 => proxy.restore(),
        20 => proxy.hold(),
        24 => proxy.restore(),
        _ => {}
    })
    .await;
    let counts = bench.drained().await;
    assert_eq!(counts.delivered, u64::try_from(written).unwrap());
    let seen = bodies(&bench, &address, &topic, written).await;
    for (n, text) in &seen {
        assert_eq!(text, line(*n).trim_end());
    }
    bench.stop().await;
}

/// Gives the lines of a topic by the numbers in them; waits until so many are there.
async fn bodies(bench: &Bench, address: &str, topic: &str, count: i64) -> BTreeMap<i64, String> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::{Headers as _, Message as _};

    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut seen = BTreeMap::new();
    let reading = bench.tasks.spawn_thread(TaskKind::Gateway, "consumer", move || {
        let clock = SystemClock::new();
        let started = clock.monotonic();
        while seen.len() < usize::try_from(count).unwrap() {
            assert!(clock.monotonic() - started < TOO_LONG, "{} are there", seen.len());
            let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
            let message = message.unwrap();
            let headers: BTreeMap<String, String> = message
                .headers()
                .unwrap()
                .iter()
                .map(|one| {
                    let value = String::from_utf8_lossy(one.value.unwrap()).into_owned();
                    (one.key.to_owned(), value)
                })
                .collect();
            assert_eq!(headers["category"], "tracing");
            assert_eq!(headers["content-type"], "application/line-protocol");
            assert_eq!(headers["content-encoding"], "gzip");
            assert_eq!(message.key().unwrap(), headers["package-id"].as_bytes());
            let body = message.payload().unwrap();
            let body = levada_codec::compression::decompress_all(Compression::Gzip, body, 1 << 24);
            let text = String::from_utf8(body.unwrap()).unwrap();
            assert_eq!(text.lines().count().to_string(), headers["points"]);
            for line in text.lines() {
                let n = line.split("n=").nth(1).unwrap().split('i').next().unwrap();
                seen.insert(n.parse::<i64>().unwrap(), line.to_owned());
            }
        }
        seen
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn victoria_metrics_that_restarts_has_every_sample_afterwards() {
    let test = "victoria_metrics_that_restarts_has_every_sample_afterwards";
    let Some(server) = Instance::start(VICTORIA_METRICS, &[], test) else { return };
    let endpoint = EndpointSpec {
        url: format!("http://{}/api/v1/write", server.address()),
        timeout: Duration::from_secs(5),
        ..EndpointSpec::default()
    };
    let kind = Kind::RemoteWrite(RemoteWriteSpec::default());
    let bench = Bench::start(kind, vec![endpoint], Compression::Zstd).await;
    let second = start();
    let line = |n: i64| {
        let (series, at) = (n % 10, second + n / 10);
        format!("m,series=s{series} v={} {at}000000000\n", n as f64 / 4.0)
    };
    // What it has taken it writes down some seconds later, or when it is told to end: a kill would lose that.
    let written = write_through_an_end(&bench, &server, Instance::stop, line).await;
    let seen = samples(&server.address(), "m", second, |n| n as f64 / 4.0).await;
    assert_eq!(seen, usize::try_from(written).unwrap());
    bench.stop().await;
}

#[tokio::test]
async fn kafka_that_crashes_has_every_body_afterwards() {
    let test = "kafka_that_crashes_has_every_body_afterwards";
    let Some(server) = Instance::start(KAFKA, &[], test) else { return };
    let kind = Kind::Kafka(KafkaSpec {
        brokers: vec![server.address()],
        topic: "crash".into(),
        timeout: Duration::from_secs(5),
        ..KafkaSpec::default()
    });
    let bench = Bench::start(kind, Vec::new(), Compression::Gzip).await;
    let second = start();
    let line = |n: i64| format!("m,t={} n={n}i {}000000000\n", n % 3, second + n);
    let written = write_through_an_end(&bench, &server, Instance::kill, line).await;
    let seen = bodies(&bench, &server.address(), "crash", written).await;
    assert_eq!(seen.len(), usize::try_from(written).unwrap());
    for (n, text) in &seen {
        assert_eq!(text, line(*n).trim_end());
    }
    bench.stop().await;
}
