//! Messages of remote write 1.0, in Protocol Buffers.
//!
//! ```text
//! WriteRequest { repeated TimeSeries timeseries = 1; }
//! TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
//! Label        { string name = 1; string value = 2; }
//! Sample       { double value = 1; int64 timestamp = 2; }
//! ```
//! A `WriteRequest` is its series one behind the other, so there is nothing to write around them. Sizes
//! come before contents and are computed first. A body is one Snappy block, which is up to the caller.

use super::{NAME_LABEL, Sample};

/// Field 1, length-delimited: `timeseries`, `labels`, `name`.
const FIRST_BYTES: u8 = 1 << 3 | 2;
/// Field 2, length-delimited: `samples`, `value` of a label.
const SECOND_BYTES: u8 = 2 << 3 | 2;
/// Field 1, 64 bits: `value` of a sample.
const FIRST_FIXED64: u8 = 1 << 3 | 1;
/// Field 2, varint: `timestamp`.
const SECOND_VARINT: u8 = 2 << 3;

/// Appends one `timeseries` of a `WriteRequest`.
///
/// `labels` are sorted by name and hold no `__name__`; it is put in its place among them.
pub fn append_time_series(
    name: &str,
    labels: &[(&str, &str)],
    samples: &[Sample],
    out: &mut Vec<u8>,
) {
    let before = labels.partition_point(|(label, _)| *label < NAME_LABEL);
    let (low, high) = labels.split_at(before);
    let all = || low.iter().copied().chain([(NAME_LABEL, name)]).chain(high.iter().copied());
    let labels_len: usize = all().map(|label| field_len(label_len(label))).sum();
    let samples_len: usize = samples.iter().map(|sample| field_len(sample_len(sample))).sum();
    push_head(FIRST_BYTES, labels_len + samples_len, out);
    for label in all() {
        push_head(FIRST_BYTES, label_len(label), out);
        push_text(FIRST_BYTES, label.0, out);
        push_text(SECOND_BYTES, label.1, out);
    }
    for sample in samples {
        push_head(SECOND_BYTES, sample_len(sample), out);
        out.push(FIRST_FIXED64);
        out.extend_from_slice(&sample.value.to_le_bytes());
        out.push(SECOND_VARINT);
        // Negative numbers are ten bytes, as `int64` demands.
        push_varint(sample.millis as u64, out);
    }
}

/// Gives the bytes of a length-delimited field: key, length, content.
fn field_len(content: usize) -> usize {
    1 + varint_len(content as u64) + content
}

fn label_len((name, value): (&str, &str)) -> usize {
    field_len(name.len()) + field_len(value.len())
}

fn sample_len(sample: &Sample) -> usize {
    9 + 1 + varint_len(sample.millis as u64)
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

fn push_head(key: u8, len: usize, out: &mut Vec<u8>) {
    out.push(key);
    push_varint(len as u64, out);
}

fn push_text(key: u8, text: &str, out: &mut Vec<u8>) {
    push_head(key, text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
