//! Clusters of `InfluxDB`: down, up, and what they send here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_clients::influxdb::subscriptions::{Subscription, subscriptions};
use levada_clients::influxdb::{Client as InfluxClient, Config, InfluxDb, Query, WriteTarget};
use levada_runtime::Tasks;
use levada_server::tasks::TaskJob;
use levada_task::definition::{DefineOptions, define};
use levada_testkit::fake_http::{FakeServer, Reply, Request};
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::services;
use levada_testkit::wait::until_async;
use reqwest::{Client, StatusCode};

use crate::started::{Started, run};

const PATIENCE: Duration = Duration::from_secs(20);
const CLUSTER_ID: &str = "11111111-2222-4333-8444-555555555555";
const SERVER_ID: &str = "66666666-7777-4888-9999-aaaaaaaaaaaa";

/// Stands in for `InfluxDB` 1.x.
struct Fake {
    server: FakeServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    retentions: BTreeSet<(String, String)>,
    subscriptions: Vec<Subscription>,
    changes: usize,
    selects: usize,
    /// As version 2 answers.
    has_none: bool,
}

impl Fake {
    fn start(retentions: &[(&str, &str)]) -> Self {
        let pairs = retentions.iter().map(|(db, rp)| ((*db).to_owned(), (*rp).to_owned()));
        let state = State { retentions: pairs.collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let kept = Arc::clone(&state);
        let server = FakeServer::start(move |request| match request.path() {
            "/ping" => Reply::new(204, ""),
            _ => {
                let body = String::from_utf8(request.body.clone()).unwrap();
                let form = Request { target: format!("/?{body}"), ..Request::default() };
                let text = form.query("q").unwrap();
                let mut state = kept.lock().unwrap();
                let results: Vec<String> =
                    text.split("; ").map(|statement| state.answer(statement)).collect();
                Reply::new(200, format!("{{\"results\":[{}]}}", results.join(",")))
            }
        });
        Fake { server, state }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Shows the subscriptions, sorted.
    fn shown(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let mut shown: Vec<String> = state.subscriptions.iter().map(show).collect();
        shown.sort();
        shown
    }

    fn changes(&self) -> usize {
        self.state.lock().unwrap().changes
    }
}

fn show(one: &Subscription) -> String {
    let Subscription { database, retention, name, mode, destinations } = one;
    format!("{database}.{retention} {name} {mode} {}", destinations.join(" "))
}

impl State {
    fn answer(&mut self, statement: &str) -> String {
        let quoted: Vec<&str> = statement.split('"').skip(1).step_by(2).collect();
        if statement == "SHOW SUBSCRIPTIONS" {
            if self.has_none {
                return r#"{"error":"not implemented: SHOW SUBSCRIPTIONS"}"#.to_owned();
            }
            let series: Vec<String> = self.subscriptions.iter().map(|one| {
                format!(
                    r#"{{"name":{:?},"columns":["retention_policy","name","mode","destinations"],"values":[[{:?},{:?},{:?},{:?}]]}}"#,
                    one.database, one.retention, one.name, one.mode, one.destinations
                )
            }).collect();
            return format!("{{\"series\":[{}]}}", series.join(","));
        }
        if statement == "SHOW DATABASES" {
            let names: BTreeSet<&String> = self.retentions.iter().map(|(db, _)| db).collect();
            let rows: Vec<String> = names.iter().map(|name| format!("[{name:?}]")).collect();
            return format!(
                r#"{{"series":[{{"columns":["name"],"values":[{}]}}]}}"#,
                rows.join(",")
            );
        }
        if statement.starts_with("SHOW RETENTION POLICIES") {
            let of = self.retentions.iter().filter(|(db, _)| db == quoted[0]);
            let rows: Vec<String> = of.map(|(_, rp)| format!("[{rp:?}]")).collect();
            return format!(
                r#"{{"series":[{{"columns":["name"],"values":[{}]}}]}}"#,
                rows.join(",")
            );
        }
        if statement.starts_with("SELECT") {
            self.selects += 1;
            return r#"{"series":[{"name":"m","columns":["time","f"],"values":[["2020-01-01T00:00:00Z",1]]}]}"#.to_owned();
        }
        self.changes += 1;
        let is_it = |one: &Subscription| {
            (&*one.name, &*one.database, &*one.retention) == (quoted[0], quoted[1], quoted[2])
        };
        if statement.starts_with("DROP SUBSCRIPTION") {
            let before = self.subscriptions.len();
            self.subscriptions.retain(|one| !is_it(one));
            assert_eq!(self.subscriptions.len() + 1, before, "{statement}");
            return "{}".to_owned();
        }
        assert!(statement.starts_with("CREATE SUBSCRIPTION"), "{statement}");
        if self.subscriptions.iter().any(is_it) {
            return r#"{"error":"subscription already exists"}"#.to_owned();
        }
        let (_, end) = statement.split_once(" DESTINATIONS ").unwrap();
        let (mode, destination) = end.split_once(' ').unwrap();
        let destinations = vec![destination.trim_matches('\'').to_owned()];
        self.subscriptions.push(subscription(quoted[1], quoted[2], quoted[0], mode, destinations));
        "{}".to_owned()
    }
}

fn subscription(
    database: &str,
    retention: &str,
    name: &str,
    mode: &str,
    destinations: Vec<String>,
) -> Subscription {
    Subscription {
        database: database.to_owned(),
        retention: retention.to_owned(),
        name: name.to_owned(),
        mode: mode.to_owned(),
        destinations,
    }
}

fn folder() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("cluster.id"), CLUSTER_ID).unwrap();
    std::fs::write(data.path().join("server.id"), SERVER_ID).unwrap();
    data
}

