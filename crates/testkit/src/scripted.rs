//! An HTTP server whose answers a function of the test gives, and which keeps what it was asked.
//!
//! For protocols of several steps, such as tokens and addresses of next answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a peer may take; a test that hangs here has failed.
const PEER_MAX: Duration = Duration::from_secs(20);

/// Bytes of a body that are read.
const BODY_MAX: u64 = 64 << 20;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, and the query behind it.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// A server on a free port of this machine.
pub struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

// === impl Request ===

impl Request {
    /// Gives the value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

// === impl Answer ===

impl Answer {
    /// Makes an answer without headers.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Answer { status, headers: Vec::new(), body: body.into() }
    }
}

// === impl Scripted ===

impl Scripted {
    /// Starts a server; `answer` gets the requests of all connections, and the address of the server
    /// (`http://127.0.0.1:PORT`). It may wait.
    pub fn start(answer: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let (kept, over) = (requests.clone(), is_over.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), kept, answer) = (stream, kept.clone(), answer.clone()) else {
                    continue;
                };
                thread::spawn(move || {
                    let url = format!("http://{address}");
                    serve(stream, |request| {
                        let answer = answer(request, &url);
                        kept.lock().unwrap().push(request.clone());
                        answer
                    })
                });
            }
        });
        Scripted { address, requests, is_over }
    }

    /// Gives `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives what was asked and answered until now, in the order of the answers.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes the listener.
        let _closed = TcpStream::connect(self.address).is_err();
    }
}

fn serve(stream: TcpStream, mut answer: impl FnMut(&Request) -> Answer) {
    if stream.set_read_timeout(Some(PEER_MAX)).is_err() {
        return;
    }
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let answer = answer(&request);
        let mut text = format!(
            "HTTP/1.1 {} Answer\r\nContent-Length: {}\r\n",
            answer.status,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&answer.body);
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request = Request::default();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    request.method = words.next()?.to_owned();
    request.path = words.next()?.to_owned();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(BODY_MAX.min(length)).read_to_end(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}
