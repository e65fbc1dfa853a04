//! Recordings of the points, and their replay.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::expect::{WINDOW, nanoseconds};
use super::points::{Points, time_text};
use super::{LOOK, Run, STILL};

/// The recording of a workload.
const RECORDING: &str = "recording";
/// Between two writes that are recorded: points that come faster than they are packed are left out, and said to be.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes in front of the packed data of a file of `gzip -n`, and behind them. Source: RFC 1952.
const GZIP_HEAD: usize = 10;
const GZIP_TAIL: usize = 8;

// === impl Run ===

impl Run<'_> {
    /// Records the points as they are written, which is not measured.
    pub(super) fn record(&mut self, bodies: &[Vec<String>]) -> Result<()> {
        let stop = time_text(self.points.rows - 1);
        let document = format!("{{\"id\":\"{RECORDING}\",\"task\":\"task\",\"stop\":\"{stop}\"}}");
        self.client.ask("POST", "/kapacitor/v1/recordings/stream", &document)?;
        self.send(bodies, PAUSE)?;
        // A point behind the end ends it.
        let last = format!("cpu,host=host-000000 usage=0 {}\n", nanoseconds(self.points.rows));
        self.send(&[vec![last]], PAUSE)?;
        self.wait_finished("recordings")
    }

    /// Replays the recording, and does what its alerts ask for, as Kapacitor does.
    pub(super) fn replay(&mut self) -> Result<()> {
        let document = format!(
            "{{\"id\":\"replay\",\"task\":\"task\",\"recording\":\"{RECORDING}\",\"recording-time\":true,\"clock\":\"fast\",\"side-effects\":\"performed\"}}"
        );
        self.client.ask("POST", "/kapacitor/v1/replays", &document)?;
        self.wait_finished("replays")
    }

    fn wait_finished(&mut self, what: &str) -> Result<()> {
        let id = if what == "replays" { "replay" } else { RECORDING };
        let began = Instant::now();
        loop {
            let state = self.client.json(&format!("/kapacitor/v1/{what}/{id}"))?;
            if state.contains("\"status\":\"finished\"") {
                ensure!(state.contains("\"error\":\"\""), "{what} ended with {state}");
                return Ok(());
            }
            if !state.contains("\"status\":\"running\"") || began.elapsed() > STILL * 8 {
                bail!("{what} did not end well: {state}");
            }
            thread::sleep(LOOK);
        }
    }
}

/// Writes a batch recording: every ten seconds a batch of each host. Source: reference (server) §5.2.
pub(super) fn write_batches(points: &Points, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let plain = folder.join("batches.json");
    let mut out = BufWriter::new(File::create(&plain)?);
    for batch in 0..points.rows.div_ceil(WINDOW) {
        let rows = batch * WINDOW..((batch + 1) * WINDOW).min(points.rows);
        for host in 0..points.series {
            let tags = format!("{{\"host\":\"host-{host:06}\"}}");
            let end = time_text(rows.end);
            write!(
                out,
                "{{\"name\":\"cpu\",\"tmax\":\"{end}\",\"byname\":false,\"tags\":{tags},\"points\":["
            )?;
            for row in rows.clone() {
                let comma = if row == rows.start { "" } else { "," };
                let mut line = String::new();
                points.line(0, host, row, &mut line);
                let fields = line.split(' ').nth(1).unwrap_or_default();
                let fields = fields.replace('=', "\":").replace(',', ",\"");
                let time = time_text(row);
                write!(
                    out,
                    "{comma}{{\"fields\":{{\"{fields}}},\"tags\":{tags},\"time\":\"{time}\"}}"
                )?;
            }
            out.write_all(b"]}\n")?;
        }
    }
    out.into_inner().context("cannot write the recording")?;
    let archive = archive(&packed(&plain)?)?;
    fs::remove_file(&plain)?;
    fs::write(folder.join(format!("{RECORDING}.brpl")), archive)?;
    Ok(())
}

/// Packs a file with the system's gzip: what an archive needs of it stands in it.
fn packed(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("gzip")
        .args(["-n", "-c"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .context("cannot start gzip")?;
    ensure!(output.status.success(), "gzip: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Makes an archive of one file `0` from what gzip packed. Source: APPNOTE.TXT 4.3.
fn archive(packed: &[u8]) -> Result<Vec<u8>> {
    ensure!(packed.len() > GZIP_HEAD + GZIP_TAIL, "gzip gave nothing");
    let (data, tail) = packed[GZIP_HEAD..].split_at(packed.len() - GZIP_HEAD - GZIP_TAIL);
    let size = u32::try_from(data.len()).context("the recording is too large")?;
    // Version, flags, method (deflate), time and date, checksum, sizes, lengths of name and extra field.
    let mut about = Vec::new();
    about.extend_from_slice(&[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0]);
    about.extend_from_slice(&tail[..4]);
    about.extend_from_slice(&size.to_le_bytes());
    about.extend_from_slice(&tail[4..]);
    about.extend_from_slice(&[1, 0, 0, 0]);
    let mut archive = b"PK\x03\x04".to_vec();
    archive.extend_from_slice(&about);
    archive.push(b'0');
    archive.extend_from_slice(data);
    let directory = u32::try_from(archive.len()).context("the recording is too large")?;
    archive.extend_from_slice(b"PK\x01\x02\x14\x00");
    archive.extend_from_slice(&about);
    // Comment, disk, attributes, place of the file.
    archive.extend_from_slice(&[0; 14]);
    archive.push(b'0');
    let end = archive.len() as u32 - directory;
    archive.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    archive.extend_from_slice(&end.to_le_bytes());
    archive.extend_from_slice(&directory.to_le_bytes());
    archive.extend_from_slice(&[0, 0]);
    Ok(archive)
}
