//! Too much, too large, too slow: each is refused in time, in bounded memory, while others are served.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ask::{Asked, Client, SECOND};
use crate::hung::heavy;
use crate::started::{Started, run};

const FULL: &str = "the queues of tasks are full, try again later";

fn lines(count: usize) -> String {
    (0..count).map(|place| format!("stuck value={place} {}\n", place + 1)).collect()
}

fn refusal(text: &str) -> String {
    format!("{{\n    \"error\": \"{text}\",\n    \"message\": \"{text}\"\n}}")
}

/// As the routes for points say it.
fn line(text: &str) -> String {
    format!("{text}\n")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// The sum of a metric.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.within(SECOND, 200, "metrics").text;
    let of_name = text.lines().filter(|line| line.starts_with(name));
    of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn points_without_room_are_refused_in_time() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = ["task.queue-points=10", "task.block-timeout=200ms", "task.workers=2"];
        let server = Started::new(data.path(), &settings).await;
        let client = Client::new(&server);
        let script =
            format!("stream|from().measurement('stuck')|eval(lambda: {}).as('x')", heavy(6));
        client.task("slow", &script).await.within(SECOND, 200, "create");
        // One body is being worked on, one fills the queue to the point.
        client.write(lines(10)).await.within(SECOND, 204, "the first");
        let mut taken = 1;
        let refused = loop {
            let written = client.write(lines(10)).await;
            if written.status != 204 {
                break written;
            }
            taken += 1;
            assert!(taken < 10, "a slow task is never behind");
        };
        assert!(refused.took >= Duration::from_millis(150), "no patience: {refused:?}");
        let is_right = |refused: Asked| {
            let refused = refused.within(SECOND, 503, "write");
            assert_eq!(refused.retry_after.as_deref(), Some("1"));
            assert_eq!(refused.text, line(FULL));
        };
        is_right(refused);
        // More writers than take turns, all at once.
        let writers = (0..100).map(|_| {
            let client = client.clone();
            tokio::task::spawn(async move { client.write(lines(10)).await })
        });
        let mut refused = 0;
        for writer in writers.collect::<Vec<_>>() {
            let written = writer.await.unwrap();
            assert!(written.took < SECOND * 2, "{written:?}");
            if written.status == 503 {
                is_right(Asked { took: written.took.min(SECOND / 2), ..written });
                refused += 1;
            }
        }
        assert!(refused > 50, "{refused}");
        // Where one task takes the points the answer is yes; what the slow one loses is counted.
        let before = metric(&client, "levada_task_points_dropped_total").await;
        let healthy = "stream|from().measurement('stuck')|httpOut('out')";
        client.task("healthy", healthy).await.within(SECOND, 200, "create");
        client.write(lines(10)).await.within(SECOND, 204, "one of two is behind");
        tokio::time::sleep(SECOND).await;
        let after = metric(&client, "levada_task_points_dropped_total").await;
        assert!(after > before, "{after} after {before}");
        server.stop().await;
    });
}

