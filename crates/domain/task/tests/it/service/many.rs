//! Restarts, lists, thousands of tasks.

use levada_pattern::Glob;
use levada_task::service::ListRange;

use super::*;

fn range(pattern: &str, offset: usize, limit: Option<usize>) -> ListRange {
    ListRange { pattern: Glob::lenient(pattern), offset, limit }
}

#[test]
fn lists_are_sorted_filtered_and_cut() {
    let kept = Kept::new();
    for id in ["b2", "a", "b10", "c", "b1"] {
        kept.create(task(id, SCRIPT)).unwrap();
    }
    let list = |pattern, offset, limit| -> Vec<String> {
        let views = kept.service.list(range(pattern, offset, limit), ViewOptions::default());
        let views = kept.world.block_on(views).unwrap();
        views.into_iter().map(|view| view.record.id).collect()
    };
    assert_eq!(list("", 0, Some(100)), ["a", "b1", "b10", "b2", "c"]);
    assert_eq!(list("b*", 0, None), ["b1", "b10", "b2"]);
    assert_eq!(list("b?", 1, Some(5)), ["b2"]);
    assert_eq!(list("", 3, Some(1)), ["b2"]);
    assert!(list("[", 0, None).is_empty());
    assert!(list("", 9, None).is_empty());
}

#[test]
fn enabled_tasks_start_again_and_one_that_cannot_holds_up_nobody() {
    let kept = Kept::new();
    kept.create(enabled(task("a", &teller("m")))).unwrap();
    let broken = "stream|from().measurement('m')|influxDBOut().cluster('none').database('x')";
    kept.create(enabled(task("b", broken))).unwrap_err();
    kept.create(task("c", SCRIPT)).unwrap();
    kept.create(enabled(task("d", SCRIPT))).unwrap();
    let mut kept = kept.restarted();
    let restored = kept.world.block_on(kept.service.restore()).unwrap();
    assert_eq!((restored.started, restored.failed), (2, 1));
    assert_eq!(kept.service.master().ids(), ["a".into(), "d".into()]);
    assert_eq!(kept.get("b").error, "no cluster none");
    assert_eq!(kept.heard_after("m,n=1 v=1 1"), ["1"]);
    assert!(kept.clock.elapsed_is_zero());
}

trait ElapsedIsZero {
    fn elapsed_is_zero(&self) -> bool;
}

impl ElapsedIsZero for VirtualClock {
    fn elapsed_is_zero(&self) -> bool {
        levada_runtime::Clock::monotonic(self).is_zero()
    }
}

#[test]
fn ten_thousand_tasks_start_soon_and_requests_are_answered_meanwhile() {
    const COUNT: usize = 10_000;
    let kept = Kept::new();
    kept.create(enabled(task("task00000", SCRIPT))).unwrap();
    let value = kept.world.block_on(async {
        use levada_store::Documents as _;
        kept.documents.get("tasks", "task00000").await.unwrap().unwrap().value
    });
    kept.world.block_on(async {
        use levada_store::{Documents as _, Write};
        let writes =
            (1..COUNT).map(|at| Write::put("tasks", format!("task{at:05}"), value.clone()));
        kept.documents.apply(writes.collect()).await.unwrap();
    });
    let mut kept = kept.restarted();
    let before = kept.world.real();
    let slowest = kept.world.block_on(async {
        let restore = kept.service.restore();
        tokio::pin!(restore);
        let mut slowest = Duration::ZERO;
        loop {
            let asked = kept.world.real();
            let view = kept.service.get("task09999", ViewOptions::default());
            tokio::select! {
                restored = &mut restore => {
                    assert_eq!(restored.unwrap().started, COUNT);
                    return slowest;
                }
                view = view => {
                    view.unwrap();
                    slowest = slowest.max(kept.world.real() - asked);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    });
    let took = kept.world.real() - before;
    assert!(slowest < Duration::from_secs(1), "an answer took {slowest:?}");
    assert!(took < Duration::from_secs(120), "the start took {took:?}");
    assert_eq!(kept.world.write("m v=1 1").delivered, COUNT as u64);
    let before = kept.world.real();
    let page = kept.service.list(range("", 0, Some(100)), ViewOptions::default());
    assert_eq!(kept.world.block_on(page).unwrap().len(), 100);
    assert!(kept.world.real() - before < Duration::from_secs(1));
}

#[test]
fn changes_of_one_task_follow_each_other() {
    let kept = Kept::new();
    kept.create(enabled(task("a", SCRIPT))).unwrap();
    kept.world.block_on(async {
        let changes: Vec<_> = (0..50)
            .map(|at| {
                let script = format!("var x = {at} {SCRIPT}");
                let change = TaskChange { script, ..TaskChange::default() };
                let service = kept.service.clone();
                #[expect(clippy::disallowed_methods, reason = "the test has no tasks of its own")]
                tokio::spawn(async move { service.update("a", change, Mode::Apply).await })
            })
            .collect();
        for change in changes {
            change.await.unwrap().unwrap();
        }
    });
    let stored = kept.get("a").script;
    let running = kept.service.master().definition("a").unwrap();
    let running = levada_tick::vars::to_json(&running.vars)["x"]["value"].clone();
    assert!(stored.contains(&format!("var x = {running}\n")), "{stored} but {running}");
}
