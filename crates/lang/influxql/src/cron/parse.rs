//! From text to bits.

use super::{Cron, Days, YEARS};
use crate::error::CronError;

/// How long an expression may be, in bytes; one that lists every value of every field is not half as long.
pub(super) const TEXT_MAX: usize = 2048;

const ALIASES: &[(&str, &str)] = &[
    ("@annually", "0 0 0 1 1 * *"),
    ("@yearly", "0 0 0 1 1 * *"),
    ("@monthly", "0 0 0 1 * * *"),
    ("@weekly", "0 0 0 * * 0 *"),
    ("@daily", "0 0 0 * * * *"),
    ("@hourly", "0 0 * * * * *"),
];

/// What the values of a field are.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    digits_max: usize,
    /// The names of the values from `min` on; a name is as good as its first three letters.
    names: &'static [&'static str],
}

const fn field(name: &'static str, min: u32, max: u32) -> Field {
    Field { name, min, max, digits_max: 2, names: &[] }
}

const SECOND: Field = field("second", 0, 59);
const MINUTE: Field = field("minute", 0, 59);
const HOUR: Field = field("hour", 0, 23);
const DAY_OF_MONTH: Field = field("day-of-month", 1, 31);
const MONTH: Field = Field {
    names: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    ..field("month", 1, 12)
};
/// Sunday is 0 and 7.
const DAY_OF_WEEK: Field = Field {
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    ..field("day-of-week", 0, 7)
};
const YEAR: Field =
    Field { digits_max: 4, ..field("year", *YEARS.start() as u32, *YEARS.end() as u32) };

/// What one part of a field names.
enum Part<'t> {
    All,
    Every {
        first: u32,
        last: u32,
        step: u32,
    },
    /// What only some fields know, in lower case.
    Special(&'t str),
}

pub(super) fn parse(text: &str) -> Result<Cron, CronError> {
    if text.len() > TEXT_MAX {
        return Err(CronError::TooLong { max: TEXT_MAX });
    }
    let trimmed = text.trim();
    let alias = ALIASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(trimmed));
    let text = alias.map_or(trimmed, |(_, meaning)| meaning);
    let mut fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() < 5 {
        return Err(CronError::MissingFields);
    }
    if fields.len() < 7 {
        fields.insert(0, "0");
    }
    let mut days = Days::default();
    let seconds = bits(&SECOND, fields[0])?;
    let minutes = bits(&MINUTE, fields[1])?;
    let hours = bits(&HOUR, fields[2])?;
    days_of_month(fields[3], &mut days)?;
    let months = bits(&MONTH, fields[4])?;
    days_of_week(fields[5], &mut days)?;
    let years = years(fields.get(6).unwrap_or(&"*"))?;
    Ok(Cron { seconds, minutes, hours, months, days, years })
}

fn bits(field: &Field, text: &str) -> Result<u64, CronError> {
    let mut bits = 0;
    field.each_part(text, |part| {
        let (first, last, step) = part.values(field)?;
        (first..=last).step_by(step).for_each(|value| bits |= 1 << value);
        Some(())
    })?;
    Ok(bits)
}

fn years(text: &str) -> Result<[u64; 3], CronError> {
    let mut years = [0_u64; 3];
    YEAR.each_part(text, |part| {
        let (first, last, step) = part.values(&YEAR)?;
        for year in (first..=last).step_by(step) {
            let at = (year - YEAR.min) as usize;
            years[at / 64] |= 1 << (at % 64);
        }
        Some(())
    })?;
    Ok(years)
}

fn days_of_month(text: &str, days: &mut Days) -> Result<(), CronError> {
    days.of_month_restricted = true;
    DAY_OF_MONTH.each_part(text, |part| {
        match part {
            Part::All => days.of_month_restricted = false,
            Part::Special("l") => days.last = true,
            Part::Special("lw") => days.last_workday = true,
            Part::Special(text) => {
                let day = DAY_OF_MONTH.value(text.strip_suffix('w')?)?;
                days.near_workdays |= 1 << day;
            }
            Part::Every { .. } => {
                let (first, last, step) = part.values(&DAY_OF_MONTH)?;
                (first..=last).step_by(step).for_each(|day| days.of_month |= 1 << day);
            }
        }
        Some(())
    })
}

