//! What a template may be and do, at the edges.

use levada_template::bounds::{DEPTH_MAX, NESTING_MAX, OUTPUT_MAX, STEPS_MAX, TEXT_MAX};
use levada_template::{JSON_FUNCTIONS, Options, Template, Value, Zone};

use crate::cases::render;

#[test]
fn texts_have_a_length() {
    assert!(Template::text("id", &"x".repeat(TEXT_MAX)).is_ok());
    let error = Template::text("id", &"x".repeat(TEXT_MAX + 1)).expect_err("it is too long");
    assert!(error.to_string().starts_with("template: id:1: template has 1048577 bytes"), "{error}");
}

#[test]
fn blocks_and_parentheses_nest_so_deep() {
    for (open, inner, close) in
        [("{{if true}}", "x", "{{end}}"), ("{{range 1}}", "x", "{{end}}"), ("(", "1", ")")]
    {
        let nested = |count: usize| {
            let body = format!("{}{inner}{}", open.repeat(count), close.repeat(count));
            if open == "(" { format!("{{{{{body}}}}}") } else { body }
        };
        for kind in ["text", "html"] {
            let (out, error) = render(kind, &nested(NESTING_MAX));
            assert_eq!((out.as_str(), error.as_str()), (inner, ""));
            let (_, error) = render(kind, &nested(NESTING_MAX + 1));
            assert_eq!(error, "template: id:1: template nests deeper than 100");
        }
    }
    let (_, error) = render("text", &"(".repeat(TEXT_MAX / 2));
    assert_eq!(error, "");
    let (_, error) = render("text", &format!("{{{{{}", "(".repeat(TEXT_MAX / 2)));
    assert!(error.contains("nests deeper"), "{error}");
}

#[test]
fn templates_that_call_themselves_end() {
    for kind in ["text", "html"] {
        let (_, error) =
            render(kind, "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}");
        assert_eq!(
            error,
            format!(
                "template: id:1:25: executing \"x\" at <{{{{template \"x\"}}}}>: exceeded maximum template depth ({DEPTH_MAX})"
            )
        );
    }
    // A chain of templates is followed just as far when contexts are looked for.
    let mut chain = String::from("{{template \"t0\"}}");
    for index in 0..2_000 {
        chain.push_str(&format!(
            "{{{{define \"t{index}\"}}}}{{{{template \"t{}\"}}}}{{{{end}}}}",
            index + 1
        ));
    }
    let (_, error) = render("html", &chain);
    assert!(error.contains("exceeded maximum template depth"), "{error}");
}

#[test]
fn loops_end() {
    let (_, error) = render("text", "{{range 1000000000000}}{{end}}");
    assert!(error.ends_with(&format!("exceeded maximum work ({STEPS_MAX} steps)")), "{error}");
    let nested = "{{range 1000}}".repeat(50) + "x" + &"{{end}}".repeat(50);
    let (_, error) = render("text", &nested);
    assert!(error.contains("exceeded maximum work"), "{error}");
    // Each round of a range is looked at twice while contexts are looked for.
    let nested = "{{range .List}}<p {{.}}>".repeat(60) + &"{{end}}".repeat(60);
    let (_, error) = render("html", &nested);
    assert!(!error.is_empty());
}

#[test]
fn values_and_outputs_have_a_length() {
    let double = "{{$x := .}}{{range 40}}{{$x = print $x $x}}{{end}}{{$x}}";
    let template = Template::text("id", double).expect("the syntax is right");
    let mut out = String::new();
    let text = "x".repeat(1 << 16);
    let error =
        template.execute(&Value::from(text.as_str()), &mut out).expect_err("it is too long");
    assert!(
        error.to_string().contains("maximum work") || error.to_string().contains("longer than")
    );
    assert!(out.is_empty());

    let template = Template::text("id", "{{range 1000}}{{$}}{{end}}").expect("the syntax is right");
    let error =
        template.execute(&Value::from(text.as_str()), &mut out).expect_err("it is too long");
    assert!(error.to_string().contains("output is longer than"), "{error}");
    assert!(out.len() <= OUTPUT_MAX + text.len());

    // Widths and many values at once are cut before they fill the memory.
    let wide = format!("{{{{printf \"{}\"}}}}", "%999999d".repeat(1_000));
    let (out, _) = render("text", &wide);
    assert!(out.len() <= OUTPUT_MAX + (1 << 17));
    let many =
        format!("{{{{$x := printf \"%60000d\" 1}}}}{{{{len (print {})}}}}", "$x ".repeat(2_000));
    let (_, error) = render("text", &many);
    assert!(error.contains("longer than") || error.contains("maximum work"), "{error}");
}

#[test]
fn scripts_of_many_strings_are_read_once() {
    let script = format!("<script>{}</script>", "\"a\";".repeat(100_000));
    let options = Options { functions: JSON_FUNCTIONS, html: true, local: Zone::Utc };
    let template = Template::parse("id", &script, &options).expect("the document is complete");
    let mut out = String::new();
    template.execute(&Value::Nil, &mut out).expect("there is nothing to fail");
    assert_eq!(out, script);
}
