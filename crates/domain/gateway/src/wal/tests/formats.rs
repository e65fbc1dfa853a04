//! What is written is read; nothing else is.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::cursor::{self, CursorError};
use super::super::ledger::{DropReason, Ledger};
use super::super::ranges::Ranges;
use super::super::record::{HEADER_BYTES, Header, Mark};
use super::super::segment::{
    Found, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError, Want, first_of, name_of, read,
};
use super::*;

fn any_record() -> impl Strategy<Value = Record> {
    let form = (
        prop_oneof![
            Just(Encoding::LineProtocol),
            Just(Encoding::Protobuf),
            Just(Encoding::Json),
            Just(Encoding::ProtobufJson),
            Just(Encoding::Other)
        ],
        prop_oneof![Just(Compression::None), Just(Compression::Gzip), Just(Compression::Zstd)],
    );
    let attributes = vec((".{0,20}", ".{0,40}"), 0..5);
    (
        0..18_usize,
        any::<u32>(),
        any::<u32>(),
        any::<i32>(),
        form,
        attributes,
        vec(any::<u8>(), 0..300),
    )
        .prop_map(
            |(category, points, raw_bytes, millis, (encoding, compression), pairs, body)| {
                let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Record {
                    category: Category::ALL[category],
                    points,
                    raw_bytes,
                    packed_at: Timestamp(i64::from(millis) * 1_000_000),
                    encoding,
                    compression,
                    attributes: Attributes::new(pairs).unwrap(),
                    body: body.into(),
                }
            },
        )
}

fn bytes_of(record: &Record, mark: Mark, attempts: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.header(mark, attempts, record.payload_crc()).write(&mut bytes);
    bytes.extend_from_slice(record.category.name().as_bytes());
    bytes.extend_from_slice(record.attributes.as_bytes());
    bytes.extend_from_slice(&record.body);
    bytes
}

