//! Line protocol by UDP and TCP.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use levada_server::tasks::TaskJob;
use levada_task::definition::{DefineOptions, define};
use levada_testkit::wait::until_async;

use crate::started::{Started, run};

const PATIENCE: Duration = Duration::from_secs(20);
const UDP: &[&str] = &["udp.bind-address=127.0.0.1:0", "udp.database=d", "udp.batch-timeout=10ms"];
const TCP: &[&str] = &["tcp.bind-address=127.0.0.1:0", "tcp.database=d", "tcp.batch-timeout=10ms"];

/// Starts a task that takes every point of `d`.
fn start_task(server: &Started) {
    let script = "dbrp \"d\".\"autogen\"\nstream|from()|httpOut('x')";
    let definition = Arc::new(define(script, &DefineOptions::default()).unwrap());
    server.server().tasks().run(TaskJob { id: "t".to_owned(), definition }).unwrap();
}

fn processed(server: &Started) -> u64 {
    tokio::task::block_in_place(|| server.server().tasks().master().status("t").unwrap().processed)
}

async fn address(server: &Started) -> SocketAddr {
    until_async("it listens", PATIENCE, || !server.server().inputs().addresses().is_empty()).await;
    server.server().inputs().addresses()[0].1
}

fn fields(server: &Started) -> Vec<u64> {
    let statistics = server.server().inputs().udp_statistics();
    assert_eq!(statistics[0].bind, "127.0.0.1:0");
    let names: Vec<&str> = statistics[0].fields.iter().map(|(name, _)| *name).collect();
    let expected =
        ["points_rx", "bytes_rx", "points_parse_fail", "read_fail", "points_tx", "tx_fail"];
    assert_eq!(names, expected);
    statistics[0].fields.iter().map(|(_, value)| *value).collect()
}

async fn metrics(server: &Started) -> String {
    reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap()
}

#[test]
fn ten_thousand_datagrams_reach_the_task_and_malformed_ones_are_counted() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), UDP).await;
        start_task(&server);
        let (to, socket) = (address(&server).await, UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut bytes = 0;
        for index in 0..10_000_u64 {
            let text = format!("m,host=h{} f={index} {}\nm f=1i\n", index % 100, index + 1);
            socket.send_to(text.as_bytes(), to).unwrap();
            bytes += text.len() as u64;
            // Nobody slows a sender of datagrams down: what the system cannot hold is lost before it is received.
            if index % 100 == 99 {
                until_async("they were read", PATIENCE, || fields(&server)[0] == 2 * (index + 1))
                    .await;
            }
        }
        let malformed: [&[u8]; 4] =
            [b"m\nm f=1 7\n,a=b f=1\n", b"\xff\xfe\x00", b"m f=\"open", b"m f=x"];
        for datagram in malformed {
            socket.send_to(datagram, to).unwrap();
            bytes += datagram.len() as u64;
        }
        // Neither is wrong with nothing or comments.
        for datagram in [&b""[..], b"\n\n", b"# comment\n"] {
            socket.send_to(datagram, to).unwrap();
            bytes += datagram.len() as u64;
        }
        // The largest that can be sent: full of points.
        let line = b"m,host=h1 f=1 1\n";
        let largest = line.repeat(65_507 / line.len());
        socket.send_to(&largest, to).unwrap();
        bytes += largest.len() as u64;
        let points = 20_000 + 1 + (largest.len() / line.len()) as u64;
        until_async("the task has them", PATIENCE, || processed(&server) == points).await;
        assert_eq!(fields(&server), [points, bytes, 4, 0, points, 0]);
        // `debug/vars` and the points of `_kapacitor` show the same.
        let vars = reqwest::get(format!("{}/kapacitor/v1/debug/vars", server.url)).await.unwrap();
        let vars: serde_json::Value = serde_json::from_str(&vars.text().await.unwrap()).unwrap();
        let all = vars["kapacitor"].as_object().unwrap();
        let udp = all.values().find(|statistic| statistic["name"] == "udp").unwrap();
        assert_eq!(udp["tags"]["bind"], "127.0.0.1:0");
        assert_eq!(
            (&udp["values"]["points_rx"], &udp["values"]["points_parse_fail"]),
            (&points.into(), &4.into())
        );
        let shown = metrics(&server).await;
        let refused = "levada_input_lines_refused_total{protocol=\"udp\",bind=\"127.0.0.1:0\"} 5";
        assert!(shown.contains(refused), "{shown}");
        server.stop().await;
    });
}

#[test]
fn connections_carry_lines_in_any_pieces_up_to_their_bounds() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let bounds = ["tcp.connections-max=2", "tcp.line-bytes=64KiB", "tcp.precision=s"];
        let server = Started::new(data.path(), &[TCP, &bounds].concat()).await;
        start_task(&server);
        let to = address(&server).await;
        let (mut first, mut second) =
            (TcpStream::connect(to).unwrap(), TcpStream::connect(to).unwrap());
        let lines: String = (1..=1_000).map(|index| format!("m,a=b f={index} {index}\n")).collect();
        for piece in lines.as_bytes().chunks(777) {
            first.write_all(piece).unwrap();
        }
        second.write_all(&vec![b'x'; 70_000]).unwrap();
        second.write_all(b"\nbad\nm f=1\nm f=2").unwrap();
        until_async("lines have come", PATIENCE, || processed(&server) == 1_001).await;
        // Both places are taken.
        let third = TcpStream::connect(to).unwrap();
        third.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        let closed = std::io::Read::read_to_end(&mut &third, &mut rest);
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        // The last line has no end but that of its connection.
        drop(second);
        until_async("the last line has come", PATIENCE, || processed(&server) == 1_002).await;
        let shown = metrics(&server).await;
        for (name, value) in [
            ("points_total", 1_002),
            ("lines_refused_total", 1),
            ("lines_too_long_total", 1),
            ("connections_refused_total", 1),
        ] {
            let line =
                format!("levada_input_{name}{{protocol=\"tcp\",bind=\"127.0.0.1:0\"}} {value}\n");
            assert!(shown.contains(&line), "{line} in {shown}");
        }
        // What was sent before the server stops is not lost.
        first.write_all(b"m f=3 3\n").unwrap();
        until_async("it was read", PATIENCE, || processed(&server) == 1_003).await;
        server.stop().await;
    });
}

#[test]
fn an_address_that_is_taken_is_waited_for() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = taken.local_addr().unwrap();
        let bind = format!("udp.listeners.more.bind-address={to}");
        let server = Started::new(data.path(), &[&bind, "udp.listeners.more.database=d"]).await;
        let url = format!("{}/health", server.url);
        let health = || async { reqwest::get(&url).await.unwrap().text().await.unwrap() };
        let mut shown = health().await;
        for _ in 0..200 {
            if shown.contains("cannot listen") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            shown = health().await;
        }
        assert!(shown.contains("degraded") && shown.contains(&format!("udp {to}")), "{shown}");
        drop(taken);
        assert_eq!(address(&server).await, to);
        assert!(!health().await.contains("degraded"));
        server.stop().await;
    });
}
