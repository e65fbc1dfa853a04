//! The gateway joined with flows, tasks and alerts of the same process.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::gateway::{Ask, FAST, Receiver, destination};
use crate::started::{Started, eventually, run};

/// The time of the first point; each further one is a second later.
const SECONDS: i64 = 1_700_000_000;

async fn start(data: &Path, settings: &[&str], manifest: &str) -> Started {
    // What a flow has finished is to be known soon.
    let always =
        ["flow.checkpoint-interval=50ms", "flow.retry-initial=10ms", "flow.retry-max=50ms"];
    let all: Vec<&str> = FAST.iter().chain(&always).chain(settings).copied().collect();
    Started::with_flows(data, &all, manifest).await
}

/// Writes a log of so many lines, each with a number.
fn log(folder: &Path, lines: i64) {
    let mut text = String::new();
    for n in 0..lines {
        let at = SECONDS + n;
        writeln!(
            text,
            r#"{{"at":{at},"host":"h {}","n":{n},"status":"info","text":"a \"b\" {n}"}}"#,
            n % 3
        )
        .unwrap();
    }
    std::fs::write(folder.join("in.ndjson"), text).unwrap();
}

/// The lines that such a log becomes.
fn lines(count: i64) -> Vec<String> {
    let line = |n: i64| {
        let at = SECONDS + n;
        format!(
            "app,host=h\\ {} n={n}i,status=\"info\",text=\"a \\\"b\\\" {n}\" {at}000000000",
            n % 3
        )
    };
    let mut lines: Vec<String> = (0..count).map(line).collect();
    lines.sort();
    lines
}

/// A flow from the log to the gateway.
const LOG_TO_GATEWAY: &str = "
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: { name: log }
spec:
  source: { type: file, config: { paths: [in.ndjson] } }
  sink:
    type: gateway
    config: { category: logging, measurement: app, tags: { host: $.host }, timestamp: $.at }
";

/// Checks that every copy of a point is somewhere, and gives the numbers of a destination.
fn balanced(status: &Value, name: &str) -> [u64; 5] {
    assert_eq!(status["balanced"], true, "{status}");
    let one = destination(status, name);
    let number = |key: &str| match &one[key] {
        // Drops and so on may be told by reason.
        Value::Object(by_reason) => by_reason.values().filter_map(Value::as_u64).sum(),
        number => number.as_u64().unwrap_or_else(|| panic!("{key} of {one}")),
    };
    let [accepted, delivered, dropped, dead_lettered, queued] =
        ["accepted", "delivered", "dropped", "dead_lettered", "queued"].map(number);
    assert_eq!(accepted, delivered + dropped + dead_lettered + queued, "{one}");
    [accepted, delivered, dropped, dead_lettered, queued]
}

#[test]
fn a_flow_ends_in_the_gateway_and_nothing_is_lost_while_the_receiver_is_away() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        log(data.path(), 1_000);
        let receiver = Receiver::start();
        receiver.answer(503);
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let server = start(data.path(), &[&urls], LOG_TO_GATEWAY).await;
        let ask = Ask::new(&server);
        eventually("the flow has read everything", async || {
            let status = ask.json("/api/v1/gateway/status").await;
            destination(&status, "default")["accepted"] == 1_000
        })
        .await;
        assert!(receiver.lines().is_empty());
        server.stop().await;
        // The flow has finished its file, and the gateway has the points on the disk: nobody reads them again.
        receiver.answer(200);
        let server = start(data.path(), &[&urls], LOG_TO_GATEWAY).await;
        let status = Ask::new(&server).drained().await;
        assert_eq!(receiver.lines(), lines(1_000));
        assert_eq!(balanced(&status, "default"), [1_000, 1_000, 0, 0, 0]);
        assert!(receiver.paths.lock().unwrap().contains_key("/v1/write/logging?token=tkn_x"));
        server.stop().await;
    });
}

