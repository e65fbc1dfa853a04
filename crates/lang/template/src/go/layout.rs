//! Layouts of times: texts in which pieces of a certain time stand for its parts.

use crate::go::time::{Civil, MONTHS, WEEKDAYS};

/// A piece of a layout.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    LongMonth,
    Month,
    Number(Part, Pad),
    LongWeekday,
    Weekday,
    Year,
    YearOfCentury,
    HalfOfDay { upper: bool },
    ZoneName,
    Offset { utc_as_z: bool, colon: bool, seconds: bool, minutes: bool },
    Fraction { point: char, digits: usize, trim: bool },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalf,
    Minute,
    Second,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pad {
    None,
    Zero(usize),
    Space(usize),
}

/// The pieces by their texts; of two that fit the longer stands first.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Monday", Element::LongWeekday),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z07:00", offset(true, true, false, true)),
    ("Z070000", offset(true, false, true, true)),
    ("Z0700", offset(true, false, false, true)),
    ("Z07", offset(true, false, false, false)),
    ("-07:00:00", offset(false, true, true, true)),
    ("-07:00", offset(false, true, false, true)),
    ("-070000", offset(false, false, true, true)),
    ("-0700", offset(false, false, false, true)),
    ("-07", offset(false, false, false, false)),
    ("002", Element::Number(Part::DayOfYear, Pad::Zero(3))),
    ("__2", Element::Number(Part::DayOfYear, Pad::Space(3))),
    ("01", Element::Number(Part::Month, Pad::Zero(2))),
    ("02", Element::Number(Part::Day, Pad::Zero(2))),
    ("03", Element::Number(Part::HourOfHalf, Pad::Zero(2))),
    ("04", Element::Number(Part::Minute, Pad::Zero(2))),
    ("05", Element::Number(Part::Second, Pad::Zero(2))),
    ("06", Element::YearOfCentury),
    ("15", Element::Number(Part::Hour, Pad::Zero(2))),
    ("1", Element::Number(Part::Month, Pad::None)),
    ("2", Element::Number(Part::Day, Pad::None)),
    ("3", Element::Number(Part::HourOfHalf, Pad::None)),
    ("4", Element::Number(Part::Minute, Pad::None)),
    ("5", Element::Number(Part::Second, Pad::None)),
    ("PM", Element::HalfOfDay { upper: true }),
    ("pm", Element::HalfOfDay { upper: false }),
];

const fn offset(utc_as_z: bool, colon: bool, seconds: bool, minutes: bool) -> Element {
    Element::Offset { utc_as_z, colon, seconds, minutes }
}

/// Tells whether a layout shows any part of a time.
pub fn shows_time(layout: &str) -> bool {
    layout.char_indices().any(|(at, _)| element_at(&layout[at..]).is_some())
}

/// Writes a time by a layout.
pub(crate) fn format(out: &mut String, civil: &Civil, layout: &str) {
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let (element, len) = match element_at(rest) {
            Some(found) => found,
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        push(out, civil, element);
        rest = &rest[len..];
    }
}

fn element_at(rest: &str) -> Option<(Element, usize)> {
    let bytes = rest.as_bytes();
    match bytes[0] {
        b'.' | b',' => return fraction_at(bytes),
        // `_2006` is an underscore and a year, `_2` a day.
        b'_' if rest.starts_with("_2") && !rest.starts_with("_2006") => {
            return Some((Element::Number(Part::Day, Pad::Space(2)), 2));
        }
        _ => {}
    }
    for (text, element) in ELEMENTS {
        if rest.starts_with(text) {
            return Some((*element, text.len()));
        }
    }
    // A longer word that only begins like a short name is no name.
    let short = match bytes.get(..3)? {
        b"Jan" => Element::Month,
        b"Mon" => Element::Weekday,
        _ => return None,
    };
    let word_goes_on = bytes.get(3).is_some_and(u8::is_ascii_lowercase);
    (!word_goes_on).then_some((short, 3))
}

