#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// Everything a reader said, with the JSON texts cut out.
#[derive(Debug, Default, PartialEq)]
struct Said {
    rows: Vec<(String, CsvPosition, CsvPosition)>,
    errors: Vec<CsvRowError>,
    fatal: Option<CsvError>,
    columns: Vec<String>,
    boundary: Option<CsvPosition>,
    blank_lines: u64,
}

fn take(batch: &mut CsvBatch, said: &mut Said) {
    for row in &batch.rows {
        let json = std::str::from_utf8(batch.json_of(row)).unwrap().to_owned();
        said.rows.push((json, row.start, row.end));
    }
    said.errors.append(&mut batch.errors);
    batch.clear();
}

fn feed_all(
    reader: &mut CsvReader,
    input: &[u8],
    sizes: &[usize],
    said: &mut Said,
) -> Result<(), CsvError> {
    let mut batch = CsvBatch::default();
    let (mut rest, mut turn) = (input, 0);
    while !rest.is_empty() {
        let size = sizes.get(turn % sizes.len().max(1)).copied().unwrap_or(usize::MAX);
        turn += 1;
        let (mut piece, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        while !piece.is_empty() {
            let read = reader.feed(piece, &mut batch);
            take(&mut batch, said);
            let read = read?;
            assert!(read > 0, "feed must make progress");
            piece = &piece[read..];
        }
    }
    let finished = reader.finish(&mut batch);
    take(&mut batch, said);
    finished
}

fn read(options: &CsvOptions, input: &[u8], sizes: &[usize]) -> Said {
    let mut reader = CsvReader::new(options.clone()).unwrap();
    let mut said = Said::default();
    said.fatal = feed_all(&mut reader, input, sizes, &mut said).err();
    said.columns = reader.columns().to_vec();
    said.boundary = Some(reader.boundary());
    said.blank_lines = reader.blank_lines();
    said
}

/// Reads in one piece and in pieces of one byte, checks that both agree, and gives rows and errors.
fn check(options: &CsvOptions, input: &[u8]) -> (Vec<String>, Vec<String>) {
    let said = read(options, input, &[]);
    assert_eq!(said, read(options, input, &[1]));
    assert_eq!(said.fatal, None);
    let rows = said.rows.into_iter().map(|(json, ..)| json).collect();
    (rows, said.errors.iter().map(ToString::to_string).collect())
}

fn headerless() -> CsvOptions {
    CsvOptions { header: false, ..CsvOptions::default() }
}

fn at(offset: u64, line: u64) -> CsvPosition {
    CsvPosition { offset, line }
}

#[test]
fn rows_become_objects_of_strings() {
    let input = b"id,na\"me,note\r\n1,\"a,\"\"b\"\"\",\"x\ny\"\n2,, z \r\n";
    let (rows, errors) = check(&CsvOptions::default(), input);
    assert_eq!(
        rows,
        [
            r#"{"id":"1","na\"me":"a,\"b\"","note":"x\ny"}"#,
            r#"{"id":"2","na\"me":"","note":" z "}"#
        ]
    );
    assert!(errors.is_empty());
}

#[test]
fn without_header_columns_are_numbered() {
    let (rows, errors) = check(&headerless(), b"a,b\n\nc,d");
    assert_eq!(rows, [r#"{"column1":"a","column2":"b"}"#, r#"{"column1":"c","column2":"d"}"#]);
    assert!(errors.is_empty());
}

#[test]
fn delimiter_and_quote_are_settings() {
    let options = CsvOptions { delimiter: b'\t', quote: b'\'', ..CsvOptions::default() };
    let (rows, _) = check(&options, b"a\tb\n'1\t,'\t\"2\"\n");
    assert_eq!(rows, [r#"{"a":"1\t,","b":"\"2\""}"#]);
}

#[test]
fn a_byte_order_mark_is_stripped_once_and_only_at_the_start() {
    let (rows, _) = check(&CsvOptions::default(), b"\xef\xbb\xbfa\n1\n\xef\xbb\xbf2\n");
    assert_eq!(rows, ["{\"a\":\"1\"}", "{\"a\":\"\u{feff}2\"}"]);
    let (rows, _) = check(&CsvOptions::default(), b"\xef\xbb\xbf\xef\xbb\xbfa\n1\n");
    assert_eq!(rows, ["{\"\u{feff}a\":\"1\"}"]);
    // The beginning of a mark that does not go on is data, here of a bad row.
    for input in [&b"\xef\xbb,x\n1,2\n"[..], b"\xef\xbb"] {
        for sizes in [&[][..], &[1]] {
            let said = read(&CsvOptions::default(), input, sizes);
            let Some(CsvError::Header(error)) = said.fatal else { panic!("{:?}", said.fatal) };
            assert_eq!(error.problem, CsvRowProblem::NotUtf8 { column: 1 });
            assert_eq!(error.start, CsvPosition::START);
        }
    }
}

#[test]
fn rows_of_another_width_are_errors_with_place_and_text() {
    let input = b"a,b\n1,2\n3\n\n4,5,\"x\ny\"\n6,7\n";
    let said = read(&CsvOptions::default(), input, &[]);
    assert_eq!(said, read(&CsvOptions::default(), input, &[3, 1]));
    assert_eq!(said.rows.len(), 2);
    assert_eq!(said.errors.len(), 2);
    let [short, long] = &said.errors[..] else { panic!() };
    assert_eq!(short.problem, CsvRowProblem::FieldCount { expected: 2, found: 1 });
    assert_eq!((short.start, short.end, &short.raw[..]), (at(8, 3), at(10, 4), &b"3"[..]));
    assert_eq!(long.problem, CsvRowProblem::FieldCount { expected: 2, found: 3 });
    assert_eq!((long.start, long.end), (at(11, 5), at(21, 7)));
    assert_eq!(long.raw, b"4,5,\"x\ny\"");
    assert_eq!(
        long.to_string(),
        "row at line `5` (byte `11`) has `3` fields where `2` are expected; quote delimiters \
         inside values"
    );
    assert_eq!((said.rows[1].1, said.rows[1].2), (at(21, 7), at(25, 8)));
    assert_eq!((said.boundary, said.blank_lines), (Some(at(25, 8)), 1));
}

#[test]
fn invalid_utf8_is_an_error_of_its_row_and_field() {
    // The last row holds one character cut in two by the border of its fields.
    let input = b"a,b\n1,\xff\n\xc3,x\n2,3\n\xc3,\xa9\n\xc3,\xa9\xff\n";
    let said = read(&CsvOptions::default(), input, &[]);
    assert_eq!(said, read(&CsvOptions::default(), input, &[1]));
    assert_eq!(said.rows.len(), 1);
    let columns: Vec<_> = said.errors.iter().map(|error| error.problem.clone()).collect();
    let not_utf8 = |column| CsvRowProblem::NotUtf8 { column };
    assert_eq!(columns, [not_utf8(2), not_utf8(1), not_utf8(1), not_utf8(1)]);
    assert_eq!(said.errors[0].raw, b"1,\xff");
}

#[test]
fn the_bounds_hold_at_the_edge() {
    let options = CsvOptions {
        field_bytes_max: 4,
        fields_max: 3,
        record_bytes_max: 10,
        ..CsvOptions::default()
    };
    for end in ["\n", "\r\n", ""] {
        let run = |row: &str| check(&options, format!("a,b,c\nx,y,z\n{row}{end}").as_bytes());
        assert_eq!(run("1234,1234,").0.len(), 2, "a row and a field of the greatest length");
        let (rows, errors) = run("1234,1234,1");
        assert_eq!(rows.len(), 1);
        assert!(errors[0].contains("is longer than `10` bytes"), "{errors:?}");
        let (rows, errors) = run("1,12345,2");
        assert_eq!(rows.len(), 1);
        assert!(errors[0].contains("field `2` longer than `4` bytes"), "{errors:?}");
        let (rows, errors) = run("1,2,3,4");
        assert_eq!(rows.len(), 1);
        assert!(errors[0].contains("more than `3` fields"), "{errors:?}");
        let (_, errors) = run("1,2,3,");
        assert!(errors[0].contains("more than `3` fields"), "{errors:?}");
    }
}

#[test]
fn a_row_that_is_too_long_costs_constant_memory() {
    let options = CsvOptions { record_bytes_max: 1 << 16, ..headerless() };
    let mut reader = CsvReader::new(options).unwrap();
    let mut batch = CsvBatch::default();
    let piece = vec![b'x'; 1 << 18];
    for _ in 0..64 {
        assert_eq!(reader.feed(&piece, &mut batch).unwrap(), piece.len());
        assert!(reader.buffered_bytes() < 1 << 20, "{}", reader.buffered_bytes());
    }
    reader.feed(b"\nok\n", &mut batch).unwrap();
    let [error] = &batch.errors[..] else { panic!("{:?}", batch.errors.len()) };
    assert_eq!((error.bytes, error.raw.len()), (64 << 18, RAW_PREFIX_BYTES));
    assert!(error.raw.capacity() <= 4 * RAW_PREFIX_BYTES);
    assert_eq!(batch.json, br#"{"column1":"ok"}"#);
}

#[test]
fn an_unclosed_quote_is_an_error() {
    let (rows, errors) = check(&CsvOptions::default(), b"a,b\n1,2\n3,\"4\n5,6\n");
    assert_eq!(rows.len(), 1);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("row at line `3` (byte `8`) has a quote that is never closed"));
    let said = read(&CsvOptions::default(), b"a,b\n3,\"4\n5,6\n", &[2]);
    assert_eq!(said.errors[0].raw, b"3,\"4\n5,6\n");
}

#[test]
fn headers_that_cannot_be_used_stop_the_reader() {
    let mut reader = CsvReader::new(CsvOptions::default()).unwrap();
    let mut batch = CsvBatch::default();
    let error = reader.feed(b"a,b,a\n1,2,3\n", &mut batch).unwrap_err();
    assert_eq!(error, CsvError::DuplicateColumn { line: 1, column: "a".into() });
    assert_eq!(reader.feed(b"1,2,3\n", &mut batch), Err(error));
    let long = vec![b'x'; (1 << 20) + 1];
    let options = CsvOptions { field_bytes_max: 1 << 22, ..CsvOptions::default() };
    let said = read(&options, &long, &[]);
    assert!(matches!(said.fatal, Some(CsvError::Header(error)) if error.bytes == (1 << 20) + 1));
}

#[test]
fn options_are_checked() {
    let bad = [
        CsvOptions { delimiter: b'\n', ..CsvOptions::default() },
        CsvOptions { delimiter: 0xe9, ..CsvOptions::default() },
        CsvOptions { delimiter: b'"', ..CsvOptions::default() },
        CsvOptions { quote: b'\r', ..CsvOptions::default() },
        CsvOptions { fields_max: 0, ..CsvOptions::default() },
        CsvOptions { record_bytes_max: usize::MAX, ..CsvOptions::default() },
    ];
    for options in bad {
        assert!(matches!(CsvReader::new(options), Err(CsvError::Option { .. })));
    }
}

#[test]
fn output_is_bounded_by_batches_however_long_the_keys() {
    let options = CsvOptions { batch_bytes: 10_000, ..CsvOptions::default() };
    let mut input = vec![b'k'; 5_000];
    input.push(b'\n');
    input.extend(b"x\n".repeat(100));
    input.extend(b"x,y\n".repeat(1000));
    let mut reader = CsvReader::new(options).unwrap();
    let (mut rest, mut rows, mut errors, mut calls) = (&input[..], 0, 0, 0);
    let mut batch = CsvBatch::default();
    while !rest.is_empty() {
        rest = &rest[reader.feed(rest, &mut batch).unwrap()..];
        assert!(batch.json.len() < 16_000 && batch.errors.len() < 1000);
        rows += batch.rows.len();
        errors += batch.errors.len();
        calls += 1;
        batch.clear();
    }
    assert_eq!((rows, errors), (100, 1000));
    assert!(calls >= 50);
}

#[test]
fn reading_goes_on_from_the_end_of_any_row() {
    let input = b"\xef\xbb\xbfa,b\r\n1,\"x\ny\"\r\n\r\nbad\n3,4\n\n5,6";
    let options = CsvOptions::default();
    let whole = read(&options, input, &[]);
    let places: Vec<CsvPosition> = whole.rows.iter().map(|(.., end)| *end).collect();
    assert_eq!(places, [at(17, 4), at(27, 7), at(31, 8)]);
    for (done, place) in places.iter().enumerate() {
        let mut reader = CsvReader::resume(options.clone(), whole.columns.clone(), *place).unwrap();
        let mut said = Said::default();
        feed_all(&mut reader, &input[place.offset as usize..], &[1], &mut said).unwrap();
        assert_eq!(said.rows, whole.rows[done + 1..]);
        let errors: Vec<_> = whole.errors.iter().filter(|error| error.start >= *place).collect();
        assert_eq!(said.errors.iter().collect::<Vec<_>>(), errors);
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut reader = CsvReader::new(CsvOptions::default()).unwrap();
    let mut batch = CsvBatch::default();
    reader.finish(&mut batch).unwrap();
    assert_eq!(reader.feed(b"x", &mut batch), Err(CsvError::Finished));
    assert_eq!(batch, CsvBatch::default());
}

fn written(options: &CsvOptions, records: &[&[(&str, &str)]]) -> String {
    let mut writer = CsvWriter::new(options).unwrap();
    let mut out = Vec::new();
    for record in records {
        writer.write(record, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn the_writer_quotes_only_what_needs_it() {
    let options = CsvOptions::default();
    let records: &[&[(&str, &str)]] = &[
        &[("a", "plain text"), ("b,c", "say \"hi\"")],
        &[("b,c", "x\ry\n"), ("a", "")],
        &[("b,c", "only")],
    ];
    assert_eq!(
        written(&options, records),
        "a,\"b,c\"\nplain text,\"say \"\"hi\"\"\"\n,\"x\ry\n\"\n,only\n"
    );
    assert_eq!(written(&options, &[&[("a", "")], &[("a", "1")]]), "a\n\"\"\n1\n");
    assert_eq!(written(&headerless(), &[&[("a", "\u{feff}")]]), "\"\u{feff}\"\n");
}

#[test]
fn a_record_with_unknown_keys_is_refused_and_the_next_is_written() {
    let mut writer = CsvWriter::new(&CsvOptions::default()).unwrap();
    let mut out = Vec::new();
    let none: &[(&str, &str)] = &[];
    assert_eq!(writer.write(none, &mut out), Err(CsvWriteError::NoColumns));
    let twice = Err(CsvWriteError::DuplicateKey { key: "a".into() });
    assert_eq!(writer.write(&[("a", "1"), ("a", "2")], &mut out), twice);
    writer.write(&[("a", "1"), ("b", "2")], &mut out).unwrap();
    let error = writer.write(&[("a", "1"), ("x", "2"), ("y", "3")], &mut out).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record has keys `x`, `y` that are not columns of the csv file; known: `a`, `b`"
    );
    assert_eq!(writer.write(&[("b", "1"), ("a", "2"), ("a", "3")], &mut out), twice);
    writer.write(&[("b", "3")], &mut out).unwrap();
    assert_eq!(out, b"a,b\n1,2\n,3\n");
}

#[test]
fn the_writer_continues_and_restarts_files() {
    let columns = vec!["a".to_owned(), "b".to_owned()];
    let mut writer = CsvWriter::append_to(&CsvOptions::default(), columns).unwrap();
    let mut out = Vec::new();
    writer.write(&[("b", "1")], &mut out).unwrap();
    assert_eq!(out, b",1\n");
    out.clear();
    writer.restart(true);
    writer.write(&[("a", "1")], &mut out).unwrap();
    assert_eq!(out, b"a,b\n1,\n");
    let twice = vec!["a".to_owned(), "b".to_owned(), "b".to_owned()];
    let error = CsvWriter::append_to(&CsvOptions::default(), twice).unwrap_err();
    assert_eq!(error, CsvError::DuplicateColumn { line: 1, column: "b".into() });
}

#[test]
fn the_reader_stops_after_so_many_rows() {
    let options = CsvOptions { batch_rows: 2, ..CsvOptions::default() };
    let mut reader = CsvReader::new(options).unwrap();
    let input = b"a,b\n1,2\n\n3\n4,5\n6,7\n8,9";
    let mut batch = CsvBatch::default();
    let (mut at, mut counts) = (0, Vec::new());
    while at < input.len() {
        at += reader.feed(&input[at..], &mut batch).unwrap();
        // A bad row counts too.
        counts.push((batch.rows.len(), batch.errors.len()));
        batch.clear();
    }
    assert_eq!(counts, [(1, 1), (2, 0), (0, 0)]);
    reader.finish(&mut batch).unwrap();
    assert_eq!(batch.rows.len(), 1);
    let none = CsvOptions { batch_rows: 0, ..CsvOptions::default() };
    assert!(none.check().unwrap_err().to_string().contains("batch_rows"));
}

fn text() -> impl Strategy<Value = String> {
    let special = proptest::sample::select(&["\"", ",", "\n", "\r", ";", "'", "\u{feff}", ""][..]);
    let piece = prop_oneof![special.prop_map(str::to_owned), "[a-z ]{0,4}", any::<String>()];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn table() -> impl Strategy<Value = (Vec<String>, Vec<Vec<String>>)> {
    proptest::collection::hash_set(text(), 1..6).prop_flat_map(|columns| {
        let row = proptest::collection::vec(text(), columns.len());
        (Just(columns.into_iter().collect()), proptest::collection::vec(row, 1..8))
    })
}

fn csv_bytes() -> impl Strategy<Value = Vec<u8>> {
    let special: &[&[u8]] =
        &[b",", b"\"", b"\"\"", b"\n", b"\r\n", b"\r", b"a", b"\xc3\xa9", b"\xc3", b"\xef\xbb\xbf"];
    let piece = prop_oneof![
        8 => proptest::sample::select(special).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => (0usize..1100).prop_map(|len| vec![b'z'; len]),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        (columns, rows) in table(),
        header in any::<bool>(),
        (delimiter, quote) in proptest::sample::select(&[(b',', b'"'), (b';', b'\''), (b'"', b',')][..]),
        size in 1usize..50,
    ) {
        let options = CsvOptions { delimiter, quote, header, ..CsvOptions::default() };
        let mut writer = CsvWriter::new(&options).unwrap();
        let mut out = Vec::new();
        for row in &rows {
            let pairs: Vec<_> = columns.iter().zip(row).collect();
            writer.write(&pairs, &mut out).unwrap();
        }
        let said = read(&options, &out, &[size]);
        prop_assert_eq!((&said.fatal, said.errors.len()), (&None, 0));
        prop_assert_eq!(said.boundary.unwrap().offset, out.len() as u64);
        prop_assert_eq!(said.rows.len(), rows.len());
        for ((json, ..), row) in said.rows.iter().zip(&rows) {
            let object: Map<String, Value> = serde_json::from_str(json).unwrap();
            let values: Vec<_> = object.values().map(|value| value.as_str().unwrap()).collect();
            prop_assert_eq!(&values, row);
            if header {
                prop_assert_eq!(&object.keys().cloned().collect::<Vec<_>>(), &columns);
            }
        }
    }

    #[test]
    fn any_chunking_says_the_same(
        input in csv_bytes(),
        sizes in proptest::collection::vec(1usize..40, 1..6),
        header in any::<bool>(),
        bounds in proptest::sample::select(&[(4, 3, 12), (1200, 3, 1100), (1 << 20, 100, 1 << 20)][..]),
    ) {
        let (field_bytes_max, fields_max, record_bytes_max) = bounds;
        let options = CsvOptions {
            header, field_bytes_max, fields_max, record_bytes_max, batch_bytes: 300,
            ..CsvOptions::default()
        };
        let expected = read(&options, &input, &[]);
        prop_assert_eq!(&read(&options, &input, &sizes), &expected);
        prop_assert_eq!(&read(&options, &input, &[1]), &expected);
        for (json, start, end) in &expected.rows {
            prop_assert!(serde_json::from_str::<Map<String, Value>>(json).is_ok());
            prop_assert!(start.offset < end.offset && end.offset <= input.len() as u64);
            let line = 1 + input[..end.offset as usize].iter().filter(|&&b| b == b'\n').count();
            prop_assert_eq!(end.line, line as u64);
        }
        for error in &expected.errors {
            let from = error.start.offset as usize;
            let raw = &input[from..][..error.raw.len()];
            prop_assert_eq!(&error.raw, raw);
        }
    }
}
