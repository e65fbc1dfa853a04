//! An HTTP server of a few lines that answers as a test tells it to, and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How long a peer may take; a test that hangs here has failed.
const PEER_MAX: Duration = Duration::from_secs(20);

/// What the server does with the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behave {
    /// Answers 200 and keeps the body.
    Accept,
    /// Answers with this status and forgets the body.
    Answer(u16),
    /// Answers 400 to bodies that contain this text, and accepts the others.
    Refuse(&'static str),
    /// Reads the request and closes the connection without an answer.
    Cut,
    /// Keeps the request waiting until it is told something else.
    Hold,
}

/// A server on a free port of this machine.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behave: Mutex<Behave>,
    changed: Condvar,
    bodies: Mutex<Vec<Vec<u8>>>,
    requests: Mutex<u64>,
    is_over: AtomicBool,
}

// === impl Server ===

impl Server {
    /// Starts it on a free port.
    pub fn start(behave: Behave) -> Self {
        Self::start_on("127.0.0.1:0", behave)
    }

    /// Starts it on an address.
    pub fn start_on(address: &str, behave: Behave) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behave: Mutex::new(behave),
            changed: Condvar::new(),
            bodies: Mutex::default(),
            requests: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), shared) = (stream, serving.clone()) else { continue };
                thread::spawn(move || shared.serve(stream));
            }
        });
        Server { address, shared }
    }

    /// Gives the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes what it does.
    pub fn behave(&self, behave: Behave) {
        *self.shared.behave.lock().unwrap() = behave;
        self.shared.changed.notify_all();
    }

    /// Gives the bodies that were accepted, in order.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared.bodies.lock().unwrap().clone()
    }

    /// Gives the lines of the bodies that were accepted.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let is_line = |line: &&[u8]| !line.is_empty();
        let lines = |body: Vec<u8>| -> Vec<Vec<u8>> {
            body.split(|&byte| byte == b'\n').filter(is_line).map(<[u8]>::to_vec).collect()
        };
        self.bodies().into_iter().flat_map(lines).collect()
    }

    /// Gives how many requests came.
    pub fn requests(&self) -> u64 {
        *self.shared.requests.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.behave(Behave::Cut);
        // Wakes the listener.
        let _closed = TcpStream::connect(self.address).is_err();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        if stream.set_read_timeout(Some(PEER_MAX)).is_err() {
            return;
        }
        let mut reader = BufReader::new(stream);
        while let Some((_, body)) = read_message(&mut reader) {
            *self.requests.lock().unwrap() += 1;
            let mut behave = self.behave.lock().unwrap();
            while *behave == Behave::Hold {
                behave = self.changed.wait_timeout(behave, PEER_MAX).unwrap().0;
            }
            let behave = *behave;
            let contains =
                |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
            let status = match behave {
                Behave::Refuse(text) if contains(text) => 400,
                Behave::Accept | Behave::Refuse(_) => 200,
                Behave::Answer(status) => status,
                Behave::Cut | Behave::Hold => return,
            };
            if status == 200 {
                self.bodies.lock().unwrap().push(body);
            }
            let answer = format!("HTTP/1.1 {status} Answer\r\nContent-Length: 0\r\n\r\n");
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Reads a request or an answer: the first line and the body.
fn read_message(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut length = None;
    let mut is_chunked = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let count = u64::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
            reader.take(count).read_to_end(&mut body).ok()?;
            let mut end = String::new();
            reader.read_line(&mut end).ok()?;
            if count == 0 {
                break;
            }
        }
    } else {
        reader.take(length.unwrap_or(0)).read_to_end(&mut body).ok()?;
        if (body.len() as u64) < length.unwrap_or(0) {
            return None;
        }
    }
    Some((first, body))
}

/// Asks a server and gives the status and the body.
///
/// - Errors: there is no such server, or it closed without an answer.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PEER_MAX))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let closed = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (first, body) = read_message(&mut reader).ok_or_else(closed)?;
    let status = first.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(closed)?, body))
}

/// Gives a port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