async fn relink(server: &Started) -> (StatusCode, String) {
    let url = format!("{}/kapacitor/v1/subscriptions", server.url);
    let answer = Client::new().post(url).basic_auth("admin", Some("pw")).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn health(server: &Started) -> serde_json::Value {
    let answer = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Waits until a cluster answers, or does not.
async fn cluster_is(server: &Started, name: &str, status: &str) -> String {
    for _ in 0..2_000 {
        let health = health(server).await;
        let part = health["parts"].as_array().unwrap().iter().find(|part| part["name"] == name);
        let part = part.unwrap_or_else(|| panic!("{name} is in {health}"));
        let message = part["message"].as_str().unwrap_or_default().to_owned();
        if part["status"] == status && message != "has not answered yet" {
            return message;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} did not become {status}");
}

#[test]
fn subscriptions_become_what_the_settings_say_and_are_repaired() {
    run(async {
        let fake = Fake::start(&[
            ("a", "autogen"),
            ("b", "weekly"),
            ("b", "raw"),
            ("_kapacitor", "autogen"),
        ]);
        let (url, other) = (fake.server.url(""), vec!["http://elsewhere:9092".to_owned()]);
        let foreign = "kapacitor-00000000-0000-4000-8000-000000000000";
        fake.change(|state| {
            state.subscriptions = vec![
                subscription("a", "autogen", foreign, "ANY", other.clone()),
                subscription("a", "autogen", "kapacitor", "ANY", other.clone()),
                // From earlier: the bare ID, and the name of old with this server's address.
                subscription("a", "autogen", CLUSTER_ID, "ANY", other.clone()),
                subscription(
                    "b",
                    "weekly",
                    "kapacitor",
                    "ANY",
                    vec!["http://Here:9092".to_owned()],
                ),
                // Excluded now.
                subscription("b", "raw", &format!("kapacitor-{CLUSTER_ID}"), "ANY", other),
            ];
        });
        let url = format!("influxdb.url={url}");
        let settings: Vec<&str> = vec![
            &url,
            "influxdb.kapacitor-hostname=here",
            "influxdb.http-port=9092",
            "influxdb.excluded-subscriptions=_kapacitor.autogen, b.raw",
            "influxdb.subscriptions-sync-interval=100ms",
        ];
        let data = folder();
        let server = Started::new(data.path(), &settings).await;
        let mut expected = vec![
            format!("a.autogen {foreign} ANY http://elsewhere:9092"),
            "a.autogen kapacitor ANY http://elsewhere:9092".to_owned(),
            format!("a.autogen kapacitor-{CLUSTER_ID} ANY http://here:9092"),
            format!("b.weekly kapacitor-{CLUSTER_ID} ANY http://here:9092"),
        ];
        expected.sort();
        until_async("they are linked", PATIENCE, || fake.shown() == expected).await;
        cluster_is(&server, "influxdb default", "pass").await;
        // What is right stays.
        let changes = fake.changes();
        assert_eq!(relink(&server).await, (StatusCode::NO_CONTENT, String::new()));
        assert_eq!(fake.changes(), changes);
        // Changed by hand in every way: other mode, other address, gone, and a new database.
        for spoil in [
            |state: &mut State| {
                state.subscriptions.iter_mut().for_each(|one| {
                    if one.name.ends_with(CLUSTER_ID) {
                        one.mode = "ALL".into();
                    }
                })
            },
            |state: &mut State| {
                state.subscriptions.iter_mut().for_each(|one| {
                    if one.name.ends_with(CLUSTER_ID) {
                        one.destinations[0] = "https://here:9092".into();
                    }
                })
            },
            |state: &mut State| {
                state.subscriptions.iter_mut().for_each(|one| {
                    if one.name.ends_with(CLUSTER_ID) {
                        one.destinations.push("http://x:1".into());
                    }
                })
            },
            |state: &mut State| state.subscriptions.retain(|one| !one.name.ends_with(CLUSTER_ID)),
        ] {
            fake.change(spoil);
            until_async("they are repaired", PATIENCE, || fake.shown() == expected).await;
        }
        fake.change(|state| {
            state.retentions.insert(("new".into(), "rp".into()));
            state.retentions.remove(&("b".to_owned(), "weekly".to_owned()));
        });
        expected.retain(|one| !one.starts_with("b."));
        expected.push(format!("new.rp kapacitor-{CLUSTER_ID} ANY http://here:9092"));
        until_async("databases are followed", PATIENCE, || fake.shown() == expected).await;
        server.stop().await;
        // Another mode: the names of the other one are given up.
        let mode = ["influxdb.subscription-mode=server", "influxdb.subscription-path=/base/"];
        let server = Started::new(data.path(), &[&settings[..], &mode].concat()).await;
        // The address of the old ones is this server's but for its path.
        let renamed: Vec<String> = expected
            .iter()
            .map(|one| match one.ends_with("//here:9092") {
                true => format!("{}/base", one.replace(CLUSTER_ID, SERVER_ID)),
                false => one.clone(),
            })
            .collect();
        until_async("they have the server's name", PATIENCE, || fake.shown() == renamed).await;
        server.stop().await;
    });
}

#[test]
fn with_authentication_each_subscription_has_a_token_that_ends_with_it() {
    run(async {
        let fake = Fake::start(&[("a", "autogen"), ("b", "autogen")]);
        let url = format!("influxdb.clusters.far.url={}", fake.server.url(""));
        let settings = [
            &*url,
            "influxdb.clusters.far.http-port=9092",
            "auth.enabled=true",
            "auth.admin-password=pw",
            "auth.bcrypt-cost=4",
        ];
        let data = folder();
        let server = Started::new(data.path(), &settings).await;
        until_async("they are linked", PATIENCE, || fake.shown().len() == 2).await;
        let tokens = || -> Vec<String> {
            let start = format!("kapacitor-{CLUSTER_ID} ANY http://~subscriber:");
            let token = |one: String| {
                let (_, rest) = one.split_once(&start).unwrap_or_else(|| panic!("{one}"));
                rest.strip_suffix("@localhost:9092").unwrap().to_owned()
            };
            fake.shown().into_iter().map(token).collect()
        };
        let first = tokens();
        assert!(first[0] != first[1] && first[0].len() > 86, "{first:?}");
        assert_eq!(relink(&server).await.0, StatusCode::NO_CONTENT);
        let ask = |server: &Started, token: &str, path: &str| {
            let request = Client::new().get(format!("{}/kapacitor/v1/{path}", server.url));
            let request = request.basic_auth("~subscriber", Some(token));
            async { request.send().await.unwrap().status().as_u16() }
        };
        assert_eq!(ask(&server, &first[0], "ping").await, 204);
        assert_eq!(ask(&server, &first[0], "users").await, 403);
        server.stop().await;
        // Tokens outlive the server.
        let server = Started::new(data.path(), &settings).await;
        cluster_is(&server, "influxdb far", "pass").await;
        assert_eq!((tokens(), relink(&server).await.0), (first.clone(), StatusCode::NO_CONTENT));
        // One that nobody was given is not believed, and the old one loses its rights.
        fake.change(|state| {
            let forged = "http://~subscriber:forged@localhost:9092".to_owned();
            state.subscriptions.iter_mut().find(|one| one.database == "a").unwrap().destinations =
                vec![forged];
        });
        assert_eq!(relink(&server).await.0, StatusCode::NO_CONTENT);
        let second = tokens();
        assert!(second[0] != first[0] && second[0] != "forged" && second[1] == first[1]);
        assert_eq!(ask(&server, &first[0], "ping").await, 401);
        assert_eq!(ask(&server, &second[0], "ping").await, 204);
        server.stop().await;
    });
}

#[test]
fn a_cluster_that_is_down_does_not_keep_the_server_from_starting() {
    run(async {
        let fake = Fake::start(&[("a", "autogen")]);
        let proxy = Proxy::start(&fake.server.address());
        proxy.set(Link::Refuse);
        // The first address of the cluster never answers; the second one does, later.
        let url = format!("influxdb.url=http://127.0.0.1:1, http://{}", proxy.address());
        let settings = [&*url, "influxdb.clusters.bad.url=ftp://x", "influxdb.http-port=9092"];
        let data = folder();
        let clock = levada_runtime::SystemClock::new();
        let before = levada_runtime::Clock::monotonic(&*clock);
        let server = Started::new(data.path(), &settings).await;
        let took = levada_runtime::Clock::monotonic(&*clock) - before;
        assert!(took < Duration::from_secs(1), "{took:?}");
        let message = cluster_is(&server, "influxdb default", "degraded").await;
        assert!(message.contains(&proxy.address()), "{message}");
        cluster_is(&server, "influxdb bad", "degraded").await;
        assert_eq!(health(&server).await["status"], "degraded");
        let (status, text) = relink(&server).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("InfluxDB cluster \\\"default\\\": subscriptions: "), "{text}");
        let script =
            "batch|query('SELECT f FROM \"a\".\"autogen\".m').period(1s).every(50ms)|httpOut('x')";
        let definition = Arc::new(
            define(&format!("dbrp \"a\".\"autogen\"\n{script}"), &DefineOptions::default())
                .unwrap(),
        );
        server.server().tasks().run(TaskJob { id: "t".to_owned(), definition }).unwrap();
        let node = |key: &str| {
            let status = tokio::task::block_in_place(|| {
                server.server().tasks().master().status("t").unwrap()
            });
            assert!(status.is_executing, "{:?}", status.error);
            status.nodes.values().filter_map(|node| node.get(key)?.as_u64()).sum::<u64>()
        };
        until_async("queries fail", PATIENCE, || node("query_errors") + node("errors") > 1).await;
        assert_eq!(fake.state.lock().unwrap().selects, 0);
        proxy.set(Link::Forward);
        until_async("the task goes on", PATIENCE, || node("points_queried") > 2).await;
        cluster_is(&server, "influxdb default", "pass").await;
        assert_eq!(
            fake.shown(),
            [format!("a.autogen kapacitor-{CLUSTER_ID} ANY http://localhost:9092")]
        );
        server.stop().await;
    });
}

#[test]
fn servers_without_subscriptions_are_fine() {
    run(async {
        let fake = Fake::start(&[("a", "autogen")]);
        fake.change(|state| state.has_none = true);
        let silent = Fake::start(&[("a", "autogen")]);
        let urls = [
            format!("influxdb.url={}", fake.server.url("")),
            format!("influxdb.clusters.silent.url={}", silent.server.url("")),
        ];
        let data = folder();
        let settings = [&*urls[0], &urls[1], "influxdb.clusters.silent.disable-subscriptions=true"];
        let server = Started::new(data.path(), &settings).await;
        cluster_is(&server, "influxdb default", "pass").await;
        cluster_is(&server, "influxdb silent", "pass").await;
        assert_eq!(relink(&server).await.0, StatusCode::NO_CONTENT);
        assert_eq!((fake.changes(), silent.changes()), (0, 0));
        assert_eq!(health(&server).await["status"], "pass");
        server.stop().await;
    });
}

async fn post(server: &Started, path: &str, body: serde_json::Value) -> (u16, String) {
    let url = format!("{}/kapacitor/v1/{path}", server.url);
    let answer = Client::new().post(url).body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn parts(server: &Started) -> Vec<String> {
    let health = health(server).await;
    let parts = health["parts"].as_array().unwrap().iter();
    let names = parts.map(|part| part["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("influxdb ")).collect()
}

#[test]
fn clusters_come_change_and_go_with_the_configuration() {
    run(async {
        let (one, two) = (Fake::start(&[("a", "autogen")]), Fake::start(&[("b", "weekly")]));
        let data = folder();
        let file = data.path().join("kapacitor.conf");
        let text = format!(
            "[[influxdb]]\nname = \"one\"\ndefault = true\nurls = [{:?}]\nhttp-port = 9092\n",
            one.server.url("")
        );
        std::fs::write(&file, text).unwrap();
        let setting = format!("kapacitor.config={}", file.display());
        let server = Started::new(data.path(), &[&setting]).await;
        let linked =
            |pair: &str| format!("{pair} kapacitor-{CLUSTER_ID} ANY http://localhost:9092");
        until_async("the file's cluster is linked", PATIENCE, || {
            one.shown() == [linked("a.autogen")]
        })
        .await;
        // A task goes on while its cluster moves.
        let script =
            "batch|query('SELECT f FROM \"a\".\"autogen\".m').period(1s).every(20ms)|httpOut('x')";
        let dbrps = serde_json::json!([{"db": "a", "rp": "autogen"}]);
        let task =
            serde_json::json!({"id": "t", "status": "enabled", "script": script, "dbrps": dbrps});
        assert_eq!(post(&server, "tasks", task).await.0, 200);
        let selects = |fake: &Fake| fake.state.lock().unwrap().selects;
        until_async("the task asks", PATIENCE, || selects(&one) > 1).await;

        let add = serde_json::json!({"add": {"name": "two", "urls": [two.server.url("")], "http-port": 9092}});
        assert_eq!(post(&server, "config/influxdb", add).await, (204, String::new()));
        until_async("the new one is linked", PATIENCE, || two.shown() == [linked("b.weekly")])
            .await;
        assert_eq!(parts(&server).await, ["influxdb one", "influxdb two"]);
        let test = serde_json::json!({"cluster": "two"});
        let (status, text) = post(&server, "service-tests/influxdb", test).await;
        assert!(status == 200 && text.contains("\"success\": true"), "{text}");

        let before = selects(&two);
        let set = serde_json::json!({"set": {"urls": [two.server.url("")], "excluded-subscriptions": {"b": ["weekly"]}}});
        assert_eq!(post(&server, "config/influxdb/one", set).await.0, 204);
        until_async("the task asks elsewhere", PATIENCE, || selects(&two) > before + 1).await;
        let refused = serde_json::json!({"set": {"ssl-ca": "/nowhere.pem"}});
        let (status, text) = post(&server, "config/influxdb/one", refused).await;
        assert_eq!(status, 500, "{text}");
        assert!(text.contains("failed to update configuration influxdb/one: "), "{text}");

        let remove = serde_json::json!({"remove": ["two"]});
        assert_eq!(post(&server, "config/influxdb", remove).await.0, 204);
        assert_eq!(parts(&server).await, ["influxdb one"]);
        until_async("nothing is sent any more", PATIENCE, || two.shown().is_empty()).await;
        let test = serde_json::json!({"cluster": "two"});
        let (_, text) = post(&server, "service-tests/influxdb", test).await;
        assert!(text.contains("no such InfluxDB config two"), "{text}");
        server.stop().await;

        // The override is kept.
        let server = Started::new(data.path(), &[&setting]).await;
        let before = selects(&two);
        until_async("the task asks elsewhere again", PATIENCE, || selects(&two) > before).await;
        server.stop().await;
    });
}

#[test]
fn a_cluster_may_be_shown_a_signed_token() {
    run(async {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let fake = FakeServer::start(move |request| {
            let sent = request.header("authorization").unwrap_or_default().to_owned();
            kept.lock().unwrap().push(sent);
            Reply::new(204, "")
        });
        let url = format!("influxdb.url={}", fake.url(""));
        let settings = [
            &*url,
            "influxdb.username=ann",
            "influxdb.password=pw",
            "influxdb.http-shared-secret=true",
            "influxdb.disable-subscriptions=true",
            "auth.shared-secret=s3cret",
        ];
        let data = folder();
        let server = Started::new(data.path(), &settings).await;
        until_async("it is asked", PATIENCE, || !seen.lock().unwrap().is_empty()).await;
        let first = seen.lock().unwrap()[0].clone();
        let token = first.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{first}"));
        let claims = token.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        let now =
            levada_runtime::Clock::now(&*levada_runtime::SystemClock::new()).0 / 1_000_000_000;
        assert_eq!(claims["username"], "ann");
        let left = claims["exp"].as_i64().unwrap() - now;
        assert!((500..=600).contains(&left), "{left}");
        server.stop().await;
        // Without a secret nothing is sent, and health says why.
        let server = Started::new(data.path(), &settings[..5]).await;
        let message = cluster_is(&server, "influxdb default", "degraded").await;
        assert!(message.contains("needs the setting `auth.shared-secret`"), "{message}");
        server.stop().await;
    });
}

/// Makes a database of a real server that is this test's own; gives a client.
async fn real(test: &str, database: &str) -> Option<(String, InfluxClient)> {
    let url = format!("http://{}", services::INFLUXDB.address(test)?);
    let client = InfluxClient::new(&Config::of(&*url), &Tasks::new()).await.unwrap();
    let text = format!("DROP DATABASE \"{database}\"; CREATE DATABASE \"{database}\"");
    client.query(&Query { text, ..Query::default() }).await.unwrap();
    Some((url, client))
}

async fn real_shown(client: &InfluxClient, database: &str) -> Vec<String> {
    let found = subscriptions(client).await.unwrap();
    found.iter().filter(|one| one.database == database).map(show).collect()
}

async fn ask(client: &InfluxClient, text: String) -> String {
    client.query(&Query { text, ..Query::default() }).await.unwrap()
}

/// Starts a task on a database, and writes points to `InfluxDB` until some reach it; gives how many did.
async fn points_arrive(server: &Started, client: &InfluxClient, database: &str) -> u64 {
    let quoted = database.replace('"', "\\\"");
    let script =
        format!("dbrp \"{quoted}\".\"autogen\"\nstream|from().measurement('m')|httpOut('x')");
    let definition = Arc::new(define(&script, &DefineOptions::default()).unwrap());
    server.server().tasks().run(TaskJob { id: "t".to_owned(), definition }).unwrap();
    let target = WriteTarget { database: database.to_owned(), ..WriteTarget::default() };
    // InfluxDB looks at its subscriptions a little later than it says that there is one.
    for index in 0..200 {
        let line = format!("m,t=a f={index} {}\n", index + 1);
        client.write(&target, line.into()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let status = tokio::task::block_in_place(|| server.server().tasks().master().status("t"));
        let processed = status.unwrap().processed;
        if processed > 1 {
            return processed;
        }
    }
    0
}

#[test]
fn a_real_server_is_linked_and_linked_again_when_somebody_drops_it() {
    run(async {
        let database = "levada server 'subs' \"1\".x";
        let quoted = database.replace('"', "\\\"");
        let Some((url, client)) = real("server influxdb subscriptions", &quoted).await else {
            return;
        };
        let settings = [
            &*format!("influxdb.url={url}"),
            &*format!("influxdb.subscriptions=\"{quoted}\".autogen"),
            "influxdb.subscriptions-sync-interval=100ms",
            "influxdb.subscription-mode=server",
            "auth.enabled=true",
            "auth.admin-password=pw",
            "auth.bcrypt-cost=4",
        ];
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &settings).await;
        cluster_is(&server, "influxdb default", "pass").await;
        let id = std::fs::read_to_string(data.path().join("server.id")).unwrap();
        let shown = real_shown(&client, database).await;
        let port = server.url.rsplit(':').next().unwrap();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(
            shown[0].contains(&format!(".autogen kapacitor-{id} ANY http://~subscriber:")),
            "{shown:?}"
        );
        assert!(shown[0].ends_with(&format!("@localhost:{port}")), "{shown:?}");
        assert_eq!(relink(&server).await, (StatusCode::NO_CONTENT, String::new()));
        assert_eq!(real_shown(&client, database).await, shown, "what is right stays");
        let processed = points_arrive(&server, &client, database).await;
        assert!(
            processed > 1,
            "points of a subscription are let in with its token and reach the task"
        );
        let dropped = format!("DROP SUBSCRIPTION \"kapacitor-{id}\" ON \"{quoted}\".\"autogen\"");
        let answer = ask(&client, dropped).await;
        assert!(!answer.contains("error"), "{answer}");
        let mut again = Vec::new();
        for _ in 0..1_000 {
            again = real_shown(&client, database).await;
            if !again.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(again.len() == 1 && again != shown, "{again:?}");
        server.stop().await;
        ask(&client, format!("DROP DATABASE \"{quoted}\"")).await;
    });
}

#[test]
fn points_of_a_real_server_come_as_datagrams() {
    run(async {
        let database = "levada-server-udp";
        let Some((url, client)) = real("server influxdb udp", database).await else { return };
        let settings = [
            &*format!("influxdb.url={url}"),
            &*format!("influxdb.subscriptions={database}"),
            "influxdb.subscription-protocol=udp",
            "influxdb.udp-bind=127.0.0.1",
            "influxdb.kapacitor-hostname=127.0.0.1",
        ];
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &settings).await;
        cluster_is(&server, "influxdb default", "pass").await;
        let processed = points_arrive(&server, &client, database).await;
        assert!(processed > 1, "points of a subscription reach the task");
        let statistics = server.server().influxdb().udp_statistics();
        assert_eq!(statistics.len(), 1);
        assert!(
            statistics[0].fields.iter().any(|(name, value)| *name == "points_tx" && *value > 1)
        );
        // The port is another one after a start; what leads to the old one goes.
        let before = real_shown(&client, database).await;
        server.stop().await;
        let server = Started::new(data.path(), &settings).await;
        cluster_is(&server, "influxdb default", "pass").await;
        let after = real_shown(&client, database).await;
        assert!(after.len() == 1 && after[0].contains("udp://127.0.0.1:"), "{after:?}");
        assert!(before.len() == 1 && before != after, "{before:?} {after:?}");
        server.stop().await;
        ask(&client, format!("DROP DATABASE \"{database}\"")).await;
    });
}
