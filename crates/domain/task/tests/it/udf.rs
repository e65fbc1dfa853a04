//! Tasks with functions that run outside, as programs and behind sockets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use levada_alert::level::Level;
use levada_model::{GroupKey, Timestamp};
use levada_task::definition::{DefineOptions, define};
use levada_task::engine::{
    Input, MemoryStateStore, Overflow, OwnedBatch, Restart, TaskOptions, TaskStatus,
};
use levada_task::udf::{Agent, UdfConfig, UdfLimits, Udfs};
use levada_testkit::udf::{self, listen};

use crate::world::{TOPIC, World};

const SECOND: Duration = Duration::from_secs(1);

/// This binary is started as a function by the other tests.
#[test]
fn this_binary_as_a_function() {
    udf::run();
}

fn program(kind: &str) -> Agent {
    let udf::Program { program, args, env } = udf::program("udf::this_binary_as_a_function", kind);
    Agent::Program { program, args, env: vec![env] }
}

fn config(agent: Agent) -> UdfConfig {
    UdfConfig { agent, timeout: 10 * SECOND, limits: UdfLimits::default() }
}

/// Functions of some kinds, named after them.
fn functions(kinds: &[&str]) -> Udfs {
    let configs = kinds.iter().map(|kind| ((*kind).to_owned(), config(program(kind))));
    Udfs::new(configs.collect())
}

fn one(name: &str, config: UdfConfig) -> Udfs {
    Udfs::new(BTreeMap::from([(name.to_owned(), config)]))
}

/// A world whose functions have said what they are.
fn world(udfs: &Udfs) -> World {
    world_with(udfs, Arc::default())
}

fn world_with(udfs: &Udfs, store: Arc<MemoryStateStore>) -> World {
    let world = World::with_functions(udfs.clone(), store);
    world.ask();
    assert_eq!(udfs.missing(), [""; 0], "{:?}", udfs.known());
    world
}

/// Tells of each item by what `message` says.
fn told(script: &str, message: &str) -> String {
    format!("{script}|alert().id('x').message('{message}').crit(lambda: TRUE).topic('{TOPIC}')")
}

const ALL: &str = "{{ .Name }} {{ .Group }} {{ .Tags }} {{ .Fields }} {{ .Time.Unix }}";

fn status(world: &World, id: &str) -> TaskStatus {
    world.master.status(id).unwrap()
}

/// Waits for the end of a task; gives why it ended.
#[track_caller]
fn failure(world: &World, id: &str) -> String {
    world.wait("the task fails", |world| status(world, id).error.is_some());
    status(world, id).error.unwrap()
}

fn node(world: &World, id: &str, node: &str, key: &str) -> Option<i64> {
    status(world, id).nodes[node][key].as_i64()
}

#[test]
fn points_go_through_a_program_with_its_options() {
    let udfs = functions(&["copy"]);
    let mut world = world(&udfs);
    let script = "stream|from().groupBy('host')@copy()
        .flag(FALSE).many(-7, 0.5, 'a\"b').many(0, 0.0, '').wait(90s).none()";
    world.run("t", &told(script, ALL));
    world.write("m,host=a,dc=x v=1.5,n=3i,s=\"t\",b=true 7\nm,host=b v=2 8");
    world.wait("both", |world| world.ids().len() == 2);
    let options = "flag[Bool(false)];many[Int(-7), Double(0.5), String(\"a\\\"b\")];many[Int(0), Double(0.0), String(\"\")];wait[Duration(90000000000)];none[];t copy2";
    assert_eq!(
        world.ids(),
        [
            format!(
                "m host=a map[dc:x host:a] map[b:true n:3 options:{options} s:t seen:1 v:1.5] 7"
            ),
            format!("m host=b map[host:b] map[options:{options} seen:2 v:2] 8"),
        ]
    );
    assert!(world.heard().iter().all(|heard| heard.level == Level::Critical));
    assert!(world.stop("t"));
}

