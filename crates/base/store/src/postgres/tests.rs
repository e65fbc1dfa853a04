#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::time::Duration;

use levada_model::ErrorKind;
use levada_testkit::instance::Instance;
use levada_testkit::services::POSTGRES;
use levada_testkit::wait;
use serde_json::json;

use super::*;
use crate::checkpoint::tests::sample;
use crate::suite::Subject;

const FLOW: &str = "default/cpu";
const AMENDMENT: Amendment<'_> = Amendment { by: "alice", at: 1, action: "reset" };

/// A schema of a test's own, dropped at the end.
pub(crate) struct Schema {
    address: String,
    pub(crate) name: String,
}

impl Schema {
    /// Makes a schema on the shared server; `None`, after saying so, when there is none.
    pub(crate) fn new(test: &str) -> Option<Self> {
        POSTGRES.address(test).map(|address| Self::on(&address, test))
    }

    pub(crate) fn on(address: &str, test: &str) -> Self {
        let test = &test[test.rfind(':').map_or(0, |at| at + 1)..];
        let name = format!("c{}_{}", std::process::id(), &test[..test.len().min(40)]);
        let schema = Self { address: format!("postgres://postgres@{address}/postgres"), name };
        schema.execute(&format!("CREATE SCHEMA {}", schema.name));
        schema
    }

    /// An address at which the tables are in this schema; its connections carry a name.
    pub(crate) fn url(&self, application: &str) -> String {
        let name = &self.name;
        let search = format!("options=-c%20search_path%3D{name}");
        format!("{}?application_name={name}-{application}&{search}", self.address)
    }

    fn store(&self, application: &str) -> PostgresCheckpointStore {
        PostgresCheckpointStore::open(&self.url(application)).unwrap()
    }

    /// Cuts the connections of a store.
    pub(crate) fn cut(&self, application: &str) {
        let name = &self.name;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = '{name}-{application}'"
        ));
    }

    pub(crate) fn execute(&self, statement: &str) {
        execute(&self.address, statement).unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // On a server that is gone there is nothing to drop.
        execute(&self.address, &format!("DROP SCHEMA {} CASCADE", self.name)).ok();
    }
}

fn execute(address: &str, statement: &str) -> Result<(), sqlx::Error> {
    // On a thread of its own, because some tests are inside of a runtime.
    let on_a_thread = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(address).await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
            connection.close().await
        })
    };
    std::thread::scope(|scope| scope.spawn(on_a_thread).join().unwrap())
}

/// Runs a test of the suite.
pub(crate) fn with_a_schema(name: &str, test: fn(&Subject<'_>)) {
    let Some(schema) = Schema::new(name) else { return };
    let store = schema.store("suite");
    test(&Subject { store: &store, last_epoch: i64::MAX as u64, odd: "ünï/../\u{1}", long: 500 });
}

#[test]
fn two_stores_exclude_each_other() {
    let Some(schema) = Schema::new("two_stores_exclude_each_other") else { return };
    let (store, other) = (schema.store("a"), schema.store("b"));
    let lease = store.acquire(FLOW).unwrap();
    store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap();
    for error in [
        other.acquire(FLOW).unwrap_err(),
        other.save(FLOW, &sample(FLOW, 9)).unwrap_err(),
        other.reset(FLOW).unwrap_err(),
        other.amend(FLOW, &AMENDMENT, &|_| Ok(())).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let start = format!("flow `{FLOW}` is already running in process {}", std::process::id());
        assert!(error.to_string().starts_with(&start), "{error}");
    }
    assert_eq!(other.load(FLOW).unwrap().unwrap().checkpoint.epoch, 1, "reading is allowed");
    drop(lease);
    other.save(FLOW, &sample(FLOW, 9)).unwrap();
    assert_eq!(store.acquire(FLOW).unwrap().epoch(), 10);
}

#[test]
fn a_lease_ends_with_the_store_of_a_process_that_is_gone() {
    let test = "a_lease_ends_with_the_store_of_a_process_that_is_gone";
    let Some(schema) = Schema::new(test) else { return };
    let store = schema.store("a");
    let lease = store.acquire(FLOW).unwrap();
    // As when the process is killed: nobody gives the lock back, the connection just ends.
    schema.cut("a");
    let next = schema.store("b").acquire(FLOW).unwrap();
    assert_eq!(next.epoch(), 2);
    let error = store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { offered: 1, stored: 2, .. }), "{error}");
}

