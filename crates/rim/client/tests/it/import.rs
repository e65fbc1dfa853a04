//! The import: from an original, from a folder, again, and when something fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use levada_client::Format;
use levada_client::import::{self, Ended, Options};
use serde_json::{Map, Value, json};

use crate::fake::{Answer, Asked, Fake};
use crate::run::{Ran, in_world};

/// What a server knows: objects by the path of their collection.
type Objects = Arc<Mutex<BTreeMap<String, BTreeMap<String, Value>>>>;

/// A server that keeps what it is given, as far as the import needs it.
struct Memory {
    fake: Fake,
    objects: Objects,
}

impl Memory {
    fn start() -> Self {
        let objects = Objects::default();
        let known = objects.clone();
        let fake = Fake::start(move |asked| answer(&mut known.lock().unwrap(), asked));
        Memory { fake, objects }
    }

    fn with(self, collection: &str, object: Value) -> Self {
        self.put(collection, object);
        self
    }

    fn put(&self, collection: &str, object: Value) {
        let id = object["id"].as_str().unwrap().to_owned();
        self.objects.lock().unwrap().entry(collection.to_owned()).or_default().insert(id, object);
    }

    fn get(&self, collection: &str, id: &str) -> Value {
        self.objects.lock().unwrap()[collection][id].clone()
    }

    /// Gives the requests that change something, in their order.
    fn writes(&self) -> Vec<String> {
        let asked = self.fake.asked();
        let writes = asked.iter().filter(|asked| asked.method != "GET");
        writes
            .map(|asked| {
                let short = asked.path().trim_start_matches("/kapacitor/");
                format!("{} {short} {}", asked.method, asked.body)
            })
            .collect()
    }
}

fn answer(objects: &mut BTreeMap<String, BTreeMap<String, Value>>, asked: &Asked) -> Answer {
    let ok = |value: Value| Answer::new(200, value.to_string());
    let error = |status: u16, text: &str| Answer::new(status, json!({"error": text}).to_string());
    let path = asked.path().replace("%2F", "/");
    let preview = path.strip_prefix("/kapacitor/v1preview/");
    let Some(path) = preview.or_else(|| path.strip_prefix("/kapacitor/v1/")) else {
        return error(404, "Not Found");
    };
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let (parent, id) = path.rsplit_once('/').unwrap_or(("", path));
    match (asked.method.as_str(), path) {
        ("GET", "ping") => Answer::new(204, ""),
        ("GET", "alerts/topics") => {
            let topics: BTreeSet<&str> = objects
                .keys()
                .filter_map(|name| name.strip_prefix("alerts/topics/")?.split('/').next())
                .collect();
            let topics: Vec<Value> = topics.into_iter().map(|topic| json!({"id": topic})).collect();
            ok(json!({"topics": topics}))
        }
        ("GET", _) if matches!(id, "tasks" | "templates" | "handlers" | "events") => {
            let all: Vec<&Value> =
                objects.get(path).into_iter().flat_map(BTreeMap::values).collect();
            ok(Map::from_iter([(id.to_owned(), json!(all))]).into())
        }
        ("GET", _) => match objects.get(parent).and_then(|all| all.get(id)) {
            Some(object) => ok(object.clone()),
            None => error(404, "nothing"),
        },
        ("POST", _) if id == "events" => {
            assert!(preview.is_some(), "only the preview takes states");
            for event in body["events"].as_array().unwrap() {
                let id = event["id"].as_str().unwrap().to_owned();
                objects.entry(path.to_owned()).or_default().insert(id, event.clone());
            }
            ok(json!({}))
        }
        ("POST", _) => {
            if body["script"].as_str().is_some_and(|script| script.contains("BAD")) {
                return error(400, "invalid TICKscript: no");
            }
            let id = body["id"].as_str().unwrap().to_owned();
            objects.entry(path.to_owned()).or_default().insert(id, body.clone());
            ok(body)
        }
        ("PUT" | "PATCH", _) => {
            if body["status"] == "enabled" && id == "stuck" {
                return error(500, "cannot start");
            }
            let known = objects.get_mut(parent).unwrap().get_mut(id).unwrap();
            for (key, value) in body.as_object().unwrap() {
                known[key] = value.clone();
            }
            ok(json!({}))
        }
        _ => error(404, "Not Found"),
    }
}

