//! A black hole that counts: it answers 200 to everything and keeps nothing.
//!
//! One body in [`SAMPLE`] is unpacked, and each of its lines compared with what the line of that number should be and with
//! where it should go; when asked, all bodies are, and each number is ticked off.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use super::lines;

/// One body in so many is unpacked unless all are.
const SAMPLE: u64 = 64;
/// A connection of the gateway is quiet for no longer.
const PATIENCE: Duration = Duration::from_secs(600);
/// A body that is read without being looked at, bytes at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What a point's host says about where it goes: the token of the URL.
pub(super) type Place = fn(u64) -> String;

/// A receiver on an address of its own.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Points that headers and, where looked at, lines count.
    points: AtomicU64,
    bodies: AtomicU64,
    bytes: AtomicU64,
    /// Bodies that were compared line by line.
    compared: AtomicU64,
    /// When the first body came.
    first: Mutex<Option<Instant>>,
    /// One bit for each line, when all are compared.
    seen: Mutex<Vec<u64>>,
    problem: Mutex<Option<String>>,
    checks_all: bool,
    place: Place,
    is_over: AtomicBool,
}

struct Request {
    /// The token that stands in the URL.
    token: String,
    length: u64,
    points: u64,
    is_gzip: bool,
}

// === impl Receiver ===

impl Receiver {
    /// Takes an address, but answers nobody there yet; `lines` is given when every line is to be ticked off.
    pub(super) fn away(lines: Option<u64>, place: Place) -> Result<Self> {
        // Given back at once: who connects is refused.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let words = usize::try_from(lines.unwrap_or(0).div_ceil(64))?;
        let shared = Shared {
            points: AtomicU64::new(0),
            bodies: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            compared: AtomicU64::new(0),
            first: Mutex::default(),
            seen: Mutex::new(vec![0; words]),
            problem: Mutex::default(),
            checks_all: lines.is_some(),
            place,
            is_over: AtomicBool::new(false),
        };
        Ok(Receiver { address, shared: Arc::new(shared) })
    }

    /// Gives its URL for a token.
    pub(super) fn url(&self, token: &str) -> String {
        format!("http://{}?token={token}", self.address)
    }

    /// Begins to answer.
    pub(super) fn arrive(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).context("the address is taken")?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // Noted before the connection closes.
                    if let Err(error) = shared.serve(&stream) {
                        shared.note(&error);
                    }
                });
            }
        });
        Ok(())
    }

    /// Gives how many points came, or what was wrong with one.
    pub(super) fn points(&self) -> Result<u64> {
        let problem = self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = &*problem {
            bail!("the receiver got something wrong: {problem}");
        }
        Ok(self.shared.points.load(Ordering::Acquire))
    }

    /// Gives when the first body came.
    pub(super) fn first(&self) -> Option<Instant> {
        *self.shared.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what was compared; an error when a line that should be there is not.
    pub(super) fn check(&self, lines: u64) -> Result<String> {
        let points = self.points()?;
        ensure!(points == lines, "{points} points came, should be {lines}");
        let [bodies, bytes, compared] =
            [&self.shared.bodies, &self.shared.bytes, &self.shared.compared]
                .map(|number| number.load(Ordering::Acquire));
        if !self.shared.checks_all {
            return Ok(format!(
                "{} bodies, {:.0} MB; {compared} of them line by line",
                crate::bench::grouped(bodies),
                bytes as f64 / 1e6
            ));
        }
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let distinct: u64 = seen.iter().map(|word| u64::from(word.count_ones())).sum();
        ensure!(distinct == lines, "{distinct} different lines came, should be {lines}");
        Ok(format!(
            "{} bodies, {:.0} MB; every line came once, unchanged, where it should",
            crate::bench::grouped(bodies),
            bytes as f64 / 1e6
        ))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the listener, if there is one.
        let _woken = TcpStream::connect(self.address).is_ok();
    }
}

// === impl Shared ===

impl Shared {
    fn serve(&self, mut stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, stream);
        let mut body = Vec::new();
        while let Some(request) = read_head(&mut reader)? {
            let number = self.bodies.fetch_add(1, Ordering::AcqRel);
            if number == 0 {
                *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            if self.checks_all || number.is_multiple_of(SAMPLE) {
                body.clear();
                reader.by_ref().take(request.length).read_to_end(&mut body)?;
                ensure!(body.len() as u64 == request.length, "a body is cut");
                self.compare(&request, &body)?;
            } else {
                skip(&mut reader, request.length)?;
            }
            self.bytes.fetch_add(request.length, Ordering::AcqRel);
            self.points.fetch_add(request.points, Ordering::AcqRel);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        Ok(())
    }

    /// Compares each line with what it should be.
    fn compare(&self, request: &Request, body: &[u8]) -> Result<()> {
        let mut text = Vec::new();
        match request.is_gzip {
            true => MultiGzDecoder::new(body).read_to_end(&mut text).map(drop)?,
            false => text.extend_from_slice(body),
        }
        ensure!(text.ends_with(b"\n"), "a body does not end with a line end");
        let (mut count, mut wanted) = (0, Vec::new());
        let mut numbers = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let shown = || String::from_utf8_lossy(line).into_owned();
            let number = lines::number(line.trim_ascii_end()).with_context(shown)?;
            wanted.clear();
            lines::write(number, &mut wanted);
            ensure!(wanted == line, "line {number} was changed: {}", shown());
            let place = (self.place)(lines::host(number));
            ensure!(place == request.token, "line {number} came to {}: {}", request.token, shown());
            numbers.push(number);
            count += 1;
        }
        ensure!(count == request.points, "X-Points is {}, not {count}", request.points);
        self.compared.fetch_add(1, Ordering::AcqRel);
        if self.checks_all {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for number in numbers {
                let word = seen.get_mut(usize::try_from(number / 64)?);
                let word = word.with_context(|| format!("line {number} was never sent"))?;
                ensure!(*word >> (number % 64) & 1 == 0, "line {number} came twice");
                *word |= 1 << (number % 64);
            }
        }
        Ok(())
    }