#[test]
fn a_lost_connection_is_made_again_and_keeps_the_flow() {
    let test = "a_lost_connection_is_made_again_and_keeps_the_flow";
    let Some(schema) = Schema::new(test) else { return };
    let (store, other) = (schema.store("a"), schema.store("b"));
    let lease = store.acquire(FLOW).unwrap();
    for at in 0..3 {
        schema.cut("a");
        let mut checkpoint = sample(FLOW, lease.epoch());
        checkpoint.set_position("source", "0", json!(at));
        store.save(FLOW, &checkpoint).unwrap();
        assert_eq!(other.load(FLOW).unwrap().unwrap().checkpoint, checkpoint);
        assert!(matches!(other.acquire(FLOW), Err(StoreError::Locked { .. })));
    }
    schema.cut("b");
    assert_eq!(other.list().unwrap().len(), 1, "reading too");
}

#[test]
fn a_server_that_is_down_is_an_error_that_passes() {
    let test = "a_server_that_is_down_is_an_error_that_passes";
    let Some(server) = Instance::start(POSTGRES, &[("PG_FSYNC", "on")], test) else { return };
    let schema = Schema::on(&server.address(), test);
    let store = schema.store("a");
    let lease = store.acquire(FLOW).unwrap();
    let mut checkpoint = sample(FLOW, lease.epoch());
    for round in 0..4 {
        checkpoint.set_position("source", "0", json!(round));
        store.save(FLOW, &checkpoint).unwrap();
        match round % 2 {
            0 => server.stop(),
            _ => server.kill(),
        }
        let error = store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        server.restart();
        let loaded = store.load(FLOW).unwrap().unwrap();
        assert_eq!(loaded.checkpoint, checkpoint, "what was confirmed survives");
    }
    store.save(FLOW, &checkpoint).unwrap();
    let other = schema.store("b").acquire(FLOW);
    assert!(matches!(other, Err(StoreError::Locked { .. })), "the lock was taken again");
}

#[test]
fn a_server_that_never_answers_does_not_keep_anyone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let opened = PostgresCheckpointStore::open(&format!("postgres://u:hunter2@{address}/d"));
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected = format!("cannot make the tables for checkpoints in PostgreSQL at `{address}/d`");
    assert_eq!(error.to_string(), expected);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "no answer within 5 s");
}

