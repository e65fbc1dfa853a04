//! Topic handlers: stored, started, changed.

use serde_json::json;

use super::*;
use crate::handlers::{HandlerSpec, by_option_kind};

fn definition(id: &str, kind: &str, options: serde_json::Value, matcher: &str) -> Definition {
    let value = json!({"id": id, "topic": "t", "kind": kind, "options": options, "match": matcher});
    serde_json::from_value(value).unwrap()
}

fn log(id: &str, path: &std::path::Path, matcher: &str) -> Definition {
    definition(id, "log", json!({"path": path.to_str().unwrap()}), matcher)
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn definitions_survive_a_kill_and_change_while_events_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let world = World::new().await;
    world.service.handler_create(log("h", &one, "level() >= WARNING")).await.unwrap();
    // A program that is not there: what waits for it goes through whatever comes in its place.
    let broken = definition("b", "exec", json!({"prog": "/nowhere/at/all"}), "");
    world.service.handler_create(broken).await.unwrap();
    let world = world.kill().await;
    let kinds = |world: &World| -> Vec<String> {
        let all = world.service.handler_list("t").into_iter();
        all.map(|one| format!("{} {}", one.definition.id, one.definition.kind)).collect()
    };
    assert_eq!(kinds(&world), ["b exec", "h log"]);
    for level in [Level::Info, Level::Critical] {
        world.service.topics().publish("t", event("a", level));
    }
    for _ in 0..400 {
        world.pause().await;
        if lines(&one) == 1 && world.stats().failed > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lines(&one), 1, "INFO is not wanted");
    let replaced = world.service.handler_update("t", "b", |old| {
        Ok(Definition { id: old.id.clone(), ..log("b", &other, "") })
    });
    replaced.await.unwrap();
    for _ in 0..400 {
        world.pause().await;
        if lines(&other) >= 1 && world.stats().waiting == 0 {
            break;
        }
        world.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(lines(&other) >= 1, "what waited goes through the new one");
    let renamed = world
        .service
        .handler_update("t", "b", |old| Ok(Definition { id: "c".to_owned(), ..old.clone() }));
    renamed.await.unwrap();
    assert!(world.service.handler_delete("t", "h").await.unwrap());
    assert!(!world.service.handler_delete("t", "h").await.unwrap());
    let world = world.kill().await;
    assert_eq!(kinds(&world), ["c log"]);
    assert_eq!(world.service.handler("t", "c").unwrap().error, None);
}

#[tokio::test]
async fn a_handler_that_cannot_start_keeps_its_error_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let one = folder.path().join("one");
    world.service.handler_create(log("good", &one, "")).await.unwrap();
    // As an older version, or another server, may have stored it.
    let bad = json!({"id": "bad", "topic": "t", "kind": "pigeon", "options": {}, "match": ""});
    let writes = vec![
        Write::put("topic-handlers", "t/bad", bad.to_string()),
        Write::put("topic-handlers", "t/worse", "no JSON"),
    ];
    world.documents.apply(writes).await.unwrap();
    let world = world.kill().await;
    let errors = world.service.handler_errors();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].error.as_deref(), Some("unsupported action kind \"pigeon\""));
    assert_eq!(world.service.handler("t", "good").unwrap().error, None);
    // It can be repaired.
    let repaired = world.service.handler_update("t", "bad", |_| Ok(log("bad", &one, "")));
    repaired.await.unwrap();
    assert_eq!(world.service.handler_errors().len(), 0);
    assert_eq!(world.service.topics().handlers("t").len(), 2);
}