    fn note(&self, error: &anyhow::Error) {
        // Connections break when the server is killed, at the end.
        if !error.is::<std::io::Error>() {
            let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            problem.get_or_insert_with(|| format!("{error:#}"));
        }
    }
}

/// Reads the head of a request; nothing when the connection was closed.
fn read_head(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let token = target.split_once("token=").map_or("", |(_, token)| token).to_owned();
    let mut request = Request { token, length: 0, points: 0, is_gzip: false };
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "a head is cut");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match &*name.to_ascii_lowercase() {
            "content-length" => request.length = value.parse().context("content-length")?,
            "x-points" => request.points = value.parse().context("x-points")?,
            "content-encoding" => request.is_gzip = value == "gzip",
            "transfer-encoding" => bail!("a body in chunks is not expected"),
            _ => {}
        }
    }
    Ok(Some(request))
}

fn skip(reader: &mut impl BufRead, mut bytes: u64) -> Result<()> {
    while bytes > 0 {
        let there = reader.fill_buf()?.len();
        ensure!(there > 0, "a body is cut");
        let some = usize::try_from(bytes).map_or(there, |bytes| bytes.min(there));
        reader.consume(some);
        bytes -= some as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::bench::client::Client;

    fn post(client: &mut Client, token: &str, points: u64, body: &[u8]) -> Result<u16> {
        let path = format!("/v1/write/metric?token={token}");
        let headers = format!("x-points: {points}\r\n");
        client.request_with("POST", &path, &headers, body).map(|answer| answer.status)
    }

    fn body(numbers: &[u64]) -> Vec<u8> {
        let mut body = Vec::new();
        numbers.iter().for_each(|number| lines::write(*number, &mut body));
        body
    }

    #[test]
    fn every_line_is_ticked_off_once() {
        let receiver = Receiver::away(Some(4), |_| "t".to_owned()).unwrap();
        assert!(Client::connect(receiver.address).is_err(), "it is away");
        receiver.arrive().unwrap();
        let mut client = Client::connect(receiver.address).unwrap();
        assert_eq!(post(&mut client, "t", 3, &body(&[2, 0, 3])).unwrap(), 200);
        assert!(receiver.check(4).is_err(), "one is missing");
        assert_eq!(post(&mut client, "t", 1, &body(&[1])).unwrap(), 200);
        assert!(receiver.check(4).unwrap().contains("every line came once"));
        assert!(post(&mut client, "t", 1, &body(&[1])).is_err());
        let problem = receiver.points().unwrap_err().to_string();
        assert!(problem.ends_with("line 1 came twice"), "{problem}");
    }

    #[test]
    fn what_is_wrong_is_noticed() {
        let changed = String::from_utf8(body(&[5])).unwrap().replace("rack=r", "rack=R");
        for (token, points, body, expected) in [
            ("t", 2, body(&[5]), "X-Points is 2, not 1"),
            ("u", 1, body(&[5]), "line 5 came to u"),
            ("t", 1, changed.into_bytes(), "line 5 was changed"),
            ("t", 1, body(&[5])[..40].to_vec(), "does not end with a line end"),
            ("t", 1, body(&[500]), "line 500 was never sent"),
        ] {
            let receiver = Receiver::away(Some(6), |_| "t".to_owned()).unwrap();
            receiver.arrive().unwrap();
            let mut client = Client::connect(receiver.address).unwrap();
            assert!(post(&mut client, token, points, &body).is_err());
            let problem = receiver.points().unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn without_ticking_off_a_sample_is_compared() {
        let receiver = Receiver::away(None, |_| "t".to_owned()).unwrap();
        receiver.arrive().unwrap();
        let mut client = Client::connect(receiver.address).unwrap();
        for number in 0..=SAMPLE {
            assert_eq!(post(&mut client, "t", 1, &body(&[number])).unwrap(), 200);
        }
        let said = receiver.check(SAMPLE + 1).unwrap();
        assert!(said.contains("65 bodies") && said.ends_with("2 of them line by line"), "{said}");
    }
}
