//! Flags as Go programs read them: `-x v`, `-x=v`, `--x v`; the first word that is no flag ends them.
//!
//! Source: the documentation of Go's package `flag`, error texts included.

/// A flag that a command knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Its name, without dashes.
    pub(crate) name: &'static str,
    /// What its value is called in the help; empty for a flag that is set or not.
    pub(crate) value: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    values: Vec<(&'static str, String)>,
    /// The words behind the flags.
    pub(crate) rest: Vec<String>,
}

/// Why flags cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FlagError {
    /// `-h` or `-help`: the caller wants to know what there is.
    Help,
    /// They are wrong, with the text of Go.
    Wrong(String),
}

/// Makes a flag that takes a value.
pub(crate) const fn text(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value, help }
}

/// Makes a flag that is set or not.
pub(crate) const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, value: "", help }
}

/// Reads flags.
pub(crate) fn parse(known: &[Flag], words: &[String]) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let Some(body) = word.strip_prefix('-').filter(|body| !body.is_empty()) else { break };
        at += 1;
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.is_empty() {
            break;
        }
        if body.starts_with(['-', '=']) {
            return Err(FlagError::Wrong(format!("bad flag syntax: {word}")));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(flag) = known.iter().find(|flag| flag.name == name) else {
            return Err(match name {
                "h" | "help" => FlagError::Help,
                _ => FlagError::Wrong(format!("flag provided but not defined: -{name}")),
            });
        };
        let value = match (flag.value.is_empty(), value) {
            (true, None) => "true".to_owned(),
            (true, Some(value)) => match parse_bool(value) {
                Some(value) => value.to_string(),
                None => {
                    let message =
                        format!("invalid boolean value {value:?} for -{name}: parse error");
                    return Err(FlagError::Wrong(message));
                }
            },
            (false, Some(value)) => value.to_owned(),
            (false, None) => match words.get(at) {
                Some(value) => {
                    at += 1;
                    value.clone()
                }
                None => {
                    return Err(FlagError::Wrong(format!("flag needs an argument: -{name}")));
                }
            },
        };
        parsed.values.push((flag.name, value));
    }
    parsed.rest = words[at..].to_vec();
    Ok(parsed)
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Describes flags for a help text; empty when there are none.
pub(crate) fn describe(known: &[Flag]) -> String {
    let heads: Vec<String> = known
        .iter()
        .map(|flag| format!("-{} {}", flag.name, flag.value).trim_end().into())
        .collect();
    let width = heads.iter().map(String::len).max().unwrap_or(0);
    let lines = heads.iter().zip(known).map(|(head, flag)| {
        let help = flag.help.replace('\n', &format!("\n{:1$}", "", width + 4));
        format!("  {head:width$}  {help}\n")
    });
    lines.collect()
}

// === impl Parsed ===

impl Parsed {
    /// Gives the value of a flag: of several the last one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Gives every value of a flag.
    pub(crate) fn all<'p, 'n>(
        &'p self,
        name: &'n str,
    ) -> impl Iterator<Item = &'p str> + use<'p, 'n> {
        self.values.iter().filter(move |(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Sets the value of a flag.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.values.push((name, value));
    }

    /// Says whether a flag that is set or not is set.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Flag; 3] =
        [text("tick", "FILE", "the script"), switch("no-wait", "do not wait"), text("x", "X", "")];

    fn check(line: &str) -> Result<Parsed, FlagError> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&KNOWN, &words)
    }

    #[test]
    fn a_flag_has_one_or_two_dashes_and_its_value_in_either_place() {
        for line in ["-tick a.tick b", "--tick a.tick b", "-tick=a.tick b", "--tick=a.tick -- b"] {
            let parsed = check(line).unwrap();
            assert_eq!(parsed.get("tick"), Some("a.tick"), "{line}");
            assert_eq!(parsed.rest, ["b"], "{line}");
        }
        assert_eq!(check("-tick -x").unwrap().get("tick"), Some("-x"));
        assert_eq!(check("-x 1 -x 2").unwrap().all("x").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn the_first_word_that_is_no_flag_ends_them() {
        assert_eq!(check("a -tick b").unwrap().rest, ["a", "-tick", "b"]);
        assert_eq!(check("- -tick b").unwrap().rest, ["-", "-tick", "b"]);
    }

    #[test]
    fn a_switch_takes_a_value_only_behind_an_equals_sign() {
        let parsed = check("-no-wait false").unwrap();
        assert!(parsed.is_set("no-wait"));
        assert_eq!(parsed.rest, ["false"]);
        assert!(!check("-no-wait=F").unwrap().is_set("no-wait"));
    }

    #[test]
    fn mistakes_have_the_texts_of_go() {
        for (line, text) in [
            ("-y", "flag provided but not defined: -y"),
            ("--y=1", "flag provided but not defined: -y"),
            ("-tick", "flag needs an argument: -tick"),
            ("---tick", "bad flag syntax: ---tick"),
            ("-=tick", "bad flag syntax: -=tick"),
            ("-no-wait=2", "invalid boolean value \"2\" for -no-wait: parse error"),
        ] {
            assert_eq!(check(line), Err(FlagError::Wrong(text.into())), "{line}");
        }
        assert_eq!(check("-h"), Err(FlagError::Help));
        assert_eq!(check("--help"), Err(FlagError::Help));
    }
}
