//! Patterns of lists: the globs of a shell, with the rules of the original.

/// A pattern that was understood, or one that matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Option<Vec<Part>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `*`: any characters but `/`.
    Any,
    /// `?`: one character but `/`.
    One,
    /// One of some ranges, or none of them.
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
    Literal(char),
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern; an empty one matches everything, a malformed one nothing.
    ///
    /// - Source: kapacitor: reference (server) §1.1, Go's `path.Match`.
    pub fn new(text: &str) -> Self {
        Pattern(if text.is_empty() { Some(vec![Part::Any]) } else { parse(text) })
    }

    /// Says whether the pattern can be understood.
    pub fn is_well_formed(&self) -> bool {
        self.0.is_some()
    }

    /// Says whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        let Some(parts) = &self.0 else { return false };
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where the last star stands, and how far it reaches; going back to an earlier one is never needed.
        let mut star: Option<(usize, usize)> = None;
        loop {
            let is_step = match (parts.get(part), name.get(at)) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    star = Some((part, at));
                    part += 1;
                    continue;
                }
                (Some(one), Some(character)) => one.takes(*character),
                _ => false,
            };
            if is_step {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            match star {
                Some((place, reach)) if name.get(reach).is_some_and(|skipped| *skipped != '/') => {
                    star = Some((place, reach + 1));
                    (part, at) = (place + 1, reach + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Part::Any | Part::One => character != '/',
            Part::Literal(own) => *own == character,
            Part::Class { is_negated, ranges } => {
                let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                is_in != *is_negated
            }
        }
    }
}

fn parse(text: &str) -> Option<Vec<Part>> {
    let mut characters = text.chars().peekable();
    let mut parts = Vec::new();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Literal(characters.next()?),
            '[' => {
                let is_negated = characters.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                // The first character is one of the class even if it is the bracket's end only when it is escaped.
                while ranges.is_empty() || characters.next_if_eq(&']').is_none() {
                    let low = class_character(&mut characters)?;
                    let high = match characters.next_if_eq(&'-') {
                        Some(_) => class_character(&mut characters)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Part::Class { is_negated, ranges }
            }
            literal => Part::Literal(literal),
        });
    }
    Some(parts)
}

fn class_character(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match characters.next()? {
        '-' | ']' => None,
        '\\' => characters.next(),
        character => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_those_of_the_original() {
        for (pattern, name, expected) in [
            ("", "anything", true),
            ("*", "", true),
            ("cpu", "cpu", true),
            ("cpu", "cpu1", false),
            ("cpu*", "cpu_alert", true),
            ("*alert", "cpu_alert", true),
            ("*a*a*", "banana", true),
            ("*x*", "banana", false),
            ("c?u", "cpu", true),
            ("c?u", "cu", false),
            ("[a-c]pu", "cpu", true),
            ("[^a-c]pu", "cpu", false),
            ("[^a-c]pu", "dpu", true),
            ("*", "a/b", false),
            ("?", "/", false),
            ("a[/]b", "a/b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("gr?ße", "größe", true),
            ("[", "[", false),
            ("[]", "]", false),
            ("[a", "a", false),
            ("[a-", "a", false),
            ("[-a]", "-", false),
            ("a\\", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern:?} {name:?}");
        }
        assert!(!Pattern::new("[").is_well_formed());
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!Pattern::new(&pattern).matches(&"a".repeat(2_000)));
    }
}
