//! Requests over one connection that stays open.
//!
//! As little as HTTP needs, for the time of this side is that of the server's cores, too: one write per request, one read
//! per answer, no parser.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// An answer takes no longer; the server promises a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A connection that was quiet for so long is not used again: the server may close it at any time.
const QUIET: Duration = Duration::from_secs(2);

/// A connection.
pub(super) struct Client {
    address: SocketAddr,
    stream: TcpStream,
    used: Instant,
    received: Vec<u8>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

// === impl Client ===

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = open(address)?;
        Ok(Client { address, stream, used: Instant::now(), received: Vec::new() })
    }

    /// Makes a request that has to succeed; gives the body of the answer.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let answer = self.request(method, path, body.as_bytes())?;
        let Answer { status, body } = answer;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {}", body.trim_end());
        Ok(body)
    }

    /// Asks for JSON; gives it without white space.
    pub(super) fn json(&mut self, path: &str) -> Result<String> {
        let mut text = self.ask("GET", path, "")?;
        // No text that is looked for has a blank in it.
        text.retain(|character| !character.is_ascii_whitespace());
        Ok(text)
    }

    /// Makes a request.
    pub(super) fn request(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        self.request_with(method, path, "", body)
    }

    /// Makes a request with more headers, each of which ends with a line end.
    pub(super) fn request_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer> {
        if self.used.elapsed() > QUIET {
            self.stream = open(self.address)?;
        }
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: levada\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).and_then(|()| self.stream.write_all(body))?;
        let answer = self.answer().with_context(|| format!("{method} {path}"));
        self.used = Instant::now();
        answer
    }

    fn answer(&mut self) -> Result<Answer> {
        self.received.clear();
        let head_end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(self.received.len() < HEAD_BYTES_MAX, "the head of the answer has no end");
            self.receive()?;
        };
        let head = String::from_utf8_lossy(&self.received[..head_end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.with_context(|| format!("no answer of HTTP: {head}"))?;
        let mut length = 0;
        for line in head.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("the length of the answer")?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("an answer in chunks is not expected: {head}");
            }
        }
        while self.received.len() < head_end + length {
            self.receive()?;
        }
        let body = String::from_utf8_lossy(&self.received[head_end..head_end + length]);
        Ok(Answer { status, body: body.into_owned() })
    }

    fn receive(&mut self) -> Result<()> {
        let mut chunk = [0; 16 << 10];
        let count = match self.stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bail!("no answer within {} s", PATIENCE.as_secs())
            }
            read => read.context("cannot read the answer")?,
        };
        ensure!(count > 0, "the server closed the connection");
        self.received.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("cannot connect to the server")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn answers_in_pieces_are_put_together_and_the_connection_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            for pieces in [
                &["HTTP/1.1 200 OK\r\nConte", "nt-Length: 5\r\n\r\nhe", "llo"][..],
                &["HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfull"],
            ] {
                let count = stream.read(&mut request).unwrap();
                assert!(count > 0);
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.ask("GET", "/", "").unwrap(), "hello");
        let error = client.ask("GET", "/x", "").unwrap_err();
        assert_eq!(error.to_string(), "GET /x: 503 full");
        server.join().unwrap();
        assert!(client.ask("GET", "/", "").is_err(), "it was closed");
    }
}
