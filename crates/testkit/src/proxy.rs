//! A TCP proxy in front of a real server, whose connections a test can delay, hold or cut.
//!
//! ```text
//! connector ──▶ Proxy (127.0.0.1, a free port) ──▶ server
//!                 Forward · Delay · Hold · Refuse · cut() · cut_after(bytes) · refuse_next(count)
//! ```
//! It runs on threads of its own, at most [`CONNECTIONS_MAX`] connections at a time, and ends when it is dropped.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Connections at a time; more are closed at once.
pub const CONNECTIONS_MAX: usize = 128;

/// How often a waiting thread looks whether something changed.
const LOOK: Duration = Duration::from_millis(5);

/// How long the proxy waits for the server.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// No bound for what passes.
const UNBOUNDED: i64 = i64::MAX;

/// What the proxy does with bytes and new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Passes everything on.
    Forward,
    /// Passes everything on, each piece this much later.
    Delay(Duration),
    /// Accepts connections and passes nothing on, as a network that swallows packets does.
    Hold,
    /// Closes new connections at once; those that exist go on.
    Refuse,
}

/// A proxy to one server.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    link: Mutex<Link>,
    /// Both ends of every connection, to cut them.
    open: Mutex<Vec<(u64, TcpStream, TcpStream)>>,
    refusals: AtomicUsize,
    /// Bytes that may still come from the server before everything is cut.
    allowance: AtomicI64,
    accepted: AtomicU64,
    is_over: AtomicBool,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy on a free port; `target` is `HOST:PORT` with an address of this machine.
    pub fn start(target: &str) -> Self {
        let target = target.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            link: Mutex::new(Link::Forward),
            open: Mutex::default(),
            refusals: AtomicUsize::new(0),
            allowance: AtomicI64::new(UNBOUNDED),
            accepted: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    serving.accept(stream);
                }
            }
        });
        Proxy { address, shared }
    }

    /// Gives `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes what it does, also for connections that exist.
    pub fn set(&self, link: Link) {
        *self.shared.link.lock().unwrap() = link;
    }

    /// Closes every connection; new ones are welcome.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Closes every connection once the server has sent this many more bytes, in the middle of whatever
    /// that is; new ones are welcome.
    pub fn cut_after(&self, bytes: u32) {
        self.shared.allowance.store(i64::from(bytes), Ordering::Release);
    }

    /// Closes as many new connections at once, and then works as before.
    pub fn refuse_next(&self, connections: usize) {
        self.shared.refusals.store(connections, Ordering::Release);
    }

    /// Gives how many connections were made, refused ones included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.cut();
        // Wakes the listener.
        let _closed = TcpStream::connect(self.address).is_err();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        let id = self.accepted.fetch_add(1, Ordering::AcqRel);
        let take = |left: usize| left.checked_sub(1);
        let is_refused =
            self.refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok();
        let is_full = self.open.lock().unwrap().len() >= CONNECTIONS_MAX;
        if is_refused || is_full || *self.link.lock().unwrap() == Link::Refuse {
            let _closed = client.shutdown(Shutdown::Both).is_err();
            return;
        }
        let shared = self.clone();
        thread::spawn(move || shared.connect(id, client));
    }

    fn connect(self: Arc<Self>, id: u64, client: TcpStream) {
        let Ok(server) = TcpStream::connect_timeout(&self.target, CONNECT_MAX) else { return };
        let copies = (client.try_clone(), server.try_clone());
        let (Ok(client_end), Ok(server_end)) = copies else { return };
        self.open.lock().unwrap().push((id, client_end, server_end));
        let copies = (client.try_clone(), server.try_clone());
        if let (Ok(from), Ok(to)) = copies {
            let upward = self.clone();
            let up = thread::spawn(move || upward.pump(from, to, false));
            self.pump(server, client, true);
            let _ended = up.join().is_ok();
        }
        self.open.lock().unwrap().retain(|(known, ..)| *known != id);
    }

    /// Passes bytes on in one direction until one end closes.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if !self.may_pass() {
                break;
            }
            let mut count = count;
            let mut is_last = false;
            if is_answer {
                let left = self.allowance.load(Ordering::Acquire);
                if left != UNBOUNDED {
                    is_last = left <= count as i64;
                    count = count.min(usize::try_from(left).unwrap_or(0));
                    self.allowance.store(left - count as i64, Ordering::Release);
                }
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
            if is_last {
                self.allowance.store(UNBOUNDED, Ordering::Release);
                self.cut();
                break;
            }
        }
        // An end that is closed already is closed.
        let _closed = from.shutdown(Shutdown::Both).is_err() | to.shutdown(Shutdown::Both).is_err();
    }

    /// Waits as the link says; gives whether the proxy goes on.
    fn may_pass(&self) -> bool {
        let delay = match *self.link.lock().unwrap() {
            Link::Delay(delay) => delay,
            _ => Duration::ZERO,
        };
        thread::sleep(delay);
        while *self.link.lock().unwrap() == Link::Hold {
            if self.is_over.load(Ordering::Acquire) {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    fn cut(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, client, server) in open {
            let _closed =
                client.shutdown(Shutdown::Both).is_err() | server.shutdown(Shutdown::Both).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Behave, Server, request};

    #[test]
    fn it_forwards_refuses_and_cuts() {
        let server = Server::start(Behave::Accept);
        let target = server.url("").trim_start_matches("http://").to_owned();
        let proxy = Proxy::start(&target);
        let ask = || request(&proxy.address(), "POST", "/", &[], b"x").map(|(status, _)| status);
        assert_eq!(ask().unwrap(), 200);
        proxy.refuse_next(2);
        assert!(ask().is_err());
        assert!(ask().is_err());
        assert_eq!(ask().unwrap(), 200);
        proxy.cut_after(5);
        assert!(ask().is_err(), "the answer is longer than five bytes");
        proxy.set(Link::Hold);
        let address = proxy.address();
        let waiting = thread::spawn(move || request(&address, "POST", "/", &[], b"y"));
        crate::wait::until("it is connected", Duration::from_secs(5), || proxy.accepted() == 6);
        proxy.set(Link::Forward);
        assert_eq!(waiting.join().unwrap().unwrap().0, 200);
    }
}
