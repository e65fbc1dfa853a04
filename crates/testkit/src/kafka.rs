//! A proxy in front of a Kafka broker, which a test can cut and hold.
//!
//! A client connects to the addresses that the brokers tell it, so a plain proxy sees nothing but the first
//! question. This one puts its own port in place of the broker's into every answer: host and port stand
//! side by side there, and the port has a fixed length, so no answer has to be understood.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Carries bytes both ways.
const WELL: u8 = 0;
/// Closes every connection.
const CUT: u8 = 1;
/// Keeps connections and carries nothing.
const HELD: u8 = 2;
/// Is over.
const GONE: u8 = 3;

/// How often a held connection looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

/// A longer answer is no answer.
const FRAME_MAX: usize = 256 << 20;

/// A proxy in front of a broker that listens on 127.0.0.1.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    state: AtomicU8,
    open: Mutex<Vec<TcpStream>>,
    /// What stands in answers, and what the client sees.
    ports: [[u8; 4]; 2],
}

// === impl Proxy ===

impl Proxy {
    /// Starts in front of a broker `127.0.0.1:PORT`.
    pub fn start(broker: &str) -> Self {
        let broker: SocketAddr = broker.parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ports = [broker.port(), address.port()].map(|port| u32::from(port).to_be_bytes());
        let line = Arc::new(Line { state: AtomicU8::new(WELL), open: Mutex::default(), ports });
        let accepting = line.clone();
        thread::spawn(move || accepting.accept(&listener, broker));
        Proxy { address, line }
    }

    /// Gives the address to connect to.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes every connection, and each new one, until [`Proxy::restore`].
    pub fn cut(&self) {
        self.line.set(CUT);
    }

    /// Keeps connections and carries nothing until [`Proxy::restore`].
    pub fn hold(&self) {
        self.line.set(HELD);
    }

    /// Carries everything again.
    pub fn restore(&self) {
        self.line.set(WELL);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.set(GONE);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

// === impl Line ===

impl Line {
    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        if state == CUT || state == GONE {
            for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                // It may be closed already.
                drop(stream.shutdown(Shutdown::Both));
            }
        }
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, broker: SocketAddr) {
        for client in listener.incoming() {
            if self.state() == GONE {
                return;
            }
            let (Ok(client), false) = (client, self.state() == CUT) else { continue };
            let Ok(server) = TcpStream::connect(broker) else { continue };
            // A test that cannot do this shows it by failing.
            drop((client.set_nodelay(true), server.set_nodelay(true)));
            let pairs = [
                (client.try_clone(), server.try_clone(), false),
                (server.try_clone(), client.try_clone(), true),
            ];
            self.open.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
            for (from, to, is_answer) in pairs {
                let (Ok(from), Ok(to), line) = (from, to, self.clone()) else { continue };
                thread::spawn(move || {
                    // Ends with the connection, whoever closes it.
                    let ended = match is_answer {
                        true => line.carry_answers(&from, &to),
                        false => line.carry(&from, &to),
                    };
                    drop(ended);
                    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
                });
            }
        }
    }

    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.wait();
            to.write_all(&buffer[..length])?;
        }
    }

    fn carry_answers(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut frame = Vec::new();
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let size = u32::from_be_bytes(length) as usize;
            if size > FRAME_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            frame.clear();
            frame.extend_from_slice(&length);
            frame.resize(4 + size, 0);
            from.read_exact(&mut frame[4..])?;
            self.patch(&mut frame);
            self.wait();
            to.write_all(&frame)?;
        }
    }

    fn patch(&self, frame: &mut [u8]) {
        const HOST: &[u8] = b"127.0.0.1";
        // Addresses stand in small answers; what records hold is left alone.
        if frame.len() > 4096 {
            return;
        }
        let [broker, own] = &self.ports;
        for at in 0..frame.len().saturating_sub(HOST.len() + 3) {
            let (host, port) = frame[at..].split_at_mut(HOST.len());
            if host == HOST && port.starts_with(broker) {
                port[..4].copy_from_slice(own);
            }
        }
    }

    fn wait(&self) {
        while self.state() == HELD {
            thread::sleep(LOOK);
        }
    }
}
