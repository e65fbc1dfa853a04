//! Walks a template with the context of each place.
//!
//! A named template that is called in several contexts is copied for each of them, so that every
//! place has one list of steps.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::bounds::{BYTES_PER_STEP, CONTEXTS_MAX, DEPTH_MAX, STEPS_MAX};
use crate::error::ParseError;
use crate::html::context::{Context, Delim, State, UrlPart};
use crate::html::sites::{Escape, steps_of};
use crate::html::transition::{after_value, quoted, step, tag_end};
use crate::template::Body;
use crate::tree::{Branch, Function, FunctionRef, Node, OperandKind, Pipe};

/// Gives every place that prints its escapes.
///
/// - Errors: those of upstream for ambiguous and unfinished contexts.
pub(crate) fn escape(name: &str, text: &str, bodies: Vec<Body>) -> Result<Vec<Body>, ParseError> {
    let mut escaper = Escaper {
        text,
        root: name,
        sources: bodies,
        copies: Vec::new(),
        known: HashMap::new(),
        jumps: Vec::new(),
        depth: 0,
        steps: 0,
    };
    let out = escaper.copy_of(0, &Context::default())?.1;
    if out.state != State::Text {
        return escaper.fail(None, format!("ends in a non-text context: {out}"));
    }
    Ok(escaper.copies)
}

struct Escaper<'t> {
    text: &'t str,
    root: &'t str,
    sources: Vec<Body>,
    copies: Vec<Body>,
    known: HashMap<(usize, Context), Known>,
    /// The contexts of `break` and `continue` of each range around.
    jumps: Vec<Jumps>,
    depth: usize,
    steps: usize,
}

/// A copy of a named template for a context.
#[derive(Clone)]
struct Known {
    copy: usize,
    out: Context,
    /// Whether the context after it was taken for granted while it was computed.
    asked: bool,
}

