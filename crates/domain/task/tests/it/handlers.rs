//! Handlers that services add to alerts.

use std::sync::{Arc, Mutex};

use levada_alert::level::Level;
use levada_testkit::fake_http::{FakeServer, Reply};
use serde_json::{Value, json};

use crate::world::{TOPIC, World};

/// U-35: `state-changes-only` of a global service concerns its own handlers; upstream silences the topic, too.
#[test]
fn a_global_service_hears_of_alerts_without_handlers() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = seen.clone();
    let server = FakeServer::start(move |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = body["attachments"][0]["text"].as_str().unwrap_or_default();
        kept.lock().unwrap().push(format!("{} {text}", request.path()));
        Reply::new(200, "ok")
    });
    let mut world = World::start();
    let settings = |path: &str, changes: bool| json!({"enabled": true, "url": server.url(path), "global": true, "state-changes-only": changes});
    // Each its own event: what is a change of the level must not depend on which task is faster.
    let alert = |id: &str| {
        format!(
            "stream|from().measurement('m')|alert().crit(lambda: \"v\" > 1).id('{id}').topic('{TOPIC}')"
        )
    };
    world.run("before", &alert("a"));
    world.services.set("slack", settings("/changes", true));
    world.run("changes", &alert("b"));
    world.run("own", &format!("{}.slack().channel('#c')", alert("c")));
    world.write("m v=5 1\nm v=6 2\nm v=0 3");
    world.wait("all was sent", |_| seen.lock().unwrap().len() == 4);
    world.settle();
    let levels = |level| world.heard().iter().filter(|heard| heard.level == level).count();
    assert_eq!((levels(Level::Critical), levels(Level::Ok)), (6, 3), "the topic hears of all");
    let mut sent = seen.lock().unwrap().split_off(0);
    sent.sort_unstable();
    let both = |id: &str| ["CRITICAL", "OK"].map(|level| format!("/changes {id} is {level}"));
    assert_eq!(sent, [both("b"), both("c")].concat());

    // Settings that change count at once.
    world.services.set("slack", settings("/all", false));
    world.write("m v=5 4\nm v=6 5");
    world.wait("all was sent", |_| seen.lock().unwrap().len() == 4);
    world.settle();
    let mut sent = seen.lock().unwrap().split_off(0);
    sent.sort_unstable();
    let both = |id: &str| [format!("/all {id} is CRITICAL"), format!("/all {id} is CRITICAL")];
    assert_eq!(sent, [both("b"), both("c")].concat());
}
