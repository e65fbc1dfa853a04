//! How fast the `file` source and sink are alone: `cargo run --release -p levada-connectors --example file_bench`.
//!
//! Prints MB/s, the median of five runs, over 256 MiB of NDJSON records of 256 bytes in the page cache.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first problem")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::path::Path;
use std::time::Instant;

use levada_codec::compression::{Compression, compress_all};
use levada_connectors::{
    BuildContext, Links, Outcomes, Sink, SinkSpec, Source, SourceSpec, sinks, sources,
};
use levada_model::{ObjectRef, RecordBatch};
use levada_runtime::{SystemClock, Tasks};
use levada_telemetry::metrics::Registry;

const RECORDS: usize = 1 << 20;
const RECORD_BYTES: usize = 256;
const RUNS: usize = 5;

fn context(folder: &Path) -> BuildContext {
    BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "bench"),
        base_dir: folder.to_owned(),
        clock: SystemClock::new(),
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records: 2000,
        batch_bytes: 128 << 10,
        is_exactly_once: false,
        is_compat: false,
        links: Links::default(),
    }
}

fn input() -> Vec<u8> {
    let mut text = Vec::with_capacity(RECORDS * RECORD_BYTES);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..RECORDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let start = text.len();
        text.extend_from_slice(
            format!("{{\"id\":{number},\"status\":{},\"pad\":\"", random % 600).as_bytes(),
        );
        let room = RECORD_BYTES - 3 - (text.len() - start);
        text.extend((0..room).map(|at| b'a' + ((random >> (at % 56)) % 26) as u8));
        text.extend_from_slice(b"\"}\n");
    }
    text
}

async fn read(folder: &Path, name: &str, keep: bool) -> (usize, Vec<RecordBatch>) {
    let spec = sources::file::Spec { paths: vec![name.to_owned()], ..Default::default() };
    let mut source: Box<dyn Source> = spec.build(&context(folder)).unwrap();
    source.open(&[]).await.unwrap();
    let (mut records, mut kept) = (0, Vec::new());
    let mut batch = RecordBatch::new();
    while source.next(&mut batch).await.unwrap() {
        records += batch.len();
        if keep {
            kept.push(std::mem::take(&mut batch));
        } else {
            batch.clear();
        }
    }
    (records, kept)
}

async fn write(folder: &Path, spec: sinks::file::Spec, batches: &[RecordBatch]) {
    let mut sink: Box<dyn Sink> = spec.build(&context(folder)).unwrap();
    sink.open().await.unwrap();
    let mut outcomes = Outcomes::default();
    for batch in batches {
        outcomes.clear();
        sink.write(batch, &mut outcomes).await.unwrap();
        assert_eq!(outcomes.resolved(), batch.len());
    }
    sink.close().await.unwrap();
}

fn print(what: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let megabytes = (RECORDS * RECORD_BYTES) as f64 / 1e6;
    println!(
        "{what:<28} {:>7.0} MB/s  {:>6.2} million records/s",
        megabytes / median,
        RECORDS as f64 / 1e6 / median
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = input();
    std::fs::write(folder.join("in"), &text).unwrap();
    for format in [Compression::Gzip, Compression::Zstd] {
        std::fs::write(folder.join(format.name()), compress_all(format, &text).unwrap()).unwrap();
    }
    for name in ["in", "gzip", "zstd"] {
        let mut seconds = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            assert_eq!(read(folder, name, false).await.0, RECORDS);
            seconds.push(start.elapsed().as_secs_f64());
        }
        print(&format!("source {name}"), seconds);
    }
    let (_, batches) = read(folder, "in", true).await;
    println!("batches of {} records", batches[0].len());
    let mut gaps = Vec::new();
    for batch in &batches {
        let mut thinned = RecordBatch::new();
        let origin = thinned.push_origin("in".into(), 0.into());
        thinned.text.clone_from(&batch.text);
        for (index, record) in batch.records.iter().enumerate() {
            if index % 16 != 0 {
                thinned.push_span(record.start, record.end, origin, record.position);
            }
        }
        gaps.push(thinned);
    }
    let spec = |path: &str, compression: &str| sinks::file::Spec {
        path: path.to_owned(),
        compression: compression.to_owned(),
        ..Default::default()
    };
    for (what, spec, batches) in [
        ("sink /dev/null", spec("/dev/null", "none"), &batches),
        ("sink file", spec("out", "none"), &batches),
        ("sink file, every 16th gone", spec("out", "none"), &gaps),
        ("sink zstd", spec("out.zst", "zstd"), &batches),
        ("sink gzip", spec("out.gz", "gzip"), &batches),
    ] {
        let mut seconds = Vec::new();
        for _ in 0..if spec.compression == "none" { RUNS } else { 1 } {
            // Appending would measure the growing file; removing is not part of it.
            for name in ["out", "out.zst", "out.gz"] {
                if folder.join(name).exists() {
                    std::fs::remove_file(folder.join(name)).unwrap();
                }
            }
            let start = Instant::now();
            write(folder, spec.clone(), batches).await;
            seconds.push(start.elapsed().as_secs_f64());
        }
        print(what, seconds);
    }
}
