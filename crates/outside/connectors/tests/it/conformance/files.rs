//! The `file` source and sink in all their forms.

use std::fmt::Write as _;
use std::path::Path;

use async_trait::async_trait;
use levada_codec::compression::{Compression, Decompressor, Limits, compress_all};
use levada_connectors::{Sink, Source};
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One form of a file.
#[derive(Clone, Copy)]
struct Form {
    format: &'static str,
    compression: &'static str,
    /// The source follows; the sink is atomic.
    other: bool,
}

const NDJSON: Form = Form { format: "ndjson", compression: "none", other: false };
const FOLLOWED: Form = Form { other: true, ..NDJSON };
const ATOMIC: Form = FOLLOWED;
const LINES: Form = Form { format: "lines", ..NDJSON };
const CSV: Form = Form { format: "csv", ..NDJSON };
const GZIP: Form = Form { compression: "gzip", ..NDJSON };
const ZSTD: Form = Form { compression: "zstd", ..NDJSON };
const CSV_GZIP: Form = Form { compression: "gzip", ..CSV };
const ATOMIC_GZIP: Form = Form { other: true, ..GZIP };

source_suite!(source_ndjson, NDJSON);
source_suite!(source_followed, FOLLOWED);
source_suite!(source_lines, LINES);
source_suite!(source_csv, CSV);
source_suite!(source_gzip, GZIP);
source_suite!(source_zstd, ZSTD);

sink_suite!(sink_ndjson, NDJSON);
sink_suite!(sink_atomic, ATOMIC);
sink_suite!(sink_lines, LINES);
sink_suite!(sink_csv, CSV);
sink_suite!(sink_gzip, GZIP);
sink_suite!(sink_zstd, ZSTD);
sink_suite!(sink_csv_gzip, CSV_GZIP);
sink_suite!(sink_atomic_gzip, ATOMIC_GZIP);

/// Why nothing of a network applies.
const NO_NETWORK: Result<(), &str> = Err("a file has no connection");

impl Form {
    fn kind(&self) -> Compression {
        match self.compression {
            "gzip" => Compression::Gzip,
            "zstd" => Compression::Zstd,
            _ => Compression::None,
        }
    }

    fn label(&self, role: &str) -> String {
        let other = if self.other { ", other mode" } else { "" };
        format!("file {role} ({}, {}{other})", self.format, self.compression)
    }
}

struct Files {
    folder: TempDir,
    form: Form,
    expected: Vec<Vec<u8>>,
}

// === The source ===

#[async_trait]
impl source::SourceHarness for Form {
    fn name(&self) -> String {
        self.label("source")
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: if self.other { Err("it follows its files") } else { Ok(()) },
            resumes: Ok(()),
            has_poison: Ok(()),
            disconnects: NO_NETWORK,
            holds_back: Err("nobody sends: it reads when it is asked"),
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let folder = tempfile::tempdir().unwrap();
        let all = payloads(plan.records, plan.bytes);
        // Three files, so that positions of several partitions play together.
        let third = all.len().div_ceil(3);
        let mut expected = Vec::new();
        for (number, part) in all.chunks(third).enumerate() {
            let mut text = if self.format == "csv" { "id,pad\n".to_owned() } else { String::new() };
            for (index, payload) in part.iter().enumerate() {
                let record: Value = serde_json::from_slice(payload).unwrap();
                let is_poison = plan.poison == Some(number * third + index);
                text.push_str(&match (self.format, is_poison) {
                    ("csv", false) => format!("{},{}", record["id"], text_of(&record["pad"])),
                    ("csv", true) => "1,2,3,4".to_owned(),
                    ("lines", true) => "x".repeat(5000),
                    (_, true) => "{\"id\":".to_owned(),
                    (_, false) => String::from_utf8(payload.clone()).unwrap(),
                });
                text.push('\n');
                expected.push(match self.format {
                    "csv" => {
                        let pad = text_of(&record["pad"]);
                        format!("{{\"id\":\"{}\",\"pad\":\"{pad}\"}}", record["id"]).into_bytes()
                    }
                    _ => payload.clone(),
                });
            }
            let bytes = compress_all(self.kind(), text.as_bytes()).unwrap();
            std::fs::write(folder.path().join(format!("{number}.in")), bytes).unwrap();
        }
        Box::new(Files { folder, form: *self, expected })
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[async_trait]
impl source::SourceScene for Files {
    async fn source(&mut self) -> Box<dyn Source> {
        let Form { format, other, .. } = self.form;
        let mut settings = json!({"paths": ["*.in"], "format": format, "follow": other});
        settings["maxRecordBytes"] = "2KiB".into();
        if other {
            settings["pollInterval"] = "10ms".into();
        }
        build::source("file", &settings, self.folder.path())
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.expected.clone())
    }
}

// === The sink ===

#[async_trait]
impl sink::SinkHarness for Form {
    fn name(&self) -> String {
        self.label("sink")
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: NO_NETWORK,
            slows: Err(
                "a file cannot be made slow; pipes and full disks are tried with whole flows",
            ),
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        Box::new(Files { folder: tempfile::tempdir().unwrap(), form: *self, expected: Vec::new() })
    }
}

#[async_trait]
impl sink::SinkScene for Files {
    async fn sink(&mut self) -> Box<dyn Sink> {
        let Form { format, compression, other } = self.form;
        let mode = if other { "atomic" } else { "append" };
        let settings =
            json!({"path": "out", "format": format, "compression": compression, "mode": mode});
        build::sink("file", &settings, self.folder.path()).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let text = unpacked(self.form.kind(), &self.folder.path().join("out"));
        assert!(text.is_empty() || text.ends_with(b"\n"), "the last record has no end");
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        if self.form.format != "csv" {
            return lines.map(<[u8]>::to_vec).collect();
        }
        let rows: Vec<&str> = lines.map(|line| std::str::from_utf8(line).unwrap()).collect();
        let Some((header, rows)) = rows.split_first() else { return Vec::new() };
        assert_eq!(*header, "id,pad");
        let payload = |row: &&str| {
            let mut out = String::new();
            let (id, pad) = row.split_once(',').unwrap_or((row, "no comma"));
            write!(out, "{{\"id\":{id},\"pad\":\"{pad}\"}}").unwrap();
            out.into_bytes()
        };
        rows.iter().map(payload).collect()
    }

    fn poison(&self) -> Vec<u8> {
        match self.form.format {
            "csv" => b"[1]".to_vec(),
            _ => b"no JSON\nin two lines".to_vec(),
        }
    }
}

/// Gives the content of a file; it must be whole.
fn unpacked(compression: Compression, path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let limits = Limits { ratio_max: None, ..Limits::default() };
    let mut unpack = Decompressor::new(compression, limits).unwrap();
    let mut text = Vec::new();
    let mut taken = 0;
    loop {
        let step = unpack.step_into(&bytes[taken..], &mut text, 1 << 20).unwrap();
        taken += step.consumed;
        if step.consumed == 0 && step.produced == 0 {
            break;
        }
    }
    unpack.finish().unwrap();
    text
}
