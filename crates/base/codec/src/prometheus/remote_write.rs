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
use crate::wire::{bytes_len, push_bytes, push_fixed64, push_head, push_number, varint_len};

/// `timeseries`, `labels`, `name`; `value` of a sample.
const FIRST: u8 = 1;
/// `samples`, `value` of a label; `timestamp`.
const SECOND: u8 = 2;

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
    let labels_len: usize = all().map(|label| bytes_len(label_len(label))).sum();
    let samples_len: usize = samples.iter().map(|sample| bytes_len(sample_len(sample))).sum();
    push_head(FIRST, labels_len + samples_len, out);
    for label in all() {
        push_head(FIRST, label_len(label), out);
        push_bytes(FIRST, label.0.as_bytes(), out);
        push_bytes(SECOND, label.1.as_bytes(), out);
    }
    for sample in samples {
        push_head(SECOND, sample_len(sample), out);
        push_fixed64(FIRST, sample.value.to_bits(), out);
        // Negative numbers are ten bytes, as `int64` demands.
        push_number(SECOND, sample.millis as u64, out);
    }
}

fn label_len((name, value): (&str, &str)) -> usize {
    bytes_len(name.len()) + bytes_len(value.len())
}

fn sample_len(sample: &Sample) -> usize {
    9 + 1 + varint_len(sample.millis as u64)
}
