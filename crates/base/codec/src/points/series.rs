//! Points as series of Prometheus.
//!
//! Each field that is a number becomes a sample of the metric `<measurement>_<field>`, tags become labels. What is no
//! number is left out and counted; so is a label that has the name of another once both are written as Prometheus demands.
//!
//! Source: dataway reference §11.7.

use super::{LeftOut, Point, Value};
use crate::prometheus::{NAME_LABEL, NameKind, Sample, append_name};

/// From nanoseconds.
const NANOS: i64 = 1_000_000;

/// Gives each sample with the name of its metric and its labels, which are sorted by name; older points come first.
pub fn each_sample(
    points: &[Point<'_>],
    mut take: impl FnMut(&str, &[(&str, &str)], Sample),
) -> LeftOut {
    let mut left_out = LeftOut::default();
    let mut order: Vec<&Point<'_>> = points.iter().collect();
    // A receiver may refuse what is older than what it has.
    order.sort_by_key(|point| point.time);
    let (mut raw, mut name) = (String::new(), String::new());
    for point in order {
        let tags = point.entries.iter().filter(|entry| entry.is_tag);
        let mut labels: Vec<(String, &str)> = Vec::new();
        for tag in tags {
            let Value::Str(text) = &tag.value else { continue };
            if text.is_empty() {
                continue;
            }
            let mut key = String::with_capacity(tag.key.len() + 1);
            append_name(NameKind::Label, &tag.key, &mut key);
            if key == NAME_LABEL || labels.iter().any(|(known, _)| *known == key) {
                left_out.fields += 1;
                continue;
            }
            labels.push((key, text));
        }
        labels.sort_unstable();
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, text)| (&**key, *text)).collect();
        let millis = point.time.0.div_euclid(NANOS);
        let mut samples = 0;
        for field in point.entries.iter().filter(|entry| !entry.is_tag) {
            let value = match &field.value {
                Value::Float(number) => *number,
                Value::Int(number) => *number as f64,
                Value::UInt(number) => *number as f64,
                Value::Bool(value) => f64::from(u8::from(*value)),
                Value::Nil => continue,
                _ => {
                    left_out.fields += 1;
                    continue;
                }
            };
            raw.clear();
            raw.push_str(&point.name);
            raw.push('_');
            raw.push_str(&field.key);
            name.clear();
            append_name(NameKind::Metric, &raw, &mut name);
            take(&name, &labels, Sample { value, millis });
            samples += 1;
        }
        left_out.points += u32::from(samples == 0);
    }
    left_out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::Timestamp;

    use super::*;
    use crate::points::line::decode;
    use crate::points::time::Unit;

    fn samples(body: &str) -> (Vec<String>, LeftOut) {
        let points = decode(body, Unit::Dynamic, Timestamp(0)).unwrap();
        let mut all = Vec::new();
        let left_out = each_sample(&points, |name, labels, sample| {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let (value, millis) = (sample.value, sample.millis);
            all.push(format!("{name}{{{}}} {value} {millis}", labels.join(",")));
        });
        (all, left_out)
    }

    #[test]
    fn fields_that_are_numbers_become_samples() {
        for (body, expected, fields, points) in [
            (
                "cpu,host=a,az=b user=1.5,n=2i,u=3u,up=t 1700000000000000000",
                &[
                    "cpu_user{az=b,host=a} 1.5 1700000000000",
                    "cpu_n{az=b,host=a} 2 1700000000000",
                    "cpu_u{az=b,host=a} 3 1700000000000",
                    "cpu_up{az=b,host=a} 1 1700000000000",
                ][..],
                0,
                0,
            ),
            ("m s=\"x\",f=1 1700000000000000000", &["m_f{} 1 1700000000000"], 1, 0),
            ("m s=\"x\" 1700000000000000000", &[], 1, 1),
            (
                "a.b,1x=v,k-1=v,k.1=w f.1=1 1700000000000000000",
                &["a_b_f_1{_1x=v,k_1=v} 1 1700000000000"],
                1,
                0,
            ),
            ("1m:x,__name__=v f=1 1700000000000000000", &["_1m:x_f{} 1 1700000000000"], 1, 0),
            (
                "m f=2 1700000001000000000\nm f=1 1700000000000000000",
                &["m_f{} 1 1700000000000", "m_f{} 2 1700000001000"],
                0,
                0,
            ),
        ] {
            let (all, left_out) = samples(body);
            assert_eq!(all, expected, "{body}");
            assert_eq!(left_out, LeftOut { fields, points }, "{body}");
        }
    }
}
