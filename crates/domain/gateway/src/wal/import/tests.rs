#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;

use levada_codec::compression::Compression;
use levada_runtime::{Clock, SystemClock};
use proptest::prelude::*;

use super::super::attributes::Attributes;
use super::super::lease::Outcome;
use super::super::record::Encoding;
use super::super::settings::QueueSettings;
use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value.cast_unsigned())].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], payload].concat()
}

/// As 1.6 writes it: a category, a type, a body.
fn seed_record(category: i64, body: &[u8]) -> Vec<u8> {
    framed(&[number(1, category), number(2, 0), bytes(3, body)].concat())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use levada_codec::compression::compress_all;
    compress_all(Compression::Gzip, text).unwrap()
}

async fn queue_in(folder: &Path) -> (Queue, Tasks) {
    let tasks = Tasks::new();
    let clock: Arc<dyn Clock> = SystemClock::new();
    let settings = QueueSettings { age_max: None, ..QueueSettings::default() };
    (Queue::open(folder, "team-a", settings, &tasks, clock).unwrap(), tasks)
}

async fn delivered(queue: &Queue) -> Vec<Record> {
    queue.drain();
    let mut records = Vec::new();
    while let Some(lease) = queue.next().await {
        records.push(lease.record().clone());
        lease.done(Outcome::Delivered);
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_of_the_seed_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    for category in ["logging", "tracing"] {
        fs::create_dir_all(cache.join(category)).unwrap();
    }
    let file = |number: u32| cache.join(format!("logging/data.{number:032}"));
    let end = END_MARK_BYTES;
    // The second one was being read: its first record is done with.
    let first = seed_record(8, &gzip(b"a f=1 1\nb f=1 2\n\nc f=1 3"));
    let read = seed_record(8, b"done f=1");
    let unread = seed_record(8, b"d f=1\n");
    fs::write(file(9), [&first[..], &end].concat()).unwrap();
    fs::write(file(10), [&read[..], &unread, &end].concat()).unwrap();
    fs::write(cache.join("logging/data"), seed_record(8, b"e f=1")).unwrap();
    let mut position = (read.len() as i64).to_le_bytes().to_vec();
    position.extend(format!("/somewhere/else/data.{:032}", 10).bytes());
    fs::write(cache.join("logging/.pos"), position).unwrap();
    // A crash in the middle of a record, and one that is no message.
    let torn =
        [seed_record(9, b"f f=1"), framed(b"\xff\xff"), seed_record(9, b"torn")[..9].to_vec()];
    fs::write(cache.join("tracing/data"), torn.concat()).unwrap();

    let (queue, tasks) = queue_in(&folder.path().join("queue")).await;
    let report = import_old_cache(&queue, &cache, ImportTable::V1_6, NOW, &tasks).await.unwrap();
    let expected = ImportReport {
        files: 4,
        records: 4,
        points: 6,
        bytes: (gzip(b"a f=1 1\nb f=1 2\n\nc f=1 3").len() + 6 + 5 + 5) as u64,
        dropped_records: 0,
        undecodable_records: 1,
        damaged_bytes: 9,
    };
    assert_eq!(report, expected);
    let again = import_old_cache(&queue, &cache, ImportTable::V1_6, NOW, &tasks).await.unwrap();
    assert_eq!(again, ImportReport::default(), "nothing is taken twice");
    let records = delivered(&queue).await;
    let shown: Vec<_> =
        records.iter().map(|r| (r.category.name(), r.points, r.compression)).collect();
    let plain = Compression::None;
    assert_eq!(
        shown,
        [
            ("logging", 3, Compression::Gzip),
            ("logging", 1, plain),
            ("logging", 1, plain),
            ("tracing", 1, plain)
        ]
    );
    assert_eq!(records[1].packed_at, NOW);
    assert_eq!(queue.counts().accepted, 6);
    let names: Vec<_> =
        fs::read_dir(cache.join("tracing")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["data.damaged"]);
}

const END_MARK_BYTES: [u8; 4] = [0xef, 0xbe, 0xad, 0xde];

#[test]
fn what_newer_ones_write_is_kept() {
    let message = [
        number(1, 9),
        number(2, 1),
        bytes(3, b"\x1f\x8bbody"),
        number(4, 17),
        number(5, 1_000),
        bytes(6, &[bytes(1, b"X-Global-Tags"), bytes(2, b"host=a")].concat()),
        bytes(7, b"https://dial.example.com/v1/write/logging?token=x"),
        number(8, 1_600_000_000),
        number(99, -1),
    ]
    .concat();
    let record = decode(&message, ImportTable::V1_84, NOW).unwrap();
    assert_eq!((record.category, record.points, record.raw_bytes), (Category::Logging, 17, 1_000));
    assert_eq!((record.encoding, record.compression), (Encoding::Protobuf, Compression::Gzip));
    assert_eq!(record.packed_at, Timestamp(1_600_000_000_000_000_000));
    assert_eq!(record.attributes.get("X-Global-Tags"), Some("host=a"));
    let url = record.attributes.get(Attributes::URL);
    assert_eq!(url, Some("https://dial.example.com/v1/write/logging?token=x"));
    // The same number was another category before.
    assert_eq!(decode(&message, ImportTable::V1_6, NOW).unwrap().category, Category::Tracing);
    assert_eq!(decode(&number(1, 8), ImportTable::V1_84, NOW), None, "no payload");
    let unset = [number(2, -1), bytes(3, b"x")].concat();
    assert_eq!(decode(&unset, ImportTable::V1_84, NOW).unwrap().encoding, Encoding::Other);
}

#[test]
fn unknown_writers_are_refused() {
    assert_eq!("1.6".parse(), Ok(ImportTable::V1_6));
    assert_eq!(ImportTable::V1_84.to_string().parse(), Ok(ImportTable::V1_84));
    assert_eq!(
        "1.30".parse::<ImportTable>().unwrap_err().to_string(),
        "unknown writer of a disk cache `1.30`; known: `1.6`, `1.84`"
    );
    assert_eq!(ImportTable::V1_6.category(12), Some(Category::Profiling));
    assert_eq!(ImportTable::V1_6.category(13), None);
    assert_eq!(ImportTable::V1_84.category(17), Some(Category::AgentLlm));
    assert_eq!(ImportTable::V1_84.category(-1), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes, ImportTable::V1_84, NOW));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), &bytes).unwrap();
        let files = reader::find_files(folder.path()).unwrap();
        let mut reader = FileReader::open(&files[0]).unwrap();
        let total: usize = reader.read(usize::MAX).unwrap().iter().map(|record| record.len() + 4).sum();
        let left = match reader.ending.unwrap() {
            Ending::Whole => 0,
            Ending::Damaged { bytes } => bytes as usize,
        };
        prop_assert!(total + left == bytes.len() || total + left + 4 == bytes.len());
    }
}
