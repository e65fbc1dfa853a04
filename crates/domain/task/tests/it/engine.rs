//! Tasks on threads: each trouble is bounded alone, and the tasks beside it go on.

use std::time::Duration;

use levada_model::Timestamp;
use levada_task::engine::{Overflow, Restart, TaskOptions};
use levada_task::runtime::context::Limits;

use crate::world::{TOPIC, World, counts, defined, teller};

/// What no task may delay the others by.
const PROMPT: Duration = Duration::from_secs(1);

/// Feeds a bad task and a healthy one together and checks that the healthy one gets each point in time.
///
/// - `lines` gives what the bad task gets beside the k-th point of the healthy one.
fn beside(world: &mut World, lines: impl Fn(usize) -> String) {
    const POINTS: usize = 30;
    world.run("healthy", &teller("healthy"));
    let mut written = Vec::new();
    for at in 0..POINTS {
        let bad = lines(at);
        let before = world.real();
        world.write(&format!("{bad}\nhealthy,n={at} v=1 {at}"));
        written.push(before);
        std::thread::sleep(Duration::from_millis(5));
    }
    let is_healthy = |id: &String| id.parse::<usize>().is_ok();
    world.wait("all points of the healthy task", |world| {
        world.ids().iter().filter(|id| is_healthy(id)).count() == POINTS
    });
    for heard in world.heard() {
        let Ok(at) = heard.id.parse::<usize>() else { continue };
        let late = heard.at.saturating_sub(written[at]);
        assert!(late < PROMPT, "point {at} came after {late:?}");
    }
    let status = world.master.status("healthy").unwrap();
    assert!(status.is_executing && status.dropped == 0, "{status:?}");
}

#[test]
fn one_that_divides_by_zero_on_every_point() {
    let mut world = World::start();
    world.run("bad", "stream|from().measurement('bad')|where(lambda: 10 / \"v\" > 1)|eval(lambda: 1 / \"v\").as('x')");
    beside(&mut world, |at| format!("bad v=0i {at}\nbad v=0i {at}"));
    world.settle();
    let status = world.master.status("bad").unwrap();
    assert!(status.is_executing, "{status:?}");
    assert_eq!(status.nodes["where2"]["errors"], 60);
    assert_eq!(status.nodes["where2"]["emitted"], 0);
}

#[test]
fn one_whose_node_panics() {
    let mut world = World::start();
    world.run(
        "bad",
        &format!("stream|from().measurement('bad')|alert().id('panic').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"),
    );
    beside(&mut world, |at| format!("bad v=0i {at}"));
    let status = world.master.status("bad").unwrap();
    assert!(!status.is_executing);
    let error = status.error.unwrap();
    assert!(error.contains("panic") && error.contains("a node that panics"), "{error}");
    assert_eq!(status.failures, 1, "a failure is counted once");
    // It is out of the way: what is written for it is not wanted by anybody.
    assert_eq!(world.write("bad v=1i 1").unwanted, 1);
}

#[test]
fn as_many_that_hang_as_there_are_workers() {
    let mut world = World::start();
    world.hang_for(Duration::from_secs(5));
    for id in ["bad1", "bad2", "bad3"] {
        let script = format!(
            "stream|from().measurement('bad')|alert().id('hang').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
        );
        world.run(id, &script);
    }
    world.write("bad v=0i 0");
    world.wait("all hang", |world| world.hanging() == 3);
    beside(&mut world, |at| format!("bad v=0i {at}"));
    assert_eq!(world.hanging(), 3, "the test is about nodes that hang");
    // Neither do they hold up who wants to know how they are, or wants them gone.
    let before = world.real();
    assert!(world.master.status("bad1").unwrap().is_executing);
    assert!(world.master.stop("bad1", Duration::from_millis(50)));
    world.master.save();
    assert!(world.real() - before < Duration::from_millis(4_000), "{:?}", world.real() - before);
    world.wait("they go on", |world| world.hanging() == 0);
    world.wait("the spare workers end", |world| world.workers.threads() == 2);
}

