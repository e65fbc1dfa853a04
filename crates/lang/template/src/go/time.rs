//! Times and what templates ask them.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use levada_model::Timestamp;

use crate::go::layout;

/// How a time without a layout is written.
pub const LAYOUT_STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Seconds from 0001-01-01, where Go's `Truncate` and `Round` start counting, to 1970-01-01.
const YEAR_ONE_TO_EPOCH: i128 = 62_135_596_800;

/// The names of the months.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The names of the weekdays, from Sunday.
pub const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Where the clock on the wall hangs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// The zone of the server, which the caller names.
    Local(TimeZone),
}

/// A time and the zone it is shown in.
///
/// Differs: the years from 1677 to 2262 only, as points have them; arithmetic saturates there.
#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    /// The point in time.
    pub at: Timestamp,
    /// Where it is shown.
    pub zone: Zone,
}

/// A time on the wall.
pub(crate) struct Civil {
    pub(crate) date_time: DateTime,
    pub(crate) offset_seconds: i32,
    pub(crate) zone_name: String,
}

// === impl Zone ===

impl Zone {
    /// Gives the name of the location.
    pub fn name(&self) -> &'static str {
        match self {
            Zone::Utc => "UTC",
            Zone::Local(_) => "Local",
        }
    }
}

// === impl Time ===

impl Time {
    /// Takes a time in UTC.
    pub fn utc(at: Timestamp) -> Self {
        Time { at, zone: Zone::Utc }
    }

    /// Writes the time by a layout made of pieces of `Mon Jan 2 15:04:05 MST 2006`.
    pub fn format(&self, out: &mut String, layout: &str) {
        layout::format(out, &self.civil(), layout);
    }

    /// Writes the time as `%v` does: `2006-01-02 15:04:05.5 +0000 UTC`.
    pub fn print(&self, out: &mut String) {
        self.format(out, LAYOUT_STRING);
    }

    /// Writes RFC 3339 with the digits of the fraction that are needed, as `encoding/json` does.
    pub fn json(&self, out: &mut String) {
        self.format(out, "2006-01-02T15:04:05.999999999Z07:00");
    }

    /// Writes the time as Go source, as `%#v` does.
    pub(crate) fn go_source(&self, out: &mut String) {
        let civil = self.civil().date_time;
        out.push_str(&format!(
            "time.Date({}, time.{}, {}, {}, {}, {}, {}, time.{})",
            civil.year(),
            MONTHS[civil.month() as usize - 1],
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second(),
            civil.subsec_nanosecond(),
            self.zone.name(),
        ));
    }

    /// Gives the time on the wall.
    pub(crate) fn civil(&self) -> Civil {
        let at = self.at.to_jiff();
        let (offset, zone_name) = match &self.zone {
            Zone::Utc => (Offset::UTC, String::from("UTC")),
            Zone::Local(zone) => {
                let info = zone.to_offset_info(at);
                (info.offset(), info.abbreviation().to_string())
            }
        };
        Civil { date_time: offset.to_datetime(at), offset_seconds: offset.seconds(), zone_name }
    }

    pub(crate) fn weekday(&self) -> u8 {
        self.civil().date_time.weekday().to_sunday_zero_offset() as u8
    }

    /// Adds nanoseconds.
    pub(crate) fn add(&self, duration: i64) -> Self {
        Time { at: Timestamp(self.at.0.saturating_add(duration)), zone: self.zone.clone() }
    }

    /// Adds years, months and days on the calendar; days beyond a month run over into the next.
    pub(crate) fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let date = civil.date_time.date();
        let month = i128::from(date.month()) - 1 + i128::from(months);
        let year = i128::from(date.year()) + i128::from(years) + month.div_euclid(12);
        let year = year.clamp(1600, 2300);
        let first = days_from_civil(year as i64, month.rem_euclid(12) as i64 + 1);
        let moved = i128::from(first) + i128::from(date.day()) - 1 + i128::from(days);
        let clock = civil.date_time.time().duration_since(jiff::civil::Time::midnight());
        let nanos = moved * 86_400_000_000_000 + clock.as_nanos()
            - i128::from(civil.offset_seconds) * 1_000_000_000;
        let nanos = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        let mut time = Time { at: Timestamp(nanos), zone: self.zone.clone() };
        // The clock on the wall stays, also over a change of the offset.
        let drift = civil.offset_seconds - time.civil().offset_seconds;
        time.at.0 = time.at.0.saturating_add(i64::from(drift) * 1_000_000_000);
        time
    }

    /// Rounds down to a multiple of `unit` since year 1; a unit that is not positive changes nothing.
    pub(crate) fn truncate(&self, unit: i64) -> Self {
        if unit <= 0 { self.clone() } else { self.add(-self.rest(unit)) }
    }

    /// Rounds to the nearest multiple of `unit` since year 1, halves up.
    pub(crate) fn round(&self, unit: i64) -> Self {
        if unit <= 0 {
            return self.clone();
        }
        let rest = self.rest(unit);
        if i128::from(rest) * 2 < i128::from(unit) {
            self.add(-rest)
        } else {
            self.add(unit - rest)
        }
    }

    fn rest(&self, unit: i64) -> i64 {
        let since = i128::from(self.at.0) + YEAR_ONE_TO_EPOCH * 1_000_000_000;
        since.rem_euclid(i128::from(unit)) as i64
    }
}

/// Gives the day, counted from the epoch, of the first of a month.
fn days_from_civil(year: i64, month: i64) -> i64 {
    let date = jiff::civil::date(year as i16, month as i8, 1);
    date.since(jiff::civil::date(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()))
}
