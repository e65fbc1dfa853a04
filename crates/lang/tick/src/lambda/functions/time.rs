//! Times, in the time zone of the environment.

use jiff::civil::DateTime;

use super::Body::{Environment, Pure};
use super::{Answer, Failure, functions, unfit};
use crate::lambda::evaluator::Env;
use crate::lambda::value::Operand;

functions! {
    "unixNano": (Time) -> Int = Pure(unix_nano);
    "minute": (Time) -> Int = Environment(minute);
    "hour": (Time) -> Int = Environment(hour);
    "weekday": (Time) -> Int = Environment(weekday);
    "day": (Time) -> Int = Environment(day);
    "month": (Time) -> Int = Environment(month);
    "year": (Time) -> Int = Environment(year);
    "now": () -> Time = Environment(now);
}

fn civil(args: &[Operand<'_>], env: &Env) -> Result<DateTime, Failure> {
    match args {
        [Operand::Time(time)] => Ok(env.zone.to_datetime(time.to_jiff())),
        _ => Err(unfit()),
    }
}

fn unix_nano<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    match args {
        [Operand::Time(time)] => Ok(Operand::Int(time.0)),
        _ => Err(unfit()),
    }
}

fn minute<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.minute().into()))
}

fn hour<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.hour().into()))
}

fn weekday<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.weekday().to_sunday_zero_offset().into()))
}

fn day<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.day().into()))
}

fn month<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.month().into()))
}

fn year<'a>(args: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Int(civil(args, env)?.year().into()))
}

fn now<'a>(_: &[Operand<'a>], env: &Env) -> Answer<'a> {
    Ok(Operand::Time(env.now))
}
