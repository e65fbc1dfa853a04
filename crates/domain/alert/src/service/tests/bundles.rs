//! States, entries and lines of the history in documents of many: what is loaded is what was stored.

use std::collections::{BTreeMap, BTreeSet};

use levada_model::{FieldValue, Point, Str};

use super::*;
use crate::event::tests::{batch, point};
use crate::event::{Event, EventData};
use crate::topics::{
    Change, EventState, OutboxEntry, StoredEntry, StoredState, TopicStore as _, Transition,
};

const TOPICS: [&str; 2] = ["main:t:alert2", "a \"topic\""];

/// What a store does with changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It fails.
    Undone,
    /// It says that it fails.
    Done,
}

/// A store, and what it has to hold.
struct Model {
    documents: Arc<Flaky>,
    store: DocumentTopicStore,
    states: BTreeMap<(Str, Str), String>,
    entries: BTreeMap<(Str, u64), String>,
    /// What was done though the store said that it failed; it is asked for again.
    again: Vec<Change>,
    next: u64,
    random: u64,
}

impl Model {
    async fn new() -> Self {
        let documents = Arc::<Flaky>::default();
        Model {
            store: store(&documents).await,
            documents,
            states: BTreeMap::new(),
            entries: BTreeMap::new(),
            again: Vec::new(),
            next: 0,
            random: 7,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// Makes changes of different things, as a flush does; the model takes them when they are stored.
    async fn change(&mut self, count: u64, fault: Fault) {
        let (mut changes, mut touched) = (Vec::new(), BTreeSet::new());
        let (mut states, mut entries) = (self.states.clone(), self.entries.clone());
        if self.random(40) == 0 {
            let topic = Str::from(TOPICS[0]);
            states.retain(|(known, _), _| *known != topic);
            changes.push(Change::RemoveTopic { topic });
        }
        for _ in 0..count {
            let topic = Str::from(TOPICS[self.random(2) as usize]);
            let id = Str::from(format!("id{}", self.random(600)));
            match self.random(4) {
                0 if touched.insert((topic.clone(), id.clone())) => {
                    states.remove(&(topic.clone(), id.clone()));
                    changes.push(Change::Remove { topic, id });
                }
                1 if touched.insert((topic.clone(), id.clone())) => {
                    let message = format!("{id} \"{}\"", self.random(1_000_000));
                    states.insert((topic.clone(), id.clone()), message.clone());
                    let mut event = event(&id, Level::Critical);
                    event.message = message.into();
                    let state = EventState::of(&event);
                    changes.push(Change::Save(StoredState { topic, id, state }));
                }
                2 => {
                    self.next += 1 + self.random(2);
                    let number = self.next;
                    let mut event = event(&id, Level::Warning);
                    event.message = format!("message {number}").into();
                    entries.insert((topic.clone(), number), event.message.to_string());
                    let (event, at) = (Arc::new(event), Timestamp(5));
                    let entry = OutboxEntry { number, event, at, is_quiet_before: true };
                    changes.push(Change::Enqueue(StoredEntry {
                        topic,
                        handler: "h".into(),
                        entry,
                    }));
                }
                _ => {
                    let waiting = self.entries.keys().filter(|name| entries.contains_key(*name));
                    let waiting: Vec<_> = waiting.cloned().collect();
                    if waiting.is_empty() {
                        continue;
                    }
                    let at = self.random(waiting.len() as u64) as usize;
                    let (topic, number) = waiting[at].clone();
                    entries.remove(&(topic.clone(), number));
                    changes.push(Change::Dequeue { topic, handler: "h".into(), number });
                }
            }
        }
        let mut again = std::mem::take(&mut self.again);
        again.retain(|old| !changes.iter().any(|new| is_superseded(old, new)));
        changes.splice(0..0, again);
        self.documents.fails.store(fault != Fault::None, Ordering::Relaxed);
        self.documents.does.store(fault == Fault::Done, Ordering::Relaxed);
        let outcome = self.store.apply(&changes).await;
        self.documents.fails.store(false, Ordering::Relaxed);
        assert!(outcome.is_ok() || fault != Fault::None, "{outcome:?}");
        if fault != Fault::Undone {
            (self.states, self.entries) = (states, entries);
        }
        if fault == Fault::Done {
            self.again = changes;
        }
    }

    /// Begins anew with what is stored, which must be what the model knows.
    async fn restart(&mut self) {
        self.store = store(&self.documents).await;
        self.again.clear();
        let states = self.store.load().await.unwrap().into_iter();
        let states = states.map(|StoredState { topic, id, state }| {
            assert_eq!(state.level, Level::Critical);
            ((topic, id), state.message.to_string())
        });
        let loaded: Vec<_> = states.collect();
        assert_eq!(loaded.len(), self.states.len(), "a state is there twice, or not at all");
        assert_eq!(BTreeMap::from_iter(loaded), self.states);
        let entries = self.store.load_outboxes().await.unwrap();
        let in_order = |one: &StoredEntry, next: &StoredEntry| {
            one.topic != next.topic || one.entry.number < next.entry.number
        };
        assert!(entries.is_sorted_by(in_order));
        let entries = entries.into_iter().map(|StoredEntry { topic, entry, .. }| {
            assert!(entry.is_quiet_before && entry.at == Timestamp(5));
            ((topic, entry.number), entry.event.message.to_string())
        });
        let loaded: Vec<_> = entries.collect();
        assert_eq!(loaded.len(), self.entries.len(), "an entry is there twice, or not at all");
        assert_eq!(BTreeMap::from_iter(loaded), self.entries);
    }

    async fn bytes(&self) -> usize {
        let mut bytes = 0;
        for space in self.documents.spaces("").await.unwrap() {
            let documents = self.documents.list(&space, Range::default()).await.unwrap();
            bytes += documents.iter().map(|document| document.value.len()).sum::<usize>();
        }
        bytes
    }
}

/// Says whether nobody asks for a change again because of a newer one.
fn is_superseded(old: &Change, new: &Change) -> bool {
    match (old, new) {
        (Change::Save(old), Change::Save(new)) => (&old.topic, &old.id) == (&new.topic, &new.id),
        (
            Change::Save(StoredState { topic, id, .. }),
            Change::Remove { topic: in_topic, id: gone },
        )
        | (
            Change::Remove { topic, id },
            Change::Save(StoredState { topic: in_topic, id: gone, .. }),
        ) => (topic, id) == (in_topic, gone),
        (
            Change::Save(StoredState { topic, .. }) | Change::Remove { topic, .. },
            Change::RemoveTopic { topic: gone },
        ) => topic == gone,
        (Change::Enqueue(old), Change::Dequeue { topic, number, .. }) => {
            (&old.topic, old.entry.number) == (topic, *number)
        }
        _ => false,
    }
}

async fn store(documents: &Arc<Flaky>) -> DocumentTopicStore {
    let history = History::open(documents.clone(), HistorySettings::default()).await.unwrap();
    DocumentTopicStore::new(documents.clone(), Arc::new(history))
}

#[tokio::test]
async fn what_is_loaded_is_what_was_stored() {
    let mut most = (0, 0);
    for seed in 0..4 {
        let mut model = Model::new().await;
        model.random = seed;
        for round in 0..120 {
            let count = [1, 3, 40, 700][model.random(4) as usize];
            let fault = match model.random(7) {
                0 if model.again.is_empty() => Fault::Undone,
                1 | 2 => Fault::Done,
                _ => Fault::None,
            };
            model.change(count, fault).await;
            if round % 5 == 4 {
                model.restart().await;
            }
            most = (most.0.max(model.states.len()), most.1.max(model.entries.len()));
        }
    }
    assert!(most.0 > 300 && most.1 > 150, "it is not put to the test: {most:?}");
}

#[tokio::test]
async fn what_is_gone_leaves_nothing_and_what_stays_keeps_no_others() {
    let mut model = Model::new().await;
    let topic = Str::from(TOPICS[1]);
    let (mut saved, mut queued) = (Vec::new(), Vec::new());
    for number in 0..1_000 {
        let event = event(&format!("id{number}"), Level::Critical);
        let (id, state) = (event.id.clone(), EventState::of(&event));
        saved.push(Change::Save(StoredState { topic: topic.clone(), id, state }));
        let (event, at) = (Arc::new(event), Timestamp(5));
        let entry = OutboxEntry { number, event, at, is_quiet_before: true };
        let entry = StoredEntry { topic: topic.clone(), handler: "h".into(), entry };
        queued.push(Change::Enqueue(entry));
    }
    model.store.apply(&saved).await.unwrap();
    model.store.apply(&queued).await.unwrap();
    let full = model.bytes().await;
    // One of each hundred stays, in whatever order the others go.
    let mut order: Vec<u64> = (0..1_000).filter(|number| number % 100 != 50).collect();
    for at in (1..order.len()).rev() {
        let other = model.random(at as u64 + 1) as usize;
        order.swap(at, other);
    }
    let removed = |number: &u64| {
        let id = format!("id{number}").into();
        let number = *number;
        let dequeue = Change::Dequeue { topic: topic.clone(), handler: "h".into(), number };
        [Change::Remove { topic: topic.clone(), id }, dequeue]
    };
    for some in order.chunks(9) {
        let changes: Vec<Change> = some.iter().flat_map(removed).collect();
        model.store.apply(&changes).await.unwrap();
    }
    let left = model.bytes().await;
    assert!(left < full / 20, "{left} of {full} bytes for one of a hundred");
    model.store = store(&model.documents).await;
    assert_eq!(model.store.load().await.unwrap().len(), 10);
    assert_eq!(model.store.load_outboxes().await.unwrap().len(), 10);
    for number in (0..10).map(|place| place * 100 + 50) {
        model.store.apply(&removed(&number)).await.unwrap();
    }
    assert_eq!(model.bytes().await, 0);
}

#[tokio::test]
async fn documents_as_earlier_versions_stored_them_are_read() {
    let documents = Arc::<Flaky>::default();
    let state = r#"{"topic":"t","id":"~~~x-gone","message":"m","details":"d","time":1,"duration":2,"level":"CRITICAL"}"#;
    let entry = r#"{"topic":"t","handler":"h","number":7,"at":5,"quiet":true,"event":{"id":"a","message":"m","details":"","time":1,"duration":0,"level":"CRITICAL","previous":"OK","recoverable":true,"task":"t","category":"","group":"nil","data":"none","hops":0}}"#;
    let other = |number: u64| {
        let (_, members) = entry.split_once(r#""number":7,"#).unwrap();
        format!(r#"{{"number":{number},{members}"#)
    };
    let bundle = format!(r#"{{"topic":"t","handler":"h","items":[{},{}]}}"#, other(8), other(9));
    let line = r#"{"at":9,"topic":"t","id":"a","task":"t","level":"CRITICAL","previous":"OK","message":"m","time":1,"duration":0}"#;
    let key = "18446744073709551606-99999999-x";
    let writes = vec![
        Write::put("topic-states/t", "~~~x-gone", state),
        Write::put("outbox/t/h", "00000000000000000007", entry),
        Write::put("outbox/t/h", "~~~00000000000000000003", bundle),
        Write::put("alert-history/1970-01-01", key, line),
    ];
    documents.apply(writes).await.unwrap();
    let store = store(&documents).await;
    let states = store.load().await.unwrap();
    assert_eq!((states.len(), &*states[0].id), (1, "~~~x-gone"));
    let entries = store.load_outboxes().await.unwrap();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.entry.number).collect();
    assert_eq!(numbers, [7, 8, 9]);
    let topic = Str::from("t");
    let dequeue = |number| Change::Dequeue { topic: Str::from("t"), handler: "h".into(), number };
    store.apply(&[dequeue(8)]).await.unwrap();
    let changes = [Change::Remove { topic, id: "~~~x-gone".into() }, dequeue(7), dequeue(9)];
    store.apply(&changes).await.unwrap();
    assert_eq!(documents.spaces("").await.unwrap(), ["alert-history/1970-01-01"]);
    let history = History::open(documents.clone(), HistorySettings::default()).await.unwrap();
    assert_eq!(history.page(&HistoryFilter::default()).await.unwrap().lines.len(), 1);
}

#[tokio::test]
async fn of_a_bundle_of_an_earlier_version_some_are_gone() {
    let documents = Arc::<Flaky>::default();
    let item = |number: u64| {
        format!(
            r#"{{"number":{number},"at":5,"quiet":false,"event":{{"id":"a","message":"m","details":"","time":1,"duration":0,"level":"CRITICAL","previous":"OK","recoverable":true,"task":"t","category":"","group":"nil","data":"none","hops":0}}}}"#
        )
    };
    let items: Vec<String> = (1..=16).map(item).collect();
    let bundle = format!(r#"{{"topic":"t","handler":"h","items":[{}]}}"#, items.join(","));
    let writes = vec![
        Write::put("outbox/t/h", "~~~00000000000000000003", bundle),
        Write::put("outbox/t/h", "~~~00000000000000000003-gone", "[0,2]"),
    ];
    documents.apply(writes).await.unwrap();
    let mut left: Vec<u64> = (1..=16).filter(|number| ![1, 3].contains(number)).collect();
    while !left.is_empty() {
        let store = store(&documents).await;
        let loaded = store.load_outboxes().await.unwrap();
        let numbers: Vec<u64> = loaded.iter().map(|entry| entry.entry.number).collect();
        assert_eq!(numbers, left);
        let number = left.remove(left.len() / 2);
        let dequeue = Change::Dequeue { topic: "t".into(), handler: "h".into(), number };
        store.apply(&[dequeue]).await.unwrap();
    }
    assert_eq!(documents.spaces("").await.unwrap(), Vec::<String>::new());
}

fn enqueue(number: u64, event: Event) -> Change {
    let (event, at) = (Arc::new(event), Timestamp(5));
    let entry = OutboxEntry { number, event, at, is_quiet_before: true };
    Change::Enqueue(StoredEntry { topic: "t".into(), handler: "h".into(), entry })
}

#[tokio::test]
async fn what_cannot_be_read_is_not_written_over() {
    const FIRST: &str = "~~~00000000000000000000";
    for is_alone in [true, false] {
        let documents = Arc::<Flaky>::default();
        let before = store(&documents).await;
        before.apply(&[enqueue(1, event("a", Level::Critical))]).await.unwrap();
        let mut damaged = documents.get("outbox/t/h", FIRST).await.unwrap().unwrap().value.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        documents.apply(vec![Write::put("outbox/t/h", FIRST, damaged.clone())]).await.unwrap();
        if !is_alone {
            before.apply(&[enqueue(2, event("a", Level::Critical))]).await.unwrap();
        }
        let after = store(&documents).await;
        assert_eq!(after.load_outboxes().await.unwrap().len(), usize::from(!is_alone));
        // Until nothing else is left, and once more.
        for number in [2, 3, 4] {
            after.apply(&[enqueue(number, event("a", Level::Critical))]).await.unwrap();
            let dequeue = Change::Dequeue { topic: "t".into(), handler: "h".into(), number };
            after.apply(&[dequeue]).await.unwrap();
            let kept = documents.get("outbox/t/h", FIRST).await.unwrap().unwrap();
            assert_eq!(kept.value.to_vec(), damaged, "{is_alone} {number}");
        }
    }
}

/// What is stored stays readable: with another order of members or variants this fails, and the layout needs another number.
#[tokio::test]
async fn the_layout_is_what_it_was() {
    let fields = [
        ("b", FieldValue::Bool(true)),
        ("d", FieldValue::Duration(5)),
        ("f", FieldValue::Float(0.5)),
        ("i", FieldValue::Int(-2)),
        ("n", FieldValue::Null),
        ("s", FieldValue::Str("x".into())),
        ("u", FieldValue::UInt(7)),
        ("x", FieldValue::Bytes(b"\xff".as_slice().into())),
    ];
    let one = point("m", &[("host", "a")], &fields, 7);
    let next = Point { time: Timestamp(8), ..one.clone() };
    let grouped = batch("m", &[("host", "a")], 9, vec![one.clone(), next]);
    let mut waiting = event("id", Level::Critical);
    (waiting.previous_level, waiting.hops, waiting.duration) = (Level::Warning, 3, 17);
    (waiting.task, waiting.category, waiting.group) = ("task".into(), "cat".into(), "group".into());
    waiting.details = "details".into();
    let data =
        [EventData::None, EventData::Point(Arc::new(one)), EventData::Batch(Arc::new(grouped), 1)];
    waiting.data = EventData::Many(data.into());
    let (id, state) = (waiting.id.clone(), EventState::of(&waiting));
    let save = Change::Save(StoredState { topic: "t".into(), id, state });
    let documents = Arc::<Flaky>::default();
    store(&documents).await.apply(&[save, enqueue(300, waiting.clone())]).await.unwrap();
    for (space, expected) in [("topic-states/t", STATE), ("outbox/t/h", ENTRY)] {
        let key = "~~~00000000000000000000";
        let stored = documents.get(space, key).await.unwrap().unwrap();
        let hex: String = stored.value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{space}");
    }
    let loaded = store(&documents).await.load_outboxes().await.unwrap();
    let read = &loaded[0].entry.event;
    assert_eq!(read.to_json(), waiting.to_json());
    assert_eq!(
        (&read.task, &read.category, &read.group),
        (&waiting.task, &waiting.category, &waiting.group)
    );
}

const STATE: &str = "014afa7f45020000000174210000000269640e696420697320435249544943414c0764657461696c7380a8d6b9072203";
const ENTRY: &str = "012bed1e4e040000000174016801010000ac020a010269640e696420697320435249544943414c010764657461696c730080a8d6b90722\
    030201047461736b036361740567726f7570030300010100010001016d010104686f737401610108016203010164060a01660000000000\
    0000e03f01690103016e07017304017801750207017805042f773d3d008098dc933402016d000104686f737401016106686f73743d6180\
    e8888743020100010001016d010104686f737401610108016203010164060a016600000000000000e03f01690103016e07017304017801\
    750207017805042f773d3d008098dc9334000000000001080301060a00000000000000e03f010307040178020705042f773d3d100103";

#[tokio::test]
async fn lines_that_are_stored_together_are_paged_as_if_they_were_not() {
    let documents = Arc::<Flaky>::default();
    let store = store(&documents).await;
    let mut number = 0;
    for together in [1, 250, 3, 100, 1, 1, 99] {
        let lines = (0..together).map(|_| {
            number += 1;
            Change::Record(Arc::new(Transition {
                // Some at the same time, and over the end of a day.
                at: Timestamp(86_400_000_000_000 - 200 + number / 2),
                topic: "t".into(),
                id: "a".into(),
                task: "t".into(),
                level: Level::Critical,
                previous: Level::Ok,
                message: number.to_string().into(),
                time: Timestamp(0),
                duration: 0,
                silence: None,
                is_stale: false,
            }))
        });
        store.apply(&Vec::from_iter(lines)).await.unwrap();
    }
    let expected: Vec<String> = (1..=number).rev().map(|number| number.to_string()).collect();
    for lines_max in [455, 454, 300, 57, 2] {
        let settings = HistorySettings { lines_max, ..HistorySettings::default() };
        let history = History::open(documents.clone(), settings).await.unwrap();
        history.tidy(Timestamp(86_400_000_000_000)).await.unwrap();
        assert_eq!(history.lines(), lines_max);
        let history = History::open(documents.clone(), settings).await.unwrap();
        assert_eq!(history.lines(), lines_max, "as many are stored");
        for limit in [1, 7, 100, 1_000] {
            let (mut messages, mut after) = (Vec::new(), None);
            loop {
                let filter = HistoryFilter { limit, after, ..HistoryFilter::default() };
                let page = history.page(&filter).await.unwrap();
                assert!(page.lines.len() <= limit);
                messages.extend(page.lines.into_iter().map(|line| line.message));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(messages, expected[..lines_max as usize], "{lines_max} {limit}");
        }
    }
}
