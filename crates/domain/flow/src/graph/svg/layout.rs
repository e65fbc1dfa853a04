//! Where things are, in whole pixels.

use super::measure::{Font, width};
use crate::graph::model::{Exit, Graph, Node, Way};

/// Size of the title of a box.
pub(super) const TITLE_SIZE: f64 = 14.0;
/// Size of the word for the kind of a box.
pub(super) const CAPTION_SIZE: f64 = 9.5;
/// Size of details and conditions.
pub(super) const DETAIL_SIZE: f64 = 11.5;
/// Size of the name of an edge.
pub(super) const LABEL_SIZE: f64 = 12.0;
/// Size of the name of the flow.
pub(super) const NAME_SIZE: f64 = 13.0;

/// From the left border of a box to its text.
pub(super) const PAD_LEFT: i32 = 16;
/// Between the details of a compact box and its title.
pub(super) const INLINE_GAP: i32 = 8;

const PAD_RIGHT: i32 = 14;
const BOX_WIDTH_MIN: i32 = 96;
const BOX_WIDTH_MAX: i32 = 190;
const SINK_WIDTH_MAX: i32 = 220;
const COMPACT_HEIGHT: i32 = 30;
// Caption and title; each detail adds a line.
const BOX_HEIGHT: i32 = 50;
const DETAIL_HEIGHT: i32 = 17;
/// From this many exits on, sinks are drawn on one line each.
const COMPACT_FROM: usize = 9;

const MARGIN: i32 = 24;
const FRAME_PAD: i32 = 22;
const FRAME_TOP: i32 = 38;
const GAP_X: i32 = 36;
const GAP_ROW: i32 = 36;
/// How wide a row of the chain may be before another one begins.
const ROW_WIDTH_MAX: i32 = 720;
/// How many boxes of a chain stay on one row whatever their width.
const ROW_BOXES: usize = 4;

/// By less than this the chain moves to make an edge straight.
const NUDGE_MAX: i32 = 20;

/// From the frame of the chain to the vertical line that exits share.
const BUS_GAP: i32 = 26;
const LABEL_PAD: i32 = 14;
/// Room for the head of an arrow behind a label.
const HEAD: i32 = 18;
const LABEL_WIDTH_MIN: i32 = 46;
/// The widest label; longer ones are shortened.
pub(super) const LABEL_WIDTH_MAX: i32 = 286;

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) width: i32,
    pub(super) height: i32,
    /// The frame around the chain.
    pub(super) frame: Rect,
    /// The boxes of the chain.
    pub(super) chain: Vec<Rect>,
    /// The sinks, in the order of the exits.
    pub(super) sinks: Vec<Rect>,
    /// Sinks are drawn on one line.
    pub(super) is_compact: bool,
    /// The x of the vertical line that exits share.
    pub(super) bus: i32,
    /// Where labels begin.
    pub(super) label: i32,
}

/// A box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

// === impl Rect ===

impl Rect {
    pub(super) fn right(&self) -> i32 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> i32 {
        self.y + self.height
    }

    pub(super) fn middle(&self) -> i32 {
        self.y + self.height / 2
    }
}

// === impl Layout ===

impl Layout {
    /// Gives every box with text in it.
    #[cfg(test)]
    pub(super) fn boxes(&self) -> impl Iterator<Item = Rect> {
        self.chain.iter().chain(&self.sinks).copied()
    }
}

/// Places everything.
pub(super) fn layout(graph: &Graph) -> Layout {
    let is_compact = graph.exits.len() >= COMPACT_FROM;
    let grid = grid(&graph.chain, &graph.name);
    let (mut sinks, column_height) = column(graph, is_compact);
    let exit_y = grid.boxes.last().map_or(0, Rect::middle);

    // The taller of chain and column fills the picture; the other one stands so that the exit of the
    // chain is in the middle of the column, as far as there is room.
    let body = grid.height.max(column_height);
    let off = exit_y - column_height / 2;
    let chain_top = (-off).clamp(0, body - grid.height);
    let column_top = (chain_top + off).clamp(0, body - column_height);
    let near = sinks.iter().map(|sink| column_top + sink.middle() - chain_top - exit_y);
    let nudge = near.min_by_key(|away| away.abs()).filter(|away| away.abs() < NUDGE_MAX);
    // An edge that is almost straight is made straight.
    let chain_top = chain_top + nudge.unwrap_or(0);
    let top = MARGIN - chain_top.min(0);

    let frame = Rect { x: MARGIN, y: top + chain_top, width: grid.width, height: grid.height };
    let mut chain = grid.boxes;
    for node in &mut chain {
        node.x += frame.x;
        node.y += frame.y;
    }
    let labels = graph.exits.iter().map(|exit| {
        let (name, condition) = exit.way.parts();
        width(name, Font::Sans, LABEL_SIZE).max(width(condition, Font::Mono, DETAIL_SIZE))
    });
    let label_width = labels.max().unwrap_or(0).clamp(LABEL_WIDTH_MIN, LABEL_WIDTH_MAX);
    let bus = frame.right() + BUS_GAP;
    let label = bus + LABEL_PAD;
    let x = label + label_width + HEAD + LABEL_PAD;
    let mut bottom = frame.bottom();
    for (sink, exit) in sinks.iter_mut().zip(&graph.exits) {
        sink.x = x;
        sink.y += top + column_top;
        if exit.way == Way::Failed {
            // A lane below everything else: the edge comes from below the chain and crosses nothing.
            sink.y = bottom + gap(is_compact);
        }
        bottom = bottom.max(sink.bottom());
    }
    let right = sinks.iter().map(Rect::right).max().unwrap_or(x);
    Layout {
        width: right + MARGIN,
        height: bottom + MARGIN,
        frame,
        chain,
        sinks,
        is_compact,
        bus,
        label,
    }
}

