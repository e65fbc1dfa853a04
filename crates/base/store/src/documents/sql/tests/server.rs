//! PostgreSQL: several processes, lost connections, a server that is away.

use std::net::TcpListener;

use futures_util::future::join_all;
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use levada_testkit::instance::Instance;
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::services::POSTGRES;

use super::told;
use crate::documents::sql::connection::Connection;
use crate::documents::sql::dialect::{Dialect as _, Role};
use crate::documents::sql::postgres::Postgres;
use crate::postgres::tests::Schema;
use crate::{Documents as _, Range, SqlDocuments, Write};

async fn opened(address: &str) -> SqlDocuments {
    SqlDocuments::postgres(address, &Tasks::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_change_documents_without_losing_one() {
    let test = "several_processes_change_documents_without_losing_one";
    let Some(schema) = Schema::new(test) else { return };
    let stores = [
        opened(&schema.url("a")).await,
        opened(&schema.url("b")).await,
        opened(&schema.url("c")).await,
    ];
    stores[0].apply(vec![Write::put("s", "count", "0")]).await.unwrap();
    // Each adds 1 to what it read, and tries again when somebody was faster.
    let add = async |documents: &SqlDocuments, turns: u32| {
        let (mut done, mut refused) = (0, 0);
        while done < turns {
            let found = documents.get("s", "count").await.unwrap().unwrap();
            let count: u32 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
            let writes = vec![
                Write::replace("s", "count", found.version, (count + 1).to_string()),
                Write::create("log", format!("{count}"), ""),
            ];
            match documents.apply(writes).await {
                Ok(()) => done += 1,
                Err(error) => {
                    assert_eq!(error.to_string(), "`s/count` was changed by somebody else");
                    refused += 1;
                }
            }
        }
        refused
    };
    let refused = join_all(stores.iter().map(|documents| add(documents, 40))).await;
    assert!(refused.iter().sum::<u32>() > 0, "they did meet: {refused:?}");
    assert_eq!(stores[1].get("s", "count").await.unwrap().unwrap().value, "120");
    assert_eq!(stores[2].list("log", Range::default()).await.unwrap().len(), 120);
}

#[tokio::test]
async fn lost_connections_are_made_again() {
    let Some(schema) = Schema::new("lost_connections_are_made_again") else { return };
    let documents = opened(&schema.url("a")).await;
    for round in 0..4 {
        schema.cut("a");
        let write = Write::create("s", format!("{round}"), "");
        documents.apply(vec![write.clone(), write.clone()]).await.unwrap_err();
        schema.cut("a");
        documents.apply(vec![write]).await.unwrap();
        assert_eq!(documents.list("s", Range::default()).await.unwrap().len(), round + 1);
        schema.cut("a");
        assert_eq!(documents.spaces("").await.unwrap(), ["s"]);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_that_passes() {
    let test = "documents_a_server_that_is_away_is_an_error_that_passes";
    let Some(server) = Instance::start(POSTGRES, &[("PG_FSYNC", "on")], test) else { return };
    let schema = Schema::on(&server.address(), test);
    let documents = opened(&schema.url("a")).await;
    for round in 0..2 {
        documents.apply(vec![Write::put("s", "a", format!("{round}"))]).await.unwrap();
        match round {
            0 => server.stop(),
            _ => server.kill(),
        }
        let together =
            join_all((0..20).map(|_| documents.apply(vec![Write::put("s", "b", "")]))).await;
        for error in together.into_iter().map(Result::unwrap_err).chain([
            documents.get("s", "a").await.unwrap_err(),
            documents.spaces("").await.unwrap_err(),
        ]) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
        server.restart();
        let found = documents.get("s", "a").await.unwrap().unwrap();
        assert_eq!(found.value, round.to_string(), "what was confirmed survives");
        documents.apply(vec![Write::put("s", "c", "")]).await.unwrap();
    }
}

/// The connection is cut after each number of bytes that the server sent: also between a commit and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_any_byte_does_a_change_exactly_once() {
    let test = "a_cut_at_any_byte_does_a_change_exactly_once";
    let Some(server) = POSTGRES.address(test) else { return };
    let proxy = Proxy::start(&server);
    let schema = Schema::on(&proxy.address(), test);
    let documents = opened(&schema.url("a")).await;
    let made = proxy.accepted();
    let mut cut = 0;
    for bytes in (0..700).step_by(9) {
        // With a connection that is alive, for a former cut may have come behind the last answer.
        documents.apply(vec![Write::put("s", "alive", "")]).await.unwrap();
        let before = proxy.accepted();
        proxy.cut_after(bytes);
        let key = format!("{bytes}");
        documents
            .apply(vec![Write::create("s", &*key, ""), Write::put("t", &*key, "")])
            .await
            .unwrap();
        cut += u32::from(proxy.accepted() > before);
        // What was not used up must not cut the look at the outcome.
        proxy.cut_after(u32::MAX);
        assert!(documents.get("s", &key).await.unwrap().is_some(), "{bytes}");
    }
    assert!(cut > 10 && proxy.accepted() > made, "{cut}");
    assert_eq!(documents.list("t", Range::default()).await.unwrap().len(), 78);
    documents.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_keeps_nobody_for_ever() {
    let test = "a_network_that_swallows_everything_keeps_nobody_for_ever";
    let Some(server) = POSTGRES.address(test) else { return };
    let proxy = Proxy::start(&server);
    let schema = Schema::on(&proxy.address(), test);
    let documents = opened(&schema.url("a")).await;
    documents.apply(vec![Write::put("s", "a", "1")]).await.unwrap();
    documents.get("s", "a").await.unwrap();
    proxy.set(Link::Hold);
    let (changed, read) =
        tokio::join!(documents.apply(vec![Write::put("s", "a", "2")]), documents.get("s", "a"));
    for error in [changed.unwrap_err(), read.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(told(&error).contains("no answer"), "{}", told(&error));
    }
    proxy.set(Link::Forward);
    documents.apply(vec![Write::put("s", "a", "3")]).await.unwrap();
    assert_eq!(documents.get("s", "a").await.unwrap().unwrap().value, "3");
}

#[tokio::test]
async fn how_a_transaction_ended_can_be_found_out() {
    let Some(schema) = Schema::new("how_a_transaction_ended_can_be_found_out") else { return };
    let address = schema.url("a");
    drop(opened(&address).await);
    let postgres = Postgres::new(&address).unwrap();
    for (end, expected) in [("COMMIT", Some(true)), ("ROLLBACK", Some(false)), ("SELECT 1", None)] {
        let mut connection: Connection = postgres.connect(Role::Write).await.unwrap();
        let statements = postgres.statements();
        connection.execute(statements.begin, &[]).await.unwrap();
        let (_, transaction): (i64, i64) =
            connection.fetch_one(statements.version, &[]).await.unwrap();
        connection
            .script("UPDATE levada_documents_version SET version = version + 1")
            .await
            .unwrap();
        connection.script(end).await.unwrap();
        assert_eq!(postgres.was_committed(transaction).await, expected, "{end}");
    }
}

#[tokio::test]
async fn a_writer_that_hangs_keeps_others_only_for_a_while() {
    let Some(schema) = Schema::new("a_writer_that_hangs_keeps_others_only_for_a_while") else {
        return;
    };
    let address = schema.url("a");
    let documents = opened(&address).await;
    let postgres = Postgres::new(&address).unwrap();
    let mut connection = postgres.connect(Role::Write).await.unwrap();
    connection
        .script("BEGIN; SELECT version FROM levada_documents_version FOR UPDATE")
        .await
        .unwrap();
    let (outcome, found) =
        tokio::join!(documents.apply(vec![Write::put("s", "a", "")]), documents.get("s", "a"));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(told(&error).contains("lock timeout"), "{}", told(&error));
    assert_eq!(found.unwrap(), None, "reading does not wait");
    connection.script("COMMIT").await.unwrap();
    documents.apply(vec![Write::put("s", "a", "")]).await.unwrap();
}

#[tokio::test]
async fn errors_hold_no_password() {
    let tasks = Tasks::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, kind) in [
        (format!("postgres://u:hunter2@{closed}/d"), ErrorKind::Unavailable),
        ("postgres://u:hunter2@h:port/d".into(), ErrorKind::Invalid),
    ] {
        let error = crate::open_documents(&address, &tasks).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let postgres = Postgres::new("postgres://u:hunter2@h/d").unwrap();
    assert!(!format!("{postgres:?} {}", postgres.describe()).contains("hunter2"));
    let refused = postgres.backup(std::path::Path::new("copy"), &tasks).await.unwrap_err();
    assert!(refused.reason.contains("pg_dump"), "{}", refused.reason);
}

#[tokio::test]
async fn a_role_that_may_not_create_needs_the_tables_made() {
    let Some(schema) = Schema::new("documents_a_role_that_may_not_create") else { return };
    let (name, role) = (&schema.name, format!("d{}", std::process::id()));
    schema.execute(&format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {name} TO {role}"));
    let url = schema.url("a").replace("postgres@", &format!("{role}@"));
    let error = SqlDocuments::postgres(&url, &Tasks::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error:?}");
    drop(opened(&schema.url("owner")).await);
    schema.execute(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}"
    ));
    opened(&url).await.apply(vec![Write::put("s", "a", "")]).await.unwrap();
    schema.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn a_database_that_cannot_hold_all_names_is_refused() {
    let test = "a_database_that_cannot_hold_all_names_is_refused";
    let Some(schema) = Schema::new(test) else { return };
    let name = format!("{}_ascii", schema.name);
    schema.execute(&format!(
        "CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ));
    let address = schema.url("a").replace("/postgres?", &format!("/{name}?"));
    let opened = SqlDocuments::postgres(&address, &Tasks::new()).await;
    let gone = format!("DROP DATABASE {name} WITH (FORCE)");
    schema.execute(&gone);
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(told(&error).contains("its encoding is SQL_ASCII"), "{}", told(&error));
}
