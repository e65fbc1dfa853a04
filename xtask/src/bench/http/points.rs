//! The points of the workloads, each computed from its place alone, so that what should come of them can be computed apart.

use std::collections::HashSet;
use std::fmt::Write as _;

/// The time of the first points, in seconds; a multiple of all windows.
pub(super) const FIRST: u64 = 1_700_000_000;
/// Lines in one write.
const WRITE_LINES: usize = 5_000;
/// Spikes per two million points: each but the last one makes an alert and a recovery, 21,405 events.
const SPIKES: u64 = 10_703;
const SPIKES_OF: u64 = 2_000_000;

/// How the field `usage` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// Everything from 0 to 99.99, evenly.
    Even,
    /// From 0 to 89.99, but for single points at 99.
    Spikes,
}

/// Series that have a point per second each.
pub(super) struct Points {
    pub(super) series: u64,
    pub(super) measurements: &'static [&'static str],
    /// Seconds: the points of a series and measurement.
    pub(super) rows: u64,
    spikes: HashSet<u64>,
}

// === impl Points ===

impl Points {
    /// Makes about so many points: every series has the same number.
    pub(super) fn new(
        points: u64,
        series: u64,
        measurements: &'static [&'static str],
        usage: Usage,
    ) -> Self {
        let per_row = series * measurements.len() as u64;
        let rows = (points / per_row).max(2);
        let spikes = match usage {
            Usage::Even => HashSet::new(),
            Usage::Spikes => spikes(rows * per_row, per_row),
        };
        Points { series, measurements, rows, spikes }
    }

    /// Counts the points.
    pub(super) fn count(&self) -> u64 {
        self.rows * self.series * self.measurements.len() as u64
    }

    /// Gives the usage of a point, in hundredths.
    pub(super) fn usage(&self, kind: usize, series: u64, row: u64) -> u64 {
        let at = self.place(kind, series, row);
        if self.spikes.is_empty() {
            return mixed(at) % 10_000;
        }
        if self.spikes.contains(&at) { 9_900 } else { mixed(at) % 9_000 }
    }

    /// Writes a line of line protocol.
    pub(super) fn line(&self, kind: usize, series: u64, row: u64, out: &mut String) {
        let usage = self.usage(kind, series, row);
        let more = mixed(self.place(kind, series, row) ^ u64::MAX);
        let (idle, load) = (more % 10_000, (more >> 32) % 8_000);
        writeln!(
            out,
            "{},host=host-{series:06},region=region-{} usage={}.{:02},idle={}.{:02},load={}.{:03} {}000000000",
            self.measurements[kind],
            series % 10,
            usage / 100,
            usage % 100,
            idle / 100,
            idle % 100,
            load / 1_000,
            load % 1_000,
            FIRST + row
        )
        .expect("a text can be written to");
    }

    /// Gives the bodies of the writes of one of several connections: each has series of its own, in the order of time.
    pub(super) fn bodies(&self, connection: u64, connections: u64) -> Vec<String> {
        let (mut bodies, mut body, mut lines) = (Vec::new(), String::new(), 0);
        for row in 0..self.rows {
            for series in (connection..self.series).step_by(connections as usize) {
                for kind in 0..self.measurements.len() {
                    self.line(kind, series, row, &mut body);
                    lines += 1;
                    if lines == WRITE_LINES {
                        let next = String::with_capacity(body.len() + 1_024);
                        bodies.push(std::mem::replace(&mut body, next));
                        lines = 0;
                    }
                }
            }
        }
        if lines > 0 {
            bodies.push(body);
        }
        bodies
    }

    fn place(&self, kind: usize, series: u64, row: u64) -> u64 {
        (row * self.series + series) * self.measurements.len() as u64 + kind as u64
    }
}

/// Spreads spikes over all points but the last row, and puts one on the last point, which nothing recovers from.
fn spikes(points: u64, per_row: u64) -> HashSet<u64> {
    let count = (points * SPIKES / SPIKES_OF).max(2) - 1;
    let room = points - per_row;
    let mut spikes: HashSet<u64> = (0..count).map(|spike| spike * room / count).collect();
    spikes.insert(points - 1);
    spikes
}

/// A number that looks random. Source: the finaliser of splitmix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Gives a time of the points as RFC 3339, e.g. `2023-11-14T22:13:20Z`.
pub(super) fn time_text(row: u64) -> String {
    let seconds = FIRST + row;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Source: "days from civil" turned round; days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_all_connections_hold_every_point_once() {
        let points = Points::new(120, 10, &["cpu", "mem"], Usage::Even);
        assert_eq!((points.count(), points.rows), (120, 6));
        let mut lines: Vec<String> = Vec::new();
        for connection in 0..3 {
            let bodies = points.bodies(connection, 3).concat();
            lines.extend(bodies.lines().map(str::to_owned));
        }
        let mut wanted = String::new();
        for (row, series, kind) in
            (0..6).flat_map(|row| (0..10).flat_map(move |s| (0..2).map(move |kind| (row, s, kind))))
        {
            points.line(kind, series, row, &mut wanted);
        }
        let mut wanted: Vec<&str> = wanted.lines().collect();
        let first = wanted[0];
        lines.sort();
        wanted.sort_unstable();
        assert_eq!(lines, wanted);
        assert!(first.starts_with("cpu,host=host-000000,region=region-0 usage="));
        assert!(first.ends_with(" 1700000000000000000"));
    }

    #[test]
    fn spikes_are_single_and_the_last_point_is_one() {
        let points = Points::new(2_000_000, 1_000, &["cpu"], Usage::Spikes);
        assert_eq!(points.spikes.len(), 10_703);
        let is_spike = |series, row| points.usage(0, series, row) > 9_500;
        assert!(is_spike(999, 1_999));
        let in_last_row = (0..1_000).filter(|series| is_spike(*series, 1_999)).count();
        assert_eq!(in_last_row, 1);
        let twice = points.spikes.iter().filter(|at| points.spikes.contains(&(**at + 1_000)));
        assert_eq!(twice.count(), 0);
    }

    #[test]
    fn times_are_texts() {
        assert_eq!(time_text(0), "2023-11-14T22:13:20Z");
        // A leap day and the end of a year.
        assert_eq!(time_text(1_709_164_800 - FIRST), "2024-02-29T00:00:00Z");
        assert_eq!(time_text(1_735_689_599 - FIRST), "2024-12-31T23:59:59Z");
    }
}