fn days_of_week(text: &str, days: &mut Days) -> Result<(), CronError> {
    days.of_week_restricted = true;
    DAY_OF_WEEK.each_part(text, |part| {
        match part {
            Part::All => days.of_week_restricted = false,
            Part::Special(text) => {
                if let Some((day, nth)) = text.split_once('#') {
                    let day = DAY_OF_WEEK.value(day)? % 7;
                    let nth = "12345".find(nth).filter(|_| nth.len() == 1)?;
                    days.nth_of_week[nth] |= 1 << day;
                } else {
                    let day = DAY_OF_WEEK.value(text.strip_suffix('l')?)? % 7;
                    days.last_of_week |= 1 << day;
                }
            }
            Part::Every { .. } => {
                let (first, last, step) = part.values(&DAY_OF_WEEK)?;
                (first..=last).step_by(step).for_each(|day| days.of_week |= 1 << (day % 7));
            }
        }
        Some(())
    })
}

// === impl Field ===

impl Field {
    /// Hands out the parts between commas; a part of which nothing is made is an error.
    fn each_part(
        &self,
        text: &str,
        mut take: impl FnMut(Part<'_>) -> Option<()>,
    ) -> Result<(), CronError> {
        let mut any = false;
        for written in text.split(',').filter(|part| !part.is_empty()) {
            any = true;
            let lower = written.to_ascii_lowercase();
            let part = self.part(&lower)?;
            take(part)
                .ok_or_else(|| CronError::Syntax { field: self.name, text: written.into() })?;
        }
        if any { Ok(()) } else { Err(CronError::MissingDirective { field: self.name }) }
    }

    fn part<'t>(&self, text: &'t str) -> Result<Part<'t>, CronError> {
        if text == "*" || text == "?" {
            return Ok(Part::All);
        }
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let Some((first, last)) = self.range(range, step.is_some()) else {
            return Ok(Part::Special(text));
        };
        let step = match step {
            None => 1,
            Some(step) if step.is_empty() || !step.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Ok(Part::Special(text));
            }
            Some(step) => match step.parse() {
                Ok(step) if (1..=self.max).contains(&step) => step,
                _ => return Err(CronError::Interval { text: text.into() }),
            },
        };
        Ok(Part::Every { first, last, step })
    }

    /// Reads `*`, `a` or `a-b`; a single value with a step goes on to the end.
    fn range(&self, text: &str, stepped: bool) -> Option<(u32, u32)> {
        // As the end of a range Sunday is 7, by itself 0: `*` does not name it twice.
        let end = if self.max == 7 { 6 } else { self.max };
        if text == "*" {
            return Some((self.min, end));
        }
        let Some((first, last)) = text.split_once('-') else {
            let first = self.value(text)?;
            return Some((first, if stepped { end.max(first) } else { first }));
        };
        let first = self.value(first)?;
        let last = match self.value(last)? {
            0 if self.max == 7 && first > 0 => 7,
            last => last,
        };
        // Differs: the original takes a range that runs backwards for one without values.
        (first <= last).then_some((first, last))
    }

    /// Reads a number or a name.
    ///
    /// Differs: a number with a leading zero is decimal in every field; the original reads some as 0.
    fn value(&self, text: &str) -> Option<u32> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let value =
                if text.len() <= self.digits_max { text.parse().ok()? } else { return None };
            return (self.min..=self.max).contains(&value).then_some(value);
        }
        let is_name = |name: &&str| *name == text || &name[..3] == text;
        let at = self.names.iter().position(is_name)?;
        Some(self.min + at as u32)
    }
}

// === impl Part ===

impl Part<'_> {
    fn values(&self, field: &Field) -> Option<(u32, u32, usize)> {
        match self {
            Part::All => Some((field.min, field.max, 1)),
            Part::Every { first, last, step } => Some((*first, *last, *step as usize)),
            Part::Special(_) => None,
        }
    }
}
