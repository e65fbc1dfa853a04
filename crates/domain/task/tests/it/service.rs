//! Tasks and templates as they are kept: over a store in memory, mostly on a clock that the test moves.

mod lifecycle;
mod load;
mod many;
mod templates;

use std::sync::Arc;
use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::VirtualClock;
use levada_store::MemoryDocuments;
use levada_task::service::change::given_vars;
use levada_task::service::{
    Mode, ServiceError, TaskChange, TaskService, TaskView, TemplateChange, ViewOptions,
};
use serde_json::json;

use crate::world::{World, teller};

/// A server's tasks and what they are kept in.
struct Kept {
    world: World,
    clock: Arc<VirtualClock>,
    documents: Arc<MemoryDocuments>,
    service: TaskService,
}

// === impl Kept ===

impl Kept {
    fn new() -> Self {
        let (world, clock) = World::virtual_from(1_000);
        let documents = Arc::new(MemoryDocuments::default());
        let service = world.service(documents.clone());
        Kept { world, clock, documents, service }
    }

    /// The same store on another server.
    fn restarted(self) -> Self {
        let (world, clock) = World::virtual_from(2_000);
        let service = world.service(self.documents.clone());
        Kept { world, clock, documents: self.documents, service }
    }

    fn create(&self, change: TaskChange) -> Result<TaskView, ServiceError> {
        self.world.block_on(self.service.create(change, Mode::Apply))
    }

    fn update(&self, id: &str, change: TaskChange) -> Result<TaskView, ServiceError> {
        self.clock.advance(Duration::from_secs(1));
        self.world.block_on(self.service.update(id, change, Mode::Apply))
    }

    fn template(&self, id: &str, script: &str) {
        let change = template(id, script);
        self.world.block_on(self.service.create_template(change, Mode::Apply)).unwrap();
    }

    fn update_template(&self, id: &str, script: &str) -> Result<(), ServiceError> {
        let change = template("", script);
        self.world.block_on(self.service.update_template(id, change, Mode::Apply)).map(drop)
    }

    #[track_caller]
    fn get(&self, id: &str) -> TaskView {
        self.world.block_on(self.service.get(id, ViewOptions::default())).unwrap()
    }

    fn delete(&self, id: &str) {
        self.world.block_on(self.service.delete(id)).unwrap();
    }

    /// What a task says of the points it got.
    fn heard_after(&mut self, lines: &str) -> Vec<String> {
        let before = self.world.ids().len();
        self.world.write(lines);
        self.world.settle();
        self.world.ids().split_off(before)
    }
}

fn task(id: &str, script: &str) -> TaskChange {
    TaskChange {
        id: id.into(),
        script: script.into(),
        dbrps: vec![("db".into(), "rp".into())],
        ..TaskChange::default()
    }
}

fn enabled(change: TaskChange) -> TaskChange {
    TaskChange { is_enabled: Some(true), ..change }
}

fn template(id: &str, script: &str) -> TemplateChange {
    TemplateChange { id: id.into(), script: script.into() }
}

fn of_template(id: &str, template: &str, limit: i64) -> TaskChange {
    let vars = json!({"limit": {"type": "int", "value": limit}});
    TaskChange {
        id: id.into(),
        template_id: template.into(),
        dbrps: vec![("db".into(), "rp".into())],
        vars: given_vars(vars.as_object().unwrap()).unwrap(),
        ..TaskChange::default()
    }
}

/// A script that tells of a sum of two: it has state.
fn summing(extra: &str) -> String {
    format!(
        "stream|from().measurement('m')|window().periodCount(3).everyCount(3)|sum('v').as('v'){extra}|alert().id('sum').message('{{{{ index .Fields \"v\" }}}}').crit(lambda: TRUE).topic('out')"
    )
}

const SCRIPT: &str = "stream|from().measurement('m')|log()";
