//! Random histories: a store answers and holds what the one in memory does.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const SPACES: [&str; 3] = ["s", "s/é", "t"];
const KEYS: [&str; 4] = ["a", "b", "", "日"];

/// A change, before it is known which version is expected.
#[derive(Clone, Debug)]
struct Plan {
    space: &'static str,
    key: &'static str,
    what: What,
    expect: Expected,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Put(u8),
    Delete,
    Clear,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    Absent,
    Present,
    Current,
    Other,
}

/// Space and key, value and version.
type All = BTreeMap<(String, String), (Bytes, u64)>;

fn plan() -> impl Strategy<Value = Plan> {
    let what = prop_oneof![
        6 => any::<u8>().prop_map(What::Put),
        3 => Just(What::Delete),
        1 => Just(What::Clear),
    ];
    let expect = prop_oneof![
        4 => Just(Expected::Any),
        1 => Just(Expected::Absent),
        1 => Just(Expected::Present),
        2 => Just(Expected::Current),
        1 => Just(Expected::Other),
    ];
    (0..SPACES.len(), 0..KEYS.len(), what, expect).prop_map(|(space, key, what, expect)| Plan {
        space: SPACES[space],
        key: KEYS[key],
        what,
        expect,
    })
}

/// A version that no document has. A small one may be that of a document that the same call makes, in one of two stores
/// whose numbers differ: a call that is refused may use up some.
const NEVER: u64 = 1 << 60;

/// Rounds of calls at the same time, each of some changes.
fn history() -> impl Strategy<Value = Vec<Vec<Vec<Plan>>>> {
    let call = prop::collection::vec(plan(), 1..4);
    let round = prop::collection::vec(call, 1..5);
    prop::collection::vec(round, 1..8)
}

fn write(plan: &Plan, all: &All) -> Write {
    let (space, key) = (plan.space.to_owned(), plan.key.to_owned());
    let version = all.get(&(space.clone(), key.clone())).map_or(NEVER, |(_, version)| *version);
    let expect = match plan.expect {
        Expected::Any => Expect::Any,
        Expected::Absent => Expect::Absent,
        Expected::Present => Expect::Present,
        Expected::Current => Expect::Version(version),
        Expected::Other => Expect::Version(version + 1_000_000),
    };
    match plan.what {
        What::Put(value) => Write::Put { space, key, value: vec![value].into(), expect },
        What::Delete => Write::Delete { space, key, expect },
        What::Clear => Write::Clear { space },
    }
}

async fn everything(documents: &dyn Documents) -> All {
    let mut all = All::new();
    for space in documents.spaces("").await.unwrap() {
        for document in documents.list(&space, Range::default()).await.unwrap() {
            let Document { key, value, version } = document;
            all.insert((space.clone(), key), (value, version));
        }
    }
    all
}

async fn tell(documents: &dyn Documents, history: &[Vec<Vec<Plan>>]) -> Vec<String> {
    documents.apply(SPACES.map(Write::clear).into()).await.unwrap();
    let (mut before, mut told, mut highest) = (All::new(), Vec::new(), 0);
    for round in history {
        let calls = round
            .iter()
            .map(|call| documents.apply(call.iter().map(|plan| write(plan, &before)).collect()));
        for outcome in join_all(calls).await {
            told.push(outcome.map_or_else(|error| error.to_string(), |()| "done".into()));
        }
        let after = everything(documents).await;
        for (name, (value, version)) in &after {
            let is_changed = before.get(name).is_none_or(|(_, old)| old != version);
            assert!(!is_changed || *version > highest, "{version} is not above {highest}");
            told.push(format!("{name:?} {value:?} {is_changed}"));
        }
        highest = after.values().map(|(_, version)| *version).max().unwrap_or(0).max(highest);
        before = after;
    }
    told
}

fn check(place: Option<Place>, cases: u32) {
    let Some(place) = place else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (documents, model) = (runtime.block_on(place.open()), MemoryDocuments::default());
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history(), |history| {
        let (expected, told) = runtime
            .block_on(async { (tell(&model, &history).await, tell(&*documents, &history).await) });
        prop_assert_eq!(told, expected);
        Ok(())
    });
    runtime.block_on(documents.close());
    outcome.unwrap();
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_does_what_memory_does() {
    check(Place::sqlite(""), 64);
}

#[cfg(feature = "postgresql")]
#[test]
fn postgres_does_what_memory_does() {
    check(Place::postgres("postgres_does_what_memory_does"), 32);
}
