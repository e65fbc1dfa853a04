//! `levada fmt`: the layout of scripts.

use super::binary::{Folder, run};

/// Scripts and their layout. Source: kapacitor reference §1.10.
const LAYOUTS: &[(&str, &str)] = &[
    ("stream|from()", "stream\n    |from()\n"),
    (
        "var x=stream|from().measurement('cpu').groupBy('host','cpu')\nx|alert().crit(lambda:\"usage_idle\"<10)",
        "var x = stream\n    |from()\n        .measurement('cpu')\n        .groupBy('host', 'cpu')\n\nx\n    |alert()\n        .crit(lambda: \"usage_idle\" < 10)\n",
    ),
    (
        "//one\n//two\nvar p=5m// three\nvar q = ((1+2)*3)\n// last",
        "// one\n// two\nvar p = 5m\n\n// three\nvar q = ((1 + 2) * 3)\n\n// last\n",
    ),
    (
        "dbrp \"a\".\"b\"\nvar f=010\nvar g=1.\nvar s='''it's'''\nvar r=/a\\/b/\nvar l=['a',*]\nvar t int",
        "dbrp \"a\".\"b\"\n\nvar f = 010\n\nvar g = 1.0\n\nvar s = '''it's'''\n\nvar r = /a\\/b/\n\nvar l = ['a', *]\n\nvar t int\n",
    ),
    (
        "stream|from()@udf().o(1)\n.p(TRUE)|eval(lambda:\"a\",\nlambda:!\"b\").as('a','b')",
        "stream\n    |from()\n    @udf()\n        .o(1)\n        .p(TRUE)\n    |eval(\n        lambda: \"a\",\n        lambda: !\"b\"\n    )\n        .as('a', 'b')\n",
    ),
    ("", ""),
];

#[test]
fn standard_input_is_laid_out_and_nothing_else_is_written() {
    for (script, layout) in LAYOUTS {
        let ran = run(&["fmt", "-"], script.as_bytes(), &[]).ends(0);
        assert_eq!(ran.text(), *layout, "{script}");
        assert_eq!(ran.stderr, "");
        // What is laid out stays as it is.
        let again = run(&["fmt", "-"], layout.as_bytes(), &[]).ends(0);
        assert_eq!(again.text(), *layout);
        run(&["fmt", "-", "--check"], layout.as_bytes(), &[]).ends(0);
    }
    let ran = run(&["fmt", "-", "--check"], b"stream|from()", &[]).ends(1);
    assert_eq!(ran.text(), "<stdin>\n");
}

#[test]
fn files_are_rewritten_in_place() {
    let folder = Folder::new();
    let good = "stream\n    |from()\n";
    folder.file("bad.tick", "stream|from()");
    folder.file("good.tick", good);
    let ran = folder.run(&["fmt", "--check", "good.tick", "bad.tick"]).ends(1);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("bad.tick\n", ""));
    let ran = folder.run(&["fmt", "--check", "bad.tick", "--output", "json"]).ends(1);
    assert_eq!(ran.json(), [serde_json::json!({"file": "bad.tick", "formatted": false})]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("bad.tick"), "stream|from()", "--check changes nothing");
    let ran = folder.run(&["fmt", "good.tick", "bad.tick"]).ends(0);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("", ""));
    assert_eq!(read("bad.tick"), good);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "nothing is left over");
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let file = folder.file("a.tick", "stream|from()");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("a.tick", folder.path().join("b.tick")).unwrap();
    folder.run(&["fmt", "b.tick"]).ends(0);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(folder.path().join("b.tick")).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "stream\n    |from()\n");
}

#[test]
fn what_does_not_parse_is_left_alone_and_the_rest_is_not() {
    let folder = Folder::new();
    folder.file("bad.tick", "stream|from(");
    folder.file("good.tick", "stream|from()");
    let ran = folder.run(&["fmt", "bad.tick", "none.tick", "good.tick"]).ends(1);
    assert_eq!(ran.text(), "");
    assert_eq!(
        ran.stderr,
        "bad.tick:1:13: parser: unexpected EOF line 1 char 13 in \"ream|from(\". expected: \
         \"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\"\n  |\n\
         1 | stream|from(\n  |             ^\n  = hint: what opens at line 1 char 12 is never closed\n\
         none.tick:1:1: cannot be read: No such file or directory (os error 2)\n"
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("bad.tick"), read("good.tick")),
        ("stream|from(".into(), "stream\n    |from()\n".into())
    );
    let ran = run(&["fmt", "-", "--output", "json"], b"var", &[]).ends(1);
    assert_eq!(ran.json()[0]["line"], 1);
    run(&["fmt"], b"", &[]).ends(2);
}
