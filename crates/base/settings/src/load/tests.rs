#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::{ByteSize, Duration, LogFormat};

fn in_file(text: &str) -> (tempfile::TempDir, Loader) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("levada.toml");
    fs::write(&path, text).unwrap();
    (folder, Loader::new().file(path))
}

/// The problems, with the folder of the file cut off.
fn problems(loader: Loader) -> Vec<String> {
    let error = loader.load().unwrap_err();
    let shown: Vec<_> = error
        .problems
        .iter()
        .map(|problem| {
            let line = problem.to_string();
            line.find("levada.toml").map_or(line.clone(), |start| line[start..].to_owned())
        })
        .collect();
    assert_eq!(error.to_string().lines().count(), shown.len(), "one line each: {error}");
    shown
}

#[test]
fn without_layers_the_defaults_hold() {
    let loaded = Loader::new().load().unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.entries.iter().all(|entry| entry.origin == Origin::Default));
    assert!(loaded.warnings.is_empty());
    let keys: BTreeSet<_> = loaded.entries.iter().map(|entry| entry.key.clone()).collect();
    let known: BTreeSet<_> = default_keys().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, known, "the comments of default.toml and its values name the same keys");
    assert_eq!(loaded.entries[0].key, "runtime.worker-threads");
}

#[test]
fn each_layer_beats_the_one_before_it_key_by_key() {
    let (_folder, loader) = in_file(
        "[flow]\nbatch-records = 1\nqueue-records = 10\nbatch-bytes = 4096\nretry-initial = '1ms'\n[log]\nformat = 'json'\n",
    );
    let loaded = loader
        .env([
            ("LEVADA_FLOW_BATCH_RECORDS", "2"),
            ("LEVADA_FLOW_QUEUE_RECORDS", " 20 "),
            ("PATH", "/bin"),
        ])
        .assignment("--set", "flow.batch-records=3")
        .assignment("--set", "flow.dlq-max-ratio=0.25")
        .flag("--data", "data.dir", "/tmp/a=b")
        .load()
        .unwrap();
    let flow = &loaded.settings.flow;
    assert_eq!((flow.batch_records, flow.queue_records, flow.window_records), (3, 20, 100_000));
    assert_eq!(
        (flow.batch_bytes, flow.retry_initial),
        (ByteSize::kib(4), Duration::from_millis(1))
    );
    assert_eq!(flow.dlq_max_ratio, 0.25);
    assert_eq!(loaded.settings.log.format, LogFormat::Json);
    assert_eq!(loaded.settings.data.dir, Path::new("/tmp/a=b"));
    let origin = |key: &str| {
        loaded.entries.iter().find(|entry| entry.key == key).unwrap().origin.to_string()
    };
    assert_eq!(origin("flow.batch-records"), "flag --set");
    assert_eq!(origin("flow.queue-records"), "environment variable LEVADA_FLOW_QUEUE_RECORDS");
    assert!(
        origin("flow.batch-bytes").ends_with("levada.toml:4:15"),
        "{}",
        origin("flow.batch-bytes")
    );
    assert_eq!(origin("flow.window-records"), "default");
    assert_eq!(origin("data.dir"), "flag --data");
}

