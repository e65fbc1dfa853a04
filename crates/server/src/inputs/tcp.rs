//! Connections that carry line protocol. A line ends at its line feed, also within a text.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use levada_runtime::{Shutdown, TaskKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

use super::feed::{self, Chunk};
use super::{InputDeps, Shared, Target, resolve};

/// Chunks of all connections that may wait; then connections are not read.
const CHUNKS_MAX: usize = 64;
/// What is read at once; less than the shortest bound of a line.
const READ_BYTES: usize = 16 << 10;
/// After a failed accept the next one waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener for connections.
#[derive(Clone, Debug)]
pub(super) struct TcpSpec {
    pub(super) bind: String,
    pub(super) connections_max: usize,
    pub(super) line_bytes: usize,
    /// Zero is for ever.
    pub(super) idle_timeout: Duration,
    pub(super) target: Target,
}

/// One connection, or how it is read.
#[derive(Clone)]
struct Connection {
    sender: Sender<Chunk>,
    deps: InputDeps,
    shared: Arc<Shared>,
    stop: Shutdown,
    line_bytes: usize,
    idle_timeout: Duration,
}

/// Cuts what is read into whole lines.
struct Cutter {
    buffer: BytesMut,
    /// Within a line that is too long.
    is_skipping: bool,
    line_bytes: usize,
    too_long: u64,
}

/// Binds the listener and starts to accept; the task ends when everything received has reached the tasks.
///
/// - Errors: the address cannot be bound.
pub(super) fn open(
    spec: TcpSpec,
    deps: InputDeps,
    shared: Arc<Shared>,
    stop: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let listener = StdListener::bind(resolve(&spec.bind)?)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    shared.bound(listener.local_addr()?);
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let feed = feed::run(receiver, spec.bind, spec.target, deps.clone(), shared.counts.clone());
    let feed = deps.tasks.spawn(TaskKind::Source, "tcp points", feed);
    let tasks = deps.tasks.clone();
    let connection = Connection {
        sender,
        deps,
        shared,
        stop,
        line_bytes: spec.line_bytes,
        idle_timeout: spec.idle_timeout,
    };
    Ok(tasks.spawn(TaskKind::Source, "tcp", async move {
        accept(listener, connection, spec.connections_max).await;
        if let Err(error) = feed.await {
            tracing::error!(%error, "the points of a listener were lost");
        }
    }))
}

async fn accept(listener: TcpListener, mut connection: Connection, connections_max: usize) {
    let slots = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let counts = connection.shared.counts.clone();
    loop {
        let accepted = tokio::select! {
            () = connection.stop.draining() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                counts.read_failures.inc();
                tracing::debug!(%error, "a connection was not accepted");
                connection.deps.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            counts.connections_refused.inc();
            continue;
        };
        let one = connection.clone();
        connection.deps.tasks.spawn(TaskKind::Source, "tcp connection", async move {
            one.read(stream).await;
            drop(slot);
        });
    }
}

// === impl Connection ===

impl Connection {
    async fn read(mut self, mut stream: TcpStream) {
        let counts = self.shared.counts.clone();
        let mut cutter = Cutter::new(self.line_bytes);
        loop {
            let clock = &self.deps.clock;
            let idle = async {
                match self.idle_timeout.is_zero() {
                    true => std::future::pending().await,
                    false => clock.sleep(self.idle_timeout).await,
                }
            };
            cutter.buffer.reserve(READ_BYTES);
            let mut room = (&mut cutter.buffer).limit(READ_BYTES);
            let read = tokio::select! {
                () = self.stop.draining() => break,
                () = idle => break,
                read = stream.read_buf(&mut room) => read,
            };
            match read {
                Ok(0) => break,
                Ok(length) => counts.bytes.add(length as u64),
                Err(error) => {
                    counts.read_failures.inc();
                    tracing::debug!(bind = self.shared.bind, %error, "a connection broke");
                    break;
                }
            }
            let lines = cutter.lines();
            counts.too_long.add(std::mem::take(&mut cutter.too_long));
            if let Some(lines) = lines
                && self.send(lines).await.is_err()
            {
                return;
            }
        }
        if let Some(rest) = cutter.rest()
            && self.send(rest).await.is_err()
        {
            tracing::debug!(bind = self.shared.bind, "the end of a connection came too late");
        }
    }

    async fn send(&self, bytes: Bytes) -> Result<(), ()> {
        let received = self.deps.clock.now();
        self.sender.send(Chunk { bytes, received }).await.map_err(|_| ())
    }
}

// === impl Cutter ===

impl Cutter {
    fn new(line_bytes: usize) -> Self {
        Cutter { buffer: BytesMut::new(), is_skipping: false, line_bytes, too_long: 0 }
    }

    /// Gives the whole lines of the buffer, at most [`READ_BYTES`] of which are new.
    fn lines(&mut self) -> Option<Bytes> {
        let is_feed = |byte: &u8| *byte == b'\n';
        if self.is_skipping {
            let Some(end) = self.buffer.iter().position(is_feed) else {
                self.buffer.clear();
                return None;
            };
            self.buffer.advance(end + 1);
            self.is_skipping = false;
        }
        // Only the first line may have begun in earlier reads, and only new bytes may hold a line feed.
        let old = self.buffer.len().saturating_sub(READ_BYTES);
        match self.buffer[old..].iter().position(is_feed).map(|at| old + at) {
            Some(end) if end > self.line_bytes => {
                self.buffer.advance(end + 1);
                self.too_long += 1;
            }
            Some(_) => {}
            None if self.buffer.len() > self.line_bytes => {
                self.buffer.clear();
                self.is_skipping = true;
                self.too_long += 1;
                return None;
            }
            None => return None,
        }
        let end = self.buffer.iter().rposition(is_feed)?;
        Some(self.buffer.split_to(end + 1).freeze())
    }

    /// Gives the last line, which nothing ended.
    fn rest(self) -> Option<Bytes> {
        (!self.is_skipping && !self.buffer.is_empty()).then(|| self.buffer.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds pieces; gives what came out and how many lines were too long.
    fn cut(line_bytes: usize, text: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let mut cutter = Cutter::new(line_bytes);
        let mut out = Vec::new();
        for piece in text.chunks(piece) {
            cutter.buffer.extend_from_slice(piece);
            out.extend(cutter.lines().unwrap_or_default());
        }
        let too_long = cutter.too_long;
        out.extend(cutter.rest().unwrap_or_default());
        (out, too_long)
    }

    #[test]
    fn lines_are_whole_however_they_come_and_capped_at_the_edge() {
        let max = 64 << 10;
        let fits = [vec![b'a'; max], b"\n".to_vec()].concat();
        let too_long = [vec![b'b'; max + 1], b"\n".to_vec()].concat();
        let text = [&fits[..], b"1\n2\n", &too_long, b"3\n", &too_long, &fits, b"last"].concat();
        let expected = [&fits[..], b"1\n2\n3\n", &fits, b"last"].concat();
        for piece in [READ_BYTES, READ_BYTES - 1, 4_097, 1_000] {
            let (out, count) = cut(max, &text, piece);
            assert!(out == expected, "pieces of {piece}: {} bytes", out.len());
            assert_eq!(count, 2, "pieces of {piece}");
        }
        // A line that is too long and never ends is not kept.
        let endless = vec![b'x'; 10 * max];
        assert_eq!(cut(max, &endless, READ_BYTES), (Vec::new(), 1));
    }
}
