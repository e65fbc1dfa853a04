//! Kinds against sockets and files.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_clients::http::TlsOptions;
use levada_codec::compression::{Compression, decompress_all};
use levada_codec::points::line::write_point;
use levada_codec::points::remote_write::Reader;
use levada_codec::snappy;
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_settings::Secret;
use levada_testkit::fake_http::{FakeServer, Reply, Request};

use super::*;
use crate::bench::{Bench, TOO_LONG};
use crate::ingest::Bounds;
use crate::wal::DropReason;

const NANOS: i64 = 1_700_000_000_000_000_000;

fn endpoint(server: &FakeServer, path: &str, token: &str) -> EndpointSpec {
    EndpointSpec { url: server.url(path), token: token.into(), ..EndpointSpec::default() }
}

/// Starts a server that keeps what it was asked.
fn server(
    answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> (FakeServer, Arc<Mutex<Vec<Request>>>) {
    let seen = Arc::<Mutex<Vec<Request>>>::default();
    let (kept, count) = (seen.clone(), AtomicUsize::new(0));
    let server = FakeServer::start(move |request| {
        kept.lock().unwrap().push(request.clone());
        answer(request, count.fetch_add(1, Ordering::SeqCst))
    });
    (server, seen)
}

fn unpacked(request: &Request) -> String {
    let plain = match request.header("content-encoding") {
        Some("gzip") => decompress_all(Compression::Gzip, &request.body, 1 << 24).unwrap(),
        None => request.body.clone(),
        other => panic!("{other:?}"),
    };
    String::from_utf8(plain).unwrap()
}

fn influx(target: InfluxTarget) -> Kind {
    Kind::Influx(InfluxSpec {
        target,
        username: "u".into(),
        password: Secret::from("p".to_owned()),
        is_gzip: true,
    })
}

fn database() -> InfluxTarget {
    InfluxTarget::Database { name: "d b".into(), retention_policy: "rp".into() }
}

#[tokio::test]
async fn influxdb_gets_lines_that_it_takes() {
    let bucket = InfluxTarget::Bucket { name: "b".into(), organization: "o".into() };
    for (target, token, address, authorization, unsigned) in [
        (database(), "", "/x/write?db=d+b&rp=rp&precision=ns", "Basic dTpw", "u=1i"),
        (bucket, "t", "/x/api/v2/write?org=o&bucket=b&precision=ns", "Token t", "u=1u"),
    ] {
        let (server, seen) = server(|_, _| Reply::new(204, ""));
        let bench =
            Bench::start(influx(target), vec![endpoint(&server, "/x/", token)], Compression::Zstd)
                .await;
        bench.write(format!("m,t=a u=1u,s=\"x\",b=\"aGk=\"b,a=[1i,2i] {NANOS}\n")).await;
        let counts = bench.drained().await;
        assert_eq!((counts.accepted, counts.delivered), (1, 1));
        let request = seen.lock().unwrap()[0].clone();
        assert_eq!(request.target, address);
        assert_eq!(request.header("authorization"), Some(authorization));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert_eq!(
            unpacked(&request),
            format!("m,t=a a=\"[1,2]\",b=\"aGk=\",s=\"x\",{unsigned} {NANOS}\n")
        );
        bench.stop().await;
    }
}

#[tokio::test]
async fn what_influxdb_cannot_hold_is_counted() {
    let (server, _) = server(|_, _| Reply::new(204, ""));
    let bench =
        Bench::start(influx(database()), vec![endpoint(&server, "", "")], Compression::Zstd).await;
    let large = "18446744073709551615u";
    bench.write(format!("m u={large} {NANOS}\nm u={large},f=1 {NANOS}\n")).await;
    let counts = bench.drained().await;
    assert_eq!((counts.delivered, counts.dropped_for(DropReason::EncodeError)), (1, 1));
    assert_eq!(bench.senders[0].stats().left_out_fields.load(Ordering::Relaxed), 2);
    bench.write(format!("m u={large} {NANOS}\n")).await;
    let counts = bench.drained().await;
    assert_eq!((counts.delivered, counts.dropped_for(DropReason::EncodeError)), (1, 2));
    assert_eq!(server.requests(), 1, "nothing is sent for nothing");
    bench.stop().await;
}

#[tokio::test]
async fn the_bad_points_of_a_body_are_found_and_only_they_are_kept_apart() {
    // As InfluxDB: good lines are taken, others refused, and only their number is told.
    let taken = Arc::<Mutex<std::collections::BTreeSet<String>>>::default();
    let is_mended = Arc::new(AtomicBool::new(false));
    let (kept, mended) = (taken.clone(), is_mended.clone());
    let (server, _) = server(move |request, _| {
        let text = unpacked(request);
        let is_bad = |l: &&str| l.contains("bad") && !mended.load(Ordering::SeqCst);
        let (bad, good): (Vec<&str>, Vec<&str>) = text.lines().partition(is_bad);
        kept.lock().unwrap().extend(good.into_iter().map(str::to_owned));
        match bad.len() {
            0 => Reply::new(204, ""),
            n => Reply::new(400, format!("{{\"error\":\"partial write: conflict dropped={n}\"}}")),
        }
    });
    let bench =
        Bench::start(influx(database()), vec![endpoint(&server, "", "")], Compression::Zstd).await;
    let line = |n: i64| {
        let name = if n == 3 || n == 77 { "bad" } else { "m" };
        format!("{name} f={n}i {}\n", NANOS + n)
    };
    bench.write((0..100).map(line).collect::<String>()).await;
    let counts = bench.drained().await;
    assert_eq!((counts.delivered, counts.dead_lettered), (98, 2));
    assert_eq!(taken.lock().unwrap().len(), 98);
    let queue = &bench.gateway.outlets()[0].queue;
    let letters = queue.dead_letters();
    assert!(letters[0].reason.contains("partial write"), "{letters:?}");
    is_mended.store(true, Ordering::SeqCst);
    for letter in letters {
        queue.dead_letter_replay(letter.sequence).await.unwrap();
    }
    let counts = bench.drained().await;
    assert_eq!((counts.accepted, counts.delivered, counts.dead_lettered), (100, 100, 0));
    assert_eq!(taken.lock().unwrap().len(), 100, "they were in the letter");
    is_mended.store(false, Ordering::SeqCst);
    // When all are bad, the search ends.
    let before = server.requests();
    bench
        .write((0..2_000).map(|n| format!("bad f={n}i {}\n", NANOS + n)).collect::<String>())
        .await;
    let counts = bench.drained().await;
    assert_eq!((counts.delivered, counts.dead_lettered), (100, 2_000));
    assert!(server.requests() - before < 200, "{}", server.requests() - before);
    bench.stop().await;
}

#[tokio::test]
async fn answers_of_influxdb_mean_what_they_mean_elsewhere() {
    let (server, _) = server(|request, n| match n {
        0 => Reply::new(404, "database not found"),
        1 => Reply::new(503, ""),
        2 => Reply::new(429, "").with("Retry-After", "0"),
        3 => Reply::new(401, "who?"),
        _ if unpacked(request).lines().count() > 3 => Reply::new(413, ""),
        _ => Reply::new(204, ""),
    });
    let bench =
        Bench::start(influx(database()), vec![endpoint(&server, "", "")], Compression::Zstd).await;
    bench.write((0..10).map(|n| format!("m f={n}i {}\n", NANOS + n)).collect::<String>()).await;
    let counts = bench.drained().await;
    assert_eq!((counts.accepted, counts.delivered), (10, 10));
    assert!(bench.senders[0].stats().splits.load(Ordering::Relaxed) >= 3);
    bench.stop().await;
}

#[tokio::test]
async fn remote_write_gets_samples() {
    for version in [RemoteWriteVersion::V1, RemoteWriteVersion::V2] {
        let (server, seen) = server(|_, _| {
            Reply::new(204, "").with("X-Prometheus-Remote-Write-Samples-Written", "2")
        });
        let spec = RemoteWriteSpec {
            version,
            headers: [("X-Scope-OrgID".to_owned(), "me".to_owned())].into(),
            ..RemoteWriteSpec::default()
        };
        let urls = vec![endpoint(&server, "/api/v1/write?a=b", "t")];
        let bench = Bench::start(Kind::RemoteWrite(spec), urls, Compression::Zstd).await;
        bench.write(format!("cpu,h=a user=1.5,n=2i,s=\"x\" {NANOS}\nlog s=\"x\" {NANOS}\n")).await;
        let counts = bench.drained().await;
        assert_eq!((counts.delivered, counts.dropped_for(DropReason::EncodeError)), (1, 1));
        assert_eq!(bench.senders[0].stats().left_out_fields.load(Ordering::Relaxed), 2);
        let request = seen.lock().unwrap()[0].clone();
        assert_eq!(request.target, "/api/v1/write?a=b");
        for (name, of_1, of_2) in [
            (
                "content-type",
                "application/x-protobuf",
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            ),
            ("x-prometheus-remote-write-version", "0.1.0", "2.0.0"),
            ("content-encoding", "snappy", "snappy"),
            ("authorization", "Bearer t", "Bearer t"),
            ("x-scope-orgid", "me", "me"),
        ] {
            let expected = if version == RemoteWriteVersion::V1 { of_1 } else { of_2 };
            assert_eq!(request.header(name), Some(expected), "{name}");
        }
        let message = snappy::decompress(&request.body, 1 << 20).unwrap();
        if version == RemoteWriteVersion::V1 {
            let mut out = Vec::new();
            for point in Reader::new(&message) {
                assert!(write_point(&point.unwrap(), &mut out));
            }
            let expected = format!("cpu,h=a user=1.5 {NANOS}\ncpu,h=a n=2 {NANOS}\n");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_say_what_it_wrote_has_written_nothing() {
    let (server, _) = server(|_, n| match n {
        0 | 1 => Reply::new(200, ""),
        _ => Reply::new(200, "").with("X-Prometheus-Remote-Write-Samples-Written", "1"),
    });
    let spec = RemoteWriteSpec { version: RemoteWriteVersion::V2, ..RemoteWriteSpec::default() };
    let bench =
        Bench::start(Kind::RemoteWrite(spec), vec![endpoint(&server, "", "")], Compression::Zstd)
            .await;
    bench.write(format!("cpu user=1.5 {NANOS}\n")).await;
    let counts = bench.drained().await;
    assert_eq!((counts.delivered, server.requests()), (1, 3));
    bench.stop().await;
}

fn file(path: &Path, bytes_max: u64, kept_max: usize) -> Kind {
    Kind::File(FileSpec { path: path.to_owned(), bytes_max, kept_max, is_synced: true })
}

#[tokio::test]
async fn a_file_gets_whole_bodies_and_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("points.lp");
    fs::write(&path, "m f=0i 1\nm f=torn").unwrap();
    let bench = Bench::start(file(&path, 60, 2), Vec::new(), Compression::Zstd).await;
    let line = |n: i64| format!("m f={n}i {}", NANOS + n);
    for n in 0..6 {
        bench.write(line(n)).await;
        bench.drained().await;
    }
    // Each file takes two.
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("points.lp.2"), format!("{}\n{}\n", line(1), line(2)));
    assert_eq!(read("points.lp.1"), format!("{}\n{}\n", line(3), line(4)));
    assert_eq!(read("points.lp"), format!("{}\n", line(5)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "the first one had to go");
    bench.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_has_left_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("points.lp");
    for (before, after) in [
        ("", ""),
        ("m f=torn", ""),
        ("m f=0i 1\nm f=torn", "m f=0i 1\n"),
        (&*format!("m f=0i 1\n{}", "x".repeat(200_000)), "m f=0i 1\n"),
    ] {
        fs::write(&path, before).unwrap();
        let bench = Bench::start(file(&path, 0, 0), Vec::new(), Compression::Zstd).await;
        let line = format!("m f=1i {NANOS}\n");
        bench.write(line.clone()).await;
        bench.drained().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}{line}"));
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_or_is_moved_away_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub").join("points.lp");
    let bench = Bench::start(file(&path, 0, 0), Vec::new(), Compression::Zstd).await;
    let line = |n: i64| format!("m f={n}i {}\n", NANOS + n);
    bench.write(line(0)).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(bench.counts_of(0).queued, 1, "its folder is not there");
    fs::create_dir(dir.path().join("sub")).unwrap();
    bench.drained().await;
    fs::rename(&path, dir.path().join("away")).unwrap();
    bench.write(line(1)).await;
    bench.drained().await;
    assert_eq!(fs::read_to_string(dir.path().join("away")).unwrap(), line(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), line(1));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    bench.stop().await;
}

#[tokio::test]
async fn kafka_that_is_away_is_waited_for() {
    let spec = KafkaSpec {
        brokers: vec!["127.0.0.1:1".into()],
        topic: "t".into(),
        timeout: Duration::from_millis(200),
        ..KafkaSpec::default()
    };
    let bench = Bench::start(Kind::Kafka(spec.clone()), Vec::new(), Compression::Zstd).await;
    bench.write(format!("m f=1i {NANOS}\n")).await;
    let waiting = async {
        while bench.senders[0].stats().requests.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TOO_LONG, waiting).await.expect("it is tried again");
    let counts = bench.counts_of(0);
    assert_eq!((counts.queued, counts.delivered), (1, 0));
    bench.stop().await;
    let tools = (Arc::new(Encoder::new(Bounds::default(), 7)), SystemClock::new(), Tasks::new());
    let clock: Arc<dyn Clock> = tools.1;
    let net = Net::default();
    let tools =
        Tools { encoder: &tools.0, clock: &clock, tasks: &tools.2, net: &net, insiders: None };
    let tls = Some(TlsOptions { ca_file: "/none".into(), ..TlsOptions::default() });
    let kind = Kind::Kafka(KafkaSpec { tls, ..spec });
    let wrong = kind.receiver(&EndpointSpec::default(), &tools).await;
    assert!(matches!(wrong, Err(OpenReceiverError::Producer(_))));
}
