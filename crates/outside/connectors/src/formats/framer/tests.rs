#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// What a stream became: payload, place and reason of each record, and the place behind each batch.
#[derive(Debug, Default, PartialEq)]
struct Said {
    records: Vec<(Vec<u8>, u64, Option<String>)>,
    blank_lines: u64,
    end: Place,
}

fn options(max: usize) -> CsvOptions {
    CsvOptions { record_bytes_max: max, field_bytes_max: max, ..CsvOptions::default() }
}

/// Frames `input`, cut into pieces of these sizes (in turn), into batches of any number of records.
fn frame(
    format: Format,
    max: usize,
    input: &[u8],
    sizes: &[usize],
    start: Place,
    places: &mut Vec<(Place, usize)>,
) -> Said {
    frame_capped(usize::MAX, format, max, input, sizes, start, places)
}

/// Frames `input` into batches of at most `records_max` records; `places` gets the place behind each batch
/// with the number of records so far.
fn frame_capped(
    records_max: usize,
    format: Format,
    max: usize,
    input: &[u8],
    sizes: &[usize],
    start: Place,
    places: &mut Vec<(Place, usize)>,
) -> Said {
    let options = CsvOptions { batch_rows: records_max, ..options(max) };
    let mut rest = &input[start.offset as usize..];
    let mut sizes = sizes.iter().copied().cycle();
    let mut framer = Framer::new(format, options, start, 64).unwrap();
    let mut read = |text: &mut Vec<u8>, _: usize| -> Result<usize, Infallible> {
        let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, 64).min(rest.len()));
        text.extend_from_slice(piece);
        rest = behind;
        Ok(piece.len())
    };
    let mut said = Said::default();
    let mut batch = RecordBatch::new();
    loop {
        batch.clear();
        let origin = batch.push_origin("p".into(), 0.into());
        let filled = framer.fill(&mut read, &mut batch, origin).unwrap();
        let is_end = filled == Filled::Nothing;
        if is_end {
            assert!(batch.text.is_empty() && batch.is_empty());
            framer.finish(&mut batch, origin).unwrap();
        }
        assert!(batch.len() <= records_max);
        for index in 0..batch.len() {
            let reason = batch.broken(index).map(|error| error.message.clone());
            let record = &batch.records[index];
            said.records.push((batch.payload(index).into_owned(), record.position, reason));
        }
        places.push((framer.place().clone(), said.records.len()));
        if is_end {
            said.blank_lines = framer.take_blank_lines();
            said.end = framer.place().clone();
            return said;
        }
    }
}

fn all(format: Format, max: usize, input: &[u8], sizes: &[usize]) -> Said {
    frame(format, max, input, sizes, Place::default(), &mut Vec::new())
}

fn texts(said: &Said) -> Vec<String> {
    let text = |payload: &Vec<u8>| String::from_utf8_lossy(payload).into_owned();
    said.records.iter().map(|(payload, _, _)| text(payload)).collect()
}

#[test]
fn ndjson_passes_blank_lines_and_the_mark_over() {
    let input = b"\xef\xbb\xbf{\"a\":1}\r\n\n \t\r\n  2\nx";
    for sizes in [&[1][..], &[3], &[64]] {
        let said = all(Format::Ndjson, 100, input, sizes);
        assert_eq!(texts(&said), ["{\"a\":1}", "  2", "x"]);
        let places: Vec<u64> = said.records.iter().map(|(_, at, _)| *at).collect();
        assert_eq!(places, [0, 17, 21]);
        assert_eq!(said.blank_lines, 2);
        assert_eq!(said.end.offset, input.len() as u64);
    }
}

#[test]
fn lines_pass_whatever_they_hold() {
    let input = b"\xef\xbb\xbfa\n\n\xff\0\xfe\r\nlast";
    let said = all(Format::Lines, 100, input, &[2]);
    let payloads: Vec<&[u8]> = said.records.iter().map(|(payload, _, _)| &payload[..]).collect();
    assert_eq!(payloads, [b"\xef\xbb\xbfa", &b""[..], b"\xff\0\xfe", b"last"]);
    assert_eq!(said.blank_lines, 0);
}

#[test]
fn a_line_that_is_too_long_fails_in_its_place() {
    let long = "y".repeat(5000);
    let input = format!("1\n{long}\n2\n{long}");
    for sizes in [&[1][..], &[7], &[64]] {
        let said = all(Format::Ndjson, 10, input.as_bytes(), sizes);
        assert_eq!(texts(&said), ["1", &long[..1024], "2", &long[..1024]]);
        assert_eq!(
            said.records[1].2.as_deref(),
            Some(
                "the line at byte 2 has 5000 bytes, more than maxRecordBytes 10; raise it, or split \
                 the line"
            )
        );
        assert_eq!(said.records[3].1, 5005);
        assert_eq!(said.end.offset, input.len() as u64);
    }
}

#[test]
fn a_huge_line_takes_constant_memory() {
    let mut left = 256 << 20;
    let mut most = 0;
    let mut read = |text: &mut Vec<u8>, max: usize| -> Result<usize, Infallible> {
        let count = max.min(left);
        text.resize(text.len() + count, b'x');
        most = most.max(text.capacity());
        left -= count;
        Ok(count)
    };
    let max = 1 << 20;
    let mut framer =
        Framer::new(Format::Ndjson, options(max), Place::default(), 128 << 10).unwrap();
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 0.into());
    assert_eq!(framer.fill(&mut read, &mut batch, origin).unwrap(), Filled::Nothing);
    assert_eq!(framer.place().offset, 0, "the line is not finished");
    assert_eq!(framer.finish(&mut batch, origin).unwrap(), Filled::Records);
    assert_eq!(batch.len(), 1);
    assert!(batch.broken(0).unwrap().message.contains("268435456 bytes"));
    assert!(most <= 4 * max, "{most}");
}

