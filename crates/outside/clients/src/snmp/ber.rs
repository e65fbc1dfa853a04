//! The basic encoding rules, as far as a trap needs them. Source: X.690; RFC 2578 for the types of SNMP.

use super::TrapValue;
use super::oid::Oid;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
const TIME_TICKS: u8 = 0x43;
const COUNTER_64: u8 = 0x46;
/// Source: RFC 3416, `SNMPv2-Trap-PDU`.
pub(super) const TRAP_V2: u8 = 0xa7;

/// Source: RFC 1901: `version` of community-based SNMP v2.
pub(super) const VERSION_2C: i64 = 1;

/// Writes an element.
pub(super) fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | (bytes.len() - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
    out.extend_from_slice(content);
}

/// Writes a number in as few bytes as keep its sign.
pub(super) fn integer(out: &mut Vec<u8>, tag: u8, number: i64) {
    wide_integer(out, tag, i128::from(number));
}

fn wide_integer(out: &mut Vec<u8>, tag: u8, number: i128) {
    let bytes = number.to_be_bytes();
    let spare = |pair: &[u8]| match pair {
        [0, next] => next & 0x80 == 0,
        [0xff, next] => next & 0x80 != 0,
        _ => false,
    };
    let skipped = bytes.windows(2).take_while(|pair| spare(pair)).count();
    element(out, tag, &bytes[skipped..]);
}

/// Writes an object ID.
pub(super) fn oid(out: &mut Vec<u8>, oid: &Oid) {
    let arcs = oid.arcs();
    let mut content = Vec::new();
    // The first two are one number.
    base_128(&mut content, u64::from(arcs[0]) * 40 + u64::from(arcs[1]));
    for arc in &arcs[2..] {
        base_128(&mut content, u64::from(*arc));
    }
    element(out, OBJECT, &content);
}

/// Writes a number seven bits a byte; all but the last have the eighth bit.
fn base_128(out: &mut Vec<u8>, number: u64) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push(more | (number >> (7 * group)) as u8 & 0x7f);
    }
}

/// Writes a value.
pub(super) fn value(out: &mut Vec<u8>, value: &TrapValue) {
    match value {
        TrapValue::Counter64(number) => wide_integer(out, COUNTER_64, i128::from(*number)),
        TrapValue::Integer(number) => integer(out, INTEGER, i64::from(*number)),
        TrapValue::Null => element(out, NULL, &[]),
        TrapValue::Octets(bytes) => element(out, OCTETS, bytes),
        TrapValue::TimeTicks(ticks) => integer(out, TIME_TICKS, i64::from(*ticks)),
        TrapValue::Oid(object) => oid(out, object),
    }
}
