//! The records of the workloads between servers: seeded, and computable one by one.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::data::Random;

/// Changes when the records change, so that a cached file of another form is not used.
const LAYOUT: u32 = 1;
const SEED: u64 = 0x6c65_7661_6461_2032;

const SKUS: [&str; 6] = ["lamp", "chair", "table", "shelf", "mirror", "carpet"];
const CURRENCIES: [&str; 4] = ["EUR", "USD", "GBP", "JPY"];

fn random(number: u64) -> Random {
    Random::new(SEED ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn time(number: u64) -> String {
    let seconds = number % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("2026-03-01T{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

/// The fields of an order beside its items, and its items; both without brackets.
fn order(number: u64) -> (String, Vec<String>) {
    let mut random = random(number);
    let fields = format!(
        r#""order":{number},"created":"{}","customer":{{"id":{},"country":"PT"}},"currency":"{}","total":{}.{:02}"#,
        time(number),
        random.below(1_000_000),
        random.pick(&CURRENCIES),
        random.below(5_000),
        random.below(100)
    );
    let items = (1..=1 + random.below(5)).map(|line| {
        format!(
            r#""line":{line},"sku":"{}-{:05}","qty":{},"price":{}.{:02}"#,
            random.pick(&SKUS),
            random.below(100_000),
            1 + random.below(9),
            random.below(900),
            random.below(100)
        )
    });
    let items = items.collect();
    (fields, items)
}

/// One order as a line of JSON.
pub(super) fn order_line(number: u64) -> String {
    let (fields, items) = order(number);
    let items: Vec<String> = items.iter().map(|item| format!("{{{item}}}")).collect();
    format!("{{{fields},\"items\":[{}]}}", items.join(","))
}

/// What the order becomes: one line per item.
fn flat_lines(number: u64) -> impl Iterator<Item = String> {
    let (fields, items) = order(number);
    items.into_iter().map(move |item| format!("{{{fields},{item}}}"))
}

/// How many messages the first orders become.
pub(super) fn items(orders: u64) -> u64 {
    (0..orders).map(|number| order(number).1.len() as u64).sum()
}

/// One flat record as a line of JSON.
pub(super) fn row_line(number: u64) -> String {
    let mut random = random(number);
    format!(
        r#"{{"id":{number},"name":"{} {}","amount":{}.{:02},"active":{},"created":"{}","tags":{{"sku":"{}","rank":{}}}}}"#,
        random.pick(&SKUS),
        random.below(1_000_000),
        random.below(100_000),
        random.below(100),
        random.below(2) == 1,
        time(number),
        random.pick(&SKUS),
        random.below(100)
    )
}

/// Returns the file with one line per number, written when it is not there yet.
pub(super) fn prepare(
    folder: &Path,
    name: &str,
    records: u64,
    line: impl Fn(u64) -> String,
) -> Result<PathBuf> {
    let path = folder.join(format!("{name}-{LAYOUT}-{records}.ndjson"));
    if path.exists() {
        return Ok(path);
    }
    eprintln!("writing {records} records for {name}");
    let partial = folder.join(format!("{name}.partial"));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
    for number in 0..records {
        writeln!(file, "{}", line(number))?;
    }
    file.into_inner().context("cannot write the records")?.sync_all()?;
    fs::rename(&partial, &path).context("cannot name the file of records")?;
    Ok(path)
}

/// Checks that a file holds exactly what the first orders become, in any order of lines.
///
/// `is_once`: nothing may be there twice.
pub(super) fn verify(file: &Path, orders: u64, is_once: bool) -> Result<()> {
    let file = File::open(file).with_context(|| format!("cannot read {file:?}"))?;
    let mut seen = vec![0_u8; usize::try_from(orders).context("too many orders")?];
    for line in BufReader::with_capacity(1 << 20, file).lines() {
        let line = line?;
        let number = |key: &str| -> Option<u64> {
            let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let order = number("order").with_context(|| format!("no order: {line}"))?;
        let item = number("line").with_context(|| format!("no line: {line}"))? - 1;
        let wanted = flat_lines(order).nth(usize::try_from(item)?);
        ensure!(wanted.as_deref() == Some(&*line), "{line} should be {wanted:?}");
        let slot = seen.get_mut(usize::try_from(order)?).context("an order that was not sent")?;
        ensure!(!is_once || *slot & (1 << item) == 0, "for the second time: {line}");
        *slot |= 1 << item;
    }
    for (order, seen) in (0..).zip(seen) {
        let wanted = (1_u16 << order_items(order)) - 1;
        ensure!(u16::from(seen) == wanted, "items of order {order} are missing");
    }
    Ok(())
}

fn order_items(number: u64) -> usize {
    order(number).1.len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn records_look_like_this() {
        assert!(
            order_line(7)
                .starts_with(r#"{"order":7,"created":"2026-03-01T00:00:07Z","customer":{"id":"#)
        );
        assert!(row_line(7).starts_with(r#"{"id":7,"name":""#));
        let mean = items(10_000) as f64 / 10_000.0;
        assert!((2.9..3.1).contains(&mean), "{mean}");
    }

    #[test]
    fn a_missing_a_doubled_and_a_changed_item_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..50).flat_map(flat_lines).collect();
        let check = |lines: &[String], is_once| {
            let path = folder.path().join("out");
            fs::write(&path, lines.join("\n")).unwrap();
            verify(&path, 50, is_once).is_ok()
        };
        assert!(check(&lines, true));
        assert!(!check(&lines[1..], true));
        let mut twice = lines.clone();
        twice.push(lines[3].clone());
        assert!(check(&twice, false) && !check(&twice, true));
        let mut changed = lines;
        changed[5] = changed[5].replace("\"qty\":", "\"qty\":1");
        assert!(!check(&changed, false));
    }
}