#[test]
fn every_problem_is_reported_with_place_and_key() {
    let (_folder, loader) = in_file(
        "[flow]\nbatch-record = 1\nretry-initial = 5\nretry-max = '1 week'\nqueue-records = 0\n\n[htp2]\nlisten = ':1'\n[log]\nformat = 'xml'\n",
    );
    let loader = loader
        .env([
            ("LEVADA_FLOW_WINDOW_BYTES", "lots"),
            ("LEVADA_LOG_LEVL", "info"),
            ("LEVADA_RUNTIME_WORKER_THREADS", "many"),
        ])
        .assignment("--set", "metrics.max-series=-1")
        .assignment("--set", "flow")
        .assignment("--set", "flow=1")
        .assignment("--set", "data.dir.x=1")
        .flag("--ratio", "flow.dlq-max-ratio", "1.5");
    let found = problems(loader);
    let starts = [
        "levada.toml:2:1: flow.batch-record: unknown key; known: `flow.batch-bytes`, ",
        "levada.toml:7:2: htp2: unknown key; known: `alert`, `auth`, `client`, `data`, `flow`, `gateway`, `http`, `influxdb`, `kapacitor`, `log`, `metrics`, `recording`, `runtime`, `store`, `task`, `tcp`, `udf`, `udp`",
        "environment variable LEVADA_LOG_LEVL: unknown variable; known: `LEVADA_LOG_FORMAT`, ",
        "environment variable LEVADA_RUNTIME_WORKER_THREADS: runtime.worker-threads: `many` is not a whole number, such as `500`",
        "flag --set: `flow` is not `key=value`; for example `flow.batch-records=500`",
        "flag --set: flow: this is a section; known keys: `flow.batch-bytes`, ",
        "flag --set: data.dir.x: unknown key; known: `data.dir`",
        "levada.toml:3:17: flow.retry-initial: invalid type: integer `5`, expected a duration in quotes with a unit",
        "levada.toml:4:13: flow.retry-max: invalid duration `1 week`: ",
        "levada.toml:10:10: log.format: unknown variant `xml`, expected `human` or `json`",
        "environment variable LEVADA_FLOW_WINDOW_BYTES: flow.window-bytes: invalid size `lots`: ",
        "flag --set: metrics.max-series: invalid value: integer `-1`, expected usize",
        "levada.toml:5:17: flow.queue-records: must be at least 1",
        "flag --ratio: flow.dlq-max-ratio: must be in 0 to 1",
    ];
    for start in starts {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start}\nin {found:#?}");
    }
    assert_eq!(found.len(), starts.len(), "{found:#?}");
}

#[test]
fn a_bad_value_of_a_lower_layer_is_reported_though_a_higher_one_replaces_it() {
    let (_folder, loader) = in_file("flow.batch-records = 'x'\n");
    let found = problems(loader.assignment("--set", "flow.batch-records=5"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("levada.toml:1:22: flow.batch-records: invalid type: string \"x\""),
        "{found:?}"
    );
}

#[test]
fn files_that_cannot_be_used_are_problems() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("levada.toml");
    assert!(Loader::new().file_if_present(&path).load().is_ok());
    assert_eq!(
        problems(Loader::new().file(&path)),
        ["levada.toml: the settings file does not exist"]
    );
    fs::write(&path, "[flow]\nbatch-records = \n").unwrap();
    assert!(
        problems(Loader::new().file_if_present(&path))[0]
            .starts_with("levada.toml:2:17: not valid TOML: ")
    );
    fs::write(&path, b"[flow]\n\xff").unwrap();
    assert!(
        problems(Loader::new().file(&path))[0]
            .ends_with("cannot be read: byte 7 is not valid UTF-8")
    );
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(problems(Loader::new().file(&path))[0].ends_with("it is larger than 1048576 bytes"));
    fs::write(&path, "flow = 1\n").unwrap();
    assert_eq!(
        problems(Loader::new().file(&path)),
        ["levada.toml:1:8: flow: this is a section: write `[flow]` and its keys below it"]
    );
    assert!(problems(Loader::new().file(folder.path()))[0].contains("cannot be read"));
}

#[test]
fn inline_and_dotted_tables_count_as_sections() {
    let (_folder, loader) = in_file(
        "log = { level = \"debug\", format = \"json\" }\nflow.queue-records = 1_0\nflow.batch-bytes = \"\"\"2\\\nMiB\"\"\"\n",
    );
    let settings = loader.load().unwrap().settings;
    assert_eq!(
        (settings.log.level.as_str(), settings.log.format, settings.flow.queue_records),
        ("debug", LogFormat::Json, 10)
    );
    assert_eq!(settings.flow.batch_bytes, ByteSize::mib(2));
}