fn file_of(bytes: &[u8]) -> Arc<dyn super::super::files::Handle> {
    let sim = Sim::new(0);
    let path = dir().join("file");
    sim.put(&path, bytes);
    sim.open(&path).unwrap()
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(
        record in any_record(), sequence in 0_u64..1 << 60, points in 0_u64..1 << 60,
        position in 0_u64..1 << 60, attempts in any::<u16>(), before in 0_usize..100,
    ) {
        let mark = Mark { sequence, points, position };
        let mut bytes = vec![0xff; before];
        bytes.extend(bytes_of(&record, mark, attempts));
        prop_assert_eq!((bytes.len() - before) as u64, record.stored_bytes());
        let size = bytes.len() as u64;
        let file = file_of(&bytes);
        let Ok(Found::Record(header, back)) = read(&*file, before as u64, size, Want::Record) else {
            panic!("not read");
        };
        prop_assert_eq!(&back, &record);
        prop_assert_eq!((header.mark, header.attempts), (mark, attempts));
        prop_assert_eq!(header.after(), mark.after(record.points, record.stored_bytes()));
    }

    #[test]
    fn no_changed_bit_and_no_cut_gives_another_record(record in any_record(), bit in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&record, Mark::default(), 0);
        let size = bytes.len() as u64;
        let mut changed = bytes.clone();
        let bit = bit.index(bytes.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        let found = read(&*file_of(&changed), 0, size, Want::Record).unwrap();
        prop_assert!(!matches!(found, Found::Record(..)));
        // Damage behind the header leaves the header.
        prop_assert_eq!(matches!(found, Found::Header(_)), bit / 8 >= HEADER_BYTES);
        let cut = cut.index(bytes.len());
        let found = read(&*file_of(&bytes[..cut]), 0, cut as u64, Want::Record).unwrap();
        prop_assert!(!matches!(found, Found::Record(..)));
    }

    #[test]
    fn attributes_are_pairs_or_nothing(bytes in vec(any::<u8>(), 0..60)) {
        if let Some(attributes) = Attributes::from_bytes(Bytes::from(bytes.clone())) {
            let again = Attributes::new(attributes.iter()).unwrap();
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn cursors_are_read_as_they_were_written(numbers in vec(0_u64..1 << 40, 4 + DropReason::ALL.len()), steps in vec(1_u64..1000, 0..20)) {
        let mut at = Mark::default();
        let mut marks = Vec::new();
        for step in steps {
            at = Mark { sequence: at.sequence + step, points: at.points + step * 3, position: at.position + step * 100 };
            marks.push(at);
        }
        let mut finished = Ranges::before(marks.first().copied().unwrap_or_default());
        for range in marks.get(1..).unwrap_or_default().chunks_exact(2) {
            finished.insert(range[0], range[1]);
        }
        let ledger = Ledger {
            delivered: numbers[0], dead_lettered: numbers[1], replayed: numbers[2], refused: numbers[3],
            dropped: numbers[4..].try_into().unwrap(),
        };
        let mut text = Vec::new();
        cursor::write(at, &finished, &ledger, &mut text);
        let back = cursor::read(&text).unwrap();
        prop_assert_eq!(&back, &cursor::Cursor { tail: at, finished, ledger });
        for end in 0..text.len() {
            prop_assert_eq!(cursor::read(&text[..end]), Err(CursorError::Damaged));
        }
    }

    #[test]
    fn no_bytes_behind_a_right_checksum_make_a_cursor_panic(mut body in vec(prop_oneof![Just(0_u8), Just(255), any::<u8>()], 0..600), reasons in 0_u8..20) {
        let head = [b'D', b'W', b'C', b'1', 1, 0, reasons, 0];
        body.splice(..0, head);
        let crc = crc32c::crc32c(&body);
        body.extend(crc.to_le_bytes());
        drop(cursor::read(&body));
    }
}

#[test]
fn headers_of_segments_tell_what_they_are() {
    let header = SegmentHeader {
        first: Mark { sequence: 7, points: 70, position: 700 },
        made_millis: -5,
        destination: "ü".repeat(200),
    };
    let bytes = header.to_bytes();
    assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
    let back = SegmentHeader::read(&*file_of(&bytes)).unwrap().unwrap();
    assert_eq!((back.first, back.made_millis), (header.first, -5));
    assert_eq!(back.destination, "ü".repeat(127), "cut at a character");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let result = SegmentHeader::read(&*file_of(&changed)).unwrap();
        assert_eq!(result, Err(SegmentHeaderError::Damaged), "byte {at}");
    }
    let mut newer = bytes[..508].to_vec();
    newer[4] = 2;
    newer.extend(crc32c::crc32c(&newer).to_le_bytes());
    let result = SegmentHeader::read(&*file_of(&newer)).unwrap();
    assert_eq!(result, Err(SegmentHeaderError::Version(2)));
}

#[test]
fn names_of_segments_sort_as_their_numbers() {
    let names = BTreeMap::from([0, 9, 10, u64::MAX].map(|first| (name_of(first), first)));
    assert_eq!(names.values().copied().collect::<Vec<_>>(), [0, 9, 10, u64::MAX]);
    for (name, first) in &names {
        assert_eq!(first_of(name), Some(*first));
    }
    for other in ["1.seg", "cursor", "0000000000000000000x.seg", "99999999999999999999.seg", ".seg"]
    {
        assert_eq!(first_of(other), None, "{other}");
    }
}

#[test]
fn a_header_that_claims_more_than_there_is_is_not_believed() {
    let record = record(1, 1, 10);
    let mut header = record.header(Mark::default(), 0, record.payload_crc());
    header.payload_bytes = 200 << 20;
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    let found = read(&*file_of(&bytes), 0, bytes.len() as u64, Want::Record).unwrap();
    assert!(matches!(found, Found::Header(_)), "the payload is not even allocated");
    header.payload_bytes = u32::MAX;
    bytes.clear();
    header.write(&mut bytes);
    assert_eq!(Header::read(&bytes), None);
}
