//! Points that would go round for ever between the gateway, flows and tasks.

use serde_json::json;

use crate::gateway::Ask;
use crate::gateway_reload::{Receiver, named, read_again, rules, run_alone, status, sunk, write};
use crate::started::{Started, eventually, run};

/// A flow from a destination of the gateway back to it.
fn flow(name: &str, sink: &str) -> String {
    format!(
        "---\napiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {{ name: {name} }}\nspec:\n  \
         source: {{ type: gateway, config: {{ name: {name} }} }}\n  \
         sink: {{ type: gateway, config: {{ measurement: clean, category: logging, tags: {{ by: {name} }}, fields: [$.fields.f]{sink} }} }}\n"
    )
}

#[test]
fn a_circle_of_flows_keeps_the_server_from_starting() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let destinations = "gateway.destination=[{\"name\":\"a\",\"kind\":\"flow\"},{\"name\":\"b\",\"kind\":\"flow\"}]";
        for (manifest, path) in [
            (
                flow("a", ", name: a"),
                "destination `a` → source `gateway` of name `a` → flow `default/a` → destination `a`",
            ),
            (
                flow("a", ", name: b") + &flow("b", ", name: a"),
                "destination `a` → source `gateway` of name `a` → flow `default/a` → destination `b` → \
                 source `gateway` of name `b` → flow `default/b` → destination `a`",
            ),
        ] {
            let failed = Started::try_with(data.path(), &[destinations], None, &manifest).await;
            let text = failed.err().unwrap();
            assert!(text.ends_with(&format!("points would go round for ever: {path}")), "{text}");
        }
        let line = flow("a", ", name: b");
        Started::with_flows(data.path(), &[destinations], &line).await.stop().await;
    });
}

#[test]
fn a_file_that_makes_a_circle_changes_nothing() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let receiver = Receiver::start();
        let base = format!(
            "[gateway]\nurls = ['{}']\n[[gateway.destination]]\nname = 'keep'\nkind = 'flow'\n",
            receiver.url()
        );
        rules(&file, &base);
        let manifest = flow("keep", "");
        let server = Started::with_all(data.path(), &[], Some(&file), &manifest).await;
        let all = "[[gateway.sinkers]]\ncategories = ['L']\ndestination = 'keep'\n";
        let error = read_again(&server, &file, &format!("{base}{all}")).await.unwrap_or_default();
        let path = "gateway (logging) → destination `keep` → source `gateway` of name `keep` → flow `default/keep` → gateway (logging)";
        assert!(error.ends_with(path), "{error}");
        assert!(status(&server).await["rules"]["sinkers"].as_array().unwrap().is_empty());

        // What depends on the points is somebody's wish: raw ones go through the flow, clean ones do not.
        let raw = "[[gateway.sinkers]]\ncategories = ['L']\nfilters = [\"{ source != 'clean' }\"]\ndestination = 'keep'\n";
        assert_eq!(read_again(&server, &file, &format!("{base}{raw}")).await, None);
        write(&server, "logging", "raw f=1i\nraw f=2i\n").await;
        eventually("both are clean", async || receiver.lines() == 2).await;
        server.stop().await;
    });
}

#[test]
fn a_task_may_not_write_to_what_feeds_it() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let receiver = Receiver::start();
        let base = format!(
            "[[gateway.destination]]\nname = 'fed'\nkind = 'task'\ntask.name = 'fed'\n\
             [[gateway.sinkers]]\ncategories = ['M']\ndestination = 'fed'\n{}{}",
            named("out", &receiver.url(), ""),
            sunk("a", "destination = 'out'"),
        );
        rules(&file, &base);
        let server = Started::with(data.path(), &[], Some(&file)).await;
        let ask = Ask::new(&server);
        let task = |id: &str, cluster: &str| {
            let script =
                format!("stream|from()|influxDBOut().cluster('{cluster}').flushInterval(10ms)");
            let dbrps = json!([{"db": "levada", "rp": "autogen"}]);
            json!({"id": id, "type": "stream", "status": "enabled", "script": script, "dbrps": dbrps})
        };
        let (code, text) =
            ask.post("/kapacitor/v1/tasks", task("fed", "gateway").to_string()).await;
        let path = "gateway (metric) → destination `fed` → task `fed` → gateway (metric)";
        assert!(code >= 400 && text.contains(path), "{code} {text}");
        let (code, text) =
            ask.post("/kapacitor/v1/tasks", task("other", "gateway").to_string()).await;
        assert_eq!(code, 200, "{text}");
        let fed = task("fed", "gateway/logging").to_string();
        let (code, text) = match ask.post("/kapacitor/v1/tasks", fed.clone()).await {
            // It was defined, and could not be enabled.
            (code, _) if code >= 400 => {
                let http = reqwest::Client::new();
                let url = format!("{}/kapacitor/v1/tasks/fed", server.url);
                let answer = http.patch(url).body(fed).send().await.unwrap();
                (answer.status().as_u16(), answer.text().await.unwrap())
            }
            answered => answered,
        };
        assert_eq!(code, 200, "{text}");
        write(&server, "metric", "m f=1.0\n").await;
        let rest = base.replace("name = 'fed'\nkind", "name = 'fed'\nlinger = '0s'\nkind");
        assert_eq!(read_again(&server, &file, &rest).await, None);
        // The other task writes metrics, which would come back to it.
        let circle = base.replace("task.name = 'fed'", "task.name = 'other'");
        let error = read_again(&server, &file, &circle).await.unwrap_or_default();
        assert!(error.contains("task `other`"), "{error}");
        server.stop().await;
    });
}

#[test]
fn points_that_go_round_because_they_always_match_are_refused_some_time() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let settings = [
            format!("gateway.urls={}", receiver.url()),
            "gateway.linger=0s".to_owned(),
            "gateway.destination=[{\"name\":\"keep\",\"kind\":\"flow\"}]".to_owned(),
            "gateway.sinkers=[{\"categories\":[\"L\"],\"filters\":[\"{ f > 0 }\"],\"destination\":\"keep\"}]"
                .to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let refused = "  errors: { type: file, config: { path: refused.ndjson } }\n";
        let manifest = flow("keep", "") + refused;
        let server = Started::with_flows(data.path(), &settings, &manifest).await;
        write(&server, "logging", "raw f=1i\nraw f=0i\n").await;
        eventually("it is refused", async || {
            let names = std::fs::read_dir(data.path()).unwrap();
            let mut names = names.map(|one| one.unwrap().file_name().into_string().unwrap());
            names.any(|name| name.contains("refused.ndjson"))
        })
        .await;
        eventually("nothing is under way", async || {
            let shown = status(&server).await["destinations"].clone();
            shown.as_array().unwrap().iter().all(|one| one["queued"] == 0)
        })
        .await;
        let shown = status(&server).await;
        let destinations = shown["destinations"].as_array().unwrap();
        let keep = destinations.iter().find(|one| one["name"] == "keep").unwrap();
        // Once as it came, and as often as it may come back.
        assert_eq!((&keep["accepted"], &keep["delivered"]), (&17.into(), &17.into()), "{keep}");
        assert_eq!(receiver.lines(), 1, "what does not match goes its way");
        server.stop().await;
    });
}
