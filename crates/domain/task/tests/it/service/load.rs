//! The load directory.

use std::fs;

use levada_task::service::load::Loaded;

use super::*;

fn load(kept: &Kept, directory: &std::path::Path) -> Loaded {
    kept.world.block_on(kept.service.load(directory, None)).unwrap()
}

fn counts(loaded: &Loaded) -> (usize, usize, usize, usize) {
    (loaded.changed, loaded.unchanged, loaded.removed, loaded.errors.len())
}

#[test]
fn only_what_changed_is_touched_and_wrong_files_hold_up_nobody() {
    let kept = Kept::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert_eq!(counts(&load(&kept, path)), (0, 0, 0, 0), "nothing is there");
    fs::create_dir_all(path.join("tasks")).unwrap();
    fs::create_dir_all(path.join("templates")).unwrap();
    fs::write(path.join("templates/t.tick"), format!("var limit = 1 {SCRIPT}")).unwrap();
    fs::write(path.join("tasks/cpu.tick"), format!("dbrp \"db\".\"rp\" {SCRIPT}")).unwrap();
    fs::write(path.join("tasks/bad.tick"), "stream|nothing()").unwrap();
    fs::write(path.join("tasks/readme.txt"), "not a task").unwrap();
    let yaml = "template-id: t\nid: ignored\ndbrps:\n- {db: db, rp: rp}\nvars:\n  limit: {type: int, value: 7}\n";
    fs::write(path.join("tasks/of_t.yaml"), yaml).unwrap();
    let loaded = load(&kept, path);
    assert_eq!(counts(&loaded), (3, 0, 0, 1), "{loaded:?}");
    assert!(loaded.errors[0].0.ends_with("tasks/bad.tick"));
    assert!(kept.get("cpu").is_executing && kept.get("of_t").is_executing);
    assert_eq!(kept.get("of_t").record.template_id, "t");

    kept.clock.advance(Duration::from_secs(5));
    let started = kept.service.master().started("cpu");
    assert_eq!(counts(&load(&kept, path)), (0, 3, 0, 1));
    assert_eq!(kept.service.master().started("cpu"), started, "it is as it was");

    fs::write(path.join("tasks/cpu.tick"), format!("dbrp \"db\".\"rp\" var x = 1 {SCRIPT}"))
        .unwrap();
    fs::remove_file(path.join("tasks/of_t.yaml")).unwrap();
    fs::remove_file(path.join("templates/t.tick")).unwrap();
    fs::remove_file(path.join("tasks/bad.tick")).unwrap();
    kept.create(task("by_hand", SCRIPT)).unwrap();
    assert_eq!(counts(&load(&kept, path)), (1, 0, 2, 0));
    assert_ne!(kept.service.master().started("cpu"), started);
    assert!(kept.world.block_on(kept.service.get("of_t", ViewOptions::default())).is_err());
    kept.get("by_hand");
    // What somebody deleted is there again.
    kept.delete("cpu");
    assert_eq!(counts(&load(&kept, path)), (1, 0, 0, 0));
    assert!(kept.get("cpu").is_executing);
}
