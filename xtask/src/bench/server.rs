//! A server of the release binary, with a data folder of its own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::client::Client;
use super::{empty, measure};

/// A running server; it is killed in the end.
pub(super) struct Server {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
    /// From the start of the process to the answer to the first request.
    pub(super) ready: Duration,
}

// === impl Server ===

impl Server {
    /// Starts the binary in an emptied folder; `prepare` may put files into it and into its data folder, `data`.
    pub(super) fn start(
        levada: &Path,
        folder: &Path,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        empty(folder)?;
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        prepare(folder)?;
        let started = Instant::now();
        let mut process = Command::new(levada)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("log.txt"))?)
            .spawn()
            .context("cannot start levada")?;
        let stdout = process.stdout.take().context("the server has no output")?;
        let mut server = Server {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: folder.to_owned(),
            ready: Duration::ZERO,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.split('"').find(|part| part.starts_with("127.0.0.1:"));
        let Some(address) = address else {
            bail!("the server did not start: {line}{}", server.log());
        };
        server.address = address.parse().context("the address of the server")?;
        server.client()?.ask("GET", "/kapacitor/v1/ping", "")?;
        server.ready = started.elapsed();
        Ok(server)
    }

    /// Connects to it.
    pub(super) fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    /// Gives the user and system time it took so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        measure::cpu_seconds_of(self.process.id())
    }

    /// Gives its highest resident memory so far, in millions of bytes.
    pub(super) fn peak_mb(&self) -> Result<f64> {
        measure::peak_mb_of(self.process.id())
    }

    /// Gives where its scripts may write files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the last lines of its log.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended by itself, which the requests have shown.
        let _ended = self.process.kill().and_then(|()| self.process.wait()).is_err();
    }
}