#[test]
fn a_full_queue_makes_the_flow_wait() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        log(data.path(), 20_000);
        let receiver = Receiver::start();
        receiver.answer(503);
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        // Some 1.5 MB of points for a queue of 256 KiB.
        let full = [
            "gateway.queue.capacity=256KiB",
            "gateway.queue.segment-bytes=64KiB",
            "gateway.gzip=false",
        ];
        let settings: Vec<&str> = full.into_iter().chain([&*urls]).collect();
        let server = start(data.path(), &settings, LOG_TO_GATEWAY).await;
        let ask = Ask::new(&server);
        let accepted = async || balanced(&ask.json("/api/v1/gateway/status").await, "default")[0];
        eventually("the queue is full", async || {
            let before = accepted().await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            before > 0 && accepted().await == before
        })
        .await;
        assert!(accepted().await < 20_000, "there is no room for all");
        receiver.answer(200);
        eventually("the flow goes on to its end", async || accepted().await == 20_000).await;
        let status = ask.drained().await;
        assert_eq!(balanced(&status, "default"), [20_000, 20_000, 0, 0, 0], "none was dropped");
        assert_eq!(receiver.lines(), lines(20_000), "each came once");
        server.stop().await;
    });
}

/// Defines a task that runs.
async fn task(ask: &Ask, id: &str, script: &str) {
    let task = json!({
        "id": id, "type": "stream", "status": "enabled", "script": script,
        "dbrps": [{"db": "telegraf", "rp": "autogen"}],
    });
    let (status, text) = ask.post("/kapacitor/v1/tasks", task.to_string()).await;
    assert_eq!(status, 200, "{text}");
}

#[test]
fn a_task_writes_to_the_gateway_as_to_a_cluster() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let server = start(data.path(), &[&urls], "").await;
        let ask = Ask::new(&server);
        let script = "var all = stream|from().measurement('cpu')\n\
            all|eval(lambda: \"v\" * 2.0).as('twice')|influxDBOut().cluster('gateway').measurement('doubled').tag('by', 'task').flushInterval(10ms)\n\
            all|influxDBOut().cluster('gateway/logging').measurement('seen').precision('s').flushInterval(10ms)";
        task(&ask, "double", script).await;
        let mut body = String::new();
        for n in 0..50 {
            writeln!(body, "cpu,host=a\\ b v={n}.5,note=\"n {n}\" {}000000000", SECONDS + n)
                .unwrap();
        }
        let (status, text) = ask.post("/kapacitor/v1/write?db=telegraf&rp=autogen", body).await;
        assert_eq!(status, 204, "{text}");
        eventually("all are there", async || receiver.lines().len() == 100).await;
        let mut expected: Vec<String> = (0..50)
            .flat_map(|n| {
                let at = SECONDS + n;
                let twice = 2 * n + 1;
                [
                    format!("doubled,by=task,host=a\\ b twice={twice}.0 {at}000000000"),
                    format!("seen,host=a\\ b note=\"n {n}\",status=\"info\",v={n}.5 {at}000000000"),
                ]
            })
            .collect();
        expected.sort();
        let normal = |line: &String| line.replace(".0 ", " ");
        let got: Vec<String> = receiver.lines().iter().map(normal).collect();
        assert_eq!(got, expected.iter().map(normal).collect::<Vec<_>>());
        let paths = receiver.paths.lock().unwrap().clone();
        for path in ["/v1/write/metric?token=tkn_x", "/v1/write/logging?token=tkn_x"] {
            assert!(paths.contains_key(path), "{paths:?}");
        }
        let status = ask.drained().await;
        assert_eq!(balanced(&status, "default"), [100, 100, 0, 0, 0]);
        server.stop().await;
    });
}