#[test]
fn addresses_that_cannot_be_used_are_told_without_the_password() {
    for address in ["mysql://u:hunter2@h/d", "u:hunter2@h", "postgres://u:hunter2@h:port/d"] {
        let error = crate::open(address).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = crate::open(&format!("postgres://u:hunter2@{closed}/d")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_damaged_row_is_an_error_and_can_be_reset() {
    let Some(schema) = Schema::new("a_damaged_row_is_an_error_and_can_be_reset") else { return };
    let store = schema.store("a");
    let name = &schema.name;
    store.save(FLOW, &sample(FLOW, 1)).unwrap();
    schema
        .execute(&format!("UPDATE {name}.levada_checkpoints SET body = replace(body, '42', '43')"));
    let error = store.load(FLOW).unwrap_err();
    assert!(error.to_string().contains("does not match"), "{error}");
    assert!(store.list().unwrap()[0].problem.as_ref().unwrap().contains("does not match"));
    let keeping = store.amend(FLOW, &AMENDMENT, &|sources| {
        sources.insert("source".into(), [("0".into(), json!(1))].into());
        Ok(())
    });
    assert!(matches!(keeping, Err(StoreError::Corrupt { .. })), "{keeping:?}");
    let line = store.amend(FLOW, &AMENDMENT, &|_| Ok(())).unwrap();
    assert_eq!(line.epoch, 2);
    assert!(store.load(FLOW).unwrap().is_none());
    assert!(store.acquire(FLOW).unwrap().epoch() > 2);

    let newer = r#"{"version":7}"#;
    let body =
        format!(r#"{{"crc32c":"{:08x}","checkpoint":{newer}}}"#, crc32c::crc32c(newer.as_bytes()));
    schema.execute(&format!("UPDATE {name}.levada_checkpoints SET body = '{body}'"));
    assert!(matches!(store.load(FLOW), Err(StoreError::UnknownVersion { version: 7, .. })));
}

#[test]
fn a_role_that_may_not_create_needs_the_tables_made() {
    let Some(schema) = Schema::new("a_role_that_may_not_create_needs_the_tables_made") else {
        return;
    };
    let (name, role) = (&schema.name, format!("r{}", std::process::id()));
    schema.execute(&format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {name} TO {role}"));
    let url = schema.url("a").replace("postgres@", &format!("{role}@"));
    let error = PostgresCheckpointStore::open(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error:?}");
    drop(schema.store("owner"));
    let tables =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}");
    schema.execute(&tables);
    let store = PostgresCheckpointStore::open(&url).unwrap();
    let lease = store.acquire(FLOW).unwrap();
    store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap();
    drop(lease);
    store
        .amend(FLOW, &AMENDMENT, &|sources| {
            sources.clear();
            Ok(())
        })
        .unwrap();
    schema.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn it_works_from_inside_of_a_runtime() {
    let Some(schema) = Schema::new("it_works_from_inside_of_a_runtime") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = schema.store("a");
        let lease = store.acquire(FLOW).unwrap();
        store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap();
        drop(lease);
        drop(store);
    });
}

#[test]
fn many_flows_share_few_connections() {
    let Some(schema) = Schema::new("many_flows_share_few_connections") else { return };
    let store = schema.store("a");
    std::thread::scope(|scope| {
        for number in 0..12 {
            let store = &store;
            scope.spawn(move || {
                let flow = format!("default/flow-{number}");
                let lease = store.acquire(&flow).unwrap();
                for _ in 0..10 {
                    store.save(&flow, &sample(&flow, lease.epoch())).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 12);
    // Tables that are made anew while a store is open do not confuse it for long.
    schema.execute(&format!(
        "DROP TABLE {0}.levada_checkpoints, {0}.levada_checkpoint_audit",
        schema.name
    ));
    assert!(store.list().is_err());
    drop(schema.store("b"));
    wait::until("the tables are found again", Duration::from_secs(5), || {
        store.list().is_ok_and(|listed| listed.is_empty())
    });
}

#[test]
fn old_audit_lines_are_forgotten() {
    let Some(schema) = Schema::new("old_audit_lines_are_forgotten") else { return };
    let store = schema.store("a");
    let name = &schema.name;
    for round in 0..3 {
        store
            .amend(FLOW, &AMENDMENT, &|sources| {
                sources.insert("source".into(), [("0".into(), json!(round))].into());
                Ok(())
            })
            .unwrap();
        if round == 0 {
            schema.execute(&format!(
                "INSERT INTO {name}.levada_checkpoint_audit (flow, at, line)
                 SELECT flow, at, line FROM {name}.levada_checkpoint_audit, generate_series(1, 1500)"
            ));
        }
    }
    let lines = store.audit(FLOW).unwrap();
    assert_eq!(lines.len(), 1_000);
    assert_eq!(lines.last().unwrap().epoch, 3);
}

#[test]
fn names_that_cannot_be_are_refused() {
    let Some(schema) = Schema::new("names_that_cannot_be_are_refused") else { return };
    let store = schema.store("a");
    for flow in ["", "a\0b", &"x".repeat(1_025)] {
        assert!(matches!(store.load(flow), Err(StoreError::Invalid { .. })));
        assert!(matches!(store.acquire(flow), Err(StoreError::Invalid { .. })));
    }
    // As long as it may be, and not to be compressed.
    let long: String = (0..256).map(|number| format!("{:04x}", number * 40_503 % 65_521)).collect();
    let lease = store.acquire(&long).unwrap();
    store.save(&long, &sample(&long, lease.epoch())).unwrap();
    let too_high = store.save(&long, &sample(&long, u64::MAX)).unwrap_err();
    assert!(matches!(too_high, StoreError::Invalid { .. }), "{too_high}");
}