#[test]
fn bodies_above_the_limit_are_refused() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = ["http.points-bytes=1KiB", "http.document-bytes=2KiB"];
        let server = Started::new(data.path(), &settings).await;
        let client = Client::new(&server);
        let body = |bytes: usize| format!("m value=1 1\n{}", "#".repeat(bytes - 12));
        client.write(body(1024)).await.within(SECOND, 204, "exactly the limit");
        let text = line("the body has more than 1024 bytes; send it in parts");
        assert_eq!(client.write(body(1025)).await.within(SECOND, 413, "one more").text, text);
        let text = refusal("the body has more than 2048 bytes; send it in parts");
        let large = client.task("large", &"#".repeat(2048)).await.within(SECOND, 413, "document");
        assert_eq!(large.text, text);
        // Packed: the limit is that of the points themselves.
        let path = "/kapacitor/v1/write?db=d&rp=r";
        client.ask_gzip(path, packed(body(1024).as_bytes())).await.within(SECOND, 204, "packed");
        let refused = client.ask_gzip(path, packed(body(1025).as_bytes())).await;
        let text = refused.within(SECOND, 413, "unpacked").text;
        assert!(
            text.starts_with("expansion limit: gzip data became `1025` bytes by byte `"),
            "{text}"
        );
        assert!(text.ends_with("; raise the limit if the data is trusted\n"), "{text}");
        // The body need not come to its end to be refused: this one never does.
        let mut stream =
            TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        let head =
            "POST /write?db=d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n400\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all("#".repeat(0x400).as_bytes()).await.unwrap();
        stream.write_all(b"\r\n2\r\n##\r\n").await.unwrap();
        let mut start = [0; 12];
        tokio::time::timeout(SECOND, stream.read_exact(&mut start)).await.unwrap().unwrap();
        assert_eq!(&start, b"HTTP/1.1 413");
        server.stop().await;
    });
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn bombs_stay_packed() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &["http.points-bytes=2MiB"]).await;
        let client = Client::new(&server);
        // Members of 8 MiB, together 1 GiB in a few hundred kilobytes.
        let member = packed(&vec![b'\n'; 8 << 20]);
        let bomb = member.repeat(128);
        assert!(bomb.len() < 2 << 20, "{}", bomb.len());
        let before = peak();
        for path in ["/write?db=d", "/kapacitor/v1/write?db=d&rp=r"] {
            let refused =
                client.ask_gzip(path, bomb.clone()).await.within(SECOND, 413, "bomb").text;
            assert!(refused.starts_with("expansion limit: gzip data became `"), "{refused}");
        }
        let many = (0..16).map(|_| {
            let (client, bomb) = (client.clone(), bomb.clone());
            tokio::task::spawn(async move { client.ask_gzip("/write?db=d", bomb).await.status })
        });
        for one in many.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), 413);
        }
        // Other tests of this process take memory as well, but none of them a part of what one bomb would.
        let grown = peak() - before;
        assert!(grown < 400 << 10, "{grown} KiB more");
        for (body, text) in [
            (
                &b"cpu value=1 1"[..],
                "gzip data is damaged at or after byte `2`; check the format and the source\n",
            ),
            (
                &member[..100],
                "gzip data ends at byte `100` before its end mark; get the rest of it\n",
            ),
        ] {
            let refused = client.ask_gzip("/write?db=d", body.to_vec()).await;
            assert_eq!(refused.within(SECOND, 400, "damaged").text, text);
        }
        server.stop().await;
    });
}

/// Sends the beginning of a request and then nothing, or a byte now and then; gives what came until the end.
async fn dawdle(address: &str, start: &str, drips: bool) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(40)).await;
            if !drips || writing.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        // A connection that is reset has ended as well.
        _ended = reading.read_to_end(&mut answer) => {}
        () = drip => {}
    }
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[test]
fn who_is_slow_is_cut_off_while_others_are_served() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings =
            ["http.head-timeout=400ms", "http.body-timeout=400ms", "http.connections-max=64"];
        let server = Started::new(data.path(), &settings).await;
        let client = Client::new(&server);
        client.get("/kapacitor/v1/tasks").await.within(SECOND, 200, "before");
        let head = "POST /write?db=d HTTP/1.1\r\nhost: x\r\ncontent-le";
        let body = "POST /write?db=d HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nm value=";
        let mut slow = Vec::new();
        for (start, status) in [("", ""), (head, ""), (body, "HTTP/1.1 408 ")] {
            for place in 0..20 {
                let address = server.url.trim_start_matches("http://").to_owned();
                slow.push((
                    status,
                    // The very first byte of a head begins its time.
                    tokio::task::spawn(
                        async move { dawdle(&address, start, place % 2 == 0).await },
                    ),
                ));
            }
        }
        for _ in 0..10 {
            client.get("/kapacitor/v1/tasks").await.within(SECOND, 200, "beside");
            client.write("m value=1 1").await.within(SECOND, 204, "beside");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (status, one) in slow {
            let (answer, took) = one.await.unwrap();
            assert!(took < SECOND * 2, "{took:?}");
            assert!(answer.starts_with(status), "`{answer}`, not `{status}`");
            if status.starts_with("HTTP/1.1 408") {
                assert!(answer.ends_with(&line("the body took more than 400ms")), "{answer}");
            }
        }
        // More than all places were taken once: they are free again.
        let again = (0..64).map(|_| {
            let client = Client::new(&server);
            tokio::task::spawn(async move { client.get("/kapacitor/v1/ping").await.status })
        });
        for one in again.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), 204);
        }
        server.stop().await;
    });
}
