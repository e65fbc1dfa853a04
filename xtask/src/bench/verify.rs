//! Compares what the flow wrote with a computation of our own, so that the bench cannot measure something easier.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context as _, Result, bail, ensure};

use super::data::expected;

/// The field that tells which record a line came from.
const IDENTITY: &str = "request_id";

/// Checks that the output of the first `records` records holds each record that passes the filter exactly once, with
/// exactly the six fields and their values as they were written. The order of records and fields is free.
pub(super) fn output(file: impl Read, records: u64) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut seen = vec![false; usize::try_from(records).context("too many records")?];
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        ensure!(line.pop() == Some(b'\n'), "line {number} has no newline");
        let text = std::str::from_utf8(&line).with_context(|| format!("line {number}"))?;
        let index = compare(text).with_context(|| format!("line {number}: {text}"))?;
        let slot =
            seen.get_mut(index).with_context(|| format!("line {number}: no record {index}"))?;
        ensure!(!*slot, "line {number}: record {index} for the second time");
        *slot = true;
    }
    for (index, seen) in seen.iter().enumerate() {
        if !seen && expected(index as u64).is_some() {
            bail!("record {index} is missing; {number} records are there");
        }
    }
    Ok(())
}

/// Whether `text` holds `number` as a whole number.
pub(super) fn mentions(text: &str, number: u64) -> bool {
    let wanted = number.to_string();
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == wanted)
}

/// Compares one line with what its record should have become; returns the index of the record.
fn compare(line: &str) -> Result<usize> {
    let fields = fields(line).context("not a flat object of the expected form")?;
    let identity = fields.iter().find(|(key, _)| *key == IDENTITY);
    let (_, identity) = identity.with_context(|| format!("`{IDENTITY}` is missing"))?;
    let index: u64 = identity.parse().with_context(|| format!("`{IDENTITY}` is no number"))?;
    let wanted = expected(index).context("a record that the filter should have dropped")?;
    ensure!(fields.len() == wanted.len(), "{} fields, wanted {}", fields.len(), wanted.len());
    for (key, value) in &wanted {
        let found = fields.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
        ensure!(found == Some(value.as_str()), "`{key}` should be {value}");
    }
    Ok(usize::try_from(index)?)
}

/// The keys and raw values of a compact object that holds only numbers and strings without escapes.
fn fields(line: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = line.strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = Vec::with_capacity(6);
    loop {
        let (key, after) = rest.strip_prefix('"')?.split_once("\":")?;
        let length = match after.strip_prefix('"') {
            Some(text) => text.find(['"', '\\'])? + 2,
            None => after.find(',').unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(length);
        let is_string = value.starts_with('"');
        if value.is_empty()
            || (is_string && !value.ends_with('"'))
            || (!is_string && value.contains('"'))
        {
            return None;
        }
        fields.push((key, value));
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The right output of the first `records` records.
    fn lines(records: u64) -> Vec<String> {
        let line = |fields: [(&str, String); 6]| {
            let fields = fields.map(|(key, value)| format!("\"{key}\":{value}"));
            format!("{{{}}}\n", fields.join(","))
        };
        (0..records).filter_map(expected).map(line).collect()
    }

    /// The error of an output that differs from the right one.
    fn refusal(change: impl FnOnce(&mut Vec<String>)) -> String {
        let mut lines = lines(50);
        change(&mut lines);
        format!("{:#}", output(lines.concat().as_bytes(), 50).err().unwrap())
    }

    #[test]
    fn the_right_output_passes_in_any_order() {
        let mut lines = lines(50);
        lines.reverse();
        output(lines.concat().as_bytes(), 50).unwrap();
        let (open, rest) = lines[0].split_once(',').unwrap();
        lines[0] = format!("{{{},{}}}\n", rest.trim_end_matches("}\n"), &open[1..]);
        output(lines.concat().as_bytes(), 50).unwrap();
    }

    #[test]
    fn everything_easier_is_refused() {
        let missing = refusal(|lines| drop(lines.remove(7)));
        assert!(missing.contains("is missing"), "{missing}");
        let twice = refusal(|lines| lines.push(lines[3].clone()));
        assert!(twice.contains("for the second time"), "{twice}");
        let unmasked = refusal(|lines| lines[3] = lines[3].replace("***", "anna.ito"));
        assert!(unmasked.contains("`email` should be"), "{unmasked}");
        let number = refusal(|lines| lines[3] = lines[3].replace("\"latency\":", "\"latency\":0"));
        assert!(number.contains("`latency` should be"), "{number}");
        let more = refusal(|lines| lines[3] = lines[3].replace("}\n", ",\"x\":1}\n"));
        assert!(more.contains("7 fields, wanted 6"), "{more}");
        let form = refusal(|lines| lines[3] = "{\"request_id\":{}}\n".to_owned());
        assert!(form.contains("request_id"), "{form}");
        let open = refusal(|lines| lines.push("{".to_owned()));
        assert!(open.contains("no newline"), "{open}");
        let beyond = refusal(|lines| lines.extend(self::lines(60).into_iter().skip(lines.len())));
        assert!(beyond.contains("no record"), "{beyond}");
    }

    #[test]
    fn a_record_that_should_be_dropped_is_refused() {
        let dropped = (0..).find(|index| expected(*index).is_none()).unwrap();
        let text = format!("{{\"request_id\":{dropped}}}\n");
        let error = output(text.as_bytes(), 1_000).err().unwrap();
        assert!(format!("{error:#}").contains("should have dropped"), "{error:#}");
    }

    #[test]
    fn reads_flat_objects_only() {
        let wanted = vec![("a", "1.50"), ("b", "\"x,y\""), ("c", "-2")];
        assert_eq!(fields(r#"{"a":1.50,"b":"x,y","c":-2}"#), Some(wanted));
        for bad in ["", "{}", "{\"a\":}", "{\"a\":1,}", "{\"a\":\"x}", r#"{"a":"x\"y"}"#, "[1]"] {
            assert_eq!(fields(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_summary_mentions_whole_numbers() {
        assert!(mentions(r#"{"in":2000000,"out":1800000}"#, 1_800_000));
        assert!(!mentions(r#"{"in":20000001}"#, 2_000_000));
    }
}