#[test]
fn csv_rows_are_objects_and_bad_ones_fail_in_their_place() {
    let input = b"a,b\n1,2\n3\n\n\"x\n\",\"\"\"\"\n";
    for sizes in [&[1][..], &[5], &[64]] {
        let said = all(Format::Csv, 100, input, sizes);
        assert_eq!(texts(&said), [r#"{"a":"1","b":"2"}"#, "3", r#"{"a":"x\n","b":"\""}"#]);
        assert!(said.records[1].2.as_deref().unwrap().contains("line `3`"));
        assert_eq!(said.blank_lines, 1);
    }
}

#[test]
fn a_header_that_cannot_be_used_is_an_error_behind_nothing() {
    let mut framer = Framer::new(Format::Csv, options(100), Place::default(), 64).unwrap();
    let mut rest: &[u8] = b"a,a\n1,2\n";
    let mut read = |text: &mut Vec<u8>, _: usize| -> Result<usize, Infallible> {
        text.extend_from_slice(rest);
        Ok(std::mem::take(&mut rest).len())
    };
    let mut batch = RecordBatch::new();
    let error = framer.fill(&mut read, &mut batch, 0).unwrap_err();
    assert!(matches!(error, FrameError::Csv(_)));
    assert!(batch.is_empty());
}

#[test]
fn a_full_batch_leaves_the_rest_for_the_next_without_reading() {
    for (format, input) in [(Format::Lines, "1\n2\n3\n4"), (Format::Csv, "a\n1\n2\n3\n4")] {
        let options = CsvOptions { batch_rows: 2, ..options(10) };
        let mut framer = Framer::new(format, options, Place::default(), 64).unwrap();
        let mut rest = input.as_bytes();
        let mut reads = 0;
        let mut read = |text: &mut Vec<u8>, _: usize| -> Result<usize, Infallible> {
            reads += 1;
            text.extend_from_slice(rest);
            Ok(std::mem::take(&mut rest).len())
        };
        let mut batch = RecordBatch::new();
        assert_eq!(framer.fill(&mut read, &mut batch, 0).unwrap(), Filled::Records);
        assert_eq!(batch.len(), 2);
        assert!(framer.has_rest());
        batch.clear();
        let mut nothing = |_: &mut Vec<u8>, _: usize| -> Result<usize, Infallible> { Ok(0) };
        assert_eq!(framer.fill(&mut nothing, &mut batch, 0).unwrap(), Filled::Records);
        assert_eq!(batch.len(), 1);
        batch.clear();
        assert_eq!(framer.fill(&mut nothing, &mut batch, 0).unwrap(), Filled::Nothing);
        assert!(!framer.has_rest() && batch.text.is_empty());
        assert_eq!(framer.finish(&mut batch, 0).unwrap(), Filled::Records);
        assert_eq!(framer.place().offset, input.len() as u64);
        assert_eq!(reads, 1);
    }
}

#[test]
fn an_error_of_the_reader_loses_nothing() {
    let mut calls = 0;
    let mut read = |text: &mut Vec<u8>, _: usize| {
        calls += 1;
        match calls {
            1 => text.extend_from_slice(b"ab"),
            2 => return Err("no"),
            3 => text.extend_from_slice(b"c\n"),
            _ => return Ok(0),
        }
        Ok(2)
    };
    let mut framer = Framer::new(Format::Lines, options(10), Place::default(), 64).unwrap();
    let mut batch = RecordBatch::new();
    assert!(framer.fill(&mut read, &mut batch, 0).is_err());
    assert!(batch.text.is_empty());
    assert_eq!(framer.fill(&mut read, &mut batch, 0).unwrap(), Filled::Records);
    assert_eq!(&*batch.payload(0), b"abc");
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(b"\xff".to_vec()),
        Just(b"\0".to_vec()),
        "[a-z]{1,9}".prop_map(String::into_bytes),
        Just(vec![b'z'; 90]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_do_not_change_records(
        input in input(),
        sizes in prop::collection::vec(1usize..64, 1..5),
        format in 0usize..3,
    ) {
        let format = [Format::Ndjson, Format::Lines, Format::Csv][format];
        let mut headed = b"a,b\n".to_vec();
        headed.extend_from_slice(&input);
        prop_assert_eq!(
            all(format, 40, &headed, &sizes),
            all(format, 40, &headed, &[1])
        );
    }

    #[test]
    fn reading_goes_on_at_every_place(
        input in input(),
        sizes in prop::collection::vec(1usize..64, 1..5),
        format in 0usize..3,
        cap in prop_oneof![1usize..4, Just(usize::MAX)],
    ) {
        let format = [Format::Ndjson, Format::Lines, Format::Csv][format];
        let mut headed = b"a,b\n".to_vec();
        headed.extend_from_slice(&input);
        let mut places = Vec::new();
        let start = Place::default();
        let whole = frame_capped(cap, format, 40, &headed, &sizes, start, &mut places);
        prop_assert_eq!(&whole, &all(format, 40, &headed, &[1]));
        for (place, done) in places {
            let rest = frame(format, 40, &headed, &[9], place, &mut Vec::new());
            prop_assert_eq!(&rest.records[..], &whole.records[done..]);
        }
    }
}