#[tokio::test]
async fn definitions_that_are_not_taken_change_nothing() {
    let world = World::new().await;
    let path = json!({"path": "/tmp/x"});
    let cases = [
        (
            definition("a b", "log", path.clone(), ""),
            "handler ID must contain only letters, numbers, '-', '.' and '_'. \"a b\"",
        ),
        (
            definition("", "log", path.clone(), ""),
            "handler ID must contain only letters, numbers, '-', '.' and '_'. \"\"",
        ),
        (
            Definition { topic: "a/b".to_owned(), ..definition("x", "log", path.clone(), "") },
            "handler topic must contain only letters, numbers, '-', '.' and '_'. \"x\"",
        ),
        (definition("x", "", path.clone(), ""), "handler Kind must not be empty"),
        (definition("x", "pigeon", path.clone(), ""), "unsupported action kind \"pigeon\""),
        (
            definition("x", "log", json!({"path": "x"}), ""),
            "failed to create log alert handler: log path must be absolute: x is not absolute",
        ),
        (definition("x", "log", path.clone(), "level() > FATAL"), "unknown identifier \"FATAL\""),
        (
            definition("x", "aggregate", json!({"topic": "u", "interval": 0}), ""),
            "aggregate interval must be positive",
        ),
    ];
    for (definition, expected) in cases {
        let error = world.service.handler_create(definition).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let good = definition("\u{e9}-._9", "log", path.clone(), "");
    world.service.handler_create(good.clone()).await.unwrap();
    let error = world.service.handler_create(good.clone()).await.unwrap_err();
    assert_eq!((error.kind(), world.service.handler_list("t").len()), (ErrorKind::Conflict, 1));
    let moved = Definition { topic: "u".to_owned(), ..good.clone() };
    let error = world.service.handler_update("t", &good.id, |_| Ok(moved)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot change topic in update");
    let error = world.service.handler_update("t", "none", |old| Ok(old.clone())).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown handler: \"none\"");
    // A store that fails leaves everything as it was.
    world.documents.fails.store(true, Ordering::Relaxed);
    let other = definition("other", "log", path, "");
    assert!(world.service.handler_create(other).await.is_err());
    assert!(world.service.handler_delete("t", &good.id).await.is_err());
    world.documents.fails.store(false, Ordering::Relaxed);
    let world = world.kill().await;
    assert_eq!(world.service.handler_list("t").len(), 1);
}

#[tokio::test]
async fn kinds_can_be_switched_off() {
    let handlers =
        HandlerDeps { disabled_kinds: vec!["exec".to_owned()].into(), ..HandlerDeps::default() };
    let clock = VirtualClock::new(Timestamp(1_700_000_000_000_000_000));
    let deps = ServiceDeps {
        tasks: Tasks::new(),
        runtime: Runtime::current(),
        clock,
        documents: Arc::new(MemoryDocuments::default()),
        handlers: handlers.clone(),
    };
    let service = AlertService::open(ServiceSettings::default(), deps).await.unwrap();
    let exec = definition("x", "exec", json!({"prog": "/bin/true"}), "");
    let error = service.handler_create(exec).await.unwrap_err();
    let text = "handlers of kind \"exec\" are disabled on this server";
    assert_eq!(error.to_string(), text);
    // In scripts, too.
    let kind = by_option_kind("exec").unwrap();
    let options = json!({"prog": "/bin/true"});
    let spec = HandlerSpec::from_options(kind, options.as_object().unwrap()).unwrap();
    assert_eq!(spec.start(&handlers).err().unwrap().to_string(), text);
    assert!(spec.start(&HandlerDeps::default()).is_ok());
}

#[tokio::test]
async fn what_an_aggregate_gathered_survives_a_kill() {
    let world = World::new().await;
    let options = json!({"topic": "sum", "interval": "10s"});
    world.service.handler_create(definition("agg", "aggregate", options, "")).await.unwrap();
    let receiver = Receiver::new(&[]);
    let add = |world: &World| {
        let setup = HandlerSetup::new("fake0", receiver.clone());
        world.service.topics().handler_add("sum", setup).unwrap();
    };
    add(&world);
    for id in ["a", "b"] {
        world.service.topics().publish("t", event(id, Level::Critical));
    }
    world.until("it gathered both", || world.stats().sent == 2).await;
    assert!(world.service.topics().flush().await);
    let world = world.kill().await;
    add(&world);
    world.service.topics().publish("t", event("c", Level::Warning));
    world.until("the sum is sent", || receiver.got().len() == 1).await;
    assert_eq!(receiver.got(), ["Received 3 events in the last 10s."]);
    world.until("nothing waits", || world.stats().waiting == 0).await;
}