/// Finds `.000` or `.999`, which end where a run of that digit ends and no other digit follows.
fn fraction_at(bytes: &[u8]) -> Option<(Element, usize)> {
    let digit = *bytes.get(1)?;
    if digit != b'0' && digit != b'9' {
        return None;
    }
    let digits = bytes[1..].iter().take_while(|byte| **byte == digit).count();
    if bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((
        Element::Fraction { point: char::from(bytes[0]), digits, trim: digit == b'9' },
        1 + digits,
    ))
}

fn push(out: &mut String, civil: &Civil, element: Element) {
    let time = &civil.date_time;
    match element {
        Element::LongMonth => out.push_str(MONTHS[time.month() as usize - 1]),
        Element::Month => out.push_str(&MONTHS[time.month() as usize - 1][..3]),
        Element::LongWeekday => {
            out.push_str(WEEKDAYS[time.weekday().to_sunday_zero_offset() as usize]);
        }
        Element::Weekday => {
            out.push_str(&WEEKDAYS[time.weekday().to_sunday_zero_offset() as usize][..3]);
        }
        Element::Year => push_number(out, i64::from(time.year()), Pad::Zero(4)),
        Element::YearOfCentury => {
            push_number(out, i64::from(time.year()).rem_euclid(100), Pad::Zero(2));
        }
        Element::HalfOfDay { upper } => out.push_str(match (time.hour() >= 12, upper) {
            (true, true) => "PM",
            (false, true) => "AM",
            (true, false) => "pm",
            (false, false) => "am",
        }),
        Element::Number(part, pad) => push_number(out, part_of(civil, part), pad),
        Element::ZoneName => out.push_str(&civil.zone_name),
        Element::Offset { utc_as_z: true, .. } if civil.offset_seconds == 0 => out.push('Z'),
        Element::Offset { colon, seconds, minutes, .. } => {
            push_offset(out, civil.offset_seconds, colon, seconds, minutes);
        }
        Element::Fraction { point, digits, trim } => {
            push_fraction(out, civil, point, digits, trim);
        }
    }
}

fn part_of(civil: &Civil, part: Part) -> i64 {
    let time = &civil.date_time;
    let hour = time.hour();
    i64::from(match part {
        Part::Month => time.month(),
        Part::Day => time.day(),
        Part::DayOfYear => return i64::from(time.day_of_year()),
        Part::Hour => hour,
        Part::HourOfHalf => (hour + 11) % 12 + 1,
        Part::Minute => time.minute(),
        Part::Second => time.second(),
    })
}

fn push_number(out: &mut String, number: i64, pad: Pad) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    let (width, fill) = match pad {
        Pad::None => (0, '0'),
        Pad::Zero(width) => (width, '0'),
        Pad::Space(width) => (width, ' '),
    };
    out.extend(std::iter::repeat_n(fill, width.saturating_sub(text.len())));
    out.push_str(text);
}

fn push_offset(out: &mut String, offset: i32, colon: bool, seconds: bool, minutes: bool) {
    out.push(if offset < 0 { '-' } else { '+' });
    let size = i64::from(offset.unsigned_abs());
    push_number(out, size / 3600, Pad::Zero(2));
    for (shown, part) in [(minutes, size / 60 % 60), (seconds, size % 60)] {
        if shown {
            if colon {
                out.push(':');
            }
            push_number(out, part, Pad::Zero(2));
        }
    }
}

/// There are nine digits at most, however many the layout asks for.
fn push_fraction(out: &mut String, civil: &Civil, point: char, digits: usize, trim: bool) {
    let text = format!("{:09}", civil.date_time.subsec_nanosecond());
    let shown = &text[..digits.min(9)];
    let shown = if trim { shown.trim_end_matches('0') } else { shown };
    if trim && shown.is_empty() {
        return;
    }
    out.push(point);
    out.push_str(shown);
}
