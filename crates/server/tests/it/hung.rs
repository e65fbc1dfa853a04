//! Tasks that hang or storm keep nothing from the others: the API, ingest and a healthy task answer within a second.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::net::TcpListener;

use crate::ask::{Client, SECOND};
use crate::started::{Started, run};

/// Rounds in which everything is asked for.
const ROUNDS: u32 = 8;
/// Points of the troubled tasks in each round.
const POINTS: u32 = 200;
/// Ends side by side with what hangs: less than handlers may take by themselves.
const STOP_MAX: Duration = Duration::from_secs(10);

const SETTINGS: &[&str] = &["task.queue-points=1000", "runtime.drain-timeout=1s"];

/// A receiver that accepts, reads what comes and never answers.
struct Deaf {
    address: String,
    accepted: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Deaf {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = std::sync::Arc::clone(&accepted);
        let accept = async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                held.push(stream);
            }
        };
        // Ends with the runtime of the test.
        drop(tokio::task::spawn(accept));
        Deaf { address, accepted }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Lines of the measurement `stuck`.
fn troubled(round: u32) -> String {
    (0..POINTS)
        .map(|place| format!("stuck,host=h{place} value={place} {}\n", 1 + round * POINTS + place))
        .collect()
}

/// Starts a healthy task and those given, and asks for everything again and again.
///
/// - `is_stuck`: says when the trouble has begun.
async fn beside(
    tasks: &[(&str, &str)],
    is_stuck: impl Fn() -> bool,
    prepare: impl AsyncFnOnce(&Client),
) {
    let data = tempfile::tempdir().unwrap();
    let server = Started::new(data.path(), SETTINGS).await;
    let client = Client::new(&server);
    prepare(&client).await;
    let healthy = "stream|from().measurement('ok')|httpOut('out')";
    client.task("healthy", healthy).await.within(SECOND, 200, "create");
    for (id, script) in tasks {
        client.task(id, script).await.within(SECOND, 200, id);
    }
    for round in 0..ROUNDS {
        let began = Instant::now();
        client.write(troubled(round)).await.within(SECOND, 204, "write for the troubled");
        let lines = format!("ok value={round}i {}", 1 + round);
        client.write(lines).await.within(SECOND, 204, "write");
        client.get("/kapacitor/v1/tasks").await.within(SECOND, 200, "list");
        for (id, _) in tasks {
            let path = format!("/kapacitor/v1/tasks/{id}");
            client.get(&path).await.within(SECOND, 200, id);
        }
        client.get("/kapacitor/v1/alerts/topics").await.within(SECOND, 200, "topics");
        let wanted = format!(",{round}]");
        loop {
            let out = client.get("/kapacitor/v1/tasks/healthy/out").await;
            let out = out.within(SECOND, 200, "httpOut");
            if out.text.contains(&wanted) {
                break;
            }
            assert!(began.elapsed() < SECOND * 3, "round {round}: {}", out.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let began = Instant::now();
    while !is_stuck() {
        assert!(began.elapsed() < SECOND * 5, "nothing hangs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (id, _) in tasks {
        let path = format!("/kapacitor/v1/tasks/{id}");
        client.ask(Method::DELETE, &path, "").await.within(SECOND, 204, "delete");
        client.get(&path).await.within(SECOND, 404, "show what is deleted");
    }
    client.write("ok value=77i 99").await.within(SECOND, 204, "write at the end");
    tokio::time::timeout(STOP_MAX, server.stop()).await.expect("the server stops in time");
}

#[test]
fn a_post_that_is_never_answered() {
    run(async {
        let deaf = Deaf::start().await;
        let url = format!("http://{}/", deaf.address);
        let alert = format!(
            "stream|from().measurement('stuck').groupBy('host')|alert().crit(lambda: TRUE).post('{url}')"
        );
        let node = format!("stream|from().measurement('stuck')|httpPost('{url}')");
        beside(&[("alert", &alert), ("node", &node)], || deaf.accepted() > 0, async |_| {}).await;
    });
}

#[test]
fn a_tcp_receiver_that_reads_nothing() {
    run(async {
        let deaf = Deaf::start().await;
        let script = format!(
            "stream|from().measurement('stuck').groupBy('host')|alert().crit(lambda: TRUE).details('{}').tcp('{}')",
            "x".repeat(10_000),
            deaf.address
        );
        beside(&[("tcp", &script)], || deaf.accepted() > 0, async |_| {}).await;
    });
}

#[test]
fn a_program_that_does_not_end() {
    run(async {
        let script = "stream|from().measurement('stuck').groupBy('host')|alert().crit(lambda: TRUE).exec('/bin/sleep', '60')";
        beside(&[("exec", script)], || true, async |_| {}).await;
    });
}

#[test]
fn a_handler_of_a_topic_that_is_never_answered() {
    run(async {
        let deaf = Deaf::start().await;
        let url = format!("http://{}/", deaf.address);
        let script = "stream|from().measurement('stuck').groupBy('host')|alert().crit(lambda: TRUE).topic('deaf')";
        beside(
            &[("topic", script)],
            || deaf.accepted() > 0,
            async |client| {
                let handler =
                    format!(r#"{{"id": "deaf", "kind": "post", "options": {{"url": "{url}"}}}}"#);
                let path = "/kapacitor/v1/alerts/topics/deaf/handlers";
                client.ask(Method::POST, path, handler).await.within(SECOND, 200, "handler");
            },
        )
        .await;
    });
}

/// A lambda that makes a text of ten bytes ten times as long, again and again.
pub(crate) fn heavy(times: u32) -> String {
    let mut text = "string(\"value\") + 'aaaaaaaaaa'".to_owned();
    for _ in 0..times {
        text = format!("strReplace({text}, 'a', 'aaaaaaaaaa', -1)");
    }
    format!("strLength({text})")
}

#[test]
fn a_diamond_with_a_slow_branch() {
    run(async {
        let deaf = Deaf::start().await;
        let diamond = |slow: &str| {
            format!(
                "var all = stream|from().measurement('stuck')
             var slow = all{slow}
             var fast = all|eval(lambda: \"value\" + 1.0).as('x')
             slow|join(fast).as('slow', 'fast').tolerance(1s)|httpOut('joined')"
            )
        };
        let lambda = diamond(&format!("|eval(lambda: {}).as('x')", heavy(5)));
        let post = diamond(&format!("|httpPost('http://{}/')", deaf.address));
        let alert = diamond(&format!(
            "|alert().crit(lambda: TRUE).post('http://{}/').exec('/bin/sleep', '60')",
            deaf.address
        ));
        let tasks = [("lambda", &*lambda), ("post", &*post), ("alert", &*alert)];
        beside(&tasks, || deaf.accepted() > 0, async |_| {}).await;
    });
}

#[test]
fn a_storm_of_loopbacks() {
    run(async {
        // Each point comes back twice as often from either side: loops within one database are refused.
        let there = "stream|from().measurement('stuck')|kapacitorLoopback().database('e').retentionPolicy('r')";
        let back = "stream|from()|kapacitorLoopback().database('d').retentionPolicy('r')";
        let tasks = [("there", there), ("again", there)];
        beside(
            &tasks,
            || true,
            async |client| {
                for id in ["back", "more"] {
                    client.task_of(id, "e", back).await.within(SECOND, 200, id);
                }
            },
        )
        .await;
    });
}
