//! Prints how many MB/s the codecs take, on one core.
//!
//! Run with `cargo run --release -p levada-codec --example codec_bench`.

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

use levada_codec::compression::{Compression, Decompressor, Limits, compress_all};
use levada_codec::csv::{CsvBatch, CsvOptions, CsvReader};
use levada_codec::lines::LineSplitter;

/// Size of the input, and of the pieces it is read in.
const INPUT_BYTES: usize = 64 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// How long each line is measured at least.
const MEASURED: Duration = Duration::from_millis(1500);

fn main() -> Result<(), Box<dyn Error>> {
    for line_bytes in [40, 200, 1000] {
        let input = lines(line_bytes);
        report(&format!("lines of {line_bytes} bytes"), input.len(), || split(&input))?;
    }
    let input = csv_rows();
    report("csv to json, 6 columns", input.len(), || read_csv(&input))?;
    let input = lines(200);
    for format in [Compression::Gzip, Compression::Zstd] {
        let bytes = compress_all(format, &input)?;
        report(&format!("{format} to plain bytes"), input.len(), || decompress(format, &bytes))?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn report(
    name: &str,
    bytes: usize,
    mut run: impl FnMut() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut best, started) = (Duration::MAX, Instant::now());
    let mut items = 0;
    while started.elapsed() < MEASURED {
        let round = Instant::now();
        items = run()?;
        best = best.min(round.elapsed());
    }
    let seconds = best.as_secs_f64();
    let (rate, each) = (bytes as f64 / 1e6 / seconds, items as f64 / 1e6 / seconds);
    writeln!(std::io::stdout(), "{name:28} {rate:8.0} MB/s {each:8.2} M items/s")?;
    Ok(())
}

fn lines(line_bytes: usize) -> Vec<u8> {
    let mut input = Vec::with_capacity(INPUT_BYTES + line_bytes);
    let mut number = 0u64;
    while input.len() < INPUT_BYTES {
        let start = input.len();
        input.extend_from_slice(format!("{{\"n\":{number},\"pad\":\"").as_bytes());
        while input.len() < start + line_bytes.saturating_sub(3) {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            input.push(b'a' + (number >> 59) as u8 % 26);
        }
        input.extend_from_slice(b"\"}\n");
    }
    input
}

fn csv_rows() -> Vec<u8> {
    let mut input = b"id,time,host,status,message,value\n".to_vec();
    let mut row = 0u64;
    while input.len() < INPUT_BYTES {
        row += 1;
        let text = format!(
            "{row},2024-05-01T10:00:00Z,host-{},200,\"request, served\",{}.5\n",
            row % 100,
            row * 7
        );
        input.extend_from_slice(text.as_bytes());
    }
    input
}

/// Splits pieces in place and carries the tail over, as a file source does.
fn split(input: &[u8]) -> Result<usize, Box<dyn Error>> {
    let mut splitter = LineSplitter::default();
    let (mut spans, mut too_long) = (Vec::new(), Vec::new());
    let (mut buffer, mut count) = (Vec::with_capacity(2 * PIECE_BYTES), 0);
    for piece in input.chunks(PIECE_BYTES) {
        buffer.extend_from_slice(piece);
        spans.clear();
        let consumed = splitter.split(&buffer, &mut spans, &mut too_long);
        count += spans.len();
        buffer.drain(..consumed);
    }
    Ok(count)
}

fn read_csv(input: &[u8]) -> Result<usize, Box<dyn Error>> {
    let mut reader = CsvReader::new(CsvOptions::default())?;
    let (mut batch, mut count) = (CsvBatch::default(), 0);
    for mut piece in input.chunks(PIECE_BYTES) {
        while !piece.is_empty() {
            piece = &piece[reader.feed(piece, &mut batch)?..];
            count += batch.rows.len();
            batch.clear();
        }
    }
    Ok(count)
}

fn decompress(format: Compression, bytes: &[u8]) -> Result<usize, Box<dyn Error>> {
    let mut decompressor = Decompressor::new(format, Limits::default())?;
    let mut output = vec![0; PIECE_BYTES];
    for mut piece in bytes.chunks(PIECE_BYTES) {
        while !piece.is_empty() || decompressor.has_more() {
            piece = &piece[decompressor.step(piece, &mut output)?.consumed..];
        }
    }
    decompressor.finish()?;
    Ok(1)
}
