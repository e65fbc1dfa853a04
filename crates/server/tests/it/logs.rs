//! The log, followed over HTTP, and points about the server itself.

use std::time::Duration;

use reqwest::{Client, Response};

use crate::started::{Started, run};

/// Reads until a text was seen.
async fn read_until(answer: &mut Response, text: &str) -> String {
    let mut read = String::new();
    let reading = async {
        while let Some(chunk) = answer.chunk().await.unwrap() {
            read.push_str(&String::from_utf8_lossy(&chunk));
            if read.contains(text) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the line comes");
    read
}

#[test]
fn the_log_is_followed_by_level_and_field() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new();
        let url = |query: &str| format!("{}/kapacitor/v1preview/logs?{query}", server.url);
        let mut logfmt = client.get(url("service=test&lvl=info%2B")).send().await.unwrap();
        assert_eq!(logfmt.headers()["content-type"], "application/logfmt");
        let json = client.get(url("service=test&lvl=debug")).header("accept", "application/json");
        let mut json = json.header("accept-encoding", "gzip").send().await.unwrap();
        assert!(json.headers().get("content-encoding").is_none());
        tracing::info!(service = "other", "not mine");
        tracing::debug!(service = "test", task = "t", "a detail");
        tracing::info!(service = "test", count = 3, "mine \"quoted\"");
        tracing::error!(service = "test", "the end");
        tracing::debug!(service = "test", "the end");
        let lines = read_until(&mut logfmt, "the end").await;
        let lines: Vec<&str> = lines.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        let expected = [
            "lvl=info msg=\"mine \\\"quoted\\\"\" service=test count=3",
            "lvl=error msg=\"the end\" service=test",
        ];
        assert_eq!(lines, expected);
        let lines = read_until(&mut json, "the end").await;
        let first = lines.lines().next().unwrap();
        assert!(
            first.ends_with(
                "\"lvl\":\"debug\",\"msg\":\"a detail\",\"service\":\"test\",\"task\":\"t\"}"
            ),
            "{first}"
        );
        for (query, expected) in [
            ("task=a&task=b", "query params cannot contain duplicate params"),
            ("lvl=loud", "invalid log level"),
        ] {
            let answer = client.get(url(query)).send().await.unwrap();
            assert_eq!(answer.status(), 400);
            assert!(answer.text().await.unwrap().contains(expected), "{query}");
        }
        // An endless answer does not keep the server from stopping.
        let stopped = tokio::time::timeout(Duration::from_secs(15), server.stop());
        stopped.await.expect("the server stops");
    });
}

#[test]
fn requests_are_told_with_who_asked_but_without_secrets() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new();
        let url = format!("{}/kapacitor/v1preview/logs?service=http&lvl=debug", server.url);
        let mut log = client.get(url).send().await.unwrap();
        let ping = format!("{}/kapacitor/v1/ping?u=access-log&p=secret", server.url);
        let answer = client.get(ping).header("user-agent", "test/1").send().await.unwrap();
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        let lines = read_until(&mut log, &id).await;
        let line = lines.lines().find(|line| line.contains(&id)).unwrap();
        for part in [
            "lvl=debug msg=\"http request\" service=http host=127.0.0.1 username=access-log start=",
            " method=GET uri=\"/kapacitor/v1/ping?u=access-log&p=[REDACTED]\" protocol=HTTP/1.1 status=204 \
             referer=- user-agent=test/1 request-id=",
            " duration=",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("secret"), "{line}");
        server.stop().await;
    });
}