#[test]
fn variables_of_others_do_not_stop_the_process() {
    let loaded = Loader::new()
        .env([
            ("LEVADA_SERVICE_HOST", "10.0.0.1"),
            ("LEVADA_HTTP_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("LEVADA_CONFIG", "x.toml"),
            ("LEVADA_SECRET_SHOP_KAFKA_TOKEN", "x"),
            ("LEVADA_SOMETHING", "1"),
        ])
        .load()
        .unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .to_string()
            .starts_with("environment variable LEVADA_SOMETHING: unknown variable, ignored")
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_a_problem() {
    use std::os::unix::ffi::OsStringExt as _;
    let loader = Loader::new().env([("LEVADA_DATA_DIR", OsString::from_vec(vec![0xff]))]);
    assert_eq!(
        problems(loader),
        ["environment variable LEVADA_DATA_DIR: data.dir: the value is not valid UTF-8"]
    );
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let defaults = defaults();
    let variables: Vec<_> = leaves(&defaults)
        .into_iter()
        .map(|(key, value)| {
            (
                env::variable_of(&key),
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            )
        })
        .collect();
    let loaded = Loader::new().env(variables).load().unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.entries.iter().all(|entry| matches!(entry.origin, Origin::Env { .. })));
}

#[test]
fn secrets_are_not_shown() {
    let address = "postgres://u:hunter2@h/d";
    let loaded = Loader::new()
        .assignment("--set", &format!("flow.checkpoint-store={address}"))
        .load()
        .unwrap();
    assert_eq!(loaded.settings.flow.checkpoint_store.expose(), address);
    let of =
        |key: &str| loaded.entries.iter().find(|entry| entry.key == key).unwrap().value.clone();
    assert_eq!(of("flow.checkpoint-store"), "\"***\"");
    assert!(!format!("{loaded:?}").contains("hunter2"));

    let refused = Loader::new().assignment("--set", "flow.checkpoint-store=redis://u:hunter2@h");
    let error = refused.load().unwrap_err();
    assert!(error.to_string().contains("flow.checkpoint-store: must be empty or like"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn sections_can_have_named_copies() {
    let (_folder, loader) = in_file(
        "[influxdb]\nurl = 'http://a:8086, http://b:8086'\n[influxdb.clusters.far_Away]\nurl = 'http://c:8086'\ndefault = true\n[udp.listeners]\nx.bind-address = ':1'\nx.database = 'd'\n",
    );
    let loaded = loader
        .env([
            ("LEVADA_INFLUXDB_CLUSTERS_FAR_AWAY_PASSWORD", "hunter2"),
            ("LEVADA_INFLUXDB_CLUSTERS_OTHER_ONE_URL", "http://d:8086"),
            ("LEVADA_INFLUXDB_CLUSTERS_OTHER_ONE_EXCLUDED_SUBSCRIPTIONS", "e"),
        ])
        .assignment("--set", "influxdb.clusters.other-one.http-port=7")
        .load()
        .unwrap();
    let influxdb = &loaded.settings.influxdb;
    let names: Vec<_> = influxdb.all().iter().map(|(name, c)| (*name, c.urls().len())).collect();
    assert_eq!(names, [("default", 2), ("far_Away", 1), ("other-one", 1)]);
    assert_eq!(influxdb.default_name(), "far_Away");
    let (far, other) = (&influxdb.clusters["far_Away"], &influxdb.clusters["other-one"]);
    assert_eq!((&**far.password.expose(), far.timeout), ("hunter2", influxdb.timeout));
    assert_eq!((other.http_port, &*other.excluded_subscriptions), (7, "e"));
    assert_eq!(loaded.settings.udp.all().len(), 1);
    let shown: Vec<_> = loaded
        .entries
        .iter()
        .filter(|entry| {
            entry.key.starts_with("influxdb.clusters.") && entry.origin != Origin::Default
        })
        .map(|entry| format!("{}={}", entry.key, entry.value))
        .collect();
    assert_eq!(shown.len(), 6, "{shown:?}");
    assert!(shown.contains(&"influxdb.clusters.far_Away.password=\"***\"".to_owned()), "{shown:?}");
}

#[test]
fn what_is_wrong_with_named_copies_is_found() {
    let (_folder, loader) = in_file(
        "[influxdb]\nurl = 'http://a'\ndefault = true\nsubscriptions = '\"a\\\"'\n[influxdb.clusters.b]\nurl = 'http://b'\ndefault = true\nurls = []\n[influxdb.clusters.'c d']\nurl = 'x'\n[influxdb.clusters]\ne = 1\nf.clusters.g.url = 'x'\n[tcp.listeners.t]\nbind-address = ':1'\nline-bytes = 5\n",
    );
    let loader = loader.assignment("--set", "influxdb.clusters.h=1");
    let found = problems(loader.assignment("--set", "influxdb.clusters.h.http-port=x"));
    let starts = [
        "levada.toml:8:1: influxdb.clusters.b.urls: unknown key; known: `influxdb.clusters.b.ca-file`, ",
        "levada.toml:9:20: influxdb.clusters.c d: not a name; names have 1 to 64",
        "levada.toml:12:5: influxdb.clusters.e: this is a section: write `[influxdb.clusters.e]`",
        "levada.toml:13:3: influxdb.clusters.f.clusters: unknown key; known: ",
        "flag --set: influxdb.clusters.h: this is a section; known keys: ",
        "flag --set: influxdb.clusters.h.http-port: `x` is not a whole number",
        "levada.toml:7:11: influxdb.clusters.b.default: More than one InfluxDB default was specified: default b",
        "levada.toml:4:17: influxdb.subscriptions: a quote is not closed",
        "default: tcp.listeners.t.database: must be set to listen",
        "levada.toml:16:14: tcp.listeners.t.line-bytes: must be in 64KiB to 1GiB",
    ];
    for start in starts {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start}\nin {found:#?}");
    }
    assert_eq!(found.len(), starts.len(), "{found:#?}");
}

const GATEWAY: &str = r#"
[gateway]
urls = ["http://a:9528?token=tkn_secret"]
[gateway.filters]
logging = ["{ source = 'x' and a in [1, 2] }"]
[[gateway.destination]]
name = "team-a"
strategy = "weighted"
queue = { capacity = "1MiB", sync = "always" }
linger = "0s"
[[gateway.destination.endpoint]]
url = "http://b:9528"
token = "tkn_secret"
weight = 2
[[gateway.destination.endpoint]]
url = "http://c:9528"
[[gateway.sinkers]]
categories = ["L"]
filters = ["{ host = 'a' }"]
destination = "team-a"
[[gateway.tenants]]
name = "one"
token = "tkn_secret"
points-per-second = 10.0
"#;

#[test]
fn a_gateway_is_read_with_its_lists() {
    let (_folder, loader) = in_file(GATEWAY);
    let loaded = loader.load().unwrap();
    let gateway = &loaded.settings.gateway;
    assert!(gateway.is_set() && !Settings::default().gateway.is_set());
    let team = &gateway.destination[0];
    assert_eq!((team.endpoint.len(), team.endpoint[0].weight, team.endpoint[1].weight), (2, 2, 1));
    let queue = team.queue.over(&gateway.queue);
    assert_eq!((queue.capacity.bytes(), queue.sync), (1 << 20, crate::gateway::QueueSync::Always));
    assert_eq!(queue.dead_letters_max, 10_000);
    assert_eq!(gateway.linger, crate::Duration::from_millis(50));
    assert_eq!(team.linger, Some(crate::Duration::default()));
    assert_eq!(gateway.filters["logging"].len(), 1);
    assert_eq!(gateway.sinkers[0].destination, "team-a");
    let shown: String = loaded.entries.iter().map(|entry| entry.value.clone()).collect();
    assert!(!shown.contains("tkn_secret") && shown.contains("team-a"), "{shown}");
    assert!(!format!("{loaded:?}").contains("tkn_secret"));
}

const KINDS: &str = r#"
[[gateway.destination]]
name = "v1"
kind = "influx"
influx = { database = "db", retention-policy = "rp", username = "u", password = "s3cret" }
[[gateway.destination.endpoint]]
url = "http://a:8086"
[[gateway.destination]]
name = "v2"
kind = "influx"
influx = { bucket = "b", org = "o" }
[[gateway.destination.endpoint]]
url = "http://a:8086"
token = "s3cret"
[[gateway.destination]]
name = "prometheus"
kind = "remote-write"
remote-write = { version = "2.0", headers = { X-Scope-OrgID = "s3cret" } }
[[gateway.destination.endpoint]]
url = "http://a:9090/api/v1/write"
[[gateway.destination]]
name = "topic"
kind = "kafka"
kafka = { brokers = ["a:9092"], topic = "t", tls = true, mechanism = "PLAIN", username = "u", password = "s3cret" }
[[gateway.destination]]
name = "file"
kind = "file"
file = { path = "/tmp/points", max-bytes = "1MiB" }
"#;

#[test]
fn destinations_have_kinds() {
    use crate::gateway::{Kind, RemoteWriteVersion};
    let (_folder, loader) = in_file(KINDS);
    let loaded = loader.load().unwrap();
    let all = &loaded.settings.gateway.destination;
    let kinds: Vec<Kind> = all.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Influx, Kind::Influx, Kind::RemoteWrite, Kind::Kafka, Kind::File]);
    assert_eq!(all[0].influx.as_ref().unwrap().retention_policy, "rp");
    assert_eq!(all[1].influx.as_ref().unwrap().org, "o");
    assert_eq!(all[2].remote_write.as_ref().unwrap().version, RemoteWriteVersion::V2);
    assert_eq!(all[3].kafka.as_ref().unwrap().brokers, ["a:9092"]);
    let file = all[4].file.as_ref().unwrap();
    assert_eq!((file.max_bytes.bytes(), file.keep, file.sync), (1 << 20, 1, true));
    assert!(!format!("{loaded:?}").contains("s3cret"));
    let shown: String = loaded.entries.iter().map(|entry| entry.value.clone()).collect();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn what_is_wrong_with_the_kind_of_a_destination_is_found() {
    for (keys, expected) in [
        ("kind = 'influx'", ".influx must have one of `database` and `bucket`"),
        (
            "kind = 'influx'\ninflux = { database = 'a', bucket = 'b' }",
            ".influx must have one of `database` and `bucket`",
        ),
        ("kind = 'kafka'", ".kafka must have `brokers` and `topic`"),
        ("kind = 'kafka'", ".endpoint: a destination of this kind has none"),
        (
            "kind = 'kafka'\nkafka = { brokers = ['a'], topic = 't', username = 'u' }",
            ".kafka must have both `mechanism` and `username`, or none",
        ),
        ("kind = 'file'", ".file must have a `path`"),
        (
            "kind = 'file'\ncontent-encoding = 'v2'\nfile = { path = '/a' }",
            ".content-encoding: a file is made of lines, which `v2` does not have",
        ),
        ("file = { path = '/a' }", ".file is for the kind `file`"),
        (
            "kind = 'file'\nstrategy = 'broadcast'\nfile = { path = '/a' }",
            ".strategy: there is nothing to share, this kind has one endpoint",
        ),
    ] {
        let text = format!(
            "[[gateway.destination]]\nname = 'd'\n{keys}\n[[gateway.destination.endpoint]]\nurl = 'http://a'\n"
        );
        let (_folder, loader) = in_file(&text);
        let found = problems(loader);
        assert!(found.iter().any(|one| one.contains(expected)), "{expected}: {found:#?}");
    }
    let (_folder, loader) = in_file("[[gateway.destination]]\nname = 'd'\nkind = 'pigeon'\n");
    assert!(problems(loader)[0].contains("unknown variant `pigeon`"));
}

#[test]
fn destinations_may_be_in_this_process() {
    use crate::gateway::Kind;
    let text = "[[gateway.destination]]\nname = 'logs'\nkind = 'flow'\n\
        [[gateway.destination]]\nname = 'cpu'\nkind = 'task'\ntask.name = 'cpu_alert'\ntask.database = 'telegraf'\n\
        task.retention-policy = 'weekly'\n";
    let (_folder, loader) = in_file(text);
    let gateway = loader.load().unwrap().settings.gateway;
    let [flow, task] = &gateway.destination[..] else { panic!("{gateway:?}") };
    assert_eq!((flow.kind, &flow.flow), (Kind::Flow, &None));
    assert_eq!(task.kind, Kind::Task);
    let task = task.task.as_ref().unwrap();
    assert_eq!(
        (&*task.name, &*task.database, &*task.retention_policy),
        ("cpu_alert", "telegraf", "weekly")
    );
}

#[test]
fn lists_of_tables_may_come_from_the_environment_as_toml_or_json() {
    let json = r#"[{"categories":["L","M"],"filters":["{ a = 'b' }"],"url":"http://x?token=t"}]"#;
    let toml =
        r#"[{categories = ["L", "M"], filters = ["{ a = 'b' }"], url = "http://x?token=t"}]"#;
    let of = |name: &str, text: &str| {
        Loader::new().env([(name, text)]).load().unwrap().settings.gateway.sinkers
    };
    let sinkers = of("LEVADA_GATEWAY_SINKERS", json);
    assert_eq!(sinkers[0].categories, ["L", "M"]);
    assert_eq!(of("LEVADA_GATEWAY_SINKERS", toml), sinkers);
    assert_eq!(of("ENV_SINKER", json), sinkers);
    assert_eq!(of("DK_SINKER", json), sinkers);
    let tenants = r#"[{"name":"a","token":"t","points-per-second":1.5,"requests-per-second":2.0}]"#;
    let loaded = Loader::new().env([("LEVADA_GATEWAY_TENANTS", tenants)]).load().unwrap();
    assert_eq!(loaded.settings.gateway.tenants[0].points_per_second, 1.5);
}

#[test]
fn what_is_wrong_with_a_gateway_is_found() {
    let text = "[gateway]\nurls = ['http://a']\n[[gateway.destination]]\nname = 'default'\n\
        [[gateway.sinkers]]\ndestination = 'none'\n[[gateway.sinkers]]\n[[gateway.tenants]]\nname = 'a'\ntoken = ''\n";
    let (_folder, loader) = in_file(text);
    let found = problems(loader);
    for expected in [
        "gateway.destination: [0].name: `default` is there twice",
        "gateway.destination: [0] must have an endpoint",
        "gateway.sinkers: [0] there is no destination `none`",
        "gateway.sinkers: [1] must have `url` or `destination`",
        "gateway.tenants: [0] must have a name and a token",
    ] {
        assert!(found.iter().any(|problem| problem.ends_with(expected)), "{expected}: {found:#?}");
    }
    for (lines, expected) in [
        (
            "kind = 'flow'\nstrategy = 'weighted'",
            "[0].strategy: there is nothing to share, this kind has one endpoint",
        ),
        (
            "kind = 'task'\nendpoint = [{url = 'http://a'}]",
            "[0].endpoint: a destination of this kind has none",
        ),
        ("flow.name = 'x'\nendpoint = [{url = 'http://a'}]", "[0].flow is for the kind `flow`"),
        ("kind = 'flow'\ntask.database = 'd'", "[0].task is for the kind `task`"),
    ] {
        let (_folder, loader) = in_file(&format!("[[gateway.destination]]\nname = 'a'\n{lines}\n"));
        let found = problems(loader);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].ends_with(expected), "{expected}: {found:#?}");
    }
    let (_folder, loader) = in_file("[[gateway.sinkers]]\nfilter = ['{}']\n");
    assert!(problems(loader)[0].contains("unknown field `filter`"));
}

#[test]
fn bodies_wait_for_others_no_longer_than_agents_do() {
    let text = |usual: &str, own: &str| {
        format!(
            "[gateway]\nlinger = '{usual}'\n[[gateway.destination]]\nname = 'a'\nlinger = '{own}'\n\
            endpoint = [{{url = 'http://a'}}]\n"
        )
    };
    let (_folder, loader) = in_file(&text("10s", "0s"));
    let gateway = loader.load().unwrap().settings.gateway;
    assert_eq!(gateway.linger, crate::Duration::from_secs(10));
    assert_eq!(gateway.destination[0].linger, Some(crate::Duration::default()));
    let (_folder, loader) = in_file(&text("10001ms", "11s"));
    let found = problems(loader);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].ends_with("gateway.linger: must be at most 10s"), "{found:#?}");
    assert!(
        found[1].ends_with("gateway.destination: [0].linger must be at most 10s"),
        "{found:#?}"
    );
}

