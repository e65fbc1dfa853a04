//! The records of the bench: seeded, so that they are the same on every machine, and computable one by one.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Length of each record with its newline. Source: the definition of the workload.
pub(super) const RECORD_BYTES: usize = 256;
/// Changes when the layout of the records changes, so that a cached file of another layout is not used.
const LAYOUT: u32 = 1;
/// Any fixed number will do.
const SEED: u64 = 0x6c65_7661_6461_2031;
/// The filter of the flow lets records below this pass.
const STATUS_REFUSED: u16 = 500;

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const PATHS: [&str; 4] = ["orders", "items", "users", "carts"];
const NAMES: [&str; 8] = ["anna", "bela", "chen", "dmitri", "elena", "farid", "grace", "hiroshi"];
const SURNAMES: [&str; 8] =
    ["adams", "brandt", "costa", "dupont", "evans", "fischer", "garcia", "ito"];
/// Shares in percent, added up: one in ten at 500 and above, the rest as an ordinary service answers.
const STATUSES: [(u64, u16); 8] =
    [(62, 200), (70, 201), (74, 204), (79, 304), (83, 400), (90, 404), (96, 500), (100, 503)];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
/// Stands before the agent in one record of sixteen: a tokenizer has to look at escapes.
const QUOTED: &str = r#"\"bot\" "#;

/// The fields of one record.
struct Sample {
    id: u64,
    time: String,
    status: u16,
    method: &'static str,
    path: String,
    user: u64,
    local_part: String,
    /// Three decimals, as written.
    latency_ms: String,
    bytes: u64,
    host: String,
}

impl Sample {
    /// The record at `index`, counted from 0, independent of all others.
    fn at(index: u64) -> Self {
        let mut random = Random(SEED ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let roll = random.below(100);
        let status = STATUSES.iter().find(|(below, _)| roll < *below).map_or(200, |(_, s)| *s);
        // One record every ten milliseconds, starting anew each day.
        let ms = index.wrapping_mul(10) % 86_400_000;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        Self {
            id: index,
            time: format!("2026-03-01T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000),
            status,
            method: random.pick(&METHODS),
            path: format!("/api/v1/{}/{}", random.pick(&PATHS), random.below(100_000)),
            user: random.below(1_000_000),
            local_part: format!("{}.{}", random.pick(&NAMES), random.pick(&SURNAMES)),
            latency_ms: format!("{}.{:03}", random.below(2_000), random.below(1_000)),
            bytes: random.below(100_000),
            host: format!("web-{:02}.example.net", random.below(64)),
        }
    }

    /// Appends the record as one line of exactly [`RECORD_BYTES`].
    fn write(&self, line: &mut Vec<u8>) -> Result<()> {
        let start = line.len();
        let Self { id, time, status, method, path, user, local_part, latency_ms, bytes, host } =
            self;
        write!(
            line,
            r#"{{"id":{id},"ts":"{time}","status":{status},"method":"{method}","path":"{path}","user":{{"id":{user},"#
        )?;
        write!(
            line,
            r#""email":"{local_part}@example.com"}},"latency_ms":{latency_ms},"bytes":{bytes},"host":"{host}","ua":""#
        )?;
        let end = "\"}\n";
        let mut room = (start + RECORD_BYTES)
            .checked_sub(line.len() + end.len())
            .context("a record is longer than its room")?;
        if id.is_multiple_of(16) && room >= QUOTED.len() {
            line.extend_from_slice(QUOTED.as_bytes());
            room -= QUOTED.len();
        }
        let agent = AGENT.as_bytes();
        line.extend_from_slice(agent.get(..room).context("a record is shorter than its room")?);
        line.extend_from_slice(end.as_bytes());
        Ok(())
    }
}

/// The fields that the flow should write for the record at `index`; none when its filter drops it.
///
/// Computed from the same seed, not from the file and not by the product.
pub(super) fn expected(index: u64) -> Option<[(&'static str, String); 6]> {
    let sample = Sample::at(index);
    (sample.status < STATUS_REFUSED).then(|| {
        [
            ("request_id", sample.id.to_string()),
            ("time", format!("\"{}\"", sample.time)),
            ("code", sample.status.to_string()),
            ("email", "\"***@example.com\"".to_owned()),
            ("latency", sample.latency_ms),
            ("server", format!("\"{}\"", sample.host)),
        ]
    })
}

/// How many of the first `records` pass the filter.
pub(super) fn kept(records: u64) -> u64 {
    (0..records).map(|index| u64::from(Sample::at(index).status < STATUS_REFUSED)).sum()
}

/// Returns the file with the first `records` records, written when it is not there yet.
pub(super) fn prepare(folder: &Path, records: u64) -> Result<PathBuf> {
    let path = folder.join(format!("records-{LAYOUT}-{records}.ndjson"));
    if is_right(&path, records).unwrap_or(false) {
        return Ok(path);
    }
    eprintln!("writing {records} records");
    let partial = folder.join("records.partial");
    let file = File::create(&partial).with_context(|| format!("cannot write {partial:?}"))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut line = Vec::with_capacity(RECORD_BYTES);
    for index in 0..records {
        line.clear();
        Sample::at(index).write(&mut line)?;
        file.write_all(&line).context("cannot write the records")?;
    }
    file.into_inner().context("cannot write the records")?.sync_all()?;
    fs::rename(&partial, &path).context("cannot name the file of records")?;
    ensure!(is_right(&path, records)?, "the file of records is not what was written");
    Ok(path)
}

/// Whether a file has the right length and the right first, middle and last record.
fn is_right(path: &Path, records: u64) -> Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != records * RECORD_BYTES as u64 {
        return Ok(false);
    }
    for index in [0, records / 2, records - 1] {
        let (mut wanted, mut found) = (Vec::new(), vec![0; RECORD_BYTES]);
        Sample::at(index).write(&mut wanted)?;
        file.seek(SeekFrom::Start(index * RECORD_BYTES as u64))?;
        file.read_exact(&mut found)?;
        if wanted != found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Splitmix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn pick(&mut self, choices: &[&'static str]) -> &'static str {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_record_has_its_length_and_one_line() {
        for index in (0..20_000).chain([99_999_998, 99_999_999]) {
            let mut line = Vec::new();
            Sample::at(index).write(&mut line).unwrap();
            assert_eq!(line.len(), RECORD_BYTES, "record {index}");
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(RECORD_BYTES - 1));
        }
    }

    #[test]
    fn a_record_looks_like_this() {
        let mut line = Vec::new();
        Sample::at(48).write(&mut line).unwrap();
        let text = String::from_utf8(line).unwrap();
        assert!(
            text.starts_with(r#"{"id":48,"ts":"2026-03-01T00:00:00.480Z","status":"#),
            "{text}"
        );
        assert!(text.contains(r#""ua":"\"bot\" Mozilla/5.0"#), "{text}");
    }

    #[test]
    fn one_in_ten_is_dropped() {
        let kept = kept(100_000);
        assert!((89_000..91_000).contains(&kept), "{kept}");
        let expected = (0..1_000).filter(|index| expected(*index).is_some()).count() as u64;
        assert_eq!(expected, super::kept(1_000));
    }

    #[test]
    fn a_damaged_file_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = prepare(folder.path(), 100).unwrap();
        let good = fs::read(&path).unwrap();
        assert_eq!(good.len(), 100 * RECORD_BYTES);
        for damaged in [&good[..good.len() - 1], &good.to_ascii_uppercase()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(fs::read(prepare(folder.path(), 100).unwrap()).unwrap(), good);
        }
    }
}
