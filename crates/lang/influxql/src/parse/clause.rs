//! What follows the sources: conditions, dimensions, order and bounds.

use super::{Parser, expected};
use crate::ast::{Expr, FillClause, Order, Select};
use crate::error::ParseError;
use crate::token::Kind;

const ORDER_ONLY: &str = "only ORDER BY time supported at this time";

impl Parser<'_> {
    pub(super) fn clauses(&mut self, select: &mut Select) -> Result<(), ParseError> {
        if self.take(Kind::Keyword("WHERE")) {
            select.condition = Some(self.expr()?);
        }
        if self.take(Kind::Keyword("GROUP")) {
            self.need(Kind::Keyword("BY"), "BY")?;
            select.dimensions = self.dimensions()?;
        }
        select.fill = self.fill()?;
        select.order = self.order()?;
        select.limit = self.count("LIMIT")?;
        select.offset = self.count("OFFSET")?;
        select.series_limit = self.count("SLIMIT")?;
        select.series_offset = self.count("SOFFSET")?;
        select.zone = self.zone()?;
        Ok(())
    }

    fn dimensions(&mut self) -> Result<Vec<Expr>, ParseError> {
        let mut dimensions = Vec::new();
        loop {
            let dimension = match self.pattern()? {
                Some(pattern) => pattern,
                None => self.expr()?,
            };
            dimensions.push(dimension);
            if !self.take(Kind::Comma) {
                return Ok(dimensions);
            }
        }
    }

    fn fill(&mut self) -> Result<FillClause, ParseError> {
        if self.word().as_deref() != Some("fill") {
            return Ok(FillClause::Null);
        }
        let Expr::Call { arguments, .. } = self.expr()? else {
            return Err(ParseError::message("fill must be a function call"));
        };
        let [argument] = arguments.as_slice() else {
            return Err(ParseError::message(
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ));
        };
        match argument {
            Expr::Int(number) => return Ok(FillClause::Int(*number)),
            Expr::Number(number) => return Ok(FillClause::Float(*number)),
            _ => {}
        }
        match argument.to_string().as_str() {
            "null" => Ok(FillClause::Null),
            "none" => Ok(FillClause::None),
            "previous" => Ok(FillClause::Previous),
            "linear" => Ok(FillClause::Linear),
            _ => Err(ParseError::message("expected number argument in fill()")),
        }
    }

    fn order(&mut self) -> Result<Option<Order>, ParseError> {
        if !self.take(Kind::Keyword("ORDER")) {
            return Ok(None);
        }
        self.need(Kind::Keyword("BY"), "BY")?;
        let token = self.next();
        let order = match token.kind {
            Kind::Keyword("ASC") => Order { named: false, ascending: true },
            Kind::Keyword("DESC") => Order { named: false, ascending: false },
            Kind::Ident if token.text == "time" => {
                let descending = self.take(Kind::Keyword("DESC"));
                if !descending {
                    self.take(Kind::Keyword("ASC"));
                }
                Order { named: true, ascending: !descending }
            }
            Kind::Ident => return Err(ParseError::message(ORDER_ONLY)),
            _ => return Err(expected(&token, &["identifier", "ASC", "DESC"])),
        };
        if self.take(Kind::Comma) {
            self.ident()?;
            return Err(ParseError::message(ORDER_ONLY));
        }
        Ok(Some(order))
    }

    fn count(&mut self, word: &'static str) -> Result<i64, ParseError> {
        if !self.take(Kind::Keyword(word)) {
            return Ok(0);
        }
        let token = self.next();
        if token.kind != Kind::Integer {
            return Err(expected(&token, &["integer"]));
        }
        token.text.parse().map_err(|_| {
            let text = &token.text;
            let message = format!("strconv.Atoi: parsing \"{text}\": value out of range");
            ParseError::at(message, token.at)
        })
    }

    fn zone(&mut self) -> Result<Option<String>, ParseError> {
        if self.word().as_deref() != Some("tz") {
            return Ok(None);
        }
        let Expr::Call { arguments, .. } = self.expr()? else {
            return Err(ParseError::message("tz must be a function call"));
        };
        let [argument] = arguments.as_slice() else {
            return Err(ParseError::message("tz requires exactly one argument"));
        };
        let Expr::Text(name) = argument else {
            return Err(ParseError::message("expected string argument in tz()"));
        };
        // Go reads the empty name as UTC.
        if !name.is_empty() && jiff::tz::TimeZone::get(name).is_err() {
            return Err(ParseError::message(format!("unable to find time zone {name}")));
        }
        Ok(Some(if name.is_empty() { "UTC".into() } else { name.clone() }))
    }
}
