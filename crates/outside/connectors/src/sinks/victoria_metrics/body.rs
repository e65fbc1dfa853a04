//! Series as the body of a request.

use levada_codec::json_text::{append_f64, append_i64};
use levada_codec::prometheus::{NAME_LABEL, Sample, append_series_text, append_time_series};
use levada_model::ErrorClass;
use levada_model::text::encode_string;

use super::Mode;
use super::series::SeriesSet;
use crate::traits::SinkError;

/// Bytes at which a body ends, before compression. Ours: half of what servers take by default (32 MiB).
const BODY_BYTES_MAX: usize = 16 << 20;

/// Samples of one line of `import`. Ours: far below the 10 MiB that a line may have.
const LINE_SAMPLES_MAX: usize = 10_000;

/// Makes a body of the series from `from` on, and gives where the next one begins.
pub(super) fn encode(
    mode: Mode,
    series: &SeriesSet,
    from: usize,
) -> Result<(Vec<u8>, usize), SinkError> {
    let (mut body, mut labels, mut at) = (Vec::new(), Vec::new(), from);
    while at < series.len() && body.len() < BODY_BYTES_MAX {
        let (name, samples) = series.get(at, &mut labels);
        match mode {
            Mode::Import => {
                for samples in samples.chunks(LINE_SAMPLES_MAX) {
                    append_line(name, &labels, samples, &mut body)?;
                }
            }
            Mode::Prometheus => append_series_text(name, &labels, samples, &mut body),
            Mode::RemoteWrite => append_time_series(name, &labels, samples, &mut body),
        }
        at += 1;
    }
    if mode == Mode::RemoteWrite {
        body = snap::raw::Encoder::new().compress_vec(&body).map_err(|error| SinkError {
            class: ErrorClass::InvalidData,
            message: "cannot compress a request".into(),
            is_about_records: true,
            source: Some(Box::new(error)),
        })?;
    }
    Ok((body, at))
}

/// Appends `{"metric":{…},"values":[…],"timestamps":[…]}`.
fn append_line(
    name: &str,
    labels: &[(&str, &str)],
    samples: &[Sample],
    out: &mut Vec<u8>,
) -> Result<(), SinkError> {
    out.extend_from_slice(b"{\"metric\":{");
    encode_string(NAME_LABEL, out);
    out.push(b':');
    encode_string(name, out);
    for (label, value) in labels {
        out.push(b',');
        encode_string(label, out);
        out.push(b':');
        encode_string(value, out);
    }
    out.extend_from_slice(b"},\"values\":[");
    for (index, sample) in samples.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append_f64(out, sample.value).map_err(|error| SinkError {
            class: ErrorClass::InvalidData,
            message: format!("`{name}`: {error}"),
            is_about_records: true,
            source: None,
        })?;
    }
    out.extend_from_slice(b"],\"timestamps\":[");
    for (index, sample) in samples.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append_i64(out, sample.millis);
    }
    out.extend_from_slice(b"]}\n");
    Ok(())
}
