//! `levada serve` as a process of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use levada_testkit::process::{Ended, Folder, Running};

/// How long anything may take that takes well below a second; machines that build meanwhile are slow.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A server in a folder of its own; killed when it is dropped.
pub(crate) struct Serving {
    pub(crate) folder: Folder,
    pub(crate) port: u16,
    running: Option<Running>,
}

// === impl Serving ===

impl Serving {
    /// Starts it on a free port in a new folder.
    pub(crate) fn new() -> Self {
        Self::on(Folder::new())
    }

    /// Starts it on a free port.
    pub(crate) fn on(folder: Folder) -> Self {
        let port = levada_testkit::http::free_port();
        let mut serving = Serving { folder, port, running: None };
        serving.start();
        serving
    }

    /// Starts it and waits until it accepts requests.
    fn start(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        // What an earlier one in this folder has printed stays; only the new line counts.
        let ready = || {
            let files = std::fs::read_dir(self.folder.path(".")).unwrap();
            let printed = files.filter_map(|file| {
                let file = file.unwrap();
                let is_output = file.file_name().to_string_lossy().starts_with("stdout.");
                is_output.then(|| std::fs::read_to_string(file.path()).unwrap())
            });
            printed.filter(|text| text.starts_with("{\"ready\":true,")).count()
        };
        let before = ready();
        let binary = env!("CARGO_BIN_EXE_levada");
        let mut running = self.folder.start(binary, &["serve", "--listen", &listen]);
        running.until("it is ready", LONG, || ready() > before);
        self.running = Some(running);
    }

    /// Kills it as a crash does, and starts it again on its data.
    pub(crate) fn crash(&mut self) {
        let ended = self.running.take().unwrap().kill_after(Duration::ZERO);
        assert_eq!(ended.code, None, "{ended:?}");
        self.start();
    }

    /// Stops it as `SIGTERM` does.
    pub(crate) fn stop(mut self) -> Ended {
        let running = self.running.take().unwrap();
        running.signal(rustix::process::Signal::TERM);
        running.wait(LONG).expect_no_panic()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