/// An original with one of everything.
fn original() -> Memory {
    let dbrp = json!([{"db": "telegraf", "rp": "autogen"}]);
    Memory::start()
        .with("templates", json!({"id": "mean", "type": "stream", "script": "var x int\n"}))
        .with(
            "tasks",
            json!({
                "id": "cpu", "type": "stream", "script": "stream|from()|log()", "dbrps": dbrp,
                "vars": {}, "status": "enabled",
            }),
        )
        .with(
            "tasks",
            json!({
                "id": "named", "type": "stream", "script": "dbrp \"a\".\"b\"\nstream|from()|log()",
                "dbrps": [{"db": "a", "rp": "b"}], "vars": {}, "status": "disabled",
            }),
        )
        .with(
            "tasks",
            json!({
                "id": "templated", "template-id": "mean", "type": "stream", "script": "var x int\n",
                "dbrps": dbrp, "vars": {"x": {"type": "int", "value": 5, "description": ""}},
                "status": "enabled",
            }),
        )
        .with(
            "alerts/topics/system/handlers",
            json!({"link": {}, "id": "slack", "kind": "slack", "options": {"channel": "#a"}, "match": ""}),
        )
        .with("alerts/topics/system/events", event("cpu:host=a", "2026-03-01T10:00:00Z", "CRITICAL"))
        .with("alerts/topics/system/events", event("fine", "2026-03-01T10:00:00Z", "OK"))
        .with("alerts/topics/main:cpu:alert2/events", event("e", "2026-03-01T10:00:00Z", "WARNING"))
}

fn event(id: &str, time: &str, level: &str) -> Value {
    let state =
        json!({"message": "m", "details": "d", "time": time, "duration": "5m0s", "level": level});
    json!({"link": {}, "id": id, "state": state})
}

fn options(source: &str, target: &Memory) -> Options {
    Options {
        source: source.to_owned(),
        server: target.fake.url().to_owned(),
        skip_verify: false,
        dry_run: false,
        disabled: false,
        format: Format::Text,
    }
}

fn run(options: &Options) -> (Ended, Ran) {
    let mut ended = Ended::Done;
    let ran = in_world(&BTreeMap::new(), "UTC", |world| {
        ended = import::run(options, world);
        0
    });
    (ended, ran)
}

#[test]
fn everything_comes_over_and_tasks_start_last() {
    let (source, target) = (original(), Memory::start());
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(
        ran.out,
        "KIND          NAME            ACTION  DETAIL\n\
         template      mean            created\n\
         task          cpu             created enabled\n\
         task          named           created disabled\n\
         task          templated       created enabled\n\
         topic-handler system/slack    created slack\n\
         topic-events  main:cpu:alert2 created 1 state\n\
         topic-events  system          created 1 state\n"
    );
    assert_eq!(ran.err, "created 7, changed 0, unchanged 0, failed 0\n");
    assert_eq!(ended, Ended::Done);
    let state = |level: &str| {
        format!(
            "{{\"message\":\"m\",\"details\":\"d\",\"time\":\"2026-03-01T10:00:00Z\",\"duration\":\"5m0s\",\"level\":\"{level}\"}}"
        )
    };
    assert_eq!(
        target.writes(),
        [
            "POST v1/templates {\"id\":\"mean\",\"type\":\"stream\",\"script\":\"var x int\\n\"}".to_owned(),
            "POST v1/tasks {\"id\":\"cpu\",\"type\":\"stream\",\"script\":\"stream|from()|log()\",\"dbrps\":[{\"db\":\"telegraf\",\"rp\":\"autogen\"}],\"status\":\"disabled\"}".to_owned(),
            "POST v1/tasks {\"id\":\"named\",\"type\":\"stream\",\"script\":\"dbrp \\\"a\\\".\\\"b\\\"\\nstream|from()|log()\",\"status\":\"disabled\"}".to_owned(),
            "POST v1/tasks {\"id\":\"templated\",\"template-id\":\"mean\",\"dbrps\":[{\"db\":\"telegraf\",\"rp\":\"autogen\"}],\"status\":\"disabled\",\"vars\":{\"x\":{\"type\":\"int\",\"value\":5,\"description\":\"\"}}}".to_owned(),
            "POST v1/alerts/topics/system/handlers {\"id\":\"slack\",\"kind\":\"slack\",\"options\":{\"channel\":\"#a\"},\"match\":\"\"}".to_owned(),
            format!("POST v1preview/alerts/topics/main:cpu:alert2/events {{\"events\":[{{\"id\":\"e\",\"state\":{}}}]}}", state("WARNING")),
            format!("POST v1preview/alerts/topics/system/events {{\"events\":[{{\"id\":\"cpu:host=a\",\"state\":{}}}]}}", state("CRITICAL")),
            "PATCH v1/tasks/cpu {\"status\":\"enabled\"}".to_owned(),
            "PATCH v1/tasks/templated {\"status\":\"enabled\"}".to_owned(),
        ]
    );
    assert_eq!(source.writes(), [""; 0]);
}

