//! Printing: untouched spans are copied, edits are printed between them.

use super::{DIRTY, INSERTED, NONE, Node, NodeId, NodeKind, REMOVED, SYNTHETIC, Tree};

impl Tree {
    /// Appends the JSON text of a node to `out`; `out` must not be `text` itself.
    pub fn print(&self, text: &[u8], id: NodeId, out: &mut Vec<u8>) {
        let node = self.node(id);
        if node.flags & (DIRTY | SYNTHETIC) == 0 {
            copy(text, node.start, node.end, out);
        } else if node.flags & SYNTHETIC != 0 {
            self.print_synthetic(text, node, out);
        } else {
            self.print_changed(text, node, out);
        }
    }

    fn print_synthetic(&self, text: &[u8], node: &Node, out: &mut Vec<u8>) {
        let (open, close) = brackets(node.kind);
        out.push(open);
        let mut first = true;
        let mut at = node.child;
        while let Some(child) = self.nodes.get(at as usize) {
            if child.flags & REMOVED == 0 {
                if !first {
                    out.push(b',');
                }
                first = false;
                print_key(text, child, out);
                if child.flags & (DIRTY | SYNTHETIC) == 0 {
                    copy(text, child.start, child.end, out);
                } else {
                    self.print(text, NodeId(at), out);
                }
            }
            at = child.next;
        }
        out.push(close);
    }

    /// Prints a container of the text that has removed, replaced or inserted children.
    ///
    /// The gap before a child runs from the end of its predecessor in the text (removed ones
    /// included) to its key or value: white space, and a comma unless the child was the first.
    fn print_changed(&self, text: &[u8], node: &Node, out: &mut Vec<u8>) {
        let (open, close) = brackets(node.kind);
        out.push(open);
        let mut gap_start = node.start as usize + 1;
        let mut is_first_in_text = true;
        let mut is_first_printed = true;
        let mut at = node.child;
        while at != NONE {
            let child = &self.nodes[at as usize];
            if child.flags & INSERTED != 0 {
                if child.flags & REMOVED == 0 {
                    if !is_first_printed {
                        out.push(b',');
                    }
                    print_key(text, child, out);
                    self.print(text, NodeId(at), out);
                    is_first_printed = false;
                }
                at = child.next;
                continue;
            }
            if child.flags & REMOVED == 0 {
                let head = if child.key == NONE { child.original } else { child.key };
                let gap = &text[gap_start..head as usize];
                match (is_first_printed, is_first_in_text) {
                    (true, false) => out.extend_from_slice(after_comma(gap)),
                    (false, true) => {
                        out.push(b',');
                        out.extend_from_slice(gap);
                    }
                    _ => out.extend_from_slice(gap),
                }
                if child.key != NONE {
                    // Key, colon and the white space around it, as they were written.
                    out.extend_from_slice(&text[child.key as usize..child.original as usize]);
                }
                self.print(text, NodeId(at), out);
                is_first_printed = false;
            }
            gap_start = child.gap_end as usize;
            is_first_in_text = false;
            at = child.next;
        }
        let tail = &text[gap_start..node.end as usize - 1];
        out.extend_from_slice(tail);
        out.push(close);
    }
}

fn brackets(kind: NodeKind) -> (u8, u8) {
    match kind {
        NodeKind::Array => (b'[', b']'),
        _ => (b'{', b'}'),
    }
}

/// Appends a span of the text. A short one is a copy of fixed size, cut off: cheaper than a call.
#[inline(always)]
fn copy(text: &[u8], start: u32, end: u32, out: &mut Vec<u8>) {
    const SHORT: usize = 32;
    let (start, end) = (start as usize, end as usize);
    let len = end - start;
    match text.get(start..).and_then(|rest| rest.first_chunk::<SHORT>()) {
        Some(chunk) if len <= SHORT => {
            let before = out.len();
            out.extend_from_slice(chunk);
            out.truncate(before + len);
        }
        _ => out.extend_from_slice(&text[start..end]),
    }
}

#[inline(always)]
fn print_key(text: &[u8], node: &Node, out: &mut Vec<u8>) {
    if node.key != NONE {
        copy(text, node.key, node.key_end, out);
        out.push(b':');
    }
}

fn after_comma(gap: &[u8]) -> &[u8] {
    match gap.iter().position(|&byte| byte == b',') {
        Some(comma) => &gap[comma + 1..],
        None => gap,
    }
}
