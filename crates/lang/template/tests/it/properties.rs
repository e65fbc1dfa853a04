//! What holds for every template.

use levada_template::{Template, Value};
use proptest::prelude::*;

use crate::cases::render;

/// Pieces that templates are made of, in any order.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "block",
    "break",
    "continue",
    ".",
    ".Name",
    ".Tags",
    ".Fields",
    ".List",
    ".Time",
    ".Nope",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "|",
    "(",
    ")",
    "\"a\"",
    "`b`",
    "'c'",
    "1",
    "-2",
    "3.5",
    "nil",
    "true",
    "printf",
    "print",
    "index",
    "len",
    "eq",
    "and",
    "or",
    "html",
    "json",
    "slice",
    "/*",
    "*/",
    "{{.Name}}",
    "{{end}}",
    "{{if .Name}}",
    "{{range .List}}",
    "{{else}}",
    "<",
    ">",
    "</",
    "<a href=",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "\"",
    "'",
    "`",
    "${",
    "}",
    "/",
    "//",
    "<!--",
    "-->",
    "url(",
    "\\",
    "&quot;",
    "é",
    "\u{2028}",
    "%d",
    "%[2]*.[1]*f",
    "#",
    "?",
    "<textarea>",
    "</textarea>",
    "<p title=",
    "onclick=",
    "style=",
    "{{.Tags.host}}",
    "\0",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

/// Templates that parse, since their actions are whole.
fn sound() -> impl Strategy<Value = String> {
    let pieces: &[&str] = &[
        "a",
        " ",
        "<b>",
        "</b>",
        "{{.Name}}",
        "{{.Tags.host}}",
        "{{index .Tags \"quote\"}}",
        "{{.Fields}}",
        "{{.Rows}}",
        "{{jsonCompact .Tags}}",
        "{{if .Name}}x{{end}}",
        "{{range .List}}{{.}}{{end}}",
        "{{printf \"%s<\" .Tags.host}}",
        "<p title=\"{{.Tags.host}}\">",
        "<a href=\"/x?{{.Tags.host}}\">",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soups_never_panic(template in soup()) {
        render("text", &template);
        render("html", &template);
    }

    #[test]
    fn random_texts_never_panic(template in "\\PC{0,80}") {
        render("text", &template);
        render("html", &format!("<script>{template}"));
        render("html", &format!("<p {template}"));
    }

    #[test]
    fn formats_never_panic(format in "[%a-zA-Z0-9.*+# \\[\\]-]{0,20}", value in any::<f64>()) {
        let quoted = format!("{{{{printf {format:?} .List . 3 nil \"é\" true .Time .Duration}}}}");
        render("text", &quoted);
        let template = Template::text("id", &format!("{{{{printf {format:?} .}}}}")).expect("it parses");
        let mut out = String::new();
        template.execute(&Value::Float(value), &mut out).expect("printf tells mistakes in its text");
    }

    #[test]
    fn layouts_never_panic(layout in "\\PC{0,30}", time in any::<i64>()) {
        let mut out = String::new();
        let time = levada_template::Time::utc(levada_model::Timestamp(time));
        time.format(&mut out, &layout);
    }

    #[test]
    fn plain_text_stays(text in "[^{<]{0,60}") {
        let (out, error) = render("text", &text);
        prop_assert_eq!((out, error), (text.clone(), String::new()));
        let (out, error) = render("html", &text);
        prop_assert_eq!((out, error), (text, String::new()));
    }

    #[test]
    fn names_are_put_in(before in "[^{]{0,20}", after in "[^{]{0,20}") {
        let (out, error) = render("text", &format!("{before}{{{{.Name}}}}{after}"));
        prop_assert_eq!((out, error), (format!("{before}cpu{after}"), String::new()));
    }

    #[test]
    fn data_brings_no_markup(text in "\\PC{0,40}") {
        let template = Template::html("id", "{{.}}|<p a=\"{{.}}\" b='{{.}}' c={{.}}>|<textarea>{{.}}</textarea>")
            .expect("it parses");
        let mut out = String::new();
        template.execute(&Value::from(text.as_str()), &mut out).expect("there is nothing to fail");
        prop_assert_eq!(out.matches('<').count(), 3, "{}", out);
        prop_assert_eq!(out.matches('>').count(), 3, "{}", out);
        prop_assert_eq!(out.matches('"').count(), 2, "{}", out);
        prop_assert_eq!(out.matches('\'').count(), 2, "{}", out);
    }

    #[test]
    fn data_stays_within_scripts(text in "\\PC{0,40}") {
        let template = Template::html("id", "<script>b=\"{{.}}\";c='{{.}}';d=`{{.}}`</script>")
            .expect("it parses");
        let mut out = String::new();
        template.execute(&Value::from(text.as_str()), &mut out).expect("there is nothing to fail");
        prop_assert_eq!(out.matches('<').count(), 2, "{}", out);
        prop_assert_eq!(out.matches('`').count(), 2, "{}", out);
        prop_assert_eq!(out.matches('\'').count(), 2, "{}", out);
        let (_, literal) = out.split_once("d=").expect("the template has it");
        prop_assert!(!literal.contains("${"), "{}", out);

        let template = Template::html("id", "<script>a={{.}}</script>").expect("it parses");
        let mut out = String::new();
        template.execute(&Value::from(text.as_str()), &mut out).expect("there is nothing to fail");
        let literal = &out["<script>a=".len()..out.len() - "</script>".len()];
        prop_assert_eq!(serde_json::from_str::<String>(literal).expect("a string"), text);
        prop_assert_eq!(out.matches('<').count(), 2, "{}", out);
    }

    #[test]
    fn markup_of_sound_templates_is_their_own(template in sound()) {
        let (out, error) = render("html", &template);
        prop_assert_eq!(error, "");
        prop_assert_eq!(
            out.matches('<').count(),
            template.replace("%s<", "").matches('<').count(),
            "{}", out
        );
    }

    #[test]
    fn durations_read_back(nanos in any::<i64>()) {
        let text = levada_template::go::duration::text(nanos);
        let mut total: i128 = 0;
        let mut number = String::new();
        let mut rest = text.trim_start_matches('-');
        while let Some(c) = rest.chars().next() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                rest = &rest[1..];
                continue;
            }
            let (unit, len) = match () {
                () if rest.starts_with("ns") => (1, 2),
                () if rest.starts_with("µs") => (1_000, 3),
                () if rest.starts_with("ms") => (1_000_000, 2),
                () if rest.starts_with('h') => (3_600_000_000_000, 1),
                () if rest.starts_with('m') => (60_000_000_000, 1),
                () => (1_000_000_000, 1),
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
            total += whole.parse::<i128>().expect("digits") * unit;
            if !fraction.is_empty() {
                let scale = 10_i128.pow(fraction.len() as u32);
                total += fraction.parse::<i128>().expect("digits") * unit / scale;
            }
            number.clear();
            rest = &rest[len..];
        }
        prop_assert_eq!(total, i128::from(nanos).abs());
    }

    #[test]
    fn floats_read_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        for write in [levada_template::go::float::print, levada_template::go::float::json] {
            let mut out = String::new();
            write(&mut out, value);
            prop_assert_eq!(out.parse::<f64>().expect("a number"), value);
        }
    }
}
