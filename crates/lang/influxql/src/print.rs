//! The canonical text: keywords upper case, names quoted only where they must be, durations in their shortest form.

use std::fmt::{self, Write as _};

use crate::ast::{
    Expr, Field, FillClause, Measurement, MeasurementName, Operator, Order, Select, Source,
    Statement,
};
use crate::duration;
use crate::token::{write_ident, write_quoted};

macro_rules! display {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = String::new();
                self.print(&mut out);
                f.write_str(&out)
            }
        }
    )*};
}

display!(Expr, Field, Measurement, Select, Source, FillClause);

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Select(select) => select.fmt(f),
            Statement::Other(text) => f.write_str(text),
        }
    }
}

impl Select {
    pub(crate) fn print(&self, out: &mut String) {
        self.print_head(out);
        if let Some(condition) = &self.condition {
            out.push_str(" WHERE ");
            condition.print(out);
        }
        if !self.dimensions.is_empty() {
            out.push_str(" GROUP BY ");
            list(&self.dimensions, out, Expr::print);
        }
        self.fill.print(out);
        self.print_tail(out);
    }

    /// Prints what stands before the condition.
    pub(crate) fn print_head(&self, out: &mut String) {
        out.push_str("SELECT ");
        list(&self.fields, out, Field::print);
        if let Some(target) = &self.into {
            out.push_str(" INTO ");
            target.print(out);
        }
        out.push_str(" FROM ");
        list(&self.sources, out, Source::print);
    }

    /// Prints what stands after the fill option.
    pub(crate) fn print_tail(&self, out: &mut String) {
        if let Some(order) = self.order {
            out.push_str(match order {
                Order { named: true, ascending: true } => " ORDER BY time ASC",
                Order { named: true, ascending: false } => " ORDER BY time DESC",
                Order { named: false, ascending: true } => " ORDER BY ASC",
                Order { named: false, ascending: false } => " ORDER BY DESC",
            });
        }
        for (word, count) in [
            ("LIMIT", self.limit),
            ("OFFSET", self.offset),
            ("SLIMIT", self.series_limit),
            ("SOFFSET", self.series_offset),
        ] {
            if count > 0 {
                write!(out, " {word} {count}").ok();
            }
        }
        if let Some(zone) = &self.zone {
            out.push_str(" TZ(");
            write_quoted(zone, '\'', out);
            out.push(')');
        }
    }
}

impl Field {
    fn print(&self, out: &mut String) {
        self.expr.print(out);
        if let Some(alias) = &self.alias {
            out.push_str(" AS ");
            write_ident(alias, out);
        }
    }
}

impl FillClause {
    fn print(&self, out: &mut String) {
        match self {
            FillClause::Null => {}
            FillClause::None => out.push_str(" fill(none)"),
            FillClause::Previous => out.push_str(" fill(previous)"),
            FillClause::Linear => out.push_str(" fill(linear)"),
            FillClause::Int(number) => {
                write!(out, " fill({number})").ok();
            }
            FillClause::Float(number) => {
                write!(out, " fill({number})").ok();
            }
        }
    }
}

impl Source {
    fn print(&self, out: &mut String) {
        match self {
            Source::Measurement(measurement) => measurement.print(out),
            Source::SubQuery(select) => {
                out.push('(');
                select.print(out);
                out.push(')');
            }
        }
    }
}

impl Measurement {
    fn print(&self, out: &mut String) {
        if !self.database.is_empty() {
            write_ident(&self.database, out);
            out.push('.');
        }
        if !self.retention.is_empty() {
            write_ident(&self.retention, out);
        }
        if !self.database.is_empty() || !self.retention.is_empty() {
            out.push('.');
        }
        match &self.name {
            MeasurementName::Name(name) => write_ident(name, out),
            MeasurementName::Pattern(pattern) => write_pattern(pattern, out),
            MeasurementName::Same => out.push_str(":MEASUREMENT"),
        }
    }
}

impl Expr {
    pub(crate) fn print(&self, out: &mut String) {
        match self {
            Expr::Row { first, rest } => {
                first.print(out);
                for (operator, operand) in rest {
                    write!(out, " {} ", operator.text()).ok();
                    operand.print_operand(*operator, out);
                }
            }
            Expr::Paren(inner) => {
                out.push('(');
                inner.print(out);
                out.push(')');
            }
            Expr::Ref { name, cast } => {
                write_ident(name, out);
                write_cast(*cast, out);
            }
            Expr::Call { name, arguments } => {
                // The one reserved word that is called.
                match name.as_str() {
                    "distinct" => out.push_str(name),
                    _ => write_ident(name, out),
                }
                out.push('(');
                list(arguments, out, Expr::print);
                out.push(')');
            }
            Expr::Distinct(name) => {
                out.push_str("DISTINCT ");
                write_ident(name, out);
            }
            Expr::Wildcard(cast) => {
                out.push('*');
                write_cast(*cast, out);
            }
            Expr::Pattern(pattern) => write_pattern(pattern, out),
            Expr::Text(text) => write_quoted(text, '\'', out),
            Expr::Duration(nanos) => out.push_str(&duration::format(*nanos)),
            Expr::Number(number) => push(out, number),
            Expr::Int(number) => push(out, number),
            Expr::UInt(number) => push(out, number),
            Expr::Bool(value) => push(out, value),
        }
    }

    /// Prints an operand that follows an operator.
    ///
    /// Only a negated name is a row within a row: `-x` is `-1 * x`.
    ///
    /// Differs: after an operator that binds as closely, the original leaves out the parentheses, and `a / -x` becomes
    /// `a / -1 * x`, which is another number.
    fn print_operand(&self, operator: Operator, out: &mut String) {
        let row = matches!(self, Expr::Row { .. });
        if row && operator.is_product() {
            out.push('(');
            self.print(out);
            out.push(')');
        } else {
            self.print(out);
        }
    }
}

fn list<T>(items: &[T], out: &mut String, print: impl Fn(&T, &mut String)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        print(item, out);
    }
}

fn push(out: &mut String, value: impl fmt::Display) {
    write!(out, "{value}").ok();
}

fn write_cast(cast: Option<&str>, out: &mut String) {
    if let Some(cast) = cast {
        write!(out, "::{cast}").ok();
    }
}

fn write_pattern(pattern: &str, out: &mut String) {
    out.push('/');
    out.push_str(&pattern.replace('/', "\\/"));
    out.push('/');
}