#[test]
fn an_alert_is_a_point_of_the_gateway() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (receiver, team) = (Receiver::start(), Receiver::start());
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let destination = format!(
            "gateway.destination=[{{\"name\":\"team\",\"endpoint\":[{{\"url\":\"{}\"}}]}}]",
            team.url("tkn_t")
        );
        let server = start(data.path(), &[&urls, &destination], "").await;
        let ask = Ask::new(&server);
        let script = "stream|from().measurement('cpu').groupBy('host')\n\
            |alert().id('{{ .Name }}:{{ index .Tags \"host\" }}').message('{{ .ID }} is {{ .Level }}').details('two\nlines').crit(lambda: \"v\" > 90.0)\n\
            .topic('t').gateway().measurement('alarms')";
        task(&ask, "watch", script).await;
        let handler = json!({"id": "to-team", "kind": "gateway", "options": {"category": "logging", "destination": "team"}});
        let (status, text) =
            ask.post("/kapacitor/v1/alerts/topics/t/handlers", handler.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let body = format!(
            "cpu,host=a v=50 {SECONDS}000000000\ncpu,host=a v=95 {}000000000\ncpu,host=a v=10 {}000000000\n",
            SECONDS + 1,
            SECONDS + 61,
        );
        let (status, text) = ask.post("/kapacitor/v1/write?db=telegraf&rp=autogen", body).await;
        assert_eq!(status, 204, "{text}");
        eventually("both events are there", async || {
            receiver.lines().len() == 2 && team.lines().len() == 2
        })
        .await;
        let event = |level: &str, previous: &str, duration: i64, at: i64| {
            format!(
                "alarms,host=a,level={level},task=watch id=\"cpu:a\",message=\"cpu:a is {level}\",details=\"two\nlines\",\
                 duration={duration}i,previous_level=\"{previous}\",recoverable=true,name=\"cpu\" {at}000000000"
            )
        };
        let expected = [
            event("CRITICAL", "OK", 0, SECONDS + 1),
            event("OK", "CRITICAL", 60_000_000_000, SECONDS + 61),
        ];
        assert_eq!(receiver.lines(), expected);
        assert!(receiver.paths.lock().unwrap().contains_key("/v1/write/keyevent?token=tkn_x"));
        let of_team = team.lines().join("\n");
        assert!(
            of_team.contains("alert,host=a,level=CRITICAL,task=watch id=\"cpu:a\""),
            "{of_team}"
        );
        assert!(of_team.contains(",status=\"info\" "), "a log has a status: {of_team}");
        assert!(team.paths.lock().unwrap().contains_key("/v1/write/logging?token=tkn_t"));
        let status = ask.drained().await;
        assert_eq!(balanced(&status, "team"), [2, 2, 0, 0, 0]);
        server.stop().await;
    });
}

/// A flow from the gateway to a file.
const GATEWAY_TO_FILE: &str = "
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: { name: keep }
spec:
  source: { type: gateway, config: { name: keep } }
  transformations:
    - { type: filter, config: { condition: $.fields.n != 3 } }
  sink: { type: file, config: { path: out.ndjson } }
";

#[test]
fn the_gateway_feeds_a_flow_and_keeps_points_until_the_flow_has_finished_them() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = ["gateway.destination=[{\"name\":\"keep\",\"kind\":\"flow\"}]"];
        let body: String = (0..100)
            .map(|n| format!("app,host=h n={n}i,f={n},ok=true,status=\"info\",text=\"a \\\"{n}\\\"\" {}000000000\n", SECONDS + n))
            .collect();
        // Nobody reads yet.
        let server = start(data.path(), &settings, "").await;
        let ask = Ask::new(&server);
        assert_eq!(ask.post("/v1/write/logging", body.clone()).await.0, 200);
        let status = ask.json("/api/v1/gateway/status").await;
        assert_eq!(balanced(&status, "keep"), [100, 0, 0, 0, 100]);
        server.stop().await;

        let server = start(data.path(), &settings, GATEWAY_TO_FILE).await;
        let ask = Ask::new(&server);
        let status = ask.drained().await;
        assert_eq!(balanced(&status, "keep"), [100, 100, 0, 0, 0]);
        // In another encoding, through a flow that runs already.
        let point = json!([{"measurement": "json", "tags": {"t": "x"}, "fields": {"n": 7}, "time": SECONDS}]);
        let http = reqwest::Client::new();
        let request = http
            .post(format!("{}/v1/write/metric", server.url))
            .header("content-type", "application/json")
            .body(point.to_string());
        assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
        ask.drained().await;
        server.stop().await;
        let read = |name: &str| std::fs::read_to_string(data.path().join(name));
        let names: Vec<String> = std::fs::read_dir(data.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("out.ndjson"))
            .collect();
        let text: String = names.iter().map(|name| read(name).unwrap()).collect();
        let mut got: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        got.sort_by_key(|record| (record["category"].to_string(), record["time"].as_i64()));
        let mut expected: Vec<Value> = (0..100)
            .filter(|n| *n != 3)
            .map(|n| {
                json!({
                    "category": "logging", "measurement": "app", "tags": {"host": "h"},
                    "fields": {"n": n, "f": f64::from(n), "ok": true, "status": "info", "text": format!("a \"{n}\"")},
                    "time": (SECONDS + i64::from(n)) * 1_000_000_000,
                })
            })
            .collect();
        expected.push(json!({
            "category": "metric", "measurement": "json", "tags": {"t": "x"}, "fields": {"n": 7.0},
            "time": SECONDS * 1_000_000_000,
        }));
        assert_eq!(got, expected);
        assert!(text.contains("\"f\":5.0"), "a float stays one");
    });
}

