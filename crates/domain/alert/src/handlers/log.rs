//! `log`: appends a JSON line to a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;

use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, Shape, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

/// Source: kapacitor: pipeline/alert.go.
const MODE_DEFAULT: i64 = 0o600;

/// Events that are written at once: some hundred kilobytes. Ours: opening the file for each costs more than writing it.
const EVENTS_MAX: usize = 256;

/// What is set aside for a line before its size is known. Ours: an event of one point with its details.
const LINE_BYTES: usize = 1 << 10;

/// The owner must be able to write.
const OWNER_WRITES: i64 = 0o200;

pub(super) static KIND: Kind = Kind {
    method: Some("log"),
    option_kind: "log",
    summary: "appends a JSON line to a file",
    rules: &[Rule::text("path", "path").at(Place::Call), Rule::new(Shape::Int, "mode", "mode")],
    check,
    ..Kind::starting(start)
};

struct Log {
    path: PathBuf,
    mode: u32,
}

fn mode(spec: &HandlerSpec) -> i64 {
    spec.int("mode").filter(|mode| *mode != 0).unwrap_or(MODE_DEFAULT)
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    let failed = |text| Err(Trouble::enable(format!("failed to create log alert handler: {text}")));
    let path = spec.text("path").unwrap_or_default();
    if !Path::new(path).is_absolute() {
        return failed(format!("log path must be absolute: {path} is not absolute"));
    }
    let mode = mode(spec);
    if !(0..=0o7777).contains(&mode) || mode & OWNER_WRITES == 0 {
        return failed(format!("invalid file mode {mode:#o}; the owner must be able to write"));
    }
    Ok(())
}

fn start(spec: &HandlerSpec, _deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let path = PathBuf::from(spec.text("path").unwrap_or_default());
    let mode = u32::try_from(mode(spec)).expect("the mode was checked");
    Ok(Arc::new(Log { path, mode }))
}

impl Log {
    async fn append(&self, lines: &[u8]) -> Result<(), HandlerError> {
        self.write(lines).await.map_err(|error| {
            HandlerError::new("failed to write event to log file")
                .with("file", self.path.display().to_string())
                .with("error", error.to_string())
        })
    }

    async fn write(&self, lines: &[u8]) -> std::io::Result<()> {
        // Opened anew each time, so that a rotated file is left alone.
        let mut options = tokio::fs::OpenOptions::new();
        options.append(true).create(true).mode(self.mode);
        let mut file = options.open(&self.path).await?;
        file.write_all(lines).await?;
        file.flush().await
    }
}

#[async_trait]
impl Handler for Log {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.append(&event.to_json()).await
    }

    fn events_max(&self) -> usize {
        EVENTS_MAX
    }

    async fn handle_all(&self, events: &[&Event]) -> Result<(), HandlerError> {
        let mut lines = Vec::with_capacity(events.len() * LINE_BYTES);
        events.iter().for_each(|event| event.write_json(&mut lines));
        self.append(&lines).await
    }
}
