//! What should come of the points, computed apart from the product.
//!
//! Everything is counted in hundredths, as the points print them. Where a mean lies exactly on a limit, floating point may
//! fall on either side: such cases widen the range of what is right.

use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::points::{FIRST, Points, time_text};

/// How far a value may be from that of the second computation.
const TOLERANCE: f64 = 1e-6;
/// Seconds of the windows of w2, and between those of w4.
pub(super) const WINDOW: u64 = 10;
/// The sum of ten values in hundredths from which on w2 warns: a mean of 70.
const MEAN_LIMIT: u64 = 70_000;
/// Seconds in a window of w4.
const PERIOD: u64 = 60;

/// An event that an alert sends: the host, the second, whether it is critical; else it is a recovery.
pub(super) type Event = (u64, u64, bool);

/// Gives the events of an alert on every point above 95, in the order of each host.
pub(super) fn spikes(points: &Points) -> Vec<Event> {
    let is_critical = |host, row| points.usage(0, host, row) > 9_500;
    events(points.series, points.rows, is_critical)
}

/// Gives the events of an alert on batches of ten seconds with any point above 95.
///
/// The time of an alert is that of the first such point, the time of a recovery the end of its batch.
pub(super) fn spiky_batches(points: &Points) -> Vec<Event> {
    let end = |batch: u64| ((batch + 1) * WINDOW).min(points.rows);
    let spike = |host: u64, batch: u64| {
        (batch * WINDOW..end(batch)).find(|row| points.usage(0, host, *row) > 9_500)
    };
    let is_critical = |host, batch| spike(host, batch).is_some();
    let events = events(points.series, points.rows.div_ceil(WINDOW), is_critical);
    let timed = events.into_iter().map(|(host, batch, is_critical)| {
        (host, spike(host, batch).unwrap_or(end(batch)), is_critical)
    });
    timed.collect()
}

/// Counts the events of w2: a mean above 70 is a warning, above 80 critical.
pub(super) fn means(points: &Points) -> RangeInclusive<u64> {
    let (mut least, mut most) = (0, 0);
    for host in 0..points.series {
        let (mut low, mut high) = (false, false);
        for window in 0..windows(points) {
            let sum = sum(points, host, window * WINDOW);
            let (is_above, may_be_above) = (sum > MEAN_LIMIT, sum >= MEAN_LIMIT);
            least += u64::from(is_above || low);
            most += u64::from(may_be_above || high);
            (low, high) = (is_above, may_be_above);
        }
    }
    least.min(most)..=most.max(least)
}

/// Counts the events of w3: the sum of both measurements rises by more than 150 within a second.
pub(super) fn rises(points: &Points) -> RangeInclusive<u64> {
    let (mut least, mut most) = (0, 0);
    for host in 0..points.series {
        let sum = |row| points.usage(0, host, row) + points.usage(1, host, row);
        let (mut low, mut high) = (false, false);
        for row in 1..points.rows {
            let (before, now) = (sum(row - 1), sum(row));
            let (is_above, may_be_above) = (now > before + 15_000, now >= before + 15_000);
            least += u64::from(is_above || low);
            most += u64::from(may_be_above || high);
            (low, high) = (is_above, may_be_above);
        }
    }
    least.min(most)..=most.max(least)
}

/// Counts the events of w5: usage has been above 50 for more than 5 seconds.
pub(super) fn long_states(points: &Points) -> u64 {
    let mut count = 0;
    for host in 0..points.series {
        let (mut since, mut was_critical) = (None, false);
        for row in 0..points.rows {
            since = match points.usage(0, host, row) > 5_000 {
                true => since.or(Some(row)),
                false => None,
            };
            let is_critical = since.is_some_and(|since| row - since > 5);
            count += u64::from(is_critical || was_critical);
            was_critical = is_critical;
        }
    }
    count
}

