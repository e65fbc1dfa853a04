//! The `stdin` source and the `stdout` sink, over pipes that stand for those of the process.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use levada_connectors::{BuildContext, Sink, Source, StandardInput, StandardOutput};
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::json;

#[derive(Clone, Copy)]
struct Standard;

source_suite!(stdin, Standard);
sink_suite!(stdout, Standard);

/// Why nothing of a network applies.
const NO_NETWORK: Result<(), &str> = Err("a pipe that is closed does not come back");

/// Gives what a connector is built with, its standard input or output replaced.
fn context(replace: impl FnOnce(&BuildContext)) -> BuildContext {
    let ctx = build::context(Path::new("."));
    replace(&ctx);
    ctx
}

// === The source ===

struct Input {
    lines: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
    /// Lines that the source has taken out of the pipe's writer.
    taken: Arc<AtomicU64>,
}

#[async_trait]
impl source::SourceHarness for Standard {
    fn name(&self) -> String {
        "stdin".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Ok(()),
            resumes: Err("what was read from standard input cannot be read again"),
            has_poison: Ok(()),
            disconnects: NO_NETWORK,
            holds_back: Ok(()),
            // What fits into the pipe, the batches on their way and the chunk that is read.
            ahead_max: 40_000,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let expected = payloads(plan.records, plan.bytes);
        let line = |(index, payload): (usize, &Vec<u8>)| match plan.poison == Some(index) {
            true => b"{\"id\":".to_vec(),
            false => payload.clone(),
        };
        let lines = expected.iter().enumerate().map(line).collect();
        Box::new(Input { lines, expected, taken: Arc::default() })
    }
}

#[async_trait]
impl source::SourceScene for Input {
    async fn source(&mut self) -> Box<dyn Source> {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (lines, taken) = (self.lines.clone(), self.taken.clone());
        std::thread::spawn(move || {
            for line in lines {
                // The source is gone: nobody takes any more.
                if writer.write_all(&line).and_then(|()| writer.write_all(b"\n")).is_err() {
                    return;
                }
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        let ctx = context(|ctx| ctx.links.put(StandardInput(OwnedFd::from(reader))));
        build::source_in("stdin", &json!({"maxRecordBytes": "2KiB"}), &ctx)
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.expected.clone())
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

// === The sink ===

/// Reads everything that comes out of a pipe, as somebody behind a shell's `|` does.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    writer: std::io::PipeWriter,
}

impl Output {
    fn new() -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let arriving = text.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                arriving.lock().unwrap().extend_from_slice(&chunk[..count]);
            }
        });
        Output { text, writer }
    }
}

#[async_trait]
impl sink::SinkHarness for Standard {
    fn name(&self) -> String {
        "stdout".into()
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: NO_NETWORK,
            slows: Err("a reader that stands still is tried with whole flows"),
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        Box::new(Output::new())
    }
}

#[async_trait]
impl sink::SinkScene for Output {
    async fn sink(&mut self) -> Box<dyn Sink> {
        let writer = self.writer.try_clone().unwrap();
        let ctx = context(|ctx| ctx.links.put(StandardOutput(OwnedFd::from(writer))));
        build::sink_in("stdout", &json!({}), &ctx).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        // A write has ended when the bytes are in the pipe; the reader needs a moment more.
        let (mut last, mut looks) = (usize::MAX, 0);
        let text = loop {
            let text = self.text.lock().unwrap().clone();
            looks = if text.len() == last { looks + 1 } else { 0 };
            if looks == 10 {
                break text;
            }
            last = text.len();
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(text.is_empty() || text.ends_with(b"\n"), "the last line has no end");
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(<[u8]>::to_vec).collect()
    }

    fn poison(&self) -> Vec<u8> {
        b"no JSON\nin two lines".to_vec()
    }
}
