//! A server that gives prepared answers and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a peer may take; a test that hangs here has failed.
const PEER_MAX: Duration = Duration::from_secs(20);

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    pub(crate) body: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The length that is announced; that of the body when absent.
    pub(crate) announced: Option<usize>,
}

/// A server on a free port of this machine, which closes every connection after its answer.
pub(crate) struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, body: body.into(), announced: None }
    }
}

impl Fake {
    /// Starts one that answers as `answer` says; status 0 closes the connection without an answer.
    pub(crate) fn start(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut answer) = (asked.clone(), answer);
        // The thread ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // A client that goes away early is what some tests want.
                let _served = serve(stream, &mut answer, &seen).is_ok();
            }
        });
        Fake { url, asked }
    }

    /// Starts one that gives these answers one after the other, and then 599.
    pub(crate) fn scripted(answers: Vec<Answer>) -> Self {
        let mut answers = answers.into_iter();
        Fake::start(move |_| {
            answers.next().unwrap_or_else(|| Answer::new(599, "nothing was expected here"))
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &mut dyn FnMut(&Asked) -> Answer,
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PEER_MAX))?;
    stream.set_write_timeout(Some(PEER_MAX))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..Asked::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        asked.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.body = String::from_utf8(body).unwrap();
    let answer = answer(&asked);
    seen.lock().unwrap().push(asked);
    if answer.status == 0 {
        return Ok(());
    }
    let length = answer.announced.unwrap_or(answer.body.len());
    let length = match answer.status {
        204 => String::new(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    write!(stream, "HTTP/1.1 {} Answer\r\n{length}Connection: close\r\n\r\n", answer.status)?;
    stream.write_all(&answer.body)
}
