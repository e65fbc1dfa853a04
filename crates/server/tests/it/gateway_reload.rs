//! Rules of the gateway that are read again at SIGHUP.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_testkit::fake_http::{FakeServer, Reply};
use serde_json::Value;

use crate::started::{Started, run};

/// A receiver that counts lines.
struct Receiver {
    server: FakeServer,
    lines: Arc<Mutex<usize>>,
}

impl Receiver {
    fn start() -> Self {
        let lines = Arc::<Mutex<usize>>::default();
        let kept = lines.clone();
        let server = FakeServer::start(move |request| {
            let points: usize = request.header("x-points").unwrap().parse().unwrap();
            *kept.lock().unwrap() += points;
            Reply::new(200, "")
        });
        Receiver { server, lines }
    }

    fn url(&self) -> String {
        self.server.url("?token=tkn_x")
    }

    fn lines(&self) -> usize {
        *self.lines.lock().unwrap()
    }
}

async fn eventually(what: &str, is_met: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if is_met().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: waited too long");
}

async fn status(server: &Started) -> Value {
    let url = format!("{}/api/v1/gateway/status", server.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn write(server: &Started, category: &str, body: &str) {
    let url = format!("{}/v1/write/{category}", server.url);
    let answer = reqwest::Client::new().post(url).body(body.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn rules(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// Tells this process what an operator tells a server.
fn hang_up() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
}

#[test]
fn rules_are_read_again_as_a_whole_or_not_at_all() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, rest) = (Receiver::start(), Receiver::start());
        let sinkers = |filters: &str, more: &str| {
            format!(
                "[gateway]\nurls = ['{}']\n[[gateway.destination]]\nname = 'a'\n\
                 [[gateway.destination.endpoint]]\nurl = '{}'\n{more}\n\
                 [[gateway.sinkers]]\ncategories = ['L']\nfilters = [\"\"\"{filters}\"\"\"]\ndestination = 'a'\n",
                rest.url(),
                a.url(),
            )
        };
        rules(&file, &sinkers("{ f = 'a' }", ""));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("a and the rest", async || (a.lines(), rest.lines()) == (1, 1)).await;

        // Another rule before the one that stays, and a drop filter.
        let more = "[gateway.filters]\nlogging = [\"{ f = 'x' }\"]\n[[gateway.sinkers]]\ncategories = ['L']\n\
                    filters = [\"{ f = 'b' }\"]\ndestination = 'a'\n";
        rules(&file, &sinkers("{ f = 'a' }", more));
        hang_up();
        eventually("the new rules", async || {
            status(&server).await["rules"]["sinkers"].as_array().unwrap().len() == 2
        })
        .await;
        let shown = status(&server).await["rules"].clone();
        assert_eq!(shown["sinkers"][1]["points"], 1, "a rule that stays goes on counting");
        assert_eq!((&shown["reloads"], &shown["last_error"]), (&1.into(), &Value::Null));
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\nsrc f=\"x\"\nsrc f=\"c\"\n").await;
        eventually("a and the rest", async || (a.lines(), rest.lines()) == (3, 2)).await;
        let shown = status(&server).await["rules"].clone();
        assert_eq!(
            (&shown["sinkers"][0]["points"], &shown["sinkers"][1]["points"]),
            (&1.into(), &2.into())
        );
        assert_eq!(shown["filters"][0]["points"], 1);

        // Whatever is wrong, all of it stays as it was.
        let bad = [
            (sinkers("{ f = }", ""), "parse error"),
            ("[gateway".to_owned(), "levada.toml"),
            (
                sinkers(
                    "{ f = 'a' }",
                    "[[gateway.sinkers]]\ncategories = ['L']\nurl = 'http://127.0.0.1:1'\n",
                ),
                "next start",
            ),
            (sinkers("{ f = 'a' }", "[gateway.filters]\nnonsense = ['{}']\n"), "nonsense"),
        ];
        for (count, (text, expected)) in (1_u64..).zip(bad) {
            rules(&file, &text);
            hang_up();
            eventually(expected, async || {
                status(&server).await["rules"]["reload_errors"].as_u64() == Some(count)
            })
            .await;
            let shown = status(&server).await["rules"].clone();
            let error = shown["last_error"].as_str().unwrap();
            assert!(error.contains(expected), "{error}");
            assert_eq!(shown["sinkers"].as_array().unwrap().len(), 2);
            assert_eq!((&shown["sinkers"][1]["points"], &shown["reloads"]), (&2.into(), &1.into()));
        }
        let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        for line in
            ["levada_gateway_rule_reload_errors_total 4", "levada_gateway_rule_reloads_total 1"]
        {
            assert!(metrics.contains(line), "{line}");
        }
        server.stop().await;
    });
}
