//! A flow as an SVG document that needs nothing else: no fonts, no scripts, no links.
//!
//! ```text
//!  ┌ chain ─────────────────────────┐      label
//!  │ [source] ─▶ [step] ─▶ [router] │─┬──────────────▶ [sink]
//!  └────────────────┬───────────────┘ └──────────────▶ [sink]
//!                   └╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ failed ╌╌╌╌╌▶ [sink]
//! ```
//!
//! - The chain is a grid that is read like text; rows hold as many boxes as fit in a fixed width.
//! - Exits are one below the other. Their edges share one vertical line and never cross anything:
//!   the error sink has a lane below the chain. Labels stand on their edges, never across.
//! - Widths of text are estimated on the wide side, and what does not fit is shortened.
//! - It has a background of its own, so it is readable on light and dark pages.

mod layout;
mod measure;
mod paint;

use super::model::Graph;

/// Draws the document; it ends with a line break.
pub(super) fn render(graph: &Graph) -> String {
    paint::paint(graph, &layout::layout(graph))
}

#[cfg(test)]
mod tests {
    use super::layout::{Rect, layout};
    use super::*;
    use crate::graph::testing::{self, well_formed};

    /// Checks that no boxes overlap and that everything is inside of the picture.
    fn check(graph: &Graph) {
        let layout = layout(graph);
        let boxes: Vec<Rect> = layout.boxes().collect();
        let is_apart = |a: &Rect, b: &Rect| {
            a.right() < b.x || b.right() < a.x || a.bottom() < b.y || b.bottom() < a.y
        };
        for (index, one) in boxes.iter().enumerate() {
            assert!(one.x > 0 && one.y > 0);
            assert!(one.right() < layout.width && one.bottom() < layout.height, "{one:?}");
            assert!(boxes[index + 1..].iter().all(|other| is_apart(one, other)), "{one:?}");
        }
        assert_eq!(well_formed(&render(graph)), Ok(()));
    }

    #[test]
    fn boxes_do_not_overlap() {
        for graph in [testing::orders(), testing::host_metrics()] {
            check(&graph);
        }
        for (steps, routes) in [(0, 0), (0, 1), (1, 30), (4, 8), (5, 9), (20, 30), (200, 1000)] {
            check(&testing::wide(steps, routes));
        }
    }

    #[test]
    fn many_steps_go_into_rows() {
        let layout = layout(&testing::wide(20, 3));
        assert!(layout.width < 1400, "{}", layout.width);
        let rows: std::collections::BTreeSet<i32> = layout.chain.iter().map(|r| r.y).collect();
        assert!(rows.len() > 2, "{rows:?}");
    }
}
