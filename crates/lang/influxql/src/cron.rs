//! Cron expressions, and when they fire.
//!
//! Five fields are minute, hour, day of month, month and day of week; six add the year; seven start with the second.
//! A day counts when either field of days lists it, unless only one of them is restricted.
//!
//! The search goes through months, so that an expression that never fires costs 1,560 of them and no more.

mod parse;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use levada_model::Timestamp;

use crate::error::CronError;

/// The years that an expression can name.
///
/// Source: the library of the original.
pub const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    /// Bit `n % 64` of word `n / 64` is the year 1970 + n.
    years: [u64; 3],
}

/// The days that an expression names, in both of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Days {
    of_month: u64,
    of_month_restricted: bool,
    last: bool,
    last_workday: bool,
    /// The work days nearest to these days.
    near_workdays: u64,
    /// Bit 0 is Sunday.
    of_week: u64,
    of_week_restricted: bool,
    /// The last ones of the month.
    last_of_week: u64,
    /// `nth_of_week[n - 1]` is for the n-th ones of the month.
    nth_of_week: [u64; 5],
}

// === impl Cron ===

impl Cron {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        parse::parse(text)
    }

    /// Gives the first time after `after` at which the expression fires, if there is one.
    ///
    /// The fields are compared with the clock of the time zone. When that clock jumps forward, what would fire within
    /// the gap fires as much later; when it jumps back, what fires every hour fires in the hour that is repeated, too,
    /// and anything else fires once.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let found = match self.fires_every_hour() {
            true => self.next_by_offset(after.to_jiff(), zone),
            false => self.next_by_clock(after.to_jiff(), zone),
        }?;
        i64::try_from(found.as_nanosecond()).ok().map(Timestamp)
    }

    fn fires_every_hour(&self) -> bool {
        self.hours.count_ones() == 24
    }

    /// Searches on the clock as the zone shows it.
    fn next_by_clock(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let mut clock = zone.to_datetime(after);
        loop {
            clock = self.next_on_clock(clock)?;
            let found = zone.to_ambiguous_timestamp(clock).compatible().ok()?;
            // Within a repeated hour the first of the two times may have been before.
            if found > after {
                return Some(found);
            }
        }
    }

    /// Searches on the clock of one offset after the other, so that no hour is left out.
    fn next_by_offset(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let mut after = after;
        loop {
            let offset = zone.to_offset(after);
            let clock = self.next_on_clock(offset.to_datetime(after))?;
            let found = offset.to_timestamp(clock).ok()?;
            if zone.to_offset(found) == offset {
                return Some(found);
            }
            let change = zone.following(after).next()?.timestamp();
            if found < change {
                return Some(found);
            }
            // The change itself may be a time at which it fires.
            let before = change.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
            let later = zone.to_offset(change);
            let clock = self.next_on_clock(later.to_datetime(before))?;
            let found = later.to_timestamp(clock).ok()?;
            if zone.to_offset(found) == later {
                return Some(found);
            }
            after = change;
        }
    }

    /// Gives the first time of the clock after `after`.
    fn next_on_clock(&self, after: DateTime) -> Option<DateTime> {
        let start = after.date().max(Date::constant(*YEARS.start(), 1, 1));
        if after.date() == start
            && self.fires_on(start)
            && let Some(time) = self.time_after(Some(after.time()))
        {
            return Some(start.to_datetime(time));
        }
        let first = if after.date() < start { Some(start) } else { start.tomorrow().ok() };
        let date = self.date_from(first?)?;
        Some(date.to_datetime(self.time_after(None)?))
    }

    fn fires_on(&self, date: Date) -> bool {
        self.has_month(date.year(), date.month())
            && has(self.days.in_month(date.year(), date.month()), date.day())
    }

    fn has_month(&self, year: i16, month: i8) -> bool {
        let year = (year - YEARS.start()) as usize;
        let known = self.years.get(year / 64).is_some_and(|word| word >> (year % 64) & 1 == 1);
        known && has(self.months, month)
    }

    /// Gives the first date from `from` on; that is not before the first of the years.
    fn date_from(&self, from: Date) -> Option<Date> {
        let mut first_day = from.day();
        let mut month = from.month();
        for year in from.year()..=*YEARS.end() {
            while month <= 12 {
                if self.has_month(year, month) {
                    let days = self.days.in_month(year, month);
                    if let Some(day) = first_from(days, first_day) {
                        return Date::new(year, month, day).ok();
                    }
                }
                first_day = 1;
                month += 1;
            }
            month = 1;
        }
        None
    }

    /// Gives the first time of a day, or the first after another one.
    fn time_after(&self, after: Option<Time>) -> Option<Time> {
        let Some(after) = after else {
            let (hour, minute) = (first_from(self.hours, 0)?, first_from(self.minutes, 0)?);
            return Time::new(hour, minute, first_from(self.seconds, 0)?, 0).ok();
        };
        let (hour, minute) = (after.hour(), after.minute());
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first_from(self.seconds, after.second() + 1)
            {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return Time::new(hour, minute, first_from(self.seconds, 0)?, 0).ok();
            }
        }
        let hour = first_from(self.hours, hour + 1)?;
        Time::new(hour, first_from(self.minutes, 0)?, first_from(self.seconds, 0)?, 0).ok()
    }
}

// === impl Days ===

impl Days {
    /// Gives the days of a month as bits 1 to 31.
    fn in_month(&self, year: i16, month: i8) -> u64 {
        let Ok(first) = Date::new(year, month, 1) else {
            return 0;
        };
        let length = first.days_in_month();
        let all = ((1_u64 << length) - 1) << 1;
        let of_month = || self.by_number(first, length);
        let of_week = || self.by_weekday(first, length);
        let days = match (self.of_month_restricted, self.of_week_restricted) {
            (false, false) => all,
            (true, false) => of_month(),
            (false, true) => of_week(),
            (true, true) => of_month() | of_week(),
        };
        days & all
    }

    fn by_number(&self, first: Date, length: i8) -> u64 {
        let mut days = self.of_month;
        if self.last {
            days |= 1 << length;
        }
        if self.last_workday {
            // A last day on a weekend moves back only: the next Monday is another month's.
            days |= 1 << near_workday(first, length, length);
        }
        for day in 1..=length {
            if has(self.near_workdays, day) {
                days |= 1 << near_workday(first, length, day);
            }
        }
        days
    }

    fn by_weekday(&self, first: Date, length: i8) -> u64 {
        let mut days = 0;
        for day in 1..=length {
            let weekday = weekday(first, day);
            let nth = self.nth_of_week[((day - 1) / 7) as usize];
            let last = day + 7 > length;
            if has(self.of_week | nth, weekday) || (last && has(self.last_of_week, weekday)) {
                days |= 1 << day;
            }
        }
        days
    }
}

/// Gives the day of the week, Sunday being 0, of a day of the month that starts at `first`.
fn weekday(first: Date, day: i8) -> i8 {
    (first.weekday().to_sunday_zero_offset() + day - 1) % 7
}

/// Gives the work day nearest to a day without leaving the month.
fn near_workday(first: Date, length: i8, day: i8) -> i8 {
    match weekday(first, day) {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

fn has(bits: u64, at: i8) -> bool {
    bits >> at & 1 == 1
}

fn first_from(bits: u64, from: i8) -> Option<i8> {
    let rest = bits & u64::MAX.checked_shl(from as u32)?;
    (rest != 0).then(|| rest.trailing_zeros() as i8)
}

#[cfg(test)]
mod tests;
