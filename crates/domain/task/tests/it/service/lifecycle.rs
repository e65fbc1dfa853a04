//! One task: made, changed, renamed, failed, deleted.

use super::*;

#[test]
fn errors_come_in_the_order_and_with_the_texts_of_the_original() {
    let kept = Kept::new();
    kept.create(task("there", SCRIPT)).unwrap();
    let no_dbrp = |change: TaskChange| TaskChange { dbrps: Vec::new(), ..change };
    let vars = |value: serde_json::Value| given_vars(value.as_object().unwrap()).unwrap();
    let rows = [
        (task("a/b", ""), "task ID must contain only letters, numbers, '-', '.' and '_'. \"a/b\""),
        (task("there", ""), "task there already exists"),
        (
            TaskChange { template_id: "t".into(), ..task("a", "") },
            "unknown template t: err: no template exists",
        ),
        (no_dbrp(task("a", "")), "must provide TICKscript"),
        (
            TaskChange {
                vars: vars(json!({"x": {"type": "string", "value": 5}})),
                ..task("a", "stream|")
            },
            "invalid var x: mismatched type and value: 5 string",
        ),
        (
            no_dbrp(task("a", "stream|")),
            "invalid TICKscript: parser: unexpected EOF line 1 char 8 in \"stream|\". expected: \"identifier\"",
        ),
        (no_dbrp(task("a", "var x = 1")), "invalid task type: invalid"),
        (no_dbrp(task("a", "stream|from() batch|query('x')")), "invalid task type: invalid"),
        (no_dbrp(task("a", "stream")), "invalid TICKscript: task does nothing"),
        (no_dbrp(task("a", SCRIPT)), "must specify dbrp"),
        (
            task("a", &format!("dbrp \"d\".\"r\" {SCRIPT}")),
            "cannot specify dbrp in both implicitly and explicitly",
        ),
    ];
    for (change, expected) in rows {
        let error = kept.create(change.clone()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{change:?}");
        assert_eq!(error.kind().as_str(), "invalid");
    }
    let missing = kept.update("nowhere", task("", SCRIPT)).unwrap_err();
    assert_eq!(missing.to_string(), "task does not exist, cannot update");
    let missing = kept.world.block_on(kept.service.get("nowhere", ViewOptions::default()));
    assert_eq!(missing.unwrap_err().to_string(), "no task exists");
    let both = TaskChange {
        dbrps: vec![("a".into(), "b".into())],
        ..task("", &format!("dbrp \"d\".\"r\" {SCRIPT}"))
    };
    assert_eq!(
        kept.update("there", both).unwrap_err().to_string(),
        "cannot specify dbrp in implicitly and explicitly"
    );
}

#[test]
fn a_new_task_has_defaults_an_id_and_a_formatted_script() {
    let kept = Kept::new();
    let made =
        kept.create(task("", &format!("dbrp \"d\".\"r\" {SCRIPT}")).without_dbrps()).unwrap();
    assert_eq!(made.record.id.len(), 36);
    assert!(!made.record.is_enabled && !made.is_executing && made.stats.is_none());
    assert_eq!(made.record.dbrps, [("d".into(), "r".into())]);
    assert_eq!(made.record.last_enabled, None);
    assert_eq!(made.record.created, Timestamp(1_000_000_000_000));
    assert!(made.script.contains("\n    |from()\n        .measurement('m')"), "{}", made.script);
    let raw = ViewOptions { is_raw: true, ..ViewOptions::default() };
    let raw = kept.world.block_on(kept.service.get(&made.record.id, raw)).unwrap();
    assert!(raw.script.starts_with("dbrp \"d\".\"r\" stream|from()"));
}

trait WithoutDbrps {
    fn without_dbrps(self) -> Self;
}

impl WithoutDbrps for TaskChange {
    fn without_dbrps(self) -> Self {
        TaskChange { dbrps: Vec::new(), ..self }
    }
}

#[test]
fn enabled_tasks_run_and_disabled_ones_do_not() {
    let mut kept = Kept::new();
    let made = kept.create(enabled(task("a", &teller("m")))).unwrap();
    assert!(made.is_executing && made.stats.is_some());
    assert!(made.dot.contains("graph [throughput=\"0.00 points/s\"]"), "{}", made.dot);
    assert_eq!(kept.heard_after("m,n=1 v=1 1"), ["1"]);
    let off = kept.update("a", TaskChange { is_enabled: Some(false), ..TaskChange::default() });
    let off = off.unwrap();
    assert!(!off.is_executing && !off.record.is_enabled);
    assert_eq!(off.record.modified, Timestamp(1_001_000_000_000));
    assert_eq!(off.record.last_enabled, Some(Timestamp(1_000_000_000_000)));
    assert!(kept.heard_after("m,n=2 v=1 2").is_empty());
    let on = kept.update("a", enabled(TaskChange::default())).unwrap();
    assert_eq!(on.record.last_enabled, Some(Timestamp(1_002_000_000_000)));
    assert_eq!(kept.heard_after("m,n=3 v=1 3"), ["3"]);
    kept.delete("a");
    kept.delete("a");
    assert!(kept.heard_after("m,n=4 v=1 4").is_empty());
}

#[test]
fn a_change_that_changes_nothing_does_not_restart() {
    let kept = Kept::new();
    kept.create(enabled(task("a", SCRIPT))).unwrap();
    let started = kept.service.master().started("a");
    kept.update("a", enabled(task("", SCRIPT))).unwrap();
    kept.update("a", TaskChange::default()).unwrap();
    assert_eq!(kept.service.master().started("a"), started);
    kept.update("a", task("", &teller("m"))).unwrap();
    assert_ne!(kept.service.master().started("a"), started);
}

#[test]
fn a_changed_script_runs_at_once_and_keeps_the_state_of_its_other_nodes() {
    let mut kept = Kept::new();
    kept.create(enabled(task("a", &summing("")))).unwrap();
    assert!(kept.heard_after("m v=1 1\nm v=2 2").is_empty());
    kept.update("a", task("", &summing("|where(lambda: \"v\" > 5.0)"))).unwrap();
    // Two of the three points came before the change.
    assert_eq!(kept.heard_after("m v=4 3"), ["7"]);
    assert!(kept.heard_after("m v=1 4\nm v=1 5\nm v=1 6").is_empty(), "the new node is there");
}

#[test]
fn new_databases_count_at_once() {
    let mut kept = Kept::new();
    kept.create(enabled(task("a", &teller("m")))).unwrap();
    let elsewhere =
        TaskChange { dbrps: vec![("db".into(), "else".into())], ..TaskChange::default() };
    kept.update("a", elsewhere).unwrap();
    assert!(kept.heard_after("m,n=1 v=1 1").is_empty());
    let back = TaskChange { dbrps: vec![("db".into(), "rp".into())], ..TaskChange::default() };
    kept.update("a", back).unwrap();
    assert_eq!(kept.heard_after("m,n=2 v=1 2"), ["2"]);
}

#[test]
fn a_renamed_task_takes_its_state_along() {
    let mut kept = Kept::new();
    kept.create(enabled(task("old", &summing("")))).unwrap();
    kept.create(task("other", SCRIPT)).unwrap();
    assert!(kept.heard_after("m v=1 1\nm v=2 2").is_empty());
    let taken = TaskChange { id: "other".into(), ..TaskChange::default() };
    assert_eq!(
        kept.update("old", taken).unwrap_err().to_string(),
        "failed to create new task during ID change: task already exists"
    );
    let wrong = TaskChange { id: "a b".into(), ..TaskChange::default() };
    assert!(kept.update("old", wrong).unwrap_err().to_string().starts_with("task ID must"));
    let renamed = kept.update("old", TaskChange { id: "new".into(), ..TaskChange::default() });
    assert!(renamed.unwrap().is_executing);
    assert_eq!(kept.heard_after("m v=4 3"), ["7"]);
    assert_eq!(kept.service.master().ids(), ["new".into()]);
    let gone = kept.world.block_on(kept.service.get("old", ViewOptions::default()));
    assert_eq!(gone.unwrap_err().to_string(), "no task exists");
}

#[test]
fn what_cannot_start_is_stored_with_its_error() {
    let kept = Kept::new();
    let script = "stream|from().measurement('m')|influxDBOut().cluster('none').database('x')";
    let error = kept.create(enabled(task("a", script))).unwrap_err();
    assert_eq!(error.to_string(), "no cluster none");
    assert_eq!(error.kind().as_str(), "internal");
    let view = kept.get("a");
    assert!(view.record.is_enabled && !view.is_executing);
    assert_eq!(view.error, "no cluster none");
    // It starts as soon as it can, without being disabled first.
    let started = kept.update("a", task("", SCRIPT)).unwrap();
    assert!(started.is_executing && started.error.is_empty());
    // One that runs and is given something that cannot start.
    let error = kept.update("a", task("", script)).unwrap_err();
    assert_eq!(error.to_string(), "no cluster none");
    assert!(!kept.get("a").is_executing);
    // A dry run says the same and changes nothing.
    let rehearsed =
        kept.world.block_on(kept.service.create(enabled(task("b", script)), Mode::DryRun));
    assert_eq!(rehearsed.unwrap_err().to_string(), "no cluster none");
    let rehearsed = kept.world.block_on(kept.service.create(task("b", script), Mode::DryRun));
    assert_eq!(rehearsed.unwrap().record.id, "b");
    let gone = kept.world.block_on(kept.service.get("b", ViewOptions::default()));
    assert!(gone.is_err());
}

#[test]
fn a_task_that_fails_keeps_its_error_and_starts_when_told_to() {
    let mut kept = Kept::new();
    let script = "stream|from().measurement('m')|alert().id('{{ index .Tags \"n\" }}').message('{{ .ID }}').crit(lambda: TRUE).topic('out')";
    kept.create(enabled(task("a", script))).unwrap();
    kept.heard_after("m,n=panic v=1 1");
    kept.world.wait("it fails", |_| kept.service.master().is_executing("a") != Some(Ok(())));
    kept.world.block_on(kept.service.store_changed());
    let view = kept.get("a");
    assert!(view.record.is_enabled && !view.is_executing);
    assert!(view.error.contains("panic"), "{}", view.error);
    assert_eq!(view.record.error, view.error, "it is stored");
    let on = kept.update("a", enabled(TaskChange::default())).unwrap();
    assert!(on.is_executing && on.error.is_empty());
    assert_eq!(kept.heard_after("m,n=2 v=1 2"), ["2"]);
}

#[test]
fn a_slow_end_of_one_task_delays_nobody() {
    let world = World::start();
    let service = world.service(Arc::new(MemoryDocuments::default()));
    world.hang_for(Duration::from_secs(4));
    let script = "stream|from().measurement('bad')|alert().id('hang').message('{{ .ID }}').crit(lambda: TRUE).topic('out')";
    world.block_on(service.create(enabled(task("bad", script)), Mode::Apply)).unwrap();
    let mut world = world;
    world.write("bad v=1 1");
    world.wait("it hangs", |world| world.hanging() == 1);
    let before = world.real();
    world.block_on(async {
        let deleted = service.delete("bad");
        let listed = async {
            service.create(enabled(task("other", SCRIPT)), Mode::Apply).await.unwrap();
            let view = service.get("other", ViewOptions::default()).await.unwrap();
            assert!(view.is_executing);
        };
        let (deleted, ()) = tokio::join!(deleted, listed);
        deleted.unwrap();
    });
    let waited = world.real() - before;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert_eq!(world.hanging(), 1, "the test is about a node that hangs");
    // The same ID can be used again, also while the old run still hangs.
    let before = world.real();
    world.block_on(service.create(enabled(task("bad", SCRIPT)), Mode::Apply)).unwrap();
    assert!(world.real() - before < Duration::from_secs(1));
}
