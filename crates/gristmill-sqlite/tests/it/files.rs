use std::time::Duration;

use gristmill_core::{Ending, Env, Overrides, Retention, Settlement, Severity, Source, Store, StoreErrorKind};
use gristmill_sqlite::SqliteStore;

use crate::common::{Fixture, succeed, task, url};

fn refusal(url: &str) -> gristmill_core::StoreError {
    SqliteStore::connect(url, Env::system()).map(drop).unwrap_err()
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = "just some notes, long enough to be mistaken for a header\n".repeat(200);
    std::fs::write(dir.path().join("gristmill.db"), &text).unwrap();
    let error = refusal(&url(dir.path(), ""));
    assert_eq!(error.kind(), StoreErrorKind::NotOurs, "{error}");
    assert!(error.to_string().contains("gristmill.db"), "{error}");
    assert_eq!(std::fs::read_to_string(dir.path().join("gristmill.db")).unwrap(), text);
}

#[test]
fn places_where_no_file_can_be_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = refusal(&format!("sqlite:{}", dir.path().display()));
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains("is a directory"), "{error}");
    let error = refusal(&format!("sqlite:{}/none/app.db", dir.path().display()));
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains("directory has to exist"), "{error}");
    let error = refusal(&url(dir.path(), "create=false"));
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(!dir.path().join("gristmill.db").exists());
}

