//! Which fields of its data a template reads.

use levada_template::Template;

#[test]
fn fields_are_found() {
    let cases: &[(&str, Option<&[&str]>)] = &[
        ("plain", Some(&[])),
        ("{{ .Name }}:{{ .Group }}", Some(&["Group", "Name"])),
        ("{{ index .Tags \"host\" }}{{ .Tags.dc }}", Some(&["Tags"])),
        ("{{ if .Name }}{{ .Group }}{{ else }}{{ $.ID }}{{ end }}", Some(&["Group", "ID", "Name"])),
        (
            "{{ with .ServerInfo }}{{ .Hostname }}{{ $.Name }}{{ end }}",
            Some(&["Name", "ServerInfo"]),
        ),
        (
            "{{ with .ServerInfo }}{{ . }}{{ else }}{{ .Name }}{{ end }}",
            Some(&["Name", "ServerInfo"]),
        ),
        ("{{ range $k, $v := .Tags }}{{ $k }}{{ $v }}{{ . }}{{ end }}", Some(&["Tags"])),
        ("{{ (index .Fields \"a\").b | printf \"%v\" }}", Some(&["Fields"])),
        (
            "{{ define \"x\" }}{{ .Hostname }}{{ end }}{{ template \"x\" .ServerInfo }}",
            Some(&["ServerInfo"]),
        ),
        ("{{ . }}", None),
        ("{{ $ }}", None),
        ("{{ $x := . }}{{ $x.Name }}", None),
        ("{{ define \"x\" }}{{ .Name }}{{ end }}{{ template \"x\" . }}", None),
        ("{{ if true }}{{ print (print .) }}{{ end }}", None),
    ];
    for (text, expected) in cases {
        let template = Template::text("id", text).expect("it parses");
        let expected: Option<Vec<String>> =
            expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(template.fields_used().map(<[String]>::to_vec), expected, "{text}");
    }
}

#[test]
fn an_id_of_the_group_is_constant() {
    let group = ["Name", "Group", "Tags", "TaskName", "ServerInfo"];
    let constant = |text| Template::text("id", text).expect("it parses").is_constant_of(&group);
    assert!(constant("{{ .Name }}:{{ .Group }}/{{ index .Tags \"host\" }}"));
    assert!(!constant("{{ .Name }}:{{ .Time }}"));
    assert!(!constant("{{ . }}"));
}
