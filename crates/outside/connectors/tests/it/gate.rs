//! A gate in front of a real server: lets connections through, cuts them, or holds what they carry.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What the gate does with connections, new and old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Passes everything on.
    Open,
    /// Closes connections.
    Cut,
    /// Passes nothing on, until it is told something else.
    Hold,
}

/// A gate on a free port of this machine.
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    way: Mutex<Way>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Gate {
    /// Starts a gate to a server.
    pub(crate) fn start(server: &str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server: SocketAddr = server.parse().unwrap();
        let shared = Arc::new(Shared {
            way: Mutex::new(Way::Open),
            changed: Condvar::new(),
            streams: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if serving.is_over.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                if *serving.way.lock().unwrap() == Way::Cut {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let copies = || Some((client.try_clone().ok()?, upstream.try_clone().ok()?));
                let (Some(there), Some(back), Some(kept)) = (copies(), copies(), copies()) else {
                    continue;
                };
                serving.streams.lock().unwrap().extend([kept.0, kept.1]);
                let (forth, answers) = (serving.clone(), serving.clone());
                thread::spawn(move || forth.pump(there.0, there.1));
                thread::spawn(move || answers.pump(back.1, back.0));
            }
        });
        Gate { address, shared }
    }

    /// Gives `http://ADDRESS`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what the gate does.
    pub(crate) fn set(&self, way: Way) {
        *self.shared.way.lock().unwrap() = way;
        self.shared.changed.notify_all();
        if way == Way::Cut {
            for stream in self.shared.streams.lock().unwrap().drain(..) {
                let _closed = stream.shutdown(Shutdown::Both).is_ok();
            }
        }
    }
}

impl Shared {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            let mut way = self.way.lock().unwrap();
            while *way == Way::Hold {
                way = self.changed.wait_timeout(way, Duration::from_secs(20)).unwrap().0;
            }
            let is_cut = *way == Way::Cut;
            drop(way);
            if count == 0 || is_cut || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _closed = to.shutdown(Shutdown::Write).is_ok();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.set(Way::Cut);
        // Wakes the listener.
        let _closed = TcpStream::connect(self.address).is_err();
    }
}
