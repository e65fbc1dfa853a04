//! Sets of member names, found by hash before any text is compared.

use wide::u16x8;

use super::{KEY_ESCAPED, NONE, NodeId, Tree, key_hash};

/// A small set of member names.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// The hashes of the names, eight at a time; the last group is filled up with zeros.
    hashes: Box<[[u16; 8]]>,
    names: Box<[Box<[u8]>]>,
}

impl KeySet {
    /// Makes a set; the place of a name in `names` is what [`KeySet::find`] gives.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Box<[Box<[u8]>]> =
            names.into_iter().map(|name| name.as_bytes().into()).collect();
        let mut hashes = vec![[0; 8]; names.len().div_ceil(8)];
        for (at, name) in names.iter().enumerate() {
            hashes[at / 8][at % 8] = key_hash(name);
        }
        KeySet { hashes: hashes.into(), names }
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
        let wanted = u16x8::splat(node.hash);
        for (group, hashes) in self.hashes.iter().enumerate() {
            let mut hits = u16x8::new(*hashes).simd_eq(wanted).to_bitmask();
            while hits != 0 {
                let place = group * 8 + hits.trailing_zeros() as usize;
                // A zero that fills up a group has no name.
                let name = self.names.get(place);
                if name.is_some_and(|name| tree.key_equals(text, node, name)) {
                    return Some(place);
                }
                hits &= hits - 1;
            }
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

    #[test]
    fn sets_of_any_size_find_all_their_names() {
        for size in 0..20 {
            let names: Vec<String> = (0..size).map(|at| format!("name{at}")).collect();
            let set = KeySet::new(names.iter().map(String::as_str));
            let members: Vec<String> = (0..20).map(|at| format!("\"name{at}\":0")).collect();
            let text = format!("{{{}}}", members.join(",")).into_bytes();
            let mut tree = Tree::default();
            let root = tree.parse(&text, 0, text.len() as u32).unwrap();
            let found: Vec<_> = tree.children(root).map(|id| set.find(&text, &tree, id)).collect();
            let expected: Vec<_> = (0..20).map(|at| (at < size).then_some(at)).collect();
            assert_eq!(found, expected);
        }
    }
}