/// Compares what `httpOut` serves with the means of the last events: an alert hands on nothing else.
pub(super) fn served_means(points: &Points, served: &str) -> Result<()> {
    let rows = rows(served, &["share", "usage"])?;
    for host in 0..points.series {
        let sum = |window: u64| sum(points, host, window * WINDOW);
        // By the sums of a window and the one before it.
        let is_event =
            |window: u64, limit: u64| sum(window) > limit || window > 0 && sum(window - 1) > limit;
        let last = |limit| (0..windows(points)).rev().find(|window| is_event(*window, limit));
        // Exactly on the limit either is right.
        let (surely, perhaps) = (last(MEAN_LIMIT), last(MEAN_LIMIT - 1));
        let Some((time, values)) = rows.get(&host) else {
            ensure!(surely.is_none(), "host {host} is missing");
            continue;
        };
        let is_time = |window: &u64| time_text((window + 1) * WINDOW) == *time;
        let window = [surely, perhaps].into_iter().flatten().find(is_time);
        let window = window.with_context(|| format!("host {host} has the time {time}"))?;
        let mean = sum(window) as f64 / 1_000.0;
        let wanted = [mean / 100.0, mean];
        ensure!(are_near(values, &wanted), "host {host}: {values:?}, should be {wanted:?}");
    }
    Ok(())
}

/// Compares what `httpOut` serves with percentile and deviation of the windows.
pub(super) fn served_spreads(points: &Points, served: &str) -> Result<()> {
    let rows = rows(served, &["p.percentile", "s.stddev"])?;
    ensure!(rows.len() as u64 == points.series, "{} hosts are served", rows.len());
    let last = windows(points) * WINDOW;
    for host in 0..points.series {
        let (time, values) = rows.get(&host).with_context(|| format!("host {host} is missing"))?;
        // A point that a window made has the time of its end.
        let end = (0..2).map(|back| last - back * WINDOW).find(|end| time_text(*end) == *time);
        let end = end.with_context(|| format!("host {host} has the time {time}"))?;
        let window = end.saturating_sub(PERIOD)..end;
        let mut usages: Vec<f64> =
            window.map(|row| points.usage(0, host, row) as f64 / 100.0).collect();
        usages.sort_by(f64::total_cmp);
        let count = usages.len() as f64;
        // Source: InfluxQL: the nearest rank.
        let percentile = usages[(count * 0.95 + 0.5) as usize - 1];
        let mean = usages.iter().sum::<f64>() / count;
        let squares: f64 = usages.iter().map(|usage| (usage - mean).powi(2)).sum();
        let wanted = [percentile, (squares / (count - 1.0)).sqrt()];
        ensure!(are_near(values, &wanted), "host {host}: {values:?}, should be {wanted:?}");
    }
    Ok(())
}

/// Compares the log of an alert with the events that it should have: none is missing, doubled or out of its order.
pub(super) fn log(path: &Path, events: &[Event]) -> Result<()> {
    let log = fs::read_to_string(path).context("the alert left no log")?;
    let mut found: HashMap<u64, Vec<(&str, bool)>> = HashMap::new();
    for line in log.lines() {
        let parts = (host(line), text(line, "time"), text(line, "level"));
        let (Some(host), Some(time), Some(level)) = parts else {
            bail!("a line of the log: {line}")
        };
        found.entry(host).or_default().push((time, level == "CRITICAL"));
    }
    let mut wanted: HashMap<u64, Vec<(String, bool)>> = HashMap::new();
    for (host, row, is_critical) in events {
        wanted.entry(*host).or_default().push((time_text(*row), *is_critical));
    }
    let lines = log.lines().count();
    ensure!(lines == events.len(), "{lines} events are in the log, should be {}", events.len());
    for (host, wanted) in &wanted {
        let found = found.get(host).map_or(&[][..], |found| &found[..]);
        let is_alike =
            |((time, level), (wanted_time, wanted_level)): (&(&str, bool), &(String, bool))| {
                time == wanted_time && level == wanted_level
            };
        let is_equal = found.len() == wanted.len() && found.iter().zip(wanted).all(is_alike);
        ensure!(is_equal, "host {host}: {found:?}, should be {wanted:?}");
    }
    Ok(())
}

/// Gives what comes of an alert without `stateChangesOnly`: everything critical, and what follows it.
fn events(hosts: u64, rows: u64, is_critical: impl Fn(u64, u64) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    for host in 0..hosts {
        let mut was_critical = false;
        for row in 0..rows {
            let is_critical = is_critical(host, row);
            if is_critical || was_critical {
                events.push((host, row, is_critical));
            }
            was_critical = is_critical;
        }
    }
    events
}