#[test]
fn a_full_queue_delays_who_writes_once_and_for_the_others_not_at_all() {
    let mut world = World::start();
    world.hang_for(Duration::from_secs(2));
    let options = TaskOptions {
        queue_points: 1,
        overflow: Overflow::Block(Duration::from_millis(300)),
        ..TaskOptions::default()
    };
    let script = format!(
        "stream|from().measurement('bad')|alert().id('hang').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    world.run_with("bad1", &script, options.clone());
    world.run_with("bad2", &script, options);
    world.run("healthy", &teller("healthy"));
    world.write("bad v=0i 0");
    world.wait("both hang", |world| world.hanging() == 2);
    assert_eq!(world.write("bad v=0i 0").dropped, 0, "the queues take one");
    let before = world.real();
    let written = world.write("bad v=0i 0\nhealthy,n=1 v=1 1");
    let waited = world.real() - before;
    assert_eq!((written.delivered, written.dropped), (1, 2));
    assert!((300..580).contains(&waited.as_millis()), "waited {waited:?}");
    world.wait("the healthy task was served first", |world| !world.heard().is_empty());
    assert!(world.heard()[0].at < before + Duration::from_millis(250), "{:?}", world.heard());
    let before = world.real();
    world.write("bad v=0i 0");
    assert!(world.real() - before < Duration::from_millis(100), "nobody waits twice in vain");
}

#[test]
fn one_with_a_silent_parent_is_bounded_by_its_limit() {
    let mut world = World::start();
    let script = "var a = stream|from().measurement('bad')\nvar b = stream|from().measurement('silent')\na|join(b).as('a','b')|log()";
    let limits = Limits { buffered_points: 40, ..Limits::default() };
    world.run_with("bad", script, TaskOptions { limits, ..TaskOptions::default() });
    beside(&mut world, |at| format!("bad v=0i {}\nbad v=0i {}", 2 * at, 2 * at + 1));
    world.settle();
    let cell = world.master.cells("bad").pop().unwrap();
    let (held, refused) =
        cell.with_actor(|actor| (actor.context().held, actor.context().refused_points));
    assert_eq!((held, refused), (40, 20));
}

#[test]
fn one_with_too_many_groups_is_bounded_by_its_limit() {
    let mut world = World::start();
    let limits = Limits { groups: 1_000, ..Limits::default() };
    let script = "stream|from().measurement('bad').groupBy('id')|window().period(1h).every(1h)";
    world.run_with("bad", script, TaskOptions { limits, ..TaskOptions::default() });
    beside(&mut world, |at| {
        (0..200).map(|id| format!("bad,id={} v=0i {at}\n", at * 200 + id)).collect()
    });
    world.settle();
    let cell = world.master.cells("bad").pop().unwrap();
    assert_eq!(cell.with_actor(|actor| actor.context().groups.len()), 1_000);
    let status = world.master.status("bad").unwrap();
    assert_eq!(
        status.nodes["from1"]["errors"],
        6_000 - 999,
        "one group is the one without dimensions"
    );
}

#[test]
fn one_that_is_very_slow() {
    let mut world = World::start();
    // Of 14 points of one time, 3,003 combinations of 5; each batch of lines is such a time.
    let script = "stream|from().measurement('bad')|combine(lambda: TRUE, lambda: TRUE, lambda: TRUE, lambda: TRUE, lambda: TRUE).as('a','b','c','d','e').max(100000)|eval(lambda: count()).as('n')";
    let options =
        TaskOptions { overflow: Overflow::DropNewest, queue_points: 50, ..TaskOptions::default() };
    world.run_with("bad", script, options);
    beside(&mut world, |at| (0..14).map(|v| format!("bad v={v}i {at}\n")).collect());
    assert!(world.master.status("bad").unwrap().is_executing);
}

#[test]
fn timers_without_end_leave_room_for_data_and_for_others() {
    let mut world = World::start();
    world.run(
        "bad",
        "stream|from().measurement('bad')|barrier().period(1u)|where(lambda: \"v\" > 0)",
    );
    beside(&mut world, |at| format!("bad v=1i {at}"));
    world
        .wait("its own points get through", |world| world.master.cells("bad")[0].processed() == 30);
    assert!(world.stop("bad"));
}

#[test]
fn what_a_queue_drops_is_counted_by_each_policy() {
    for (overflow, survivors) in [
        (Overflow::DropNewest, vec!["1", "2"]),
        (Overflow::DropOldest, vec!["4", "5"]),
        (Overflow::Block(Duration::from_millis(20)), vec!["1", "2"]),
    ] {
        let mut world = World::start();
        world.hang_for(Duration::from_millis(400));
        let script = format!(
            "stream|from()|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
        );
        let options = TaskOptions { overflow, queue_points: 2, ..TaskOptions::default() };
        world.run_with("task", &script, options);
        world.write("m,n=hang v=1 0");
        world.wait("it hangs", |world| world.hanging() == 1);
        for n in 1..=5 {
            world.write(&format!("m,n={n} v=1 {n}"));
        }
        let status = world.master.status("task").unwrap();
        assert_eq!((status.queued, status.dropped), (2, 3), "{overflow:?}");
        world.settle();
        assert_eq!(world.ids()[1..], survivors, "{overflow:?}");
    }
}

#[test]
fn a_failed_task_starts_again_after_waits_that_double() {
    let (mut world, clock) = World::virtual_from(1_000);
    let script = format!(
        "stream|from().measurement('bad')|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    let restart =
        Restart::OnFailure { first: Duration::from_secs(1), longest: Duration::from_secs(3) };
    world.run_with("bad", &script, TaskOptions { restart, ..TaskOptions::default() });
    for (failures, wait) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        world.write("bad,n=panic v=1 0");
        world.wait("it fails", |world| world.master.status("bad").unwrap().failures == failures);
        clock.advance(Duration::from_millis(wait * 1_000 - 1));
        world.master.restart_due();
        assert!(!world.master.status("bad").unwrap().is_executing, "not before {wait} s");
        clock.advance(Duration::from_millis(1));
        world.master.restart_due();
        assert!(world.master.status("bad").unwrap().is_executing, "after {wait} s");
    }
    world.write("bad,n=fine v=1 0");
    world.settle();
    assert_eq!(world.ids(), ["fine"]);
}

#[test]
fn a_task_that_was_stopped_while_it_waited_does_not_start_again() {
    let (mut world, clock) = World::virtual_from(1_000);
    let script = format!(
        "stream|from()|alert().id('panic').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    let restart =
        Restart::OnFailure { first: Duration::from_secs(1), longest: Duration::from_secs(3) };
    world.run_with("bad", &script, TaskOptions { restart, ..TaskOptions::default() });
    world.write("m v=1 0");
    world.wait("it fails", |world| !world.master.status("bad").unwrap().is_executing);
    assert!(world.stop("bad"));
    clock.advance(Duration::from_secs(10));
    world.master.restart_due();
    assert_eq!(world.master.status("bad"), None);
}

#[test]
fn stopping_works_on_what_is_queued() {
    let mut world = World::start();
    world.hang_for(Duration::from_millis(100));
    let script = format!(
        "stream|from()|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    world.run("task", &script);
    world.write("m,n=hang v=1 0");
    let lines: Vec<String> = (0..5_000).map(|n| format!("m,n={n} v=1 {n}")).collect();
    assert_eq!(world.write(&lines.join("\n")).delivered, 5_000);
    assert!(world.stop("task"));
    world.wait("all are heard", |world| world.heard().len() == 5_001);
    assert_eq!(world.write("m,n=late v=1 0").unwanted, 1);
    assert!(!world.stop("task"), "it is gone");
}

#[test]
fn state_is_kept_over_stop_and_start() {
    let mut world = World::start();
    let script = format!(
        "stream|from().groupBy('h')|stateCount(lambda: \"v\" > 5)|alert().message('{{{{ .Group }}}} {{{{ index .Fields \"state_count\" }}}}').crit(lambda: \"state_count\" >= 3).topic('{TOPIC}')"
    );
    world.run("task", &script);
    world.write("m,h=a v=9 1\nm,h=a v=9 2\nm,h=b v=9 2");
    assert!(world.stop("task"));
    world.run("task", &script);
    world.write("m,h=a v=9 3\nm,h=b v=9 3\nm,h=b v=9 4");
    world.settle();
    assert_eq!(world.ids(), ["h=a 3", "h=b 3"]);
}

#[test]
fn an_edit_keeps_the_state_of_the_nodes_that_are_the_same() {
    let mut world = World::start();
    let script = |threshold: &str, level: &str| {
        format!(
            "stream|from().groupBy('h')|where(lambda: \"v\" > {threshold})|stateCount(lambda: \"v\" > 5)|alert().message('{{{{ .Group }}}} {{{{ index .Fields \"state_count\" }}}}'){level}.crit(lambda: \"state_count\" >= 4).topic('{TOPIC}')"
        )
    };
    world.run("task", &script("1", ""));
    world.write("m,h=a v=9 1\nm,h=a v=9 2");
    assert!(world.stop("task"));
    // Another threshold before it, and another level behind it: the count goes on.
    world.run("task", &script("2", ".warn(lambda: \"state_count\" >= 3)"));
    world.write("m,h=a v=9 3\nm,h=a v=9 4");
    world.settle();
    let heard: Vec<(String, &str)> =
        world.heard().into_iter().map(|heard| (heard.id, heard.level.as_str())).collect();
    assert_eq!(heard, [("h=a 3".to_owned(), "WARNING"), ("h=a 4".to_owned(), "CRITICAL")]);
    assert!(world.stop("task"));
    // Other groups: it begins anew.
    world.run("task", &script("1", "").replace("'h'", "'h', 'i'"));
    world.write("m,h=a v=9 5");
    world.settle();
    assert_eq!(world.heard().len(), 2);
}

#[test]
fn what_is_held_back_comes_out_once_over_a_restart() {
    for keeps_state in [true, false] {
        let mut world = World::start();
        let script = format!(
            "var a = stream|from().measurement('a')\nvar b = stream|from().measurement('b')\na|join(b).as('a','b').fill('null')|alert().message('{{{{ .Time.Unix }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
        );
        let options = TaskOptions { keeps_state, ..TaskOptions::default() };
        world.run_with("task", &script, options.clone());
        world.write("a v=1 1\na v=1 2");
        assert!(world.stop("task"));
        world.run_with("task", &script, options);
        world.write("a v=1 3\nb v=1 3\na v=1 4\nb v=1 4");
        assert!(world.stop("task"));
        world.settle();
        let heard = counts(world.ids());
        assert!(heard.values().all(|count| *count == 1), "{keeps_state}: {heard:?}");
        assert!(heard.contains_key("1"), "{keeps_state}: {heard:?}");
    }
}

#[test]
fn a_restarted_task_does_not_repeat_an_alert() {
    for keeps_state in [true, false] {
        let mut world = World::start();
        let script = format!(
            "stream|from().groupBy('h')|alert().id('{{{{ .Group }}}}').message('{{{{ .ID }}}}').crit(lambda: \"v\" > 5).stateChangesOnly().topic('{TOPIC}')"
        );
        let options = TaskOptions { keeps_state, ..TaskOptions::default() };
        world.run_with("task", &script, options.clone());
        world.write("m,h=a v=9 1\nm,h=b v=1 1");
        assert!(world.stop("task"));
        world.run_with("task", &script, options);
        world.write("m,h=a v=9 2\nm,h=b v=9 2\nm,h=a v=1 3");
        world.settle();
        let heard: Vec<(String, i64)> = world
            .heard()
            .into_iter()
            .map(|heard| (heard.id, heard.time.0 / 1_000_000_000))
            .collect();
        let wanted = [("h=a", 1), ("h=b", 2), ("h=a", 3)].map(|(id, time)| (id.to_owned(), time));
        assert_eq!(heard, wanted, "keeps state: {keeps_state}");
    }
}

#[test]
fn a_ticking_node_ticks_once_per_interval_over_a_restart() {
    let (world, clock) = World::virtual_from(1_000);
    let script = format!(
        "stream|stats(10s)|alert().message('{{{{ .Time.Unix }}}}').crit(lambda: TRUE).topic('{TOPIC}')\nstream|from()|log()"
    );
    world.run("task", &script);
    clock.advance(Duration::from_secs(10));
    world.wait("the first tick", |world| world.heard().len() == 1);
    assert!(world.stop("task"));
    world.run("task", &script);
    clock.advance(Duration::from_secs(10));
    world.wait("the second tick", |world| world.heard().len() >= 2);
    clock.advance(Duration::from_secs(10));
    world.wait("the third tick", |world| world.heard().len() >= 3);
    world.settle();
    assert_eq!(world.ids(), ["1010", "1020", "1030"], "{:?}", world.heard());
}

/// U-50: a failure of an old run does not end the new one.
#[test]
fn a_failure_of_an_earlier_run_is_not_one_of_the_next() {
    let mut world = World::start();
    world.hang_for(Duration::from_millis(300));
    let script = format!(
        "stream|from()|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    world.run("task", &script);
    world.write("m,n=hang v=1 0\nm,n=panic v=1 1");
    world.wait("it hangs", |world| world.hanging() == 1);
    // The node is still at work when the task is stopped and started again.
    assert!(world.master.stop("task", Duration::from_millis(10)));
    world.run("task", &script);
    world.wait("the old one fails", |world| world.hanging() == 0);
    std::thread::sleep(Duration::from_millis(50));
    let status = world.master.status("task").unwrap();
    assert!(status.is_executing && status.failures == 0, "{status:?}");
    world.write("m,n=fine v=1 2");
    world.settle();
    assert!(world.ids().contains(&"fine".to_owned()), "{:?}", world.ids());
}

#[test]
fn a_stopped_task_is_given_up_by_everybody() {
    let mut world = World::start();
    for id in 0..3 {
        world.run(&format!("task{id}"), &teller("m"));
    }
    world.write("m,n=1 v=1 1");
    world.settle();
    let cells: Vec<_> = (0..3)
        .map(|id| std::sync::Arc::downgrade(&world.master.cells(&format!("task{id}"))[0]))
        .collect();
    for id in 0..3 {
        assert!(world.stop(&format!("task{id}")));
    }
    world.wait("nobody holds the tasks", |_| cells.iter().all(|cell| cell.upgrade().is_none()));
}

#[test]
fn shards_share_the_work_and_their_state_is_theirs() {
    let mut world = World::start();
    let script = format!(
        "stream|from().groupBy('h')|stateCount(lambda: \"v\" > 5)|alert().message('{{{{ .Group }}}} {{{{ index .Fields \"state_count\" }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    let options = |shards| TaskOptions { shards, ..TaskOptions::default() };
    let lines: Vec<String> = (0..40).map(|h| format!("m,h={h} v=9 1")).collect();
    world.run_with("task", &script, options(3));
    world.write(&lines.join("\n"));
    world.settle();
    let status = world.master.status("task").unwrap();
    assert_eq!((status.shards, status.processed), (3, 40), "each point is counted once");
    assert!(world.master.cells("task").iter().all(|cell| cell.processed() > 0));
    assert!(world.stop("task"));
    world.run_with("task", &script, options(3));
    world.write(&lines.join("\n"));
    assert!(world.stop("task"));
    world.settle();
    let heard = counts(world.ids());
    for h in 0..40 {
        assert_eq!((heard[&format!("h={h} 1")], heard[&format!("h={h} 2")]), (1, 1));
    }
    // Another number of shards: groups have moved, so counting begins anew rather than going on for some.
    world.run_with("task", &script, options(2));
    world.write(&lines.join("\n"));
    assert!(world.stop("task"));
    world.settle();
    assert!((0..40).all(|h| counts(world.ids())[&format!("h={h} 1")] == 2));
}

#[test]
fn hundreds_of_tasks_start_and_stop_under_load() {
    const TASKS: usize = 200;
    let mut world = World::start();
    let definition = defined(&teller("m"));
    let began = world.real();
    let points = world.points("m,n=1 v=1 1\nm,n=2 v=1 2\nother,n=1 v=1 1");
    let master = world.master.clone();
    let (dbrps, stop) =
        (vec![("db".into(), "rp".into())], std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..2 {
            let mut ingest = master.routes().ingest();
            let (points, is_over) = (points.clone(), is_over);
            scope.spawn(move || {
                while !is_over() {
                    ingest.write(points.clone());
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let own = master.clone();
        scope.spawn(move || {
            while !is_over() {
                own.save();
                own.restart_due();
                for id in own.ids() {
                    own.status(&id);
                }
            }
        });
        let starters: Vec<_> = (0..4)
            .map(|thread| {
                let (own, definition, dbrps) = (master.clone(), definition.clone(), dbrps.clone());
                scope.spawn(move || {
                    for at in 0..TASKS / 4 {
                        let id = format!("task{thread}.{}", at % 20);
                        let options = TaskOptions {
                            dbrps: dbrps.clone(),
                            overflow: Overflow::DropOldest,
                            queue_points: 1_000,
                            ..TaskOptions::default()
                        };
                        own.start(&id, definition.clone(), options).unwrap();
                        if at % 20 >= 10 || at >= 20 {
                            assert!(own.stop(&id, Duration::from_secs(5)));
                        } else {
                            own.stop(&id, Duration::ZERO);
                        }
                    }
                })
            })
            .collect();
        for starter in starters {
            starter.join().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(world.master.ids().is_empty());
    assert!(world.real() - began < Duration::from_secs(20), "{:?}", world.real() - began);
    world.run("last", &teller("last"));
    world.write("last,n=77 v=1 1");
    world.wait("the engine is alive", |world| world.ids().contains(&"77".to_owned()));
    assert_eq!(world.heard().last().unwrap().time, Timestamp(1_000_000_000));
}

/// Two tasks that hand a point to each other: a circle that no single script shows.
#[test]
fn a_point_that_goes_round_in_circles_is_dropped_after_some_rounds() {
    let mut world = World::start();
    let loop_to = |database: &str| {
        format!(
            "stream|from().measurement('bad')|kapacitorLoopback().database('{database}').retentionPolicy('rp')"
        )
    };
    let there = |database: &str| TaskOptions {
        dbrps: vec![(database.into(), "rp".into())],
        // A task must not wait for room that only it can make.
        overflow: Overflow::Block(Duration::from_secs(60)),
        queue_points: 2,
        ..TaskOptions::default()
    };
    world.master.start("there", defined(&loop_to("other")), there("db")).unwrap();
    world.master.start("back", defined(&loop_to("db")), there("other")).unwrap();
    beside(&mut world, |at| format!("bad v=1 {at}"));
    world.settle();
    let processed = |id: &str| {
        world.master.status(id).unwrap().processed + world.master.status(id).unwrap().dropped
    };
    let rounds = processed("there") + processed("back");
    // Each point is seen once, and once more for each time it comes back.
    assert!(rounds <= 30 * (1 + u64::from(levada_task::engine::effects::HOPS_MAX)), "{rounds}");
    let back = world.master.status("back").unwrap();
    assert!(back.is_executing && back.processed > 0, "{back:?}");
}

/// A task that would read what it writes is refused.
#[test]
fn a_task_does_not_loop_back_to_itself() {
    let world = World::start();
    let script = "stream|from()|kapacitorLoopback().database('db').retentionPolicy('rp')";
    let options = TaskOptions { dbrps: vec![("db".into(), "rp".into())], ..TaskOptions::default() };
    let error = world.master.start("task", defined(script), options).unwrap_err();
    assert_eq!(error.to_string(), "loop detected on dbrp: \"db\".\"rp\"");
}

/// A loop within one task, which goes through another: exact hops.
#[test]
fn the_bound_of_rounds_is_exact() {
    let mut world = World::start();
    let to = |database: &str| {
        format!("stream|from()|kapacitorLoopback().database('{database}').retentionPolicy('rp')")
    };
    let on = |database: &str| TaskOptions {
        dbrps: vec![(database.into(), "rp".into())],
        ..TaskOptions::default()
    };
    world.master.start("there", defined(&to("other")), on("db")).unwrap();
    world.master.start("back", defined(&to("db")), on("other")).unwrap();
    world.write("m v=1 1");
    world.settle();
    let status = |id: &str| world.master.status(id).unwrap();
    let hops = u64::from(levada_task::engine::effects::HOPS_MAX);
    assert_eq!(status("there").processed + status("back").processed, 1 + hops);
    let errors = |id: &str| status(id).nodes["kapacitor_loopback2"]["errors"].as_u64().unwrap();
    assert_eq!(errors("there") + errors("back"), 1, "the last one is reported");
}

#[test]
fn all_shards_of_a_task_end_with_the_first_that_fails() {
    let (mut world, clock) = World::virtual_from(1_000);
    let script = format!(
        "stream|from().groupBy('n')|barrier().period(1s)|window().period(1s).every(1s)|count('v')|alert().id('{{{{ index .Tags \"n\" }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    world.run_with("task", &script, TaskOptions { shards: 3, ..TaskOptions::default() });
    let lines: Vec<String> = (0..20).map(|n| format!("m,n={n} v=1 1000\n")).collect();
    world.write(&lines.concat());
    world.settle();
    clock.advance(Duration::from_secs(1));
    world.wait("each group ticks", |world| world.heard().len() >= 20);
    world.write("m,n=panic v=1 1000");
    world.settle();
    clock.advance(Duration::from_secs(1));
    world.wait("it fails", |world| !world.master.status("task").unwrap().is_executing);
    world.settle();
    let heard = world.heard().len();
    clock.advance(Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(150));
    world.settle();
    assert_eq!(world.heard().len(), heard, "no shard ticks any more");
    assert_eq!(world.master.status("task").unwrap().failures, 1);
}

#[test]
fn an_edit_of_levels_keeps_what_an_alert_knows() {
    let levels = |more: &str| {
        format!(
            "stream|from().groupBy('h')|alert().id('{{{{ .Group }}}}').message('{{{{ .ID }}}}'){more}.crit(lambda: count() > 2 AND \"v\" > 5).stateChangesOnly().topic('{TOPIC}')"
        )
    };
    for (before, after) in [("", ".warn(lambda: \"v\" > 7)"), (".warn(lambda: \"v\" > 7)", "")] {
        let mut world = World::start();
        world.run("task", &levels(before));
        // Counted twice: the third time is the first that is enough.
        world.write("m,h=a v=1 1\nm,h=a v=1 2");
        assert!(world.stop("task"));
        world.run("task", &levels(after));
        world.write("m,h=a v=6 3");
        world.settle();
        assert_eq!(world.ids(), ["h=a"], "from {before:?} to {after:?}");
    }
}

#[test]
fn a_task_starts_again_only_when_its_end_is_over() {
    let mut world = World::start();
    world.hang_for(Duration::from_millis(300));
    let script = format!(
        "stream|from()|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    );
    world.run("task", &script);
    world.write("m,n=hang v=1 0");
    world.wait("it hangs", |world| world.hanging() == 1);
    let master = world.master.clone();
    let stopping = std::thread::spawn(move || master.stop("task", Duration::from_secs(5)));
    world.wait("its end is under way", |world| world.master.status("task").is_none());
    let options =
        || TaskOptions { dbrps: vec![("db".into(), "rp".into())], ..TaskOptions::default() };
    let error = world.master.start("task", defined(&script), options()).unwrap_err();
    assert_eq!(error.to_string(), "task task is already running");
    assert!(stopping.join().unwrap());
    world.master.start("task", defined(&script), options()).unwrap();
}
