//! Sets of member names, found by hash before any text is compared.

use super::{KEY_ESCAPED, NONE, NodeId, Tree, key_hash};

/// A small set of member names.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    hashes: Box<[u16]>,
    names: Box<[Box<[u8]>]>,
}

impl KeySet {
    /// Makes a set; the place of a name in `names` is what [`KeySet::find`] gives.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Box<[Box<[u8]>]> =
            names.into_iter().map(|name| name.as_bytes().into()).collect();
        KeySet { hashes: names.iter().map(|name| key_hash(name)).collect(), names }
    }

    /// Gives the place of a member's name in the set.
    #[inline]
    pub fn find(&self, text: &[u8], tree: &Tree, member: NodeId) -> Option<usize> {
        let node = tree.node(member);
        if node.key == NONE {
            return None;
        }
        if node.flags & KEY_ESCAPED != 0 {
            return self.names.iter().position(|name| tree.key_equals(text, node, name));
        }
        let mut from = 0;
        while let Some(at) = self.hashes[from..].iter().position(|&hash| hash == node.hash) {
            if tree.key_equals(text, node, &self.names[from + at]) {
                return Some(from + at);
            }
            from += at + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_are_found_escaped_or_not() {
        let set = KeySet::new(["a", "é", "long_member_name"]);
        let text =
            r#"{"a":1,"\u00e9":2,"long_member_name":3,"b":4,"long_member_nama":5}"#.as_bytes();
        let mut tree = Tree::default();
        let root = tree.parse(text, 0, text.len() as u32).unwrap();
        let found: Vec<_> = tree.children(root).map(|id| set.find(text, &tree, id)).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(set.find(text, &tree, root), None);
    }
}