#[test]
fn a_second_import_changes_nothing() {
    let (source, target) = (original(), Memory::start());
    run(&options(source.fake.url(), &target));
    let count = target.writes().len();
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(ended, Ended::Done);
    assert_eq!(ran.err, "created 0, changed 0, unchanged 7, failed 0\n", "{}", ran.out);
    assert_eq!(target.writes().len(), count);
}

#[test]
fn what_changed_since_comes_over_alone() {
    let (source, target) = (original(), Memory::start());
    run(&options(source.fake.url(), &target));
    let count = target.writes().len();
    source.put("templates", json!({"id": "mean", "type": "stream", "script": "var x float\n"}));
    source
        .put("alerts/topics/system/handlers", json!({"id": "slack", "kind": "log", "options": {}}));
    source.put("alerts/topics/system/events", event("cpu:host=a", "2026-03-01T11:00:00Z", "OK"));
    target.put("alerts/topics/main:cpu:alert2/events", event("e", "2026-03-01T12:00:00Z", "OK"));
    let mut cpu = source.get("tasks", "cpu");
    cpu["status"] = "disabled".into();
    cpu["script"] = "stream|from()|httpOut('x')".into();
    source.put("tasks", cpu);
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(ended, Ended::Done);
    assert_eq!(
        ran.out,
        "KIND          NAME            ACTION    DETAIL\n\
         template      mean            changed   script\n\
         task          cpu             changed   script, disabled\n\
         task          named           unchanged\n\
         task          templated       unchanged\n\
         topic-handler system/slack    changed   kind, options\n\
         topic-events  main:cpu:alert2 unchanged\n\
         topic-events  system          changed   1 state\n"
    );
    let writes = target.writes();
    assert_eq!(writes[count], "PATCH v1/templates/mean {\"script\":\"var x float\\n\"}");
    assert_eq!(writes[count + 1], "PATCH v1/tasks/cpu {\"script\":\"stream|from()|httpOut('x')\"}");
    assert_eq!(writes.last().unwrap(), "PATCH v1/tasks/cpu {\"status\":\"disabled\"}");
    let kept = target.get("alerts/topics/main:cpu:alert2/events", "e");
    assert_eq!(kept["state"]["level"], "OK", "a newer state stays");
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let (source, target) = (original(), Memory::start());
    target.put("templates", json!({"id": "mean", "type": "stream", "script": "old"}));
    let mut options = options(source.fake.url(), &target);
    options.dry_run = true;
    let (ended, ran) = run(&options);
    assert_eq!(ended, Ended::Done);
    assert_eq!(
        ran.out.lines().take(3).collect::<Vec<_>>(),
        [
            "KIND          NAME            ACTION       DETAIL",
            "template      mean            would change script",
            "task          cpu             would create enabled",
        ]
    );
    assert_eq!(ran.err, "would be created 6, would be changed 1, unchanged 0, failed 0\n");
    assert_eq!(target.writes(), [""; 0]);
    options.format = Format::Json;
    let (_, ran) = run(&options);
    assert_eq!(
        ran.out.lines().next().unwrap(),
        "{\"kind\":\"template\",\"name\":\"mean\",\"action\":\"changed\",\"detail\":\"script\",\"dryRun\":true}"
    );
}

#[test]
fn many_states_come_over_in_several_requests() {
    let (source, target) = (Memory::start(), Memory::start());
    for at in 0..2_001 {
        source.put(
            "alerts/topics/t/events",
            event(&format!("e{at}"), "2026-03-01T10:00:00Z", "INFO"),
        );
    }
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(ended, Ended::Done);
    assert!(ran.out.contains("created 2001 states\n"), "{}", ran.out);
    assert_eq!(target.writes().len(), 3);
    assert_eq!(target.objects.lock().unwrap()["alerts/topics/t/events"].len(), 2_001);
}

#[test]
fn one_that_fails_stops_no_other() {
    let source = original()
        .with("tasks", json!({"id": "bad", "script": "BAD", "status": "enabled"}))
        .with("tasks", json!({"id": "stuck", "script": "stream", "status": "enabled"}))
        .with("templates", json!({"id": "zero", "script": "BAD"}));
    let target = Memory::start();
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(ended, Ended::SomeFailed);
    for row in [
        "task          bad             failed  invalid TICKscript: no",
        "task          stuck           failed  cannot become enabled: cannot start",
        "template      zero            failed  invalid TICKscript: no",
        "task          templated       created enabled",
    ] {
        assert!(ran.out.contains(&format!("{row}\n")), "{row}\n{}", ran.out);
    }
    assert_eq!(ran.err, "created 7, changed 0, unchanged 0, failed 3\n");
    assert_eq!(target.get("tasks", "templated")["status"], "enabled");
}