/// Counts the windows of ten seconds that a later point has ended.
pub(super) fn windows(points: &Points) -> u64 {
    (points.rows - 1) / WINDOW
}

fn sum(points: &Points, host: u64, from: u64) -> u64 {
    (from..from + WINDOW).map(|row| points.usage(0, host, row)).sum()
}

/// Reads the last row of every series that `httpOut` serves: its time, and the columns in the order that is asked for.
fn rows(served: &str, columns: &[&str]) -> Result<HashMap<u64, (String, Vec<f64>)>> {
    let mut rows = HashMap::new();
    for series in served.split("{\"name\":").skip(1) {
        let row = (|| {
            let names = series.split_once("\"columns\":[")?.1.split_once(']')?.0;
            let names: Vec<&str> = names.split(',').map(|name| name.trim_matches('"')).collect();
            let values = series.rsplit_once('[')?.1.split_once(']')?.0;
            let values: Vec<&str> = values.split(',').collect();
            let value = |wanted: &str| {
                let at = names.iter().position(|name| *name == wanted)?;
                values.get(at).copied()
            };
            let numbers = columns.iter().map(|column| value(column)?.parse().ok());
            let time = value("time")?.trim_matches('"').to_owned();
            Some((host(series)?, (time, numbers.collect::<Option<Vec<f64>>>()?)))
        })();
        let (host, row) = row.with_context(|| format!("a series of httpOut: {series}"))?;
        rows.insert(host, row);
    }
    Ok(rows)
}

fn are_near(values: &[f64], wanted: &[f64]) -> bool {
    let is_near =
        |(value, wanted): (&f64, &f64)| (value - wanted).abs() <= TOLERANCE * wanted.abs();
    values.len() == wanted.len() && values.iter().zip(wanted).all(is_near)
}

/// Finds the number of the first host that a text speaks of.
fn host(text: &str) -> Option<u64> {
    text.split_once("host-")?.1.get(..6)?.parse().ok()
}

/// Finds the text behind a key of a line of JSON.
fn text<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    Some(line.split_once(&format!("\"{key}\":\""))?.1.split_once('"')?.0)
}

/// Gives the time of the first points in nanoseconds; times of recordings count from it.
pub(super) fn nanoseconds(row: u64) -> u64 {
    (FIRST + row) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::points::Usage;
    use super::*;

    #[test]
    fn the_spikes_of_two_million_points_are_the_events_of_the_definition() {
        let points = Points::new(2_000_000, 1_000, &["cpu"], Usage::Spikes);
        let events = spikes(&points);
        assert_eq!(events.len(), 21_405);
        assert_eq!(events.iter().filter(|(_, _, is_critical)| *is_critical).count(), 10_703);
        assert_eq!(events.last(), Some(&(999, 1_999, true)));
    }

    #[test]
    fn a_log_with_a_lost_a_doubled_or_a_wrong_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = |row, level| {
            format!(
                "{{\"id\":\"cpu:host=host-000007\",\"time\":\"{}\",\"level\":\"{level}\"}}\n",
                time_text(row)
            )
        };
        let events = [(7, 3, true), (7, 4, false)];
        let check = |lines: &[String]| {
            fs::write(&path, lines.concat()).unwrap();
            log(&path, &events).is_ok()
        };
        let (alert, recovery) = (line(3, "CRITICAL"), line(4, "OK"));
        assert!(check(&[alert.clone(), recovery.clone()]));
        assert!(!check(&[recovery.clone(), alert.clone()]));
        assert!(!check(std::slice::from_ref(&alert)));
        assert!(!check(&[alert.clone(), recovery.clone(), recovery]));
        assert!(!check(&[alert, line(5, "OK")]));
    }

    #[test]
    fn served_rows_are_read_by_their_columns() {
        let served = r#"{"series":[{"name":"cpu","tags":{"host":"host-000003"},"columns":["time","share","usage"],"values":[["2023-11-14T22:13:30Z",0.5,50]]}]}"#;
        let rows = rows(served, &["usage", "share"]).unwrap();
        assert_eq!(rows[&3], ("2023-11-14T22:13:30Z".to_owned(), vec![50.0, 0.5]));
        assert!(super::rows(served, &["absent"]).is_err());
    }
}
