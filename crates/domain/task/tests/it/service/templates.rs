//! Templates and the tasks that are made of them.

use super::*;

fn limited(extra: &str) -> String {
    format!(
        "var limit int {extra} stream|from().measurement('m')|where(lambda: \"v\" > limit)|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('out')"
    )
}

#[test]
fn a_changed_template_changes_all_of_its_tasks() {
    let mut kept = Kept::new();
    kept.template("t", &limited(""));
    kept.create(enabled(of_template("a", "t", 5))).unwrap();
    kept.create(of_template("b", "t", 5)).unwrap();
    assert_eq!(kept.heard_after("m,n=1 v=6i 1\nm,n=2 v=4i 2"), ["1"]);
    kept.update_template("t", &limited("").replace('>', "<")).unwrap();
    assert_eq!(kept.heard_after("m,n=3 v=6i 3\nm,n=4 v=4i 4"), ["4"]);
    assert!(kept.get("b").script.contains("\"v\" < limit"));
    assert!(!kept.get("b").is_executing);
}

#[test]
fn a_template_that_one_task_does_not_fit_is_refused_before_anything_changes() {
    let kept = Kept::new();
    kept.template("t", &limited(""));
    kept.create(enabled(of_template("a", "t", 5))).unwrap();
    kept.create(of_template("z", "t", 5)).unwrap();
    let started = kept.service.master().started("a");
    let before = kept.get("a").script;
    let error = kept.update_template("t", &limited("var more string")).unwrap_err().to_string();
    assert!(error.starts_with("error updating associated task a: invalid TICKscript: "), "{error}");
    assert_eq!(kept.get("a").script, before);
    assert_eq!(kept.service.master().started("a"), started, "it was not restarted");
    let template = kept.world.block_on(kept.service.get_template("t", true)).unwrap();
    assert!(!template.script.contains("more"));
}

#[test]
fn a_task_that_moved_to_another_template_is_no_longer_changed_by_the_old_one() {
    let kept = Kept::new();
    kept.template("one", &limited(""));
    kept.template("two", &limited("var x = 2"));
    kept.create(of_template("a", "one", 5)).unwrap();
    let moved = TaskChange { template_id: "two".into(), ..TaskChange::default() };
    kept.update("a", moved).unwrap();
    assert!(kept.get("a").script.contains("var x = 2"));
    kept.update_template("one", &limited("var y = 3")).unwrap();
    assert!(!kept.get("a").script.contains("var y"));
    kept.update_template("two", &limited("var z = 4")).unwrap();
    assert!(kept.get("a").script.contains("var z = 4"));
    // The script of a request does not count for a task with a template.
    kept.update("a", task("", SCRIPT)).unwrap();
    assert!(kept.get("a").script.contains("var z = 4"));
}

#[test]
fn renamed_and_deleted_templates_take_their_tasks_along() {
    let kept = Kept::new();
    kept.template("t", &limited(""));
    kept.create(enabled(of_template("a", "t", 5))).unwrap();
    let started = kept.service.master().started("a");
    let renamed = kept.service.update_template("t", template("u", ""), Mode::Apply);
    kept.world.block_on(renamed).unwrap();
    assert_eq!(kept.get("a").record.template_id, "u");
    assert_eq!(kept.service.master().started("a"), started, "its script is the same");
    kept.world.block_on(kept.service.delete_template("u")).unwrap();
    kept.world.block_on(kept.service.delete_template("u")).unwrap();
    let view = kept.get("a");
    assert!(view.record.template_id.is_empty() && view.is_executing);
    kept.update("a", task("", SCRIPT)).unwrap();
    assert!(kept.get("a").script.contains("|log()"));
}

#[test]
fn a_template_describes_its_variables() {
    let kept = Kept::new();
    kept.template("t", "// how much\nvar limit = 5\nvar name string\nstream|from().measurement(name)|where(lambda: \"v\" > limit)|log()");
    let view = kept.world.block_on(kept.service.get_template("t", false)).unwrap();
    assert_eq!(
        levada_tick::vars::to_json(&view.vars),
        json!({
            "limit": {"type": "int", "value": 5, "description": "how much"},
            "name": {"type": "string", "value": null, "description": ""},
        })
    );
    let error = kept.service.create_template(template("u", ""), Mode::Apply);
    let error = kept.world.block_on(error).unwrap_err().to_string();
    assert_eq!(error, "invalid task type: invalid");
    let error = kept.service.create_template(template("t", SCRIPT), Mode::Apply);
    assert_eq!(kept.world.block_on(error).unwrap_err().to_string(), "template t already exists");
}
