use std::sync::Barrier;

use gristmill_core::kit::migrate::Effect;
use gristmill_core::{Env, Schedules, Store, StoreErrorKind};
use gristmill_sqlite::{SqliteStore, migrate, migration_status};
use rusqlite::Connection;

use crate::common::{Fixture, url};

fn refusal(url: &str) -> gristmill_core::StoreError {
    SqliteStore::connect(url, Env::system()).map(drop).unwrap_err()
}

#[test]
fn the_status_of_a_file_that_is_not_there_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let status = migration_status(&url(dir.path(), "")).unwrap();
    assert!(!status.is_empty() && status.iter().all(|migration| migration.applied_at.is_none()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let status = migrate(&url(dir.path(), "")).unwrap();
    assert!(status.iter().all(|migration| migration.applied_at.is_some()));
    assert_eq!(migrate(&url(dir.path(), "")).unwrap(), status, "a second run changes nothing");
    assert_eq!(migration_status(&url(dir.path(), "")).unwrap(), status);
}

#[test]
fn many_may_migrate_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let url = url(dir.path(), "");
    let start = Barrier::new(6);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    SqliteStore::connect(&url, Env::system()).map(|store| store.location())
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
    let count = "SELECT (SELECT count(*) FROM gristmill_migration) + (SELECT count(*) FROM gristmill_addition)";
    let applied: i64 = Connection::open(dir.path().join("gristmill.db")).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(applied as usize, migration_status(&url).unwrap().len());
}

#[test]
fn a_database_of_somebody_else_is_adopted_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = Connection::open(dir.path().join("gristmill.db")).unwrap();
    theirs.execute_batch("CREATE TABLE customer(name); INSERT INTO customer VALUES ('ann')").unwrap();
    let error = refusal(&url(dir.path(), ""));
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
    assert!(error.to_string().contains("adopt=true"), "{error}");
    let tables = |conn: &Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(tables(&theirs), 1, "a refusal changes nothing");
    let mode: String = theirs.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "a refusal changes nothing");
    SqliteStore::connect(&url(dir.path(), "adopt=true"), Env::system()).unwrap();
    assert!(tables(&theirs) > 1);
    let name: String = theirs.query_row("SELECT name FROM customer", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "ann");
    // Once ours are in it, it is ours without saying so.
    SqliteStore::connect(&url(dir.path(), ""), Env::system()).unwrap();
}

#[test]
fn a_newer_file_and_a_tampered_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let url = url(dir.path(), "");
    migrate(&url).unwrap();
    let conn = Connection::open(dir.path().join("gristmill.db")).unwrap();
    conn.execute("INSERT INTO gristmill_migration VALUES (900, 'sharding', 'x', 0)", []).unwrap();
    let error = refusal(&url);
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("900 (sharding)"), "{error}");
    conn.execute("DELETE FROM gristmill_migration WHERE number = 900", []).unwrap();
    conn.execute("INSERT INTO gristmill_addition VALUES (900, 'weights', 'x', 0)", []).unwrap();
    SqliteStore::connect(&url, Env::system()).expect("what a newer version only added is no hindrance");
    let newest = migration_status(&url).unwrap().pop().unwrap();
    assert_eq!((newest.effect, newest.number, newest.name.as_str()), (Effect::Adds, 900, "weights"));
    conn.execute("UPDATE gristmill_migration SET checksum = 'x' WHERE number = 1", []).unwrap();
    let error = refusal(&url);
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(error.to_string().contains("checksum x"), "{error}");
}

#[test]
fn tables_that_only_have_our_name_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join("gristmill.db")).unwrap().execute_batch("CREATE TABLE gristmill_task(x)").unwrap();
    for options in ["", "adopt=true"] {
        let error = refusal(&url(dir.path(), options));
        assert_eq!(error.kind(), StoreErrorKind::NotOurs, "{error}");
        assert!(error.to_string().len() < 400 && !error.to_string().contains("CREATE"), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_gets_what_it_lacks_and_loses_nothing() {
    let fixture = Fixture::new();
    let task = fixture.task("mail");
    fixture.store.enqueue(vec![task.clone()]).await.unwrap();
    fixture.store.close();
    let later =
        "DROP TABLE gristmill_schedule; DROP TABLE gristmill_revision; DROP TABLE gristmill_tick; DROP TABLE gristmill_beat;
                 DELETE FROM gristmill_migration WHERE number > 1";
    fixture.raw().execute_batch(later).unwrap();
    let store = fixture.again("");
    assert!(store.get(task.id).await.unwrap().is_some());
    assert_eq!(store.schedules(None, None, 10).await.unwrap(), []);
}
