//! Tests of the log on a simulated disk.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cursors;
mod damage;
mod formats;
mod full;
mod histories;
mod lanes;
mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use levada_codec::compression::Compression;
use levada_model::{Category, Timestamp};
use levada_runtime::VirtualClock;

use self::sim::Sim;
use super::attributes::Attributes;
use super::engine::{Admission, Engine, Step, lock};
use super::error::OpenError;
use super::files::Files;
use super::intake::Receipt;
use super::lease::Outcome;
use super::log::Place;
use super::record::{Encoding, Record};
use super::settings::{QueueSettings, Sync};
use super::state::{Pick, Taken};

const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn dir() -> PathBuf {
    PathBuf::from("/queue")
}

/// Settings under which little is much.
fn small() -> QueueSettings {
    QueueSettings {
        sync: Sync::Always,
        bytes_max: 256 << 10,
        segment_bytes: 4 << 10,
        reserve_bytes: 8 << 10,
        memory_bytes_max: 0,
        read_ahead_bytes_max: 4 << 10,
        age_max: None,
        ..QueueSettings::default()
    }
}

/// Makes a record that is recognised by its number.
fn record(id: u64, points: u32, body_bytes: usize) -> Record {
    let mut body = id.to_le_bytes().to_vec();
    body.extend((0..body_bytes).map(|at| (id as usize * 31 + at * 7) as u8));
    Record {
        category: Category::ALL[id as usize % Category::ALL.len()],
        points,
        raw_bytes: body.len() as u32 * 3,
        packed_at: START,
        encoding: Encoding::LineProtocol,
        compression: Compression::None,
        attributes: Attributes::new([("X-Pkg-Id", format!("dwpkg_{id}").as_str())]).unwrap(),
        body: Bytes::from(body),
    }
}

fn id_of(record: &Record) -> u64 {
    u64::from_le_bytes(record.body[..8].try_into().unwrap())
}

fn open_on(
    sim: &Sim,
    settings: &QueueSettings,
    clock: &Arc<VirtualClock>,
) -> Result<Engine, OpenError> {
    let files: Arc<dyn Files> = Arc::new(sim.clone());
    let place = Place {
        files,
        dir: dir(),
        destination: "team-a".to_owned(),
        segment_bytes: settings.segment_bytes(),
    };
    Engine::open(place, settings.clone(), clock.clone())
}

fn open(sim: &Sim, settings: &QueueSettings) -> Engine {
    open_on(sim, settings, &VirtualClock::new(START)).unwrap()
}

/// Appends records that must be taken.
fn append(engine: &Engine, records: impl IntoIterator<Item = Record>) {
    for record in records {
        let crc = record.payload_crc();
        let Ok(Admission::Pushed(slot)) = engine.admit(record, crc, 0) else {
            panic!("the record was not let in")
        };
        write(engine);
        let result = engine.inner().intake.poll(slot, Waker::noop());
        assert!(matches!(result, Some(Ok(Receipt::Kept { .. }))), "{result:?}");
    }
}

fn write(engine: &Engine) {
    while engine.write_some(&mut lock(&engine.log)) == Step::Worked {}
}

/// Takes the next record, reading ahead as the queue does.
fn take(engine: &Engine) -> Option<Taken> {
    loop {
        let pick = engine.inner().state.pick(engine.now(), engine.today());
        match pick {
            Pick::Lease(taken) => return Some(taken),
            Pick::Nothing if engine.fetch_one().unwrap() => {}
            Pick::Nothing => return None,
        }
    }
}

fn settle(engine: &Engine, taken: Taken, outcome: Outcome) {
    super::settle::settle(&mut engine.inner(), taken, outcome);
}

/// Delivers everything; gives the numbers in order.
fn deliver_all(engine: &Engine) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(taken) = take(engine) {
        ids.push(id_of(&taken.record));
        settle(engine, taken, Outcome::Delivered);
        assert_balanced(engine);
    }
    ids
}

#[track_caller]
fn assert_balanced(engine: &Engine) {
    let inner = engine.inner();
    let counts = inner.state.counts();
    assert!(counts.is_balanced(), "{counts:?}");
}

fn segment_paths(sim: &Sim) -> Vec<PathBuf> {
    let mut names: Vec<String> =
        sim.list(&dir()).unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.retain(|name| name.ends_with(".seg"));
    names.iter().map(|name| dir().join(name)).collect()
}

fn size_of(sim: &Sim, path: &Path) -> u64 {
    sim.open(path).unwrap().size().unwrap()
}

fn advance(clock: &VirtualClock, millis: u64) {
    clock.advance(Duration::from_millis(millis));
}
