//! Writing the document.

use std::fmt::Write as _;

use super::layout::{
    CAPTION_SIZE, DETAIL_SIZE, INLINE_GAP, LABEL_SIZE, LABEL_WIDTH_MAX, Layout, NAME_SIZE,
    PAD_LEFT, Rect, TITLE_SIZE,
};
use super::measure::{Font, fit, width};
use crate::graph::model::{Graph, Node, Role, Way};

/// Rules of the document: fonts that systems have, and the colours of text and lines.
const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}\
.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#52606f}\
.t{font-weight:600;fill:#0f172a}\
.l{font-weight:600;fill:#334155}\
.c{font-weight:700;letter-spacing:.08em}\
.e{fill:none;stroke:#8494a8;stroke-width:1.6}\
.f{stroke:#d05252;stroke-dasharray:5 4}";

/// The radius of corners of edges.
const RADIUS: i32 = 9;

/// How far edges end before a box, so that the head of the arrow touches it.
const HEAD: i32 = 3;

/// Writes the document.
pub(super) fn paint(graph: &Graph, layout: &Layout) -> String {
    let mut out = String::new();
    let (w, h) = (layout.width, layout.height);
    let name = escape(&graph.name);
    // Writing to a string cannot fail; neither below.
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"flow {name}\">\n\
         <title>flow {name}</title>\n<style>{STYLE}</style>\n<defs>\n{}{}</defs>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\" fill=\"#f8fafc\" stroke=\"#d5dde7\"/>",
        marker("a", "#8494a8"),
        marker("b", "#d05252"),
        w - 1,
        h - 1,
    )
    .ok();
    frame(&mut out, graph, layout);
    chain_edges(&mut out, layout);
    exit_edges(&mut out, graph, layout);
    for (index, (node, rect)) in graph.chain.iter().zip(&layout.chain).enumerate() {
        let caption = match node.role {
            Role::Source => "SOURCE".to_owned(),
            Role::Router => format!("{index} · ROUTER"),
            _ => format!("{index} · STEP"),
        };
        card(&mut out, node, rect, &caption);
    }
    for (exit, rect) in graph.exits.iter().zip(&layout.sinks) {
        let caption = if exit.sink.role == Role::Errors { "ERROR SINK" } else { "SINK" };
        if layout.is_compact {
            compact_card(&mut out, &exit.sink, rect);
        } else {
            card(&mut out, &exit.sink, rect, caption);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn marker(id: &str, colour: &str) -> String {
    format!(
        "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"5\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
         <path d=\"M0 .5 8 4 0 7.5 1.8 4z\" fill=\"{colour}\"/></marker>\n"
    )
}

fn frame(out: &mut String, graph: &Graph, layout: &Layout) {
    let Rect { x, y, width: w, height: h } = layout.frame;
    writeln!(
        out,
        "<rect x=\"{x}.5\" y=\"{y}.5\" width=\"{w}\" height=\"{h}\" rx=\"12\" fill=\"#eef2f7\" stroke=\"#dbe3ec\"/>"
    )
    .ok();
    let name = fit(&graph.name, Font::Sans, NAME_SIZE, w - 40);
    text(out, (x + 22, y + 24), "l", NAME_SIZE, None, &name);
}

fn chain_edges(out: &mut String, layout: &Layout) {
    for pair in layout.chain.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let points = if from.y == to.y {
            vec![(from.right(), from.middle()), (to.x - HEAD, to.middle())]
        } else {
            // Around the end of the row, through the gap, to the beginning of the next.
            let (gap, right, left) = ((from.bottom() + to.y) / 2, from.right() + 11, to.x - 12);
            vec![
                (from.right(), from.middle()),
                (right, from.middle()),
                (right, gap),
                (left, gap),
                (left, to.middle()),
                (to.x - HEAD, to.middle()),
            ]
        };
        edge(out, &points, false);
    }
}

fn exit_edges(out: &mut String, graph: &Graph, layout: &Layout) {
    let Some(last) = layout.chain.last() else {
        return;
    };
    let start = (last.right(), last.middle());
    for (exit, rect) in graph.exits.iter().zip(&layout.sinks) {
        let end = (rect.x - HEAD, rect.middle());
        let is_failed = exit.way == Way::Failed;
        if is_failed {
            let x = layout.frame.x + layout.frame.width / 2;
            edge(out, &[(x, layout.frame.bottom()), (x, end.1), end], true);
        } else if start.1 == end.1 {
            edge(out, &[start, end], false);
        } else {
            edge(out, &[start, (layout.bus, start.1), (layout.bus, end.1), end], false);
        }
        let (name, condition) = exit.way.parts();
        let colour = is_failed.then_some("#b91c1c");
        let name = fit(name, Font::Sans, LABEL_SIZE, LABEL_WIDTH_MAX);
        text(out, (layout.label, end.1 - 6), "l", LABEL_SIZE, colour, &name);
        let condition = fit(condition, Font::Mono, DETAIL_SIZE, LABEL_WIDTH_MAX);
        text(out, (layout.label, end.1 + 15), "m", DETAIL_SIZE, None, &condition);
    }
}

/// Draws a line through points, each a horizontal or vertical step from the one before, with round corners.
fn edge(out: &mut String, points: &[(i32, i32)], is_failed: bool) {
    let (class, marker) = if is_failed { ("e f", "b") } else { ("e", "a") };
    let Some((first, rest)) = points.split_first() else {
        return;
    };
    write!(
        out,
        "<path class=\"{class}\" marker-end=\"url(#{marker})\" d=\"M{} {}",
        first.0, first.1
    )
    .ok();
    let mut before = *first;
    for (index, at) in rest.iter().enumerate() {
        match rest.get(index + 1) {
            Some(next) => {
                let radius = RADIUS.min(distance(before, *at) / 2).min(distance(*at, *next) / 2);
                let (enter, leave) = (toward(*at, before, radius), toward(*at, *next, radius));
                write!(out, "L{} {}Q{} {} {} {}", enter.0, enter.1, at.0, at.1, leave.0, leave.1)
                    .ok();
            }
            None => {
                write!(out, "L{} {}", at.0, at.1).ok();
            }
        }
        before = *at;
    }
    out.push_str("\"/>\n");
}

fn distance(a: (i32, i32), b: (i32, i32)) -> i32 {
    (a.0 - b.0).abs() + (a.1 - b.1).abs()
}

fn toward(from: (i32, i32), to: (i32, i32), by: i32) -> (i32, i32) {
    (from.0 + (to.0 - from.0).signum() * by, from.1 + (to.1 - from.1).signum() * by)
}

fn colour(role: Role) -> &'static str {
    match role {
        Role::Source => "#0f766e",
        Role::Step => "#4f46e5",
        Role::Router => "#b45309",
        Role::Sink => "#0369a1",
        Role::Errors => "#b91c1c",
    }
}

fn card(out: &mut String, node: &Node, rect: &Rect, caption: &str) {
    outline(out, node.role, rect);
    let x = rect.x + PAD_LEFT;
    let room = rect.width - PAD_LEFT - 8;
    text(out, (x, rect.y + 19), "c", CAPTION_SIZE, Some(colour(node.role)), caption);
    let title = fit(&node.title, Font::Sans, TITLE_SIZE, room);
    text(out, (x, rect.y + 38), "t", TITLE_SIZE, None, &title);
    for (index, detail) in node.details.iter().enumerate() {
        let detail = fit(detail, Font::Mono, DETAIL_SIZE, room);
        text(out, (x, rect.y + 56 + 17 * index as i32), "m", DETAIL_SIZE, None, &detail);
    }
}

fn compact_card(out: &mut String, node: &Node, rect: &Rect) {
    outline(out, node.role, rect);
    let room = rect.width - PAD_LEFT - 8;
    let y = rect.middle() + 5;
    let title = fit(&node.title, Font::Sans, TITLE_SIZE, room);
    text(out, (rect.x + PAD_LEFT, y), "t", TITLE_SIZE, None, &title);
    let Some(detail) = node.details.first() else {
        return;
    };
    let used = width(&title, Font::Sans, TITLE_SIZE) + INLINE_GAP;
    if room > used + 16 {
        let detail = fit(detail, Font::Mono, DETAIL_SIZE, room - used);
        text(out, (rect.x + PAD_LEFT + used, y), "m", DETAIL_SIZE, None, &detail);
    }
}

/// Draws a box with a band in the colour of its kind.
fn outline(out: &mut String, role: Role, rect: &Rect) {
    let Rect { x, y, width: w, height: h } = *rect;
    let colour = colour(role);
    writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"8\" fill=\"#fff\" stroke=\"#c9d3df\"/>\n\
         <path d=\"M{} {y}h-2a8 8 0 0 0-8 8v{}a8 8 0 0 0 8 8h2a4 4 0 0 1-5-5v{}a4 4 0 0 1 5-5z\" fill=\"{colour}\"/>",
        x + 10,
        h - 16,
        -(h - 10),
    )
    .ok();
}

/// Writes a line of text; nothing when it is empty.
fn text(out: &mut String, at: (i32, i32), class: &str, size: f64, fill: Option<&str>, text: &str) {
    if text.is_empty() {
        return;
    }
    let fill = fill.map(|fill| format!(" style=\"fill:{fill}\"")).unwrap_or_default();
    let (x, y) = at;
    let text = escape(text);
    writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class}\" font-size=\"{size}\"{fill}>{text}</text>"
    )
    .ok();
}

/// Writes a text as XML text or the value of an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_round_and_short_steps_fit() {
        let mut out = String::new();
        edge(&mut out, &[(0, 0), (20, 0), (20, 6), (40, 6)], false);
        let path = "M0 0L17 0Q20 0 20 3L20 3Q20 6 23 6L40 6";
        assert!(out.contains(&format!("d=\"{path}\"")), "{out}");
    }

    #[test]
    fn text_is_escaped_and_empty_text_is_left_out() {
        let mut out = String::new();
        text(&mut out, (1, 2), "m", 11.5, None, "");
        assert_eq!(out, "");
        text(&mut out, (1, 2), "m", 11.5, None, "<a> & \"b\"");
        let line = "<text x=\"1\" y=\"2\" class=\"m\" font-size=\"11.5\">&lt;a&gt; &amp; &quot;b&quot;</text>\n";
        assert_eq!(out, line);
    }
}
