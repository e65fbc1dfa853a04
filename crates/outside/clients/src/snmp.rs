//! Traps of SNMP v2c over UDP.
//!
//! A trap is one datagram that nobody answers: what is sent may be lost on the way, and the sender never knows.

mod ber;
mod oid;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use levada_model::ErrorKind;
use levada_settings::Secret;
use tokio::net::UdpSocket;

use crate::error::ClientError;

pub use oid::{Oid, OidError};

/// The longest datagram. Source: UDP over IPv4: 65,535 bytes less both headers.
pub const TRAP_BYTES_MAX: usize = 65_507;

/// What `sysUpTime` says. Source: kapacitor: reference (server) §4.5.
const UP_TIME: u32 = 1_000;

/// The port when the address has none. Source: IANA, `snmptrap`.
const PORT: u16 = 162;

/// A value of a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapValue {
    /// `Counter64`.
    Counter64(u64),
    /// `INTEGER`, 32 bits.
    Integer(i32),
    /// `NULL`.
    Null,
    /// `OCTET STRING`.
    Octets(Vec<u8>),
    /// `TimeTicks`: hundredths of a second.
    TimeTicks(u32),
    /// `OBJECT IDENTIFIER`.
    Oid(Oid),
}

/// A trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What happened.
    pub oid: Oid,
    /// What is said about it, in order.
    pub values: Vec<(Oid, TrapValue)>,
}

/// Who gets traps.
#[derive(Clone, Debug, PartialEq)]
pub struct TrapTarget {
    /// `HOST:PORT`, or a host.
    pub address: String,
    /// The word by which the receiver knows its senders.
    pub community: Secret<String>,
    /// How many times more a trap is sent that could not be sent.
    pub retries: u32,
    /// How long looking up the address and sending may take.
    pub timeout: Duration,
}

/// Numbers the traps of this process.
static REQUEST_ID: AtomicI32 = AtomicI32::new(1);

// === impl Trap ===

impl Trap {
    /// Gives the datagram.
    ///
    /// Errors: it is longer than [`TRAP_BYTES_MAX`].
    pub fn encode(&self, community: &str, request_id: i32) -> Result<Vec<u8>, ClientError> {
        // Source: RFC 3416, 4.2.6: these two come first.
        let own = [
            (oid::SYS_UP_TIME.clone(), TrapValue::TimeTicks(UP_TIME)),
            (oid::SNMP_TRAP_OID.clone(), TrapValue::Oid(self.oid.clone())),
        ];
        let mut bindings = Vec::new();
        for (oid, value) in own.iter().chain(&self.values) {
            let mut binding = Vec::new();
            ber::oid(&mut binding, oid);
            ber::value(&mut binding, value);
            ber::element(&mut bindings, ber::SEQUENCE, &binding);
        }
        let mut pdu = Vec::new();
        ber::integer(&mut pdu, ber::INTEGER, i64::from(request_id));
        ber::integer(&mut pdu, ber::INTEGER, 0); // error-status
        ber::integer(&mut pdu, ber::INTEGER, 0); // error-index
        ber::element(&mut pdu, ber::SEQUENCE, &bindings);
        let mut message = Vec::new();
        ber::integer(&mut message, ber::INTEGER, ber::VERSION_2C);
        ber::element(&mut message, ber::OCTETS, community.as_bytes());
        ber::element(&mut message, ber::TRAP_V2, &pdu);
        let mut datagram = Vec::new();
        ber::element(&mut datagram, ber::SEQUENCE, &message);
        match datagram.len() {
            0..=TRAP_BYTES_MAX => Ok(datagram),
            length => {
                let message = format!("a trap of {length} bytes; at most {TRAP_BYTES_MAX}");
                Err(ClientError::new(ErrorKind::TooLarge, message))
            }
        }
    }
}

// === impl TrapTarget ===

impl TrapTarget {
    /// Sends a trap.
    pub async fn send(&self, trap: &Trap) -> Result<(), ClientError> {
        let request_id = REQUEST_ID.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let datagram = trap.encode(self.community.expose(), request_id)?;
        let mut attempt = 0;
        loop {
            let sent = tokio::time::timeout(self.timeout, self.send_once(&datagram)).await;
            let error = match sent {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "not sent in time"),
            };
            if attempt >= self.retries {
                let message = format!("cannot send a trap to `{}`: {error}", self.address);
                return Err(ClientError::new(ErrorKind::Unavailable, message).with_source(error));
            }
            attempt += 1;
        }
    }

    async fn send_once(&self, datagram: &[u8]) -> io::Result<()> {
        let mut last = None;
        for address in self.look_up().await? {
            let own: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(own).await;
            let sent = match socket {
                Ok(socket) => socket.send_to(datagram, address).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    /// Gives the addresses of the receiver, those of IPv4 first: a receiver on a name with both seldom hears the other.
    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.address.trim();
        let has_port = match host.rsplit_once(':') {
            // Brackets, or no colon but one: what follows it is a port.
            Some((before, _)) => before.ends_with(']') || !before.contains(':'),
            None => false,
        };
        let mut found: Vec<SocketAddr> = match has_port {
            true => tokio::net::lookup_host(host).await?.collect(),
            false => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                tokio::net::lookup_host((host, PORT)).await?.collect()
            }
        };
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
