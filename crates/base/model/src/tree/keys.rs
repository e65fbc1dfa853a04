//! Sets of member names, told apart by their first bytes before any text is compared.

use super::{KEY_ESCAPED, NONE, NodeId, Tree, key_head};

/// A small set of member names.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// A bit for each name; most other names have none of these bits.
    filter: u64,
    heads: Box<[u64]>,
    names: Box<[Box<[u8]>]>,
}

impl KeySet {
    /// Makes a set; the place of a name in `names` is what [`KeySet::find`] gives.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Box<[Box<[u8]>]> =
            names.into_iter().map(|name| name.as_bytes().into()).collect();
        let heads: Box<[u64]> = names.iter().map(|name| key_head(name)).collect();
        KeySet { filter: heads.iter().fold(0, |filter, head| filter | bit(*head)), heads, names }
    }

    /// Gives the place of a member's name in the set.
    pub fn find(&self, text: &[u8], tree: &Tree, member: NodeId) -> Option<usize> {
        self.find_from(text, tree, member, 0)
    }

    /// As [`KeySet::find`], but looks at one place first: records mostly have the order of those before.
    #[inline(always)]
    pub fn find_from(
        &self,
        text: &[u8],
        tree: &Tree,
        member: NodeId,
        guess: usize,
    ) -> Option<usize> {
        let node = tree.node(member);
        if self.filter & bit(node.head) == 0 && node.flags & KEY_ESCAPED == 0 {
            return None;
        }
        if let (Some(head), Some(name)) = (self.heads.get(guess), self.names.get(guess))
            && node.key != NONE
            && tree.is_called(text, node, name, *head)
        {
            return Some(guess);
        }
        self.find_probable(text, tree, member)
    }

    fn find_probable(&self, text: &[u8], tree: &Tree, member: NodeId) -> Option<usize> {
        let node = tree.node(member);
        if node.key == NONE {
            return None;
        }
        if node.flags & KEY_ESCAPED != 0 {
            return self.names.iter().position(|name| tree.key_equals(text, node, name));
        }
        let mut names = self.heads.iter().zip(&self.names);
        names.position(|(head, name)| tree.is_called(text, node, name, *head))
    }
}

/// Gives one bit of 64 that depends on the head of a name.
#[inline(always)]
fn bit(head: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    1 << (head.wrapping_mul(FACTOR) >> 58)
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
            let guessed = tree.children(root).enumerate().map(|(at, id)| {
                [0, at, at + 1, 99].map(|guess| set.find_from(&text, &tree, id, guess))
            });
            assert_eq!(
                guessed.collect::<Vec<_>>(),
                expected.iter().map(|one| [*one; 4]).collect::<Vec<_>>()
            );
        }
    }
}
