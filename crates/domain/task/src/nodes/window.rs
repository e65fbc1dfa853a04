//! `window`: cuts a stream into batches, by time or by count.
//!
//! A window whose only child is a reducer that folds keeps no points: each goes to the child as it comes
//! ([`crate::runtime::Node::fuse`]). What the child has of an open window is saved with the child, so a reducer that an edit
//! of the script put in its place begins with what comes after the edit.

mod buffer;
mod count;
#[cfg(test)]
mod tests;
mod time;

use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use crate::property::types::{exactly, one_for_field, wrong_field};
use crate::property::{Flag, Nanos, PropertyType};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|window()`
#[derive(Clone, Debug, Default)]
pub struct Window {
    period: Nanos,
    every: Nanos,
    align: Flag,
    fill_period: Flag,
    period_count: Count,
    every_count: Count,
}

/// A number of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count(i64);

crate::properties! {
    Window {
        "period" => period,
        "every" => every,
        "align" => align,
        "fillPeriod" => fill_period,
        "periodCount" => period_count,
        "everyCount" => every_count,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "window",
    type_name: "WindowNode",
    desc: "window",
    json_type: "window",
    summary: "cuts a stream into batches",
    wants: EdgeRule::Fixed(Edge::Stream),
    provides: EdgeRule::Fixed(Edge::Batch),
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        if builder.provides(parent) == Edge::Batch {
            return Err(CallError::Call("cannot Window batch edge".to_owned()));
        }
        builder.add(parent, Box::new(Window::default()))
    },
    empty: || Box::new(Window::default()),
};

// === impl Window ===

impl Spec for Window {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        // Differs: upstream takes negative values (U-45).
        let numbers = [
            ("period", self.period.0),
            ("every", self.every.0),
            ("periodCount", self.period_count.0),
            ("everyCount", self.every_count.0),
        ];
        if let Some((name, _)) = numbers.iter().find(|(_, number)| *number < 0) {
            return Err(format!("window {name} must not be negative"));
        }
        if self.period_count.0 == 0 {
            return Ok(());
        }
        if self.period.0 != 0 {
            return Err("cannot specify both period and periodCount".to_owned());
        }
        if self.align.0 {
            return Err("can only align windows based off time, not count".to_owned());
        }
        if self.every_count.0 == 0 {
            return Err("everyCount must be greater than zero".to_owned());
        }
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        if self.period.0 == 0 && self.period_count.0 == 0 {
            return Err("window node must have either a non zero period or non zero period count"
                .to_owned());
        }
        Ok(())
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.check(Edge::Stream)?;
        if self.period.0 != 0 {
            return Ok(Box::new(time::Running::new(time::Rule {
                period: self.period.0,
                every: self.every.0,
                is_aligned: self.align.0,
                is_filled: self.fill_period.0,
            })));
        }
        Ok(Box::new(count::Running::new(count::Rule {
            // A count beyond what memory can hold is the same as any other that is never reached.
            period: usize::try_from(self.period_count.0).unwrap_or(usize::MAX),
            every: self.every_count.0.unsigned_abs().max(1),
            is_filled: self.fill_period.0,
        })))
    }
}

// === impl Count ===

impl PropertyType for Count {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Int(number) => self.0 = number,
            other => return Err(wrong_field(&other, "int64")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0 == 0 { vec![] } else { vec![vec![Value::Int(self.0)]] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_i64().ok_or_else(|| format!("wanted an integer, got {json}"))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Int(self.0)
    }
}
