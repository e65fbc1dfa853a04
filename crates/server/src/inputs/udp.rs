//! Datagrams of line protocol.

use std::io;
use std::net::UdpSocket as StdSocket;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_model::Timestamp;
use levada_runtime::{Shutdown, TaskKind};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

use super::feed::{self, Chunk};
use super::metrics::Counts;
use super::{InputDeps, Shared, Target, resolve};

/// The largest datagram. Source: reference (server) §3.5.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Datagrams that are still taken when the server stops.
const LATE_MAX: usize = 10_000;
/// After a failed read the next one waits.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// Failed reads are told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A listener for datagrams.
#[derive(Clone, Debug)]
pub(crate) struct UdpSpec {
    /// The address.
    pub(crate) bind: String,
    /// What it is called in counters.
    pub(crate) shown: String,
    /// The buffer of the operating system in bytes; 0 is its default.
    pub(crate) read_buffer: usize,
    /// Datagrams that may wait.
    pub(crate) buffer: usize,
    /// Which points they make.
    pub(crate) target: Target,
}

/// Binds the socket and starts to read it; the task ends when everything received has reached the tasks.
///
/// - Errors: the address cannot be bound.
pub(super) fn open(
    spec: UdpSpec,
    deps: InputDeps,
    shared: Arc<Shared>,
    stop: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let socket = StdSocket::bind(resolve(&spec.bind)?)?;
    if spec.read_buffer > 0 {
        socket2::SockRef::from(&socket).set_recv_buffer_size(spec.read_buffer)?;
    }
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    shared.bound(socket.local_addr()?);
    let (sender, receiver) = mpsc::channel(spec.buffer);
    let counts = shared.counts.clone();
    let feed = feed::run(receiver, spec.shown, spec.target, deps.clone(), counts);
    let feed = deps.tasks.spawn(TaskKind::Source, "udp points", feed);
    let tasks = deps.tasks.clone();
    Ok(tasks.spawn(TaskKind::Source, "udp", async move {
        read(&socket, sender, &deps, &shared, stop).await;
        if let Err(error) = feed.await {
            tracing::error!(%error, "the points of a listener were lost");
        }
    }))
}

async fn read(
    socket: &UdpSocket,
    sender: Sender<Chunk>,
    deps: &InputDeps,
    shared: &Shared,
    mut stop: Shutdown,
) {
    let counts = &shared.counts;
    // One more than is taken, to see when there was more.
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    let mut tell_at = Duration::ZERO;
    let mut late = 0;
    loop {
        let received = tokio::select! {
            biased;
            () = stop.draining() => {
                // What the system has already taken is not lost, unless there is no end of it.
                late += 1;
                match socket.try_recv(&mut buffer) {
                    Ok(length) if late <= LATE_MAX => Ok(length),
                    Ok(_) | Err(_) => return,
                }
            }
            received = socket.recv(&mut buffer) => received,
        };
        let length = match received {
            Ok(length) => length,
            Err(error) => {
                counts.read_failures.inc();
                let now = deps.clock.monotonic();
                if now >= tell_at {
                    tell_at = now + TELL_EVERY;
                    tracing::warn!(bind = shared.bind, %error, "cannot read datagrams");
                }
                deps.clock.sleep(READ_PAUSE).await;
                continue;
            }
        };
        queue(&sender, counts, &buffer[..length], deps.clock.now());
    }
}

/// Queues a datagram, or counts that it was dropped.
fn queue(sender: &Sender<Chunk>, counts: &Counts, datagram: &[u8], received: Timestamp) {
    counts.bytes.add(datagram.len() as u64);
    let is_taken = datagram.len() <= DATAGRAM_BYTES_MAX
        && sender.try_send(Chunk { bytes: Bytes::copy_from_slice(datagram), received }).is_ok();
    if !is_taken {
        counts.dropped.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_above_either_bound_are_dropped_and_counted() {
        let (sender, mut receiver) = mpsc::channel(2);
        let counts = Counts::default();
        let largest = vec![b'a'; DATAGRAM_BYTES_MAX];
        let too_large = vec![b'a'; DATAGRAM_BYTES_MAX + 1];
        for datagram in [&largest[..], &too_large, b"b", b"c"] {
            queue(&sender, &counts, datagram, Timestamp(7));
        }
        assert_eq!(counts.dropped.value(), 2);
        assert_eq!(counts.bytes.value(), 2 * DATAGRAM_BYTES_MAX as u64 + 3);
        let lengths: Vec<usize> = std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|chunk| chunk.bytes.len())
            .collect();
        assert_eq!(lengths, [DATAGRAM_BYTES_MAX, 1]);
    }
}
