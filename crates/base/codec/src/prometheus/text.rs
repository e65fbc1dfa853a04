//! The text format: `name{label="value"} 1.5 1770460200000`, one sample per line.

use levada_model::float;

use super::Sample;

/// Appends the samples of a series.
pub fn append_series_text(
    name: &str,
    labels: &[(&str, &str)],
    samples: &[Sample],
    out: &mut Vec<u8>,
) {
    let mut head = None;
    for sample in samples {
        let start = out.len();
        match head.clone() {
            // The same for every sample.
            Some(range) => out.extend_from_within(range),
            None => {
                append_head(name, labels, out);
                head = Some(start..out.len());
            }
        }
        append_value(sample.value, out);
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(sample.millis).as_bytes());
        out.push(b'\n');
    }
}

fn append_head(name: &str, labels: &[(&str, &str)], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    for (index, (label, value)) in labels.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        append_escaped(value, out);
        out.push(b'"');
    }
    if !labels.is_empty() {
        out.push(b'}');
    }
    out.push(b' ');
}

fn append_escaped(value: &str, out: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    let mut copied = 0;
    for at in memchr::memchr3_iter(b'"', b'\\', b'\n', bytes) {
        out.extend_from_slice(&bytes[copied..at]);
        out.push(b'\\');
        copied = at;
        if bytes[at] == b'\n' {
            out.push(b'n');
            copied = at + 1;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

fn append_value(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        float::encode_short(value, out);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
}