/// Places the sinks one below the other; gives the boxes and the height without the error sink.
fn column(graph: &Graph, is_compact: bool) -> (Vec<Rect>, i32) {
    let widths = graph.exits.iter().map(|exit| sink_width(&exit.sink, is_compact));
    let width = widths.max().unwrap_or(0);
    let (mut y, mut bottom) = (0, 0);
    let place = |exit: &Exit| {
        let height =
            if is_compact { COMPACT_HEIGHT } else { height_of(std::iter::once(&exit.sink)) };
        let rect = Rect { x: 0, y, width, height };
        if exit.way != Way::Failed {
            bottom = rect.bottom();
        }
        y = rect.bottom() + gap(is_compact);
        rect
    };
    let sinks = graph.exits.iter().map(place).collect();
    (sinks, bottom)
}

fn gap(is_compact: bool) -> i32 {
    if is_compact { 12 } else { 22 }
}

/// The chain in rows, relative to its frame.
struct Grid {
    boxes: Vec<Rect>,
    width: i32,
    height: i32,
}

fn grid(nodes: &[Node], name: &str) -> Grid {
    let widths: Vec<i32> = nodes.iter().map(node_width).collect();
    let widest = widths.iter().copied().max().unwrap_or(0);
    let total: i32 = widths.iter().map(|width| width + GAP_X).sum::<i32>() - GAP_X;
    let columns = if nodes.len() <= ROW_BOXES || total <= ROW_WIDTH_MAX {
        nodes.len().max(1)
    } else {
        let fitting = ((ROW_WIDTH_MAX + GAP_X) / (widest + GAP_X)).max(2) as usize;
        // Rows of about equal length look better than a full one and a rest.
        nodes.len().div_ceil(nodes.len().div_ceil(fitting))
    };
    let of_column = |column: usize| widths.iter().skip(column).step_by(columns).copied().max();
    let column_widths: Vec<i32> =
        (0..columns).map(|column| of_column(column).unwrap_or(0)).collect();
    let mut boxes = Vec::with_capacity(nodes.len());
    let mut y = FRAME_TOP;
    for row in nodes.chunks(columns) {
        let height = height_of(row.iter());
        let mut x = FRAME_PAD;
        for width in column_widths.iter().take(row.len()) {
            boxes.push(Rect { x, y, width: *width, height });
            x += width + GAP_X;
        }
        y += height + GAP_ROW;
    }
    let right = boxes.iter().map(Rect::right).max().unwrap_or(0);
    let bottom = boxes.iter().map(Rect::bottom).max().unwrap_or(0);
    let name_width = width(name, Font::Sans, NAME_SIZE).min(BOX_WIDTH_MAX) + FRAME_PAD;
    Grid { boxes, width: right.max(name_width) + FRAME_PAD, height: bottom + FRAME_PAD }
}

fn height_of<'n>(nodes: impl Iterator<Item = &'n Node>) -> i32 {
    BOX_HEIGHT + nodes.map(|node| node.details.len() as i32 * DETAIL_HEIGHT).max().unwrap_or(0)
}

fn node_width(node: &Node) -> i32 {
    let title = width(&node.title, Font::Sans, TITLE_SIZE);
    let details = node.details.iter().map(|detail| width(detail, Font::Mono, DETAIL_SIZE));
    let text = details.max().unwrap_or(0).max(title);
    (PAD_LEFT + text + PAD_RIGHT).clamp(BOX_WIDTH_MIN, BOX_WIDTH_MAX)
}

fn sink_width(node: &Node, is_compact: bool) -> i32 {
    if !is_compact {
        return node_width(node);
    }
    let title = width(&node.title, Font::Sans, TITLE_SIZE);
    let detail = node.details.first().map(|text| width(text, Font::Mono, DETAIL_SIZE) + INLINE_GAP);
    (PAD_LEFT + title + detail.unwrap_or(0) + PAD_RIGHT).clamp(BOX_WIDTH_MIN, SINK_WIDTH_MAX)
}