#[test]
fn nothing_is_enabled_when_told_so() {
    let (source, target) = (original(), Memory::start());
    let mut options = options(source.fake.url(), &target);
    options.disabled = true;
    assert_eq!(run(&options).0, Ended::Done);
    assert_eq!(target.get("tasks", "cpu")["status"], "disabled");
    target.objects.lock().unwrap().get_mut("tasks").unwrap().get_mut("cpu").unwrap()["status"] =
        "enabled".into();
    let (_, ran) = run(&options);
    assert!(ran.err.contains("unchanged 7"), "{}", ran.out);
    assert_eq!(target.get("tasks", "cpu")["status"], "enabled");
}

#[test]
fn a_load_directory_comes_over_and_its_wrong_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("templates/mean.tick", "dbrp \"t\".\"a\"\nvar x int\n"),
        ("templates/notes.md", "not a template"),
        ("tasks/cpu.tick", "dbrp \"a\".\"b\"\nstream|from()|log()"),
        (
            "tasks/one.yaml",
            "id: other\ntemplate-id: mean\ndbrps: [{db: a, rp: b}]\nvars:\n  x: {type: int, value: 5}\n",
        ),
        ("tasks/two.json", "{\"vars\": {}}"),
        ("tasks/wrong.yml", "a: ["),
        ("handlers/slack.yaml", "topic: cpu\nid: slack\nkind: slack\noptions: {channel: '#a'}\n"),
        ("handlers/twin.yaml", "topic: cpu\nid: slack\nkind: log\n"),
        ("handlers/none.json", "{\"id\": \"x\", \"kind\": \"log\"}"),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let target = Memory::start();
    let dir = folder.path().to_str().unwrap();
    let (ended, ran) = run(&options(dir, &target));
    assert_eq!(ended, Ended::SomeFailed);
    let shown = ran.out.replace(dir, "DIR");
    assert_eq!(
        shown,
        "KIND          NAME      ACTION  DETAIL\n\
         template      mean      created\n\
         task          cpu       created enabled\n\
         task          one       created enabled\n\
         task          two       failed  DIR/tasks/two.json: template-id is missing\n\
         task          wrong     failed  DIR/tasks/wrong.yml: line 1, column 4: invalid YAML: unclosed bracket '['\n\
         topic-handler none      failed  DIR/handlers/none.json: topic is missing\n\
         topic-handler cpu/slack created slack\n\
         topic-handler cpu/slack failed  another file of the folder means the same object\n"
    );
    let one = target.get("tasks", "one");
    assert_eq!(one["dbrps"], Value::Null, "the template names its databases");
    assert_eq!(one["vars"]["x"]["value"], json!(5));
    let (_, ran) = run(&options(dir, &target));
    assert!(ran.err.starts_with("created 0, changed 0, unchanged 4,"), "{}\n{}", ran.err, ran.out);
}

#[test]
fn folders_and_servers_that_are_not_there_are_told() {
    let target = Memory::start();
    let (ended, ran) = run(&options("/no/such/folder", &target));
    assert_eq!(ended, Ended::Failed);
    assert!(ran.err.starts_with("error: cannot read /no/such/folder: "), "{}", ran.err);

    let empty = tempfile::tempdir().unwrap();
    let (ended, ran) = run(&options(empty.path().to_str().unwrap(), &target));
    assert_eq!(ended, Ended::Failed);
    assert!(
        ran.err.ends_with("has none of the folders templates, tasks, handlers\n"),
        "{}",
        ran.err
    );

    let (ended, ran) = run(&options("http://u:secret@127.0.0.1:1", &target));
    assert_eq!(ended, Ended::Failed);
    assert!(ran.err.starts_with("error: cannot reach http://127.0.0.1:1: "), "{}", ran.err);

    let mut away = options(empty.path().to_str().unwrap(), &target);
    away.server = "http://127.0.0.1:1".into();
    assert_eq!(run(&away).0, Ended::Failed);
}

#[test]
fn a_target_that_goes_away_stops_the_import() {
    let source = original();
    let mut left = 3;
    let fake = Fake::start(move |asked| {
        left -= 1;
        if left < 0 {
            return Answer::default();
        }
        answer(&mut BTreeMap::new(), asked)
    });
    let target = Memory { fake, objects: Objects::default() };
    let (ended, ran) = run(&options(source.fake.url(), &target));
    assert_eq!(ended, Ended::Failed);
    assert!(ran.out.contains("template mean created\n"), "{}", ran.out);
    assert!(ran.err.ends_with("; the rest was not looked at\n"), "{}", ran.err);
}