#[test]
fn every_edge_is_crossed() {
    let udfs = functions(&["batch", "pairs", "sum"]);
    let mut world = world(&udfs);
    let batches = "stream|from().groupBy('host')|window().periodCount(2).everyCount(2)@batch()";
    world.run("batch", &told(&format!("{batches}|last('v').as('v')"), ALL));
    let pairs = "stream|from().groupByMeasurement().groupBy('host')@pairs()";
    world.run("pairs", &told(&format!("{pairs}|sum('v').as('v')"), ALL));
    let sums = "stream|from().groupBy('host')|window().periodCount(2).everyCount(2)@sum()";
    world.run("sum", &told(sums, ALL));
    world.write("m,host=a v=1 1\nm,host=a v=2 2");
    world.wait("all", |world| world.ids().len() == 3);
    let mut ids = world.ids();
    ids.sort();
    assert_eq!(
        ids,
        [
            "m host=a map[host:a] map[sum:3] 2",
            // The function turned the order of the points around, and its last is the latest still.
            "m host=a map[host:a] map[v:2] 2",
            "m m\nhost=a map[host:a] map[v:3] 2",
        ]
    );
}

#[test]
fn what_goes_wrong_ends_the_task_with_its_reason() {
    let mut cases = vec![
        ("error", "error2: such points are not taken (exit status: 0)"),
        ("crash", "crash2: the function has ended (exit status: 3); it last wrote: pity"),
        ("refuse", "refuse2: these options do not go together (exit status: 0)"),
        (
            "huge",
            "huge2: read error: a message of 268435455 bytes is larger than the 67108864 that are allowed",
        ),
        ("liar", "liar2: the function gave a batch, and has announced otherwise"),
    ];
    let kinds: Vec<&str> = cases.iter().map(|(kind, _)| *kind).collect();
    let udfs = functions(&[&kinds[..], &["copy"]].concat());
    let mut world = world(&udfs);
    world.run("healthy", &told("stream|from()@copy()", "{{ index .Tags \"n\" }}"));
    for kind in kinds {
        world.run(kind, &format!("stream|from()@{kind}()|log()"));
    }
    world.write("m,n=1 v=1 1");
    for (kind, wanted) in cases.drain(..) {
        let failure = failure(&world, kind);
        assert!(failure.starts_with(wanted.trim_end_matches(" (exit status: 0)")), "{failure}");
        assert!(!status(&world, kind).is_executing);
    }
    world.write("m,n=2 v=1 2");
    world.wait("the other task goes on", |world| world.ids() == ["1", "2"]);
}

#[test]
fn a_function_that_hangs_ends_its_task_and_no_other() {
    let timeout = Duration::from_millis(300);
    let limits = UdfLimits { queue_points: 10, ..UdfLimits::default() };
    let hang = UdfConfig { agent: program("hang"), timeout, limits };
    let copy = config(program("copy"));
    let udfs = Udfs::new([("hang".to_owned(), hang), ("copy".to_owned(), copy)].into());
    // It says what it is within its timeout only when the machine is not too busy.
    let mut world = World::with_functions(udfs.clone(), Arc::default());
    world.wait("both have said what they are", |world| {
        world.ask();
        udfs.missing().is_empty()
    });
    let options =
        TaskOptions { queue_points: 20, overflow: Overflow::DropNewest, ..TaskOptions::default() };
    world.run_with("hang", "stream|from()@hang()", options);
    world.run("copy", &told("stream|from()@copy()", "{{ index .Tags \"n\" }}"));
    let lines: Vec<String> = (0..100).map(|n| format!("m,n={n} v=1 {n}")).collect();
    for line in &lines {
        world.write(line);
    }
    world.wait("the other task goes on", |world| world.ids().len() == 100);
    let failure = failure(&world, "hang");
    let wanted = "hang2: keepalive timedout, last keepalive received was: 20";
    assert!(failure.starts_with(wanted) && failure.contains(" +0000 UTC"), "{failure}");
    // The task took no more than the function could, and its own queue took what was left.
    assert!(status(&world, "hang").dropped > 0);
}