#[derive(Default)]
struct Jumps {
    breaks: Vec<(usize, Context)>,
    continues: Vec<(usize, Context)>,
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

impl Escaper<'_> {
    fn fail<T>(&self, at: Option<usize>, message: impl Into<String>) -> Result<T> {
        let place = match at {
            None => String::new(),
            Some(at) => {
                let before = &self.text[..at];
                let line = before.matches('\n').count() + 1;
                let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
                format!(":{line}:{column}")
            }
        };
        Err(ParseError::Context { name: self.root.to_owned(), place, message: message.into() })
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.steps += 1 + bytes / BYTES_PER_STEP;
        if self.steps > STEPS_MAX {
            return self.fail(None, format!("exceeded maximum work ({STEPS_MAX} steps)"));
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(None, format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        Ok(())
    }

    /// Gives the copy of a template for a context, and the context after it.
    fn copy_of(&mut self, source: usize, context: &Context) -> Result<(usize, Context)> {
        let key = (source, context.clone());
        if let Some(known) = self.known.get_mut(&key) {
            known.asked = true;
            return Ok((known.copy, known.out.clone()));
        }
        if self.copies.len() >= CONTEXTS_MAX {
            return self
                .fail(None, format!("templates are used in more than {CONTEXTS_MAX} contexts"));
        }
        self.enter()?;
        let copy = self.copies.len();
        let name = self.sources[source].name.clone();
        let copy_name = context.name_of_copy(&name);
        self.copies.push(Body { name: copy_name.clone(), nodes: Vec::new() });
        // A template that calls itself needs the context after it: at first, that it changes none.
        let mut out = context.clone();
        for attempt in 0..3 {
            let known = Known { copy, out: out.clone(), asked: false };
            self.known.insert(key.clone(), known);
            let mut nodes = self.sources[source].nodes.clone();
            let jumps = std::mem::take(&mut self.jumps);
            let after = match self.list(context.clone(), &mut nodes) {
                Ok(after) => after,
                // What fails on another guess would not have failed by itself.
                Err(_) if attempt > 0 => break,
                Err(error) => return Err(error),
            };
            self.jumps = jumps;
            let asked = self.known.get(&key).is_some_and(|known| known.asked);
            if after == out || !asked {
                self.copies[copy].nodes = nodes;
                self.known.insert(key.clone(), Known { copy, out: after.clone(), asked: false });
                self.depth -= 1;
                return Ok((copy, after));
            }
            // What was copied on the way rests on the guess that was wrong.
            self.known.retain(|_, known| known.copy <= copy);
            self.copies.truncate(copy + 1);
            out = after;
            if attempt == 1 {
                break;
            }
        }
        self.fail(None, format!("cannot compute output context for template {copy_name}"))
    }

    fn list(&mut self, mut context: Context, nodes: &mut [Node]) -> Result<Context> {
        for node in nodes {
            self.charge(0)?;
            context = match node {
                Node::Text(text) => self.literal(context, text)?,
                Node::Action { pipe } => self.action(context, pipe)?,
                Node::If(branch) => self.branch(context, branch, "if")?,
                Node::With(branch) => self.branch(context, branch, "with")?,
                Node::Range(branch) => self.branch(context, branch, "range")?,
                Node::Template { at, name, target, pipe, .. } => {
                    if let Some(pipe) = pipe {
                        self.check_functions(&context, pipe)?;
                    }
                    match self.sources.iter().position(|body| body.name == *name) {
                        None => {
                            let shown = quoted(name);
                            return self.fail(Some(*at), format!("no such template {shown}"));
                        }
                        Some(source) => {
                            let (copy, after) = self.copy_of(source, &context)?;
                            *target = Some(copy);
                            after
                        }
                    }
                }
                Node::Break { at } | Node::Continue { at } => {
                    let at = *at;
                    let is_break = matches!(node, Node::Break { .. });
                    if let Some(jumps) = self.jumps.last_mut() {
                        let list = if is_break { &mut jumps.breaks } else { &mut jumps.continues };
                        list.push((at, context));
                    }
                    // Nothing after it is reached.
                    return Ok(Context::of(State::Dead));
                }
            };
        }
        Ok(context)
    }

    fn branch(&mut self, context: Context, branch: &mut Branch, name: &str) -> Result<Context> {
        self.enter()?;
        let at = branch.at;
        let mut body;
        let mut prefix = "";
        if name == "range" {
            self.jumps.push(Jumps::default());
            body = self.list(context.clone(), &mut branch.body)?;
            let jumps = self.jumps.pop().unwrap_or_default();
            prefix = if body.state == State::Dead { "at range loop break: " } else { "" };
            body = self.join_jumps(body, &jumps.continues, "continue")?;
            if body != context && body.state != State::Dead {
                // The second round begins where the first one ended.
                self.jumps.push(Jumps::default());
                let again = match self.list(body.clone(), &mut branch.body.clone()) {
                    Ok(again) => again,
                    Err(error) => return Err(self.on_re_entry(at, error)),
                };
                self.jumps.pop();
                body = self.join(at, &body, &again, "on range loop re-entry: ", "range")?;
            }
            body = self.join_jumps(body, &jumps.breaks, "break")?;
        } else {
            body = self.list(context.clone(), &mut branch.body)?;
        }
        let otherwise = self.list(context, branch.otherwise.as_deref_mut().unwrap_or_default())?;
        self.depth -= 1;
        self.join(at, &body, &otherwise, prefix, name)
    }

    /// Says that a mistake shows in the second round only.
    fn on_re_entry(&self, at: usize, error: ParseError) -> ParseError {
        match error {
            ParseError::Context { name, place, message } => {
                let line = self.text[..at].matches('\n').count() + 1;
                let place = if place.is_empty() { format!(":{line}") } else { place };
                let message = format!("on range loop re-entry: {message}");
                ParseError::Context { name, place, message }
            }
            other => other,
        }
    }

    fn join_jumps(
        &self,
        mut body: Context,
        jumps: &[(usize, Context)],
        name: &str,
    ) -> Result<Context> {
        for (at, other) in jumps {
            body = self.join(*at, &body, other, &format!("at range loop {name}: "), "range")?;
        }
        Ok(body)
    }

    fn join(
        &self,
        at: usize,
        left: &Context,
        right: &Context,
        prefix: &str,
        name: &str,
    ) -> Result<Context> {
        match (left.state, right.state) {
            (State::Dead, _) => Ok(right.clone()),
            (_, State::Dead) => Ok(left.clone()),
            _ => match left.joined(right) {
                Some(joined) => Ok(joined),
                None => self.fail(
                    Some(at),
                    format!(
                        "{prefix}{{{{{name}}}}} branches end in different contexts: {left}, {right}"
                    ),
                ),
            },
        }
    }

    // Actions

    fn action(&mut self, context: Context, pipe: &mut Pipe) -> Result<Context> {
        if !pipe.declared.is_empty() {
            // Nothing is printed here.
            return Ok(context);
        }
        let context = context.nudged();
        self.check_functions(&context, pipe)?;
        let mut steps: Vec<Escape> = Vec::new();
        match context.state {
            State::Dead => return Ok(context),
            State::Url
            | State::CssDouble
            | State::CssSingle
            | State::CssDoubleUrl
            | State::CssSingleUrl
            | State::CssUrl => {
                let in_string = matches!(context.state, State::CssDouble | State::CssSingle);
                match context.url {
                    UrlPart::None => steps.push(Escape::UrlFilter),
                    UrlPart::PreQuery => {}
                    UrlPart::QueryOrFragment => steps.push(Escape::Url),
                    UrlPart::Unknown => {
                        let message =
                            format!("{{{{{pipe}}}}} appears in an ambiguous context within a URL");
                        return self.fail(Some(pipe.at), message);
                    }
                }
                match context.url {
                    UrlPart::QueryOrFragment => {}
                    _ if in_string => steps.push(Escape::Css),
                    _ => steps.push(Escape::UrlNormal),
                }
            }
            state => steps.extend(steps_of(state)),
        }
        match context.delim {
            Delim::None => {}
            Delim::SpaceOrTagEnd => steps.push(Escape::NoSpace),
            _ => steps.push(Escape::Attribute),
        }
        take_function(pipe, &mut steps);
        pipe.escapes = steps;
        Ok(after_value(&context))
    }

    /// Refuses `html` and `urlquery` where they would not be the last word.
    fn check_functions(&self, context: &Context, pipe: &Pipe) -> Result<()> {
        let count = pipe.commands.len();
        for (index, command) in pipe.commands.iter().enumerate() {
            let OperandKind::Function(function) = &command.args[0].kind else {
                continue;
            };
            if !matches!(function.target, FunctionRef::Builtin(_))
                || !matches!(function.name.as_str(), "html" | "urlquery")
            {
                continue;
            }
            let unquoted = context.state == State::Attr
                && context.delim == Delim::SpaceOrTagEnd
                && function.name == "html";
            if index + 1 < count || unquoted {
                let shown = quoted(&function.name);
                let message = format!("predefined escaper {shown} disallowed in template");
                return self.fail(Some(pipe.at), message);
            }
        }
        Ok(())
    }

    // Literal text

    fn literal(&mut self, mut context: Context, text: &mut String) -> Result<Context> {
        let source = std::mem::take(text);
        let mut kept = String::with_capacity(source.len());
        let mut written = 0;
        let mut at = 0;
        let mut end_of_element = None;
        while at < source.len() {
            self.charge(0)?;
            let element = context.element;
            end_of_element = match end_of_element {
                Some((known, Some(end))) if known == element && end >= at => {
                    Some((known, Some(end)))
                }
                Some((known, None)) if known == element => Some((known, None)),
                _ => {
                    self.charge(source.len() - at)?;
                    Some((element, tag_end(element, &source[at..]).map(|end| at + end)))
                }
            };
            let tag_end = end_of_element.and_then(|(_, end)| end).map(|end| end - at);
            let rest = &source[at..];
            let (next, read) = match step(&context, rest, tag_end) {
                Ok(found) => found,
                Err(message) => return self.fail(None, message),
            };
            let end = at + read;
            if matches!(context.state, State::Text | State::RcData) {
                escape_less(&source, at, end, context.state != next.state, &mut kept, &mut written);
            } else if context.state.is_comment() && context.delim == Delim::None {
                // A comment leaves as much as separates what is around it.
                match context.state {
                    State::JsBlockComment
                        if source[written..end].contains(['\n', '\r', '\u{2028}', '\u{2029}']) =>
                    {
                        kept.push('\n');
                    }
                    State::JsBlockComment | State::CssBlockComment => kept.push(' '),
                    _ => {}
                }
                written = end;
            }
            if context.state != next.state && next.state.is_comment() && next.delim == Delim::None {
                let opening = match next.state {
                    State::HtmlComment | State::JsHtmlOpenComment => 4,
                    State::JsHtmlCloseComment => 3,
                    _ => 2,
                };
                kept.push_str(&source[written..end - opening]);
                written = end;
            }
            if context.state.is_script_literal() && context.delim == Delim::None {
                escape_tags(&source[at..end], &mut kept, &source[written..at.max(written)]);
                written = end;
            }
            context = next;
            at = end;
        }
        if !context.state.is_comment() || context.delim != Delim::None {
            kept.push_str(&source[written..]);
        }
        *text = if written == 0 && context.state != State::Dead && kept.len() == source.len() {
            source
        } else {
            kept
        };
        Ok(context)
    }
}

/// Escapes each `<` that begins no tag.
fn escape_less(
    source: &str,
    at: usize,
    end: usize,
    changes: bool,
    kept: &mut String,
    written: &mut usize,
) {
    // What changes the context is a tag.
    let end = match source[at..end].rfind('<') {
        Some(tag) if changes => at + tag,
        _ => end,
    };
    for (offset, _) in source[at..end].match_indices('<') {
        let place = at + offset;
        let is_doctype = source.as_bytes()[place..]
            .get(..9)
            .is_some_and(|bytes| bytes.eq_ignore_ascii_case(b"<!DOCTYPE"));
        if !is_doctype {
            kept.push_str(&source[*written..place]);
            kept.push_str("&lt;");
            *written = place + 1;
        }
    }
}

/// Writes a piece of a script literal so that no tag of scripts begins or ends in it.
fn escape_tags(piece: &str, kept: &mut String, before: &str) {
    kept.push_str(before);
    let mut written = 0;
    for (at, _) in piece.match_indices('<') {
        let rest = &piece.as_bytes()[at + 1..];
        let is_special = ["script", "/script", "!--"].iter().any(|tag| {
            rest.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes()))
        });
        if is_special {
            kept.push_str(&piece[written..at]);
            kept.push_str("\\x3C");
            written = at + 1;
        }
    }
    kept.push_str(&piece[written..]);
}

/// Puts the function that the template itself calls last in the place of the step that does the
/// same, so that nothing is escaped twice.
fn take_function(pipe: &mut Pipe, steps: &mut [Escape]) {
    let Some(last) = pipe.commands.last() else {
        return;
    };
    let OperandKind::Function(Function { name, target: FunctionRef::Builtin(_) }) =
        &last.args[0].kind
    else {
        return;
    };
    let name = name.clone();
    let mut found = false;
    for step in steps.iter_mut() {
        if let Some((function, called)) = step.function()
            && function == name
        {
            *step = called;
            found = true;
        }
    }
    if !found {
        return;
    }
    if pipe.commands.len() > 1 {
        pipe.commands.pop();
        return;
    }
    // `html .A .B` joins its values, which `print` does as well.
    let print = crate::functions::BUILTINS.iter().position(|function| function.name == "print");
    let command = &mut pipe.commands[0];
    if let (Some(print), [first, _, ..]) = (print, command.args.as_mut_slice()) {
        let name = Cow::Borrowed("_eval_args_").into_owned();
        first.kind = OperandKind::Function(Function { name, target: FunctionRef::Builtin(print) });
    }
}
