#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn compiled(pattern: &str) -> Regex {
    Regex::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, matching, other) in [
        (r"^\d+$", "09", "٣"),
        (r"^\D$", "٣", "3"),
        (r"^\w+$", "aZ_9", "é"),
        (r"^\W$", "é", "e"),
        (r"^\s$", "\t", "\u{a0}"),
        (r"^\S$", "\u{a0}", " "),
        // To Go é is no part of a word.
        (r"é\Bé", "éé", "é"),
        (r"e\bé", "eé", "e"),
        (r"^[\d\s]+$", "1 2", "٣"),
        (r"^[^\d]$", "٣", "3"),
        (r"^[\W]$", "é", "e"),
        (r"^[[:alpha:]-]+$", "a-b", "1"),
        (r"^[[:^alpha:]]$", "1", "a"),
        (r"^[[]$", "[", "]"),
        (r"^[]a]+$", "]a", "["),
        (r"^[a&&b]+$", "&ab", "c"),
        (r"^[a~~b]+$", "~ab", "c"),
        (r"^[a-c-]+$", "b-", "d"),
        (r"^[+--]+$", "+,-", "."),
        (r"^[\]\\\-^]+$", r"]\-^", "a"),
        (r"^[\x41-\x{43}\n]+$", "ABC\n", "D"),
        (r"^{foo}$", "{foo}", "foo"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^a{2}b{1,}c{1,2}?$", "aabcc", "abc"),
        (r"^a{02}$", "a{02}", "aa"),
        (r"^\Qa.b*\E+$", "a.b**", "a.b"),
        (r"^\Q[x", "[xy", "x"),
        (r"^\101\0$", "A\0", "B"),
        (r"^\<\>\_\%$", "<>_%", "a"),
        (r"^\a\f\t\n\r\v$", "\x07\x0c\t\n\r\x0b", "a"),
        (r"^\pN\p{Greek}\p{^Greek}\PN$", "1αaa", "aααa"),
        (r"(?i)^é$", "É", "e"),
        (r"^(?i:a)b$", "Ab", "AB"),
        (r"(?s)^.$", "\n", "\n\n"),
        (r"^.$", "é", "\n"),
        (r"(?m)^b$", "a\nb", "ab"),
        (r"^(?P<x>a)(?<y>b)$", "ab", "a"),
        (r"a#b c", "a#b c", "a"),
        ("^é+?$", "éé", "e"),
        ("", "anything", ""),
    ] {
        let regex = compiled(pattern);
        assert!(regex.regex.is_match(matching), "{pattern} on {matching:?}");
        assert!(pattern.is_empty() || !regex.regex.is_match(other), "{pattern} on {other:?}");
        assert_eq!(&*regex.pattern, pattern);
    }
}

#[test]
fn refused_patterns_have_the_words_of_go() {
    for (pattern, expected) in [
        ("x(", "missing closing ): `x(`"),
        ("(?i", "missing closing ): `(?i`"),
        ("x)", "unexpected ): `x)`"),
        ("a[b", "missing closing ]: `[b`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\p", r"invalid character class range: `\p`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+b", "missing argument to repetition operator: `+`"),
        ("(?:?)", "missing argument to repetition operator: `?`"),
        ("{2}", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a+?{2}", "invalid nested repetition operator: `+?{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        (r"\q", r"invalid escape sequence: `\q`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\xg0", r"invalid escape sequence: `\xg0`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<!a)", "invalid or unsupported Perl syntax: `(?<`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?P>a)", "invalid or unsupported Perl syntax: `(?P`"),
    ] {
        let found = Regex::compile(pattern).err();
        assert_eq!(found, Some(format!("error parsing regexp: {expected}")), "{pattern}");
    }
}

#[test]
fn large_patterns_are_refused() {
    assert!(Regex::compile("[a-z]{1000}").is_ok());
    let found = Regex::compile("((a{1000}){1000})").err().unwrap();
    assert!(found.contains("expression too large"), "{found}");
    let deep = format!("{}{}", "(".repeat(5_000), ")".repeat(5_000));
    let found = Regex::compile(&deep).err().unwrap();
    assert!(found.contains("expression nests too deeply"), "{found}");
}
