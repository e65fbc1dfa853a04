//! A server in this process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use levada_flow::spec::secrets::Secrets;
use levada_registry::Report;
use levada_runtime::{ShutdownHandle, SystemClock};
use levada_server::flows::{Host, Job};
use levada_server::serve::{LogControl, ReadSettings, Server, ServerDeps};
use levada_settings::Settings;
use levada_telemetry::feed::LogFeed;
use tracing_subscriber::layer::SubscriberExt as _;

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks until something is given up: some 20 seconds.
const LOOKS_MAX: u32 = 2_000;

/// A server on a free port.
pub(crate) struct Started {
    /// Its address, e.g. `http://127.0.0.1:1234`.
    pub(crate) url: String,
    server: Server,
    handle: ShutdownHandle,
}

/// A log that only its feed shows.
#[derive(Debug)]
struct FedLog(LogFeed);

impl LogControl for FedLog {
    fn set_level(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn feed(&self) -> Option<LogFeed> {
        Some(self.0.clone())
    }
}

/// Gives the lines of the whole process; the subscriber can only be set once.
fn feed() -> LogFeed {
    static FEED: OnceLock<LogFeed> = OnceLock::new();
    let feed = FEED.get_or_init(|| {
        let feed = LogFeed::new(SystemClock::new());
        let subscriber = tracing_subscriber::registry().with(feed.layer());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        feed
    });
    feed.clone()
}

/// Gives what servers of tests log to.
pub(crate) fn log() -> Arc<dyn LogControl> {
    Arc::new(FedLog(feed()))
}

/// Runs a test on threads that do not outlive it; a test that fails does not wait for what it started.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test)));
    runtime.shutdown_background();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_met: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_met().await {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("{what}: waited too long");
}

/// Reads the flows of a manifest.
fn jobs(manifest: &str, base_dir: &Path) -> Vec<Job> {
    let documents = levada_registry::manifest::parse_bytes(manifest.as_bytes()).unwrap();
    let jobs = documents.iter().map(|document| {
        let mut report = Report::new();
        let flow = levada_flow::spec::check(document, "flow", &mut report);
        let flow = flow.unwrap_or_else(|| panic!("{:?}", report.problems()));
        Job::new(flow, Arc::new(Secrets::default()), base_dir.to_owned())
    });
    jobs.collect()
}

impl Started {
    /// Starts one on a data folder, with settings as `--set` takes them.
    pub(crate) async fn new(data: &Path, settings: &[&str]) -> Self {
        Self::with(data, settings, None).await
    }

    /// Starts one that runs the flows of a manifest, too; their paths are relative to the data folder.
    pub(crate) async fn with_flows(data: &Path, settings: &[&str], manifest: &str) -> Self {
        Self::with_all(data, settings, None, manifest).await
    }

    /// Starts one that reads a file as well, now and at each SIGHUP.
    pub(crate) async fn with(data: &Path, settings: &[&str], file: Option<&Path>) -> Self {
        Self::with_all(data, settings, file, "").await
    }

    /// Starts one with all of that.
    pub(crate) async fn with_all(
        data: &Path,
        settings: &[&str],
        file: Option<&Path>,
        manifest: &str,
    ) -> Self {
        let started = Self::try_with(data, settings, file, manifest).await;
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Tries to start one.
    ///
    /// - Errors: why it does not start, with all causes.
    pub(crate) async fn try_with(
        data: &Path,
        settings: &[&str],
        file: Option<&Path>,
        manifest: &str,
    ) -> Result<Self, String> {
        let flows = jobs(manifest, data);
        let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
        let (data, file) = (data.to_owned(), file.map(Path::to_owned));
        let read = move || -> Result<Settings, String> {
            let mut loader = levada_settings::Loader::new();
            if let Some(file) = &file {
                loader = loader.file(file);
            }
            loader = loader.flag("--data", "data.dir", &data.to_string_lossy()).flag(
                "--listen",
                "http.listen",
                "127.0.0.1:0",
            );
            for assignment in &settings {
                loader = loader.assignment("--set", assignment);
            }
            loader.load().map(|loaded| loaded.settings).map_err(|error| error.to_string())
        };
        let host = Host::new(read().unwrap()).unwrap();
        let (handle, shutdown) = ShutdownHandle::new();
        let read_settings: Option<ReadSettings> = Some(Arc::new(read));
        let deps = ServerDeps { host, log: log(), shutdown, flows, read_settings };
        let server = Server::start(deps).await.map_err(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(deeper) = cause {
                text.push_str(&format!(": {deeper}"));
                cause = deeper.source();
            }
            text
        })?;
        let url = format!("http://{}", server.addresses()[0]);
        Ok(Started { url, server, handle })
    }

    /// Gives the server itself.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Stops it as `SIGTERM` does.
    pub(crate) async fn stop(self) {
        self.handle.drain();
        self.server.stop(&self.handle).await;
    }
}