#[test]
fn a_damaged_file_is_refused_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    SqliteStore::connect(&url(dir.path(), ""), Env::system()).unwrap().close();
    let path = dir.path().join("gristmill.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The schema's page, behind the file header.
    bytes[100..4096].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(&url(dir.path(), ""));
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("backup"), "{error}");
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_an_error_and_not_a_hang() {
    let fixture = Fixture::with("busy_timeout=50ms");
    let other = fixture.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mail = fixture.task("mail");
    let error = fixture.store.enqueue(vec![mail.clone()]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy);
    assert!(error.is_transient() && error.to_string().contains("another connection"), "{error}");
    assert_eq!(fixture.state(&mail).await, None, "an error is not an acknowledgement, and nothing was kept");
    other.execute_batch("ROLLBACK").unwrap();
    fixture.store.enqueue(vec![mail]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_recovers() {
    let fixture = Fixture::with("max_pages=86");
    let big = |env: &Env| {
        let mut big = task(env, "mail", Overrides { retention: Some(Retention::None), ..Overrides::default() });
        big.args = format!(r#"{{"text":"{}"}}"#, "x".repeat(20_000));
        big
    };
    let mut kept = Vec::new();
    let refused = loop {
        assert!(kept.len() < 1_000, "the limit of pages does not hold");
        let task = big(&fixture.env);
        match fixture.store.enqueue(vec![task.clone()]).await {
            Ok(_) => kept.push(task),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full, "{error:?}");
                assert!(error.is_transient());
                break task;
            }
        }
    };
    assert_eq!(fixture.state(&refused).await, None);
    for task in &kept {
        assert!(fixture.state(task).await.is_some(), "an acknowledged task is lost");
    }
    // Space returns: another process works some of it off.
    let other = fixture.again("");
    let worker = crate::common::enter(&other, &fixture.env, &["mail"]).await;
    let claimed = crate::common::claim(&other, &fixture.env, worker, 5).await;
    succeed(&other, &claimed).await;
    fixture.store.enqueue(vec![refused.clone()]).await.unwrap();
    assert!(fixture.state(&refused).await.is_some());
}

#[tokio::test]
async fn what_fits_is_kept_though_its_neighbours_do_not() {
    let fixture = Fixture::with("max_pages=100");
    let mut big = fixture.task("mail");
    big.args = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    let small = fixture.task("mail");
    // Held back so that both are in one group.
    let blocker = fixture.raw();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large = fixture.store.enqueue(vec![big.clone()]);
    let little = fixture.store.enqueue(vec![small.clone()]);
    let release = async {
        tokio::task::yield_now().await;
        blocker.execute_batch("ROLLBACK").unwrap();
    };
    let (large, little, ()) = tokio::join!(large, little, release);
    assert_eq!(large.unwrap_err().kind(), StoreErrorKind::Full);
    little.unwrap();
    assert_eq!(fixture.state(&big).await, None);
    assert!(fixture.state(&small).await.is_some());
}

#[tokio::test]
async fn a_closed_store_says_so_and_its_file_is_whole() {
    let fixture = Fixture::new();
    let mail = fixture.task("mail");
    fixture.store.enqueue(vec![mail.clone()]).await.unwrap();
    fixture.store.close();
    assert_eq!(fixture.store.enqueue(vec![mail.clone()]).await.unwrap_err().kind(), StoreErrorKind::Closed);
    let error = fixture.store.get(mail.id).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Closed && error.is_final(), "{error}");
    // All of it is in the main file: a copy of that alone is a backup.
    let wal = std::fs::metadata(fixture.dir.path().join("gristmill.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(wal, 0);
    assert!(fixture.again("").get(mail.id).await.unwrap().is_some());
}

#[tokio::test]
async fn check_names_what_is_wrong_and_how_to_mend_it() {
    let fixture = Fixture::with("synchronous=normal");
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail"), fixture.task("mail")]).await.unwrap();
    assert_eq!(fixture.claim(worker, 1).await.len(), 1);
    let bad = |findings: &[gristmill_core::Finding]| -> Vec<String> {
        let bad = findings.iter().filter(|finding| finding.severity > gristmill_core::Severity::Ok);
        bad.inspect(|finding| assert!(!finding.hint.is_empty(), "{finding:?}")).map(|finding| finding.code.clone()).collect()
    };
    assert_eq!(bad(&fixture.store.check().await.unwrap()), ["synchronous"]);
    fixture.clock.advance(Duration::from_secs(60));
    let raw = fixture.raw();
    raw.execute_batch(
        "INSERT INTO gristmill_scheduled SELECT seq, 0, queue, 0, 0, 0, 0 FROM gristmill_lease;
         INSERT INTO gristmill_lease SELECT 999, mark, worker, queue, 1, 1, 0, 1, 0, 0, 0, 0, 0 FROM gristmill_lease;
         INSERT INTO gristmill_aside(seq, at, reason, row) VALUES (5, 0, 'torn', '{}');",
    )
    .unwrap();
    let codes = bad(&fixture.store.check().await.unwrap());
    assert_eq!(codes, ["orphan_lease", "lost_lease", "overlap", "unserved", "overdue", "aside", "synchronous"]);
}

/// A task that was tried while the clock was ahead is to be tried again as much later, whenever it was enqueued.
#[tokio::test]
async fn check_finds_what_was_put_off_while_the_clock_was_ahead() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let now = fixture.env.now();
    let ahead = async || {
        let findings = fixture.store.check().await.unwrap();
        let finding = findings.into_iter().find(|finding| finding.code == "clock_ahead").unwrap();
        (finding.severity, finding.message)
    };
    let later = Overrides { delay: Some(Duration::from_secs(1_000_000)), ..Overrides::default() };
    fixture.store.enqueue(vec![fixture.task("mail"), task(&fixture.env, "mail", later.clone())]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    assert_eq!(ahead().await.0, Severity::Ok, "one that is to run much later is in order");
    fixture.clock.set(now.saturating_add(Duration::from_secs(4 * 365 * 86_400)));
    let retry = Settlement::new(claimed[0].lease, Ending::Retry { delay: Duration::from_secs(1) });
    fixture.store.settle(vec![retry]).await.unwrap();
    fixture.store.enqueue(vec![task(&fixture.env, "mail", later)]).await.unwrap();
    fixture.clock.set(now);
    let (severity, message) = ahead().await;
    assert!(severity == Severity::Warning && message.starts_with("2 scheduled tasks"), "{message}");
    fixture.store.release(&[claimed[0].lease.id]).await.unwrap();
    assert!(ahead().await.1.starts_with("1 scheduled"), "{:?}", ahead().await);
}

/// Removes a database from under those who have it open.
fn remove(dir: &std::path::Path) {
    for name in ["gristmill.db", "gristmill.db-wal", "gristmill.db-shm"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() {
    let fixture = Fixture::new();
    let refused = |error: gristmill_core::StoreError| {
        assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
        assert!(error.is_lasting() && error.to_string().contains("removed or replaced while it was open"), "{error}");
    };
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    remove(fixture.dir.path());
    refused(fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap_err());
    refused(fixture.store.queues().await.unwrap_err());
    refused(fixture.store.transaction(|_| Ok::<_, gristmill_core::StoreError>(())).unwrap_err());
    assert!(!fixture.store.path().exists(), "a new file was made in the place of the old one");

    // Another one in its place is not it either, and is left as it is.
    let other = fixture.again("");
    let mail = fixture.task("mail");
    other.enqueue(vec![mail.clone()]).await.unwrap();
    refused(fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap_err());
    fixture.store.close();
    assert_eq!(other.queues().await.unwrap()[0].ready, 1);
    other.close();
    assert!(fixture.again("").get(mail.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_goes_while_a_transaction_is_open_is_not_acknowledged() {
    let fixture = Fixture::new();
    let done = fixture.store.transaction(|conn| {
        use gristmill_core::Within;
        conn.insert(&*fixture.store, vec![fixture.task("mail")]).into_inner()?;
        remove(fixture.dir.path());
        Ok::<_, gristmill_core::StoreError>(())
    });
    assert_eq!(done.unwrap_err().kind(), StoreErrorKind::Unreachable);
}

#[tokio::test]
async fn a_file_that_comes_back_is_used_again() {
    let fixture = Fixture::new();
    let (path, away) = (fixture.store.path().to_owned(), fixture.dir.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap_err();
    std::fs::rename(&away, &path).unwrap();
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
}

#[tokio::test]
async fn check_tries_to_write() {
    let of =
        |findings: Vec<gristmill_core::Finding>, code: &str| findings.into_iter().find(|finding| finding.code == code).unwrap();
    let fixture = Fixture::new();
    let finding = of(fixture.store.check().await.unwrap(), "write");
    assert_eq!(finding.severity, gristmill_core::Severity::Ok, "{finding:?}");
    let aside: i64 = fixture.raw().query_row("SELECT count(*) FROM gristmill_aside", [], |row| row.get(0)).unwrap();
    assert_eq!(aside, 0, "it was rolled back");
    assert!(of(fixture.store.check().await.unwrap(), "disk").message.contains("MiB"));

    let pages: i64 = fixture.raw().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let full = fixture.again(&format!("max_pages={pages}"));
    let finding = of(full.check().await.unwrap(), "write");
    assert_eq!(finding.severity, gristmill_core::Severity::Error);
    assert!(finding.message.contains("no space is left"), "{finding:?}");

    // Opened before, as opening asks for the lock, too.
    let hasty = fixture.again("busy_timeout=50ms");
    let blocker = fixture.raw();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let finding = of(hasty.check().await.unwrap(), "write");
    assert_eq!(finding.severity, gristmill_core::Severity::Warning);
}
