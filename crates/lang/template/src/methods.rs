//! The methods of times and durations.

use crate::functions::Param;
use crate::go::duration::{self, HOUR, MINUTE, SECOND};
use crate::go::time::{MONTHS, Time, WEEKDAYS, Zone};
use crate::value::Value;

/// A method of a value.
pub(crate) struct Method {
    name: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) call: for<'v> fn(&Value<'v>, &[Value<'v>]) -> Result<Value<'v>, String>,
}

type Call = for<'v> fn(&Value<'v>, &[Value<'v>]) -> Result<Value<'v>, String>;

const fn method(name: &'static str, params: &'static [Param], call: Call) -> Method {
    Method { name, params, call }
}

/// Finds a method of a value.
pub(crate) fn find(receiver: &Value<'_>, name: &str) -> Option<&'static Method> {
    let table = match receiver {
        Value::Time(_) => TIME,
        Value::Duration(_) => DURATION,
        Value::Month(_) | Value::Weekday(_) | Value::Location(_) => NAMED,
        _ => return None,
    };
    table.iter().find(|method| method.name == name)
}

static DURATION: &[Method] = &[
    method("Seconds", &[], |d, _| Ok(Value::Float(duration::in_unit(nanos(d), SECOND)))),
    method("Minutes", &[], |d, _| Ok(Value::Float(duration::in_unit(nanos(d), MINUTE)))),
    method("Hours", &[], |d, _| Ok(Value::Float(duration::in_unit(nanos(d), HOUR)))),
    method("Nanoseconds", &[], |d, _| Ok(Value::Int64(nanos(d)))),
    method("Microseconds", &[], |d, _| Ok(Value::Int64(nanos(d) / 1_000))),
    method("Milliseconds", &[], |d, _| Ok(Value::Int64(nanos(d) / 1_000_000))),
    method("String", &[], |d, _| Ok(Value::from(duration::text(nanos(d))))),
    method("Abs", &[], |d, _| Ok(Value::Duration(nanos(d).saturating_abs()))),
    method("Round", &[Param::Duration], |d, args| {
        Ok(Value::Duration(duration::round(nanos(d), nanos(&args[0]))))
    }),
    method("Truncate", &[Param::Duration], |d, args| {
        Ok(Value::Duration(duration::truncate(nanos(d), nanos(&args[0]))))
    }),
];

static NAMED: &[Method] = &[method("String", &[], |value, _| {
    Ok(Value::from(match value {
        Value::Month(month) => {
            MONTHS.get(usize::from(*month).wrapping_sub(1)).copied().unwrap_or_default()
        }
        Value::Weekday(day) => WEEKDAYS.get(usize::from(*day)).copied().unwrap_or_default(),
        Value::Location(zone) => zone.name(),
        _ => "",
    }))
})];

static TIME: &[Method] = &[
    method("Unix", &[], |t, _| Ok(Value::Int64(time(t).at.0.div_euclid(1_000_000_000)))),
    method("UnixMilli", &[], |t, _| Ok(Value::Int64(time(t).at.0.div_euclid(1_000_000)))),
    method("UnixMicro", &[], |t, _| Ok(Value::Int64(time(t).at.0.div_euclid(1_000)))),
    method("UnixNano", &[], |t, _| Ok(Value::Int64(time(t).at.0))),
    method("Format", &[Param::Text], |t, args| {
        let mut out = String::new();
        if let Value::Str(layout) = &args[0] {
            time(t).format(&mut out, layout);
        }
        Ok(Value::from(out))
    }),
    method("String", &[], |t, _| {
        let mut out = String::new();
        time(t).print(&mut out);
        Ok(Value::from(out))
    }),
    method("GoString", &[], |t, _| {
        let mut out = String::new();
        time(t).go_source(&mut out);
        Ok(Value::from(out))
    }),
    // The zone of the server is put in by the template, which knows it.
    method("Local", &[], |t, _| Ok(t.clone())),
    method("UTC", &[], |t, _| Ok(Value::Time(Time::utc(time(t).at)))),
    method("Year", &[], |t, _| Ok(Value::Int(i64::from(time(t).civil().date_time.year())))),
    method("Month", &[], |t, _| Ok(Value::Month(time(t).civil().date_time.month() as u8))),
    method("Day", &[], |t, _| Ok(Value::Int(i64::from(time(t).civil().date_time.day())))),
    method("Hour", &[], |t, _| Ok(Value::Int(i64::from(time(t).civil().date_time.hour())))),
    method("Minute", &[], |t, _| Ok(Value::Int(i64::from(time(t).civil().date_time.minute())))),
    method("Second", &[], |t, _| Ok(Value::Int(i64::from(time(t).civil().date_time.second())))),
    method("Nanosecond", &[], |t, _| Ok(Value::Int(time(t).at.0.rem_euclid(1_000_000_000)))),
    method("YearDay", &[], |t, _| {
        Ok(Value::Int(i64::from(time(t).civil().date_time.day_of_year())))
    }),
    method("Weekday", &[], |t, _| Ok(Value::Weekday(time(t).weekday()))),
    method("Location", &[], |t, _| Ok(Value::Location(time(t).zone.clone()))),
    method("IsDST", &[], |t, _| {
        let time = time(t);
        Ok(Value::Bool(match &time.zone {
            Zone::Utc => false,
            Zone::Local(zone) => zone.to_offset_info(time.at.to_jiff()).dst().is_dst(),
        }))
    }),
    method("IsZero", &[], |_, _| Ok(Value::Bool(false))),
    method("Add", &[Param::Duration], |t, args| Ok(Value::Time(time(t).add(nanos(&args[0]))))),
    method("AddDate", &[Param::Int, Param::Int, Param::Int], |t, args| {
        Ok(Value::Time(time(t).add_date(nanos(&args[0]), nanos(&args[1]), nanos(&args[2]))))
    }),
    method("Sub", &[Param::Time], |t, args| {
        Ok(Value::Duration(time(t).at.0.saturating_sub(time(&args[0]).at.0)))
    }),
    method("Before", &[Param::Time], |t, args| Ok(Value::Bool(time(t).at < time(&args[0]).at))),
    method("After", &[Param::Time], |t, args| Ok(Value::Bool(time(t).at > time(&args[0]).at))),
    method("Equal", &[Param::Time], |t, args| Ok(Value::Bool(time(t).at == time(&args[0]).at))),
    method("Compare", &[Param::Time], |t, args| {
        Ok(Value::Int(time(t).at.cmp(&time(&args[0]).at) as i64))
    }),
    method("Truncate", &[Param::Duration], |t, args| {
        Ok(Value::Time(time(t).truncate(nanos(&args[0]))))
    }),
    method("Round", &[Param::Duration], |t, args| Ok(Value::Time(time(t).round(nanos(&args[0]))))),
    // Templates cannot hold more than one result; upstream's texts say so in two ways.
    method("ISOWeek", &[], |_, _| Err(second_result("ISOWeek"))),
    method("Zone", &[], |_, _| Err(second_result("Zone"))),
    method("Date", &[], |_, _| Err(third_result("Date"))),
    method("Clock", &[], |_, _| Err(third_result("Clock"))),
];

fn second_result(name: &str) -> String {
    format!("invalid function signature for {name}: second return value should be error; is int")
}

fn third_result(name: &str) -> String {
    format!("function {name} has 3 return values; should be 1 or 2")
}

/// Gives the integer of an argument that was checked.
fn nanos(value: &Value<'_>) -> i64 {
    value.as_int().unwrap_or_default()
}

/// Gives the time of a receiver or argument that was checked.
fn time<'t>(value: &'t Value<'_>) -> &'t Time {
    static EPOCH: Time = Time { at: levada_model::Timestamp(0), zone: Zone::Utc };
    match value {
        Value::Time(time) => time,
        _ => &EPOCH,
    }
}