#[test]
fn the_gateway_feeds_tasks_and_waits_for_one_that_is_missing() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = [
            "gateway.sinkers=[{\"categories\":[\"M\"],\"filters\":[\"{ host = 'named' }\"],\"destination\":\"named\"},\
             {\"categories\":[\"M\"],\"filters\":[\"{ host = 'all' }\"],\"destination\":\"all\"}]",
            "gateway.destination=[{\"name\":\"named\",\"kind\":\"task\",\"task\":{\"name\":\"named\",\"database\":\"telegraf\"}},\
             {\"name\":\"all\",\"kind\":\"task\",\"task\":{\"database\":\"telegraf\"}}]",
        ];
        let server = start(data.path(), &settings, "").await;
        let ask = Ask::new(&server);
        let script = |file: &str, host: &str| {
            let path = data.path().join(file);
            format!(
                "stream|from().measurement('cpu').where(lambda: \"host\" == '{host}')\
                 |alert().message('{{{{ index .Fields \"n\" }}}}').crit(lambda: \"v\" > 90.0).noRecoveries().all().log('{}')",
                path.display()
            )
        };
        task(&ask, "listener", &script("all.log", "all")).await;
        let mut body = String::new();
        for n in 0..50 {
            for host in ["named", "all"] {
                writeln!(body, "cpu,host={host} v={},n={n}u {}000000000", 80 + n % 20, SECONDS + n)
                    .unwrap();
            }
        }
        assert_eq!(ask.post("/v1/write/metric", body).await.0, 200);
        eventually("the listening task has its points", async || {
            let status = ask.json("/api/v1/gateway/status").await;
            balanced(&status, "all")[1] == 50
        })
        .await;
        let status = ask.json("/api/v1/gateway/status").await;
        assert_eq!(balanced(&status, "named"), [50, 0, 0, 0, 50], "it waits for its task");
        task(&ask, "named", &script("named.log", "named")).await;
        let status = ask.drained().await;
        assert_eq!(balanced(&status, "named"), [50, 50, 0, 0, 0]);
        let ids = |file: &str| -> Vec<i64> {
            let text = std::fs::read_to_string(data.path().join(file)).unwrap_or_default();
            let id = |line: &str| -> i64 {
                let event: Value = serde_json::from_str(line).unwrap();
                event["message"].as_str().unwrap().parse().unwrap()
            };
            text.lines().map(id).collect()
        };
        // In the order of the points.
        let expected: Vec<i64> = (0..50).filter(|n| 80 + n % 20 > 90).collect();
        for file in ["all.log", "named.log"] {
            eventually(file, async || ids(file).len() >= expected.len()).await;
            assert_eq!(ids(file), expected, "{file}");
        }
        server.stop().await;
    });
}