#[test]
fn sections_and_variables_of_the_original_are_taken() {
    let text = "[dataway]\nurls = ['http://a?token=t', 'http://b?token=t']\ntimeout_v2 = '7s'\ngzip = false\n\
        content_encoding = 'V2'\nmax_raw_body_size = 2048\nmax_idle_conns = 3\n\
        [dataway.wal]\nmax_capacity_gb = 0.5\nno_drop_categories = ['L']\n\
        [[dataway.sinkers]]\ncategories = ['M']\nurl = 'http://c?token=t'\n\
        [io]\nflush_workers = 3\nnonsense = 1\n[io.filters]\nlogging = [\"{ source = 'x' }\"]\n";
    let (_folder, loader) = in_file(text);
    let loaded = loader.env([("ENV_DATAWAY_TIMEOUT", "9s"), ("ENV_DATAWAY_DISABLE_GZIP", "false")]);
    let loaded = loaded.load().unwrap();
    let gateway = &loaded.settings.gateway;
    assert_eq!((gateway.urls.len(), gateway.sinkers.len(), gateway.gzip), (2, 1, false));
    assert_eq!(gateway.timeout, crate::Duration::from_secs(9));
    assert_eq!(gateway.content_encoding, crate::gateway::PointEncoding::V2);
    assert_eq!(gateway.max_raw_body_size.bytes(), 2_048);
    assert_eq!(gateway.queue.capacity.bytes(), 512 << 20);
    assert_eq!(gateway.queue.no_drop_categories, ["L"]);
    assert_eq!(gateway.filters["logging"], ["{ source = 'x' }"]);
    let warned: Vec<&str> = loaded.warnings.iter().map(|warning| &*warning.key).collect();
    assert_eq!(warned, ["dataway.max_idle_conns", "io.flush_workers", "io.nonsense"]);

    let own = Loader::new()
        .env([("ENV_DATAWAY", "http://a,http://b"), ("LEVADA_GATEWAY_URLS", "http://c")]);
    let urls = own.load().unwrap().settings.gateway.urls;
    assert_eq!(urls.iter().map(|url| &**url.expose()).collect::<Vec<_>>(), ["http://c"]);
    let encoding = Loader::new().env([("ENV_DATAWAY_CONTENT_ENCODING", "Line-Protocol")]);
    let encoding = encoding.load().unwrap().settings.gateway.content_encoding;
    assert_eq!(encoding, crate::gateway::PointEncoding::V1);
    let bad = Loader::new().env([("ENV_SINKER", "{"), ("ENV_IO_FILTERS", r#"{"nothing":["{}"]}"#)]);
    let found = problems(bad);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn functions_have_a_program_or_a_socket() {
    let (_folder, loader) = in_file(
        "[udf.functions.mean]\nprog = '/usr/bin/python3'\nargs = ['-u', 'mean.py, x']\nenv = ['TOKEN=hunter2']\ntimeout = '3s'\n[udf.functions.far]\nsocket = '/run/far.sock'\n",
    );
    let loaded = loader
        .env([
            ("LEVADA_UDF_FUNCTIONS_FAR_QUEUE_POINTS", "7"),
            ("LEVADA_UDF_FUNCTIONS_FAR_ENV", "A=1, B=2"),
            ("LEVADA_UDF_FUNCTIONS_OTHER_SOCKET", "/x"),
            ("LEVADA_UDF_FUNCTIONS_OTHER_ARGS", "['a, b']"),
        ])
        .load()
        .unwrap();
    let functions = &loaded.settings.udf.functions;
    let (mean, far) = (&functions["mean"], &functions["far"]);
    assert_eq!(mean.args, ["-u", "mean.py, x"]);
    assert_eq!(mean.env.expose(), &["TOKEN=hunter2"]);
    assert_eq!((mean.timeout.to_string(), far.timeout.to_string()), ("3s".into(), "10s".into()));
    assert_eq!((far.queue_points, mean.queue_points), (7, 50_000));
    assert_eq!(far.env.expose(), &["A=1", "B=2"]);
    assert_eq!(functions["other"].args, ["a, b"]);
    assert!(!format!("{loaded:?}").contains("hunter2"));

    let (_folder, loader) = in_file(
        "[udf]\nprog = 'x'\n[udf.functions.a]\nprog = 'x'\nsocket = 'y'\ntimeout = '1ms'\n[udf.functions.b]\nframe-bytes = '1KiB'\nenv = ['=x']\nqueue-points = 0\n",
    );
    assert_eq!(
        problems(loader),
        [
            "levada.toml:2:8: udf.prog: each function has a section of its own: write `[udf.functions.NAME]`",
            "levada.toml:4:8: udf.functions.a.prog: either `prog` or `socket` must be set",
            "levada.toml:6:11: udf.functions.a.timeout: must be longer than 1ms",
            "default: udf.functions.b.prog: either `prog` or `socket` must be set",
            "levada.toml:9:7: udf.functions.b.env: must be a list of `NAME=value`",
            "levada.toml:10:16: udf.functions.b.queue-points: must be at least 1",
        ]
    );
}
