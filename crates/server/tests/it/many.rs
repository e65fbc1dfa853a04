//! Very many tasks, points and events: the API answers within a second all the while.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]
#![allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::ask::{Client, SECOND};
use crate::started::{Started, run};

/// Tasks: what an unoptimized build makes in some seconds on a busy machine. `LEVADA_MANY_TASKS=10000` is the whole proof.
const TASKS: usize = 2_000;
/// Requests that make tasks at a time.
const MAKERS: usize = 8;
/// Events: what an unoptimized build does in some seconds. `LEVADA_MANY_EVENTS=1000000` is the whole proof.
const EVENTS: u64 = 100_000;
/// Points of one body.
const BODY: u64 = 2_000;
const LONG: Duration = Duration::from_secs(60);

fn given(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn tasks() -> usize {
    given("LEVADA_MANY_TASKS").unwrap_or(TASKS)
}

fn id(place: usize) -> String {
    format!("t{place:05}")
}

async fn make_tasks(client: &Client) {
    let next = Arc::new(AtomicU64::new(0));
    let makers = (0..MAKERS).map(|_| {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tokio::task::spawn(async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                if place >= tasks() {
                    return;
                }
                let script = format!("stream|from().measurement('m{place}')|httpOut('out')");
                client.task(&id(place), &script).await.within(SECOND, 200, "create");
            }
        })
    });
    for maker in makers.collect::<Vec<_>>() {
        maker.await.unwrap();
    }
}

/// Asks for one task after the other until it runs, or for `LONG`.
async fn until_all_run(client: &Client) {
    let began = Instant::now();
    let tasks = tasks();
    for place in (0..tasks).step_by(tasks / 10).chain([tasks - 1]) {
        loop {
            let path = format!("/kapacitor/v1/tasks/{}/out", id(place));
            let asked = client.get(&path).await;
            assert!(asked.took < SECOND, "{asked:?}");
            if asked.status == 200 {
                break;
            }
            assert!(began.elapsed() < LONG, "{} does not run", id(place));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn very_many_tasks() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        let began = Instant::now();
        make_tasks(&client).await;
        let tasks = tasks();
        eprintln!("{tasks} tasks made in {:?}", began.elapsed());
        look(&client).await;
        let began = Instant::now();
        server.stop().await;
        eprintln!("stopped in {:?}", began.elapsed());

        let began = Instant::now();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        client.get("/kapacitor/v1/ping").await.within(SECOND, 204, "ping");
        let ready = began.elapsed();
        assert!(ready < SECOND, "ready in {ready:?}");
        // While the tasks start:
        look(&client).await;
        until_all_run(&client).await;
        eprintln!("ready in {ready:?}, all run after {:?}", began.elapsed());
        look(&client).await;
        client.write(format!("m{} value=7 1", tasks - 1)).await.within(SECOND, 204, "write");
        let out = format!("/kapacitor/v1/tasks/{}/out", id(tasks - 1));
        for _ in 0..50 {
            if client.get(&out).await.within(SECOND, 200, "httpOut").text.contains(",7]") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(client.get(&out).await.text.contains(",7]"));
        server.stop().await;
    });
}

/// Lists and changes.
async fn look(client: &Client) {
    let listed = client.get("/kapacitor/v1/tasks?fields=status").await;
    let listed = listed.within(SECOND, 200, "list").json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 100);
    let path = format!("/kapacitor/v1/tasks?fields=status&offset={}&limit=100", tasks() - 10);
    let listed = client.get(&path).await.within(SECOND, 200, "end of the list").json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 10);
    let path = "/kapacitor/v1/tasks?fields=status&fields=executing&pattern=t009*&limit=-1";
    let listed = client.get(path).await.within(SECOND, 200, "pattern").json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 100);
    let path = "/kapacitor/v1/tasks/t00500";
    client.get(path).await.within(SECOND, 200, "show");
    let off = r#"{"status": "disabled"}"#;
    client.ask(Method::PATCH, path, off).await.within(SECOND, 200, "disable");
    let on = r#"{"status": "enabled"}"#;
    client.ask(Method::PATCH, path, on).await.within(SECOND, 200, "enable");
}

fn events() -> u64 {
    given("LEVADA_MANY_EVENTS").map_or(EVENTS, |count| count as u64)
}

#[test]
fn a_flood_of_events() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = data.path().join("events.log");
        let script = format!(
            "stream|from().measurement('m').groupBy('host')|alert().id('{{{{ index .Tags \"host\" }}}}')\
         .crit(lambda: \"value\" > 0).log('{}').tcp('{}').topic('flood')",
            log.display(),
            listener.local_addr().unwrap()
        );
        let received = Arc::<AtomicU64>::default();
        let count = Arc::clone(&received);
        drop(tokio::task::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                drop(tokio::task::spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        count.fetch_add(read as u64, Ordering::Relaxed);
                    }
                }));
            }
        }));
        client.task("flood", &script).await.within(SECOND, 200, "create");
        let healthy = "stream|from().measurement('ok')|httpOut('out')";
        client.task("healthy", healthy).await.within(SECOND, 200, "create");
        let is_over = Arc::new(AtomicBool::new(false));
        let writing = {
            let (client, is_over) = (Client::new(&server), Arc::clone(&is_over));
            tokio::task::spawn(async move {
                let mut refused = 0;
                for first in (0..events()).step_by(BODY as usize) {
                    let line = |place| format!("m,host=h{} value=1 {}\n", place % 100, place + 1);
                    let lines: String = (first..first + BODY).map(line).collect();
                    loop {
                        let written = client.write(lines.clone()).await;
                        assert!(written.took < SECOND * 2, "{written:?}");
                        match written.status {
                            204 => break,
                            503 => refused += 1,
                            _ => panic!("{written:?}"),
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                is_over.store(true, Ordering::Release);
                refused
            })
        };
        // As long as it may take for each of those that are played otherwise.
        let wanted = events();
        let patience = LONG * u32::try_from(wanted.div_ceil(EVENTS)).unwrap();
        let began = Instant::now();
        let mut rounds = 0_u32;
        let mut are_done = 0;
        while !is_over.load(Ordering::Acquire) || are_done < wanted {
            rounds += 1;
            client.get("/kapacitor/v1/tasks").await.within(SECOND, 200, "list");
            client.get("/kapacitor/v1/alerts/topics").await.within(SECOND, 200, "topics");
            client.write(format!("ok value={rounds}i {rounds}")).await.within(SECOND, 204, "write");
            client.get("/kapacitor/v1/tasks/healthy/out").await.within(SECOND, 200, "httpOut");
            let path = "/kapacitor/v1/alerts/topics/flood/events";
            let events = client.get(path).await;
            assert!(events.took < SECOND && matches!(events.status, 200 | 404), "{events:?}");
            let shown = client.get("/kapacitor/v1/alerts/topics/flood").await;
            assert!(shown.took < SECOND, "{shown:?}");
            if shown.status == 200 {
                are_done = shown.json()["collected"].as_u64().unwrap();
            }
            assert!(began.elapsed() < patience, "{are_done} of {wanted} events");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let refused = writing.await.unwrap();
        let logged = std::fs::metadata(&log).map_or(0, |log| log.len());
        eprintln!(
            "{} events in {:?}, {rounds} rounds, {refused} bodies refused, {logged} bytes logged, {} bytes sent",
            wanted,
            began.elapsed(),
            received.load(Ordering::Relaxed)
        );
        assert!(rounds > 3 && logged > 0 && received.load(Ordering::Relaxed) > 0);
        server.stop().await;
    });
}
