//! Damaged and hostile input: nothing panics, loops, or holds more memory than its bounds.

use levada_codec::compression::{
    Compression, Compressor, Decompressor, Limits, Step, compress_all, decompress_all,
};
use levada_codec::csv::{CsvBatch, CsvOptions, CsvReader};
use levada_codec::lines::LineSplitter;

use crate::mutate::{Random, run};

fn text_corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        &b""[..],
        b"\n",
        b"\r\n\r\n",
        b"{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":\"\\n\"}",
        b"a,b,c\n1,2,3\n4,5,6\n",
        b"\xef\xbb\xbfid,name\r\n1,\"x, \"\"y\"\"\"\r\n2,\"multi\nline\"\r\n",
        b"a\n\"\n\"\n\"\"\n",
        "ключ,ключ2\nзначение,\u{1f600}\n".as_bytes(),
        b"\"a\"b,c\"d\n,,,,\n\"unclosed\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    corpus.push(b"word,".repeat(300));
    corpus.push([b"x".repeat(2000), b"\ny,\"z\"\n".repeat(50)].concat());
    corpus
}

fn compressed_corpus(format: Compression) -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = text_corpus()
        .iter()
        .map(|text| compress_all(format, text).expect("compression works"))
        .collect();
    corpus.push(corpus.concat());
    corpus.push(compress_all(format, &vec![0; 64 << 10]).expect("compression works"));
    let mut flushed = Vec::new();
    let mut compressor = Compressor::new(format, Some(1)).expect("level 1 exists");
    for text in text_corpus() {
        compressor.write(&text, &mut flushed).expect("compression works");
        compressor.flush(&mut flushed).expect("compression works");
    }
    corpus.push(flushed);
    corpus
}

#[test]
fn line_splitter() {
    run("line splitter", &text_corpus(), |input, random| {
        let max = 1 + random.below(1500);
        let mut splitter = LineSplitter::new(max);
        let (mut buffer, mut spans, mut too_long) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut bytes) = (input, 0);
        while !rest.is_empty() {
            let size = 1 + random.below(200).min(rest.len() - 1);
            buffer.extend_from_slice(&rest[..size]);
            rest = &rest[size..];
            let consumed = splitter.split(&buffer, &mut spans, &mut too_long);
            bytes += spans.drain(..).map(|span| span.of(&buffer).len()).sum::<usize>();
            buffer.drain(..consumed);
            assert!(buffer.len() <= max + 1);
        }
        splitter.finish(&buffer, &mut spans, &mut too_long);
        bytes += spans.iter().map(|span| span.of(&buffer).len()).sum::<usize>();
        bytes += too_long.iter().map(|event| event.bytes as usize).sum::<usize>();
        let line_ends = input.iter().filter(|byte| b"\r\n".contains(byte)).count();
        assert!(bytes <= input.len() && bytes + line_ends >= input.len(), "no byte is lost");
        assert_eq!(splitter.offset(), input.len() as u64);
    });
}

#[test]
fn csv_reader() {
    run("csv reader", &text_corpus(), |input, random| {
        let options = CsvOptions {
            delimiter: *random.one_of(b",;\t"),
            header: random.below(2) == 0,
            field_bytes_max: 1 + random.below(500),
            fields_max: 1 + random.below(50),
            record_bytes_max: 1 + random.below(3000),
            batch_bytes: 1 + random.below(2000),
            ..CsvOptions::default()
        };
        csv_target(options, input, random);
    });
}

fn csv_target(options: CsvOptions, input: &[u8], random: &mut Random) {
    let held_max = 8 * options.record_bytes_max + 32 * options.fields_max + (16 << 10);
    let batch_bytes = options.batch_bytes;
    let mut reader = CsvReader::new(options).expect("options are valid");
    let mut batch = CsvBatch::default();
    let mut rest = input;
    let mut places = Vec::new();
    while !rest.is_empty() {
        let size = 1 + random.below(200).min(rest.len() - 1);
        let Ok(read) = reader.feed(&rest[..size], &mut batch) else {
            return;
        };
        assert!(read > 0);
        rest = &rest[read..];
        // A batch may exceed its size by one row, which escapes and keys can stretch.
        assert!(batch.json.len() <= batch_bytes + 12 * (8 << 10) + 50 * 12);
        assert!(reader.buffered_bytes() <= held_max, "{} bytes", reader.buffered_bytes());
        drain(&mut batch, &mut places);
    }
    if reader.finish(&mut batch).is_ok() {
        drain(&mut batch, &mut places);
        let blank = reader.blank_lines() > 0 || reader.boundary().offset <= 3;
        assert!(reader.boundary().offset == input.len() as u64 || blank);
    }
    places.sort_unstable();
    assert!(places.windows(2).all(|two| two[0].1 <= two[1].0), "rows overlap");
}

fn drain(batch: &mut CsvBatch, places: &mut Vec<(u64, u64)>) {
    for row in &batch.rows {
        let json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(batch.json_of(row)).expect("rows are objects");
        assert!(json.values().all(serde_json::Value::is_string));
        places.push((row.start.offset, row.end.offset));
    }
    places.extend(batch.errors.iter().map(|error| (error.start.offset, error.end.offset)));
    batch.clear();
}

#[test]
fn gzip() {
    decompressor_target(Compression::Gzip);
}

#[test]
fn zstd() {
    decompressor_target(Compression::Zstd);
}

fn decompressor_target(format: Compression) {
    const CAP: usize = 32 << 10;
    run(format.name(), &compressed_corpus(format), |input, random| {
        // The window of `decompress_all`, which must agree.
        let limits = Limits {
            output_bytes_max: Some(CAP as u64),
            zstd_window_log_max: 23,
            ..Limits::default()
        };
        let mut decompressor = Decompressor::new(format, limits).expect("limits are valid");
        let mut output = vec![0; 1 + random.below(64 << 10)];
        let (mut rest, mut calls, mut ended) = (input, 0, true);
        while !rest.is_empty() || decompressor.has_more() {
            let size = (1 + random.below(500)).min(rest.len());
            let Ok(step) = decompressor.step(&rest[..size], &mut output) else {
                ended = false;
                break;
            };
            assert!(size == 0 || step != Step::default(), "no progress");
            rest = &rest[step.consumed..];
            calls += 1;
            assert!(calls <= 2 * (input.len() + CAP) + 16, "too many calls");
        }
        let good = ended && decompressor.finish().is_ok();
        assert!(decompressor.total_out() <= CAP as u64 + 1);
        // Both ways to decompress agree on what is good.
        let whole = decompress_all(format, input, CAP);
        assert_eq!(whole.is_ok(), good, "{:?}", whole.map(|bytes| bytes.len()));
        assert!(whole.is_err() || whole.is_ok_and(|bytes| bytes.len() <= CAP));
    });
}
