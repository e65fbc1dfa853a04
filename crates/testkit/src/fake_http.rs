//! An HTTP server whose answers a test makes: for stand-ins of servers that cannot run here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How long a peer may take; a test that hangs here has failed.
const PEER_MAX: Duration = Duration::from_secs(20);

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding undone.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status; 0: the connection is closed without an answer.
    pub status: u16,
    /// Headers beside those of the framing.
    pub headers: Vec<(String, String)>,
    /// The body; it is sent in chunks.
    pub body: Vec<u8>,
    /// The connection breaks when so many bytes of the body were sent.
    pub cut_after: Option<usize>,
}

/// A server on a free port of this machine.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

// === impl Request ===

impl Request {
    /// Gives a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Gives the path, escapes as they were sent.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Gives a parameter of the query, escapes decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(known, _)| decoded(known) == name);
        values.next().map(|(_, value)| decoded(value))
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

// === impl Reply ===

impl Reply {
    /// Answers with a status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, body: body.into(), ..Reply::default() }
    }

    /// Closes the connection without an answer.
    pub fn cut() -> Self {
        Reply::default()
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

// === impl FakeServer ===

impl FakeServer {
    /// Starts it; each request is answered by `answer`, which may wait.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    /// Starts it at an address of this machine.
    pub fn start_at(
        address: &str,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, ended, answer) = (requests.clone(), is_over.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), answer, counter) = (stream, answer.clone(), counter.clone())
                else {
                    continue;
                };
                // A connection that breaks is what tests ask for.
                thread::spawn(move || serve(stream, &*answer, &counter).is_ok());
            }
        });
        FakeServer { address, requests, is_over }
    }

    /// Gives `http://127.0.0.1:PORT` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Gives `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Gives how many requests came.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes the listener.
        let _closed = TcpStream::connect(self.address).is_err();
    }
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&Request) -> Reply,
    counter: &AtomicU64,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PEER_MAX))?;
    stream.set_write_timeout(Some(PEER_MAX))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        counter.fetch_add(1, Ordering::AcqRel);
        let reply = answer(&request);
        if reply.status == 0 {
            return Ok(());
        }
        let stream = reader.get_mut();
        let has_body = !matches!(reply.status, 204 | 304);
        let mut head = format!("HTTP/1.1 {} Answer\r\n", reply.status);
        if has_body {
            head.push_str("Transfer-Encoding: chunked\r\n");
        }
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if !has_body {
            continue;
        }
        let sent = reply.cut_after.unwrap_or(usize::MAX).min(reply.body.len());
        for chunk in reply.body[..sent].chunks(16 << 10) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        if reply.cut_after.is_some() {
            return Ok(());
        }
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    request.method = words.next().unwrap_or_default();
    request.target = words.next().unwrap_or_default();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if request.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let count = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
            reader.take(count).read_to_end(&mut request.body)?;
            reader.read_line(&mut line)?;
            if count == 0 {
                break;
            }
        }
    } else {
        let length: u64 =
            request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut request.body)?;
        if (request.body.len() as u64) < length {
            return Ok(None);
        }
    }
    Ok(Some(request))
}