#[test]
fn a_slow_function_makes_its_task_wait_and_loses_nothing() {
    let limits = UdfLimits { queue_points: 4, ..UdfLimits::default() };
    let slow = UdfConfig { limits, ..config(program("slow")) };
    let udfs = one("slow", slow);
    let mut world = world(&udfs);
    world.run("t", &told("stream|from()@slow()@slow()", "{{ index .Tags \"n\" }}"));
    let lines: Vec<String> = (0..600).map(|n| format!("m,n={n} v=1 {n}")).collect();
    world.write(&lines.join("\n"));
    world.wait("all", |world| world.ids().len() == 600);
    assert_eq!(world.ids(), (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(node(&world, "t", "slow2", "points_dropped"), None);
    assert_eq!(node(&world, "t", "slow2", "errors"), Some(0));
}

#[test]
fn batches_wait_for_their_function_as_points_do() {
    let limits = UdfLimits { queue_points: 4, ..UdfLimits::default() };
    let udfs = one("batch", UdfConfig { limits, ..config(program("batch")) });
    let mut world = world(&udfs);
    let script = "stream|from()|window().periodCount(2).everyCount(2)@batch()|last('v').as('v')";
    world.run("t", &told(script, "{{ .Time.Unix }}"));
    let points = world.points("m v=1 1\nm v=1 2\nm v=1 3");
    let batch = |n: i64| OwnedBatch {
        name: "m".into(),
        key: GroupKey::ungrouped(),
        time: Timestamp(n),
        points: points.clone(),
    };
    // As the answer of a query: all at once, right in front of the function.
    let batches = (0..500).map(batch).collect();
    let [cell] = &world.master.cells("t")[..] else { panic!("one actor") };
    assert!(cell.give(Input::Batches { place: 3, batches }));
    world.wait("all", |world| world.ids().len() == 500);
    assert_eq!(node(&world, "t", "batch3", "points_dropped"), None);
}

#[test]
fn a_function_gives_its_last_when_the_task_ends() {
    let udfs = functions(&["late"]);
    let mut world = world(&udfs);
    let options = TaskOptions { keeps_state: false, ..TaskOptions::default() };
    let script = told("stream|from()@late()@late()", "{{ index .Tags \"n\" }}");
    world.run_with("t", &script, options);
    world.write("m,n=1 v=1 1\nm,n=2 v=1 2");
    world.settle();
    assert_eq!(world.ids(), [""; 0]);
    assert!(world.stop("t"));
    world.wait("the last", |world| world.ids() == ["1", "2"]);
}

#[test]
fn the_state_of_a_function_outlives_its_task() {
    let store = Arc::new(MemoryStateStore::default());
    let udfs = functions(&["count"]);
    let script = told("stream|from()@count()", "{{ index .Fields \"seen\" }}");
    {
        let mut world = world_with(&udfs, Arc::clone(&store));
        world.run("t", &script);
        world.write("m v=1 1\nm v=1 2\nm v=1 3");
        world.settle();
        world.wait("three", |world| world.ids() == ["1", "2", "3"]);
        // Stopped and started in one server: the state is that of the end.
        assert!(world.stop("t"));
        world.run("t", &script);
        world.write("m v=1 4");
        world.wait("the fourth", |world| world.ids().last().is_some_and(|id| id == "4"));
        // The state of a checkpoint, and a server that is gone without a word.
        world.master.save();
        world.wait("a checkpoint", |world| node(world, "t", "count2", "snapshots").is_some());
    }
    let mut world = world_with(&udfs, Arc::clone(&store));
    world.run("t", &script);
    world.write("m v=1 5");
    world.wait("the fifth", |world| world.ids() == ["5"]);
    // A change behind the function leaves it its state; one of its options does not.
    let changed = script.replace("{{ index", "n{{ index");
    let options = TaskOptions { dbrps: vec![("db".into(), "rp".into())], ..Default::default() };
    let replace = |script: &str| {
        let definition = world.defined(script);
        world.master.replace("t", definition, options.clone(), SECOND).unwrap();
    };
    replace(&changed);
    world.wait("the change", |world| status(world, "t").is_executing);
    let points = world.points("m v=1 6");
    world.master.routes().ingest().write(points);
    world.wait("the sixth", |world| world.ids() == ["5", "n6"]);
    let definition = world.defined(&changed.replace("@count()", "@count().none()"));
    world.master.replace("t", definition, options.clone(), SECOND).unwrap();
    world.write("m v=1 7");
    world.wait("the first", |world| world.ids() == ["5", "n6", "n1"]);
}

#[test]
fn a_state_that_is_refused_ends_the_task() {
    let store = Arc::new(MemoryStateStore::default());
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    listen(&first, "count");
    listen(&second, "copy");
    let script = told("stream|from()@f()", "{{ index .Fields \"seen\" }}");
    let of = |path: &Path| one("f", config(Agent::Socket(path.to_owned())));
    {
        let mut world = world_with(&of(&first), Arc::clone(&store));
        world.run("t", &script);
        world.write("m v=1 1");
        world.wait("one", |world| world.ids() == ["1"]);
        assert!(world.stop("t"));
    }
    let world = world_with(&of(&second), store);
    world.run("t", &script);
    assert_eq!(failure(&world, "t"), "f2: there was nothing to give back");
}

#[test]
fn functions_are_found_at_sockets_also_when_they_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let (there, later) = (folder.path().join("there"), folder.path().join("later"));
    listen(&there, "copy");
    let udfs = Udfs::new(BTreeMap::from([
        ("there".to_owned(), config(Agent::Socket(there.clone()))),
        ("later".to_owned(), config(Agent::Socket(later.clone()))),
    ]));
    let mut world = World::with_functions(udfs.clone(), Arc::default());
    assert_eq!(world.ask(), ["there"]);
    let options = DefineOptions { udfs: udfs.clone(), ..DefineOptions::default() };
    let error = define("stream|from()@later()", &options).unwrap_err().to_string();
    let wanted = "the function later cannot be used: it cannot be opened: No such file";
    assert!(error.contains(wanted), "{error}");
    world.run("there", &told("stream|from()@there()", "{{ index .Fields \"seen\" }}"));
    listen(&later, "copy");
    assert_eq!(world.ask(), ["later"]);
    // Nobody listens when the task starts; it waits for somebody.
    std::fs::remove_file(&later).unwrap();
    world.run("later", &told("stream|from()@later()", "{{ index .Fields \"seen\" }} later"));
    world.write("m v=1 1");
    world.wait("one", |world| world.ids() == ["1"]);
    listen(&later, "copy");
    world.wait("the other", |world| world.ids() == ["1", "1 later"]);
    // Each node has a connection of its own.
    world.run("again", &told("stream|from()@there()", "{{ index .Fields \"seen\" }} again"));
    world.write("m v=1 2");
    world.wait("all", |world| world.ids().contains(&"1 again".to_owned()));
    world.wait("all", |world| world.ids().contains(&"2".to_owned()));
    assert!(world.stop("there") && world.stop("later") && world.stop("again"));
}

#[test]
fn what_functions_are_has_to_be_said_in_time() {
    let timeout = Duration::from_millis(200);
    let silent = UdfConfig { timeout, ..config(program("silent")) };
    let missing = Agent::Program {
        program: "/nowhere/to/be/found".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
    };
    let udfs = Udfs::new(BTreeMap::from([
        ("dumb".to_owned(), config(program("dumb"))),
        ("missing".to_owned(), config(missing)),
        ("silent".to_owned(), silent),
    ]));
    let world = World::with_functions(udfs.clone(), Arc::default());
    assert_eq!(world.ask(), [""; 0]);
    let known = udfs.known();
    let why = |name: &str| known[name].clone().unwrap_err().to_string();
    assert_eq!(why("dumb"), "it ends without saying what it is (exit status: 4)");
    assert!(why("missing").starts_with("it cannot be opened: No such file"), "{}", why("missing"));
    let silent = why("silent");
    assert!(silent.starts_with("it has not said within 200ms what it is"), "{silent}");
}

#[test]
fn a_failed_task_starts_its_function_again() {
    let udfs = functions(&["crash"]);
    let mut world = world(&udfs);
    let wait = Duration::from_millis(1);
    let restart = Restart::OnFailure { first: wait, longest: wait };
    let options = TaskOptions { restart, ..TaskOptions::default() };
    world.run_with("t", "stream|from()@crash()", options);
    for round in 1..3 {
        world.write("m v=1 1");
        world.wait("a failure", |world| status(world, "t").failures == round);
        std::thread::sleep(2 * wait);
        world.master.restart_due();
        world.wait("a start", |world| status(world, "t").is_executing);
    }
}

/// What crashes the original; source: kapacitor reference §14.4.
#[test]
fn values_that_functions_do_not_take_are_left_out() {
    let udfs = functions(&["copy"]);
    let mut world = world(&udfs);
    // A null of a join, and a duration of a lambda.
    let script = "var a = stream|from().measurement('a')
        var b = stream|from().measurement('b')
        a|join(b).as('a', 'b').fill('null')|eval(lambda: 5s).as('d').keep()@copy()";
    let message =
        "{{ index .Fields \"a.v\" }} {{ index .Fields \"b.v\" }} {{ index .Fields \"d\" }}";
    world.run("t", &told(script, message));
    world.write("a v=1 1\na v=2 2\nb v=3 2\na v=4 3\nb v=5 3");
    world.wait("an item", |world| !world.ids().is_empty());
    assert_eq!(world.ids()[0], "1 <no value> <no value>");
    let name = "copy6";
    assert!(node(&world, "t", name, "fields_dropped").is_some_and(|count| count > 0));
    assert!(status(&world, "t").is_executing);
}
