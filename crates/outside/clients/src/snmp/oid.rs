//! Object IDs.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use thiserror::Error;

/// Numbers of one ID. Source: RFC 2578, 3.5.
const ARCS_MAX: usize = 128;

/// An object ID; at least two numbers, the second below 40 unless the first is 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oid(Vec<u32>);

/// A text that is no object ID.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("invalid object ID {0:?}")]
pub struct OidError(String);

/// `sysUpTime.0`. Source: RFC 3418.
pub(super) static SYS_UP_TIME: LazyLock<Oid> =
    LazyLock::new(|| Oid(vec![1, 3, 6, 1, 2, 1, 1, 3, 0]));

/// `snmpTrapOID.0`. Source: RFC 3418.
pub(super) static SNMP_TRAP_OID: LazyLock<Oid> =
    LazyLock::new(|| Oid(vec![1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0]));

// === impl Oid ===

impl Oid {
    pub(super) fn arcs(&self) -> &[u32] {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = OidError;

    /// Reads numbers with dots between them; one may stand before them.
    fn from_str(text: &str) -> Result<Self, OidError> {
        let wrong = || OidError(text.to_owned());
        let trimmed = text.trim();
        let numbers = trimmed.strip_prefix('.').unwrap_or(trimmed).split('.');
        let mut arcs = Vec::new();
        for number in numbers {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number || arcs.len() == ARCS_MAX {
                return Err(wrong());
            }
            arcs.push(number.parse().map_err(|_| wrong())?);
        }
        match arcs[..] {
            [0 | 1, 0..40, ..] | [2, _, ..] => Ok(Oid(arcs)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arc) in self.0.iter().enumerate() {
            write!(f, "{}{arc}", if index > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}
