//! Transactions on the embedded store, through the whole engine.

use std::path::PathBuf;

use gristmill::client::{AwaitError, CancelOutcome};
use gristmill::record::State;
use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
use gristmill::{App, Context, Error, Result, task};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{on_file, within};

/// Where the application's own table is: the file that holds gristmill's, too.
#[derive(Clone)]
struct Bank {
    file: PathBuf,
}

impl Bank {
    fn open(&self) -> Connection {
        let db = Connection::open(&self.file).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        db.execute_batch("CREATE TABLE IF NOT EXISTS entry (cents INTEGER NOT NULL)").unwrap();
        db
    }

    fn cents(&self) -> Vec<i64> {
        let db = self.open();
        let mut statement = db.prepare("SELECT cents FROM entry ORDER BY rowid").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|cents| cents.unwrap()).collect()
    }
}

#[task(name = "book", max_attempts = 2, backoff = fixed("0s"))]
async fn book(cx: &Context<Bank>, cents: i64) -> Result<i64> {
    cx.transaction(cx.sqlite()?, async |db| {
        cx.log(format!("booking {cents}"));
        db.execute("INSERT INTO entry VALUES (?1)", [cents])?;
        if cents < 0 {
            return Err(Error::retry("no debts"));
        }
        Ok(cents)
    })
    .await
}

#[task(name = "book.anyway", max_attempts = 2, backoff = fixed("0s"), on_error = commit)]
fn book_anyway(cx: &Context<Bank>, cents: i64, when: Option<PathBuf>) -> Result<i64> {
    while when.as_ref().is_some_and(|file| !file.exists()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    cx.block_on(cx.transaction(cx.sqlite()?, async |db| {
        db.execute("INSERT INTO entry VALUES (?1)", [cents])?;
        match cents {
            ..0 => Err(Error::retry("no debts")),
            0 => panic!("no money"),
            99 => Ok(db.execute_batch("ROLLBACK").map(|()| cents)?),
            _ => Ok(cents),
        }
    }))
}

#[task(name = "book.own", max_attempts = 1)]
fn book_own(cx: &Context<Bank>, cents: i64, commit: bool) -> Result<i64> {
    let mut db = cx.state.open();
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO entry VALUES (?1)", [cents])?;
    cx.settle_in(&tx, &cents).run()?;
    if commit {
        tx.commit()?;
        Ok(cents)
    } else {
        tx.rollback()?;
        Err(Error::fail("thought better of it"))
    }
}

async fn bank(folder: &TempDir) -> (Bank, gristmill::Client) {
    let bank = Bank { file: folder.path().join("test.db") };
    let client = on_file(App::new(bank.clone()).register::<Book>().register::<BookAnyway>().register::<BookOwn>(), folder).await;
    bank.open();
    (bank, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueue_commits_and_rolls_back_with_the_callers_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let mut db = bank.open();
    let mut handles = Vec::new();
    for commit in [true, false] {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        tx.execute("INSERT INTO entry VALUES (1)", []).unwrap();
        handles.push(client.enqueue(Book { cents: 2 }).within(&tx).run().unwrap());
        handles.push(client.enqueue(Book { cents: 3 }).priority(9).within(&tx).run().unwrap());
        if commit { tx.commit().unwrap() } else { tx.rollback().unwrap() }
    }
    within(handles[0].result()).await.unwrap();
    within(handles[1].result()).await.unwrap();
    assert!(matches!(handles[2].result().await, Err(AwaitError::NotKept { .. })));
    assert!(handles[3].status().await.unwrap().is_none());
    worker.stop().await;
    // The two tasks may run side by side.
    let mut cents = bank.cents();
    cents.sort_unstable();
    assert_eq!(cents, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn effect_and_settlement_commit_together_and_failures_show_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let good = client.enqueue(Book { cents: 5 }).await.unwrap();
    assert_eq!(within(good.result()).await.unwrap(), 5);
    let bad = client.enqueue(Book { cents: -5 }).await.unwrap();
    let failed = within(bad.ended()).await.unwrap();
    assert_eq!((failed.state, failed.attempt, failed.error.unwrap().message.as_str()), (State::Failed, 2, "no debts"));
    let report = worker.stop().await;
    assert_eq!((report.succeeded, report.leases_lost), (1, 0), "{report}");
    assert_eq!(bank.cents(), [5], "what failed was rolled back, both times");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_logged_survives_the_rollback_of_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let bad = client.enqueue(Book { cents: -5 }).await.unwrap();
    within(bad.ended()).await.unwrap();
    worker.stop().await;
    assert_eq!(bank.cents(), [0; 0]);
    let task = bad.status().await.unwrap().unwrap();
    assert_eq!(task.attempts.iter().map(|row| row.logs.as_deref()).collect::<Vec<_>>(), [Some("booking -5\n"); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_settles_in_a_transaction_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let kept = client.enqueue(BookOwn { cents: 7, commit: true }).await.unwrap();
    assert_eq!(within(kept.result()).await.unwrap(), 7);
    let dropped = client.enqueue(BookOwn { cents: 8, commit: false }).await.unwrap();
    assert_eq!(within(dropped.ended()).await.unwrap().state, State::Failed, "rolled back, so what it returned counts");
    let report = worker.stop().await;
    assert_eq!((report.succeeded, report.failed, report.leases_lost), (1, 1, 0), "{report}");
    assert_eq!(bank.cents(), [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_attempt_wrote_is_kept_where_its_type_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let bad = client.enqueue(BookAnyway { cents: -5, when: None }).await.unwrap();
    let failed = within(bad.ended()).await.unwrap();
    assert_eq!((failed.state, failed.attempt, failed.error.unwrap().message.as_str()), (State::Failed, 2, "no debts"));
    assert_eq!(bank.cents(), [-5, -5], "of both attempts");
    let panicked = client.enqueue(BookAnyway { cents: 0, when: None }).await.unwrap();
    assert_eq!(within(panicked.ended()).await.unwrap().state, State::Failed);
    let good = client.enqueue(BookAnyway { cents: 5, when: None }).await.unwrap();
    assert_eq!(within(good.result()).await.unwrap(), 5);
    let early = client.enqueue(BookAnyway { cents: 99, when: None }).await.unwrap();
    let failed = within(early.ended()).await.unwrap();
    assert!(failed.error.unwrap().message.contains("ended before its time"), "not settled without its effect");
    worker.stop().await;
    assert!(client.call(BookAnyway { cents: -7, when: None }).await.is_err());
    assert_eq!(bank.cents(), [-5, -5, 5, -7], "nothing of a panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_the_task_commits_nothing_even_then() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    for cents in [3, -3] {
        let go = folder.path().join(format!("go{cents}"));
        let stale = client.worker().queue("default", 1).start().await.unwrap();
        let handle = client.enqueue(BookAnyway { cents, when: Some(go.clone()) }).max_attempts(1).await.unwrap();
        let until = async |attempt| {
            within(async {
                while handle.status().await.unwrap().unwrap().attempt != attempt {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        };
        until(1).await;
        bank.open().execute("UPDATE gristmill_worker SET expires_at = 0, lost = 1", []).unwrap();
        let other = client.worker().queue("default", 1).start().await.unwrap();
        until(2).await;
        std::fs::write(&go, "").unwrap();
        let ended = within(handle.ended()).await.unwrap();
        assert_eq!(ended.state, if cents > 0 { State::Succeeded } else { State::Failed });
        stale.stop().await;
        other.stop().await;
    }
    assert_eq!(bank.cents(), [3, -3], "once each, by the worker that had it");
}

#[task(name = "own")]
async fn own() -> Result<()> {
    Ok(())
}

/// Nothing would be written any more: a service manager has to start the program anew, which it does when it ends.
#[tokio::test]
async fn a_worker_and_a_beat_whose_file_is_gone_end_with_why() {
    let folder = tempfile::tempdir().unwrap();
    let (_, client) = bank(&folder).await;
    let beat = client.beat().await.unwrap();
    let running = client.worker().queue("default", 1);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let error = within(running.run()).await.unwrap_err();
    assert!(error.to_string().contains("removed or replaced while it was open"), "{error}");
    let error = within(beat.ended()).await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("removed or replaced"), "{error}");

    let (_, client) = bank(&folder).await;
    let running = client.worker().queue("default", 1).start().await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let report = within(running.ended()).await;
    assert!(report.store_error.as_ref().is_some_and(|why| why.contains("removed or replaced")), "{report:?}");
}

#[tokio::test]
async fn a_client_knows_what_other_programs_declared() {
    let folder = tempfile::tempdir().unwrap();
    let (_, owner) = bank(&folder).await;
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let client = App::new(()).connect_to_enqueue(&url).await.unwrap();
    let refused = client.enqueue_named("book", json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("args/cents"), "{refused}");
    let unknown = client.enqueue_named("bok", json!({})).await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean book"), "{unknown}");
    let handle = client.enqueue_named("book", json!({"cents": 2})).await.unwrap();
    // What it only enqueues is not its to run, and not its to fail.
    let refused = client.worker().queue("default", 4).start().await.unwrap_err();
    assert!(refused.to_string().contains("only enqueues"), "{refused}");
    let both = App::new(()).register::<Own>().connect_to_enqueue(&url).await.unwrap();
    let own = both.enqueue(Own {}).await.unwrap();
    let worker = both.worker().queue("default", 4).start().await.unwrap();
    within(own.result()).await.unwrap();
    worker.stop().await;
    assert_eq!(client.tasks().get(handle.id()).await.unwrap().unwrap().state, State::Ready);
    let worker = owner.worker().start().await.unwrap();
    assert_eq!(within(handle.result()).await.unwrap(), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_commits_and_rolls_back_with_the_callers_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let handles = [1, 2].map(|cents| client.enqueue(Book { cents }));
    let [kept, dropped] = handles;
    let (kept, dropped) = (kept.await.unwrap(), dropped.await.unwrap());
    let mut db = bank.open();
    for (handle, commit) in [(&kept, false), (&dropped, true)] {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        assert_eq!(client.tasks().cancel(handle.id()).within(&tx).run().unwrap(), CancelOutcome::Cancelled);
        assert_eq!(
            client.tasks().cancel(handle.id()).within(&tx).run().unwrap(),
            CancelOutcome::AlreadyEnded,
            "as the transaction sees it"
        );
        tx.execute("INSERT INTO entry VALUES (100)", []).unwrap();
        if commit { tx.commit().unwrap() } else { tx.rollback().unwrap() }
    }
    let nobody = gristmill::core::Env::system().task_id();
    assert_eq!(client.tasks().cancel(nobody).within(&db).run().unwrap(), CancelOutcome::NotFound);
    assert_eq!(within(dropped.ended()).await.unwrap().state, State::Cancelled);
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    assert_eq!(within(kept.result()).await.unwrap(), 1);
    worker.stop().await;
    assert_eq!(bank.cents(), [100, 1]);

    let elsewhere = crate::support::in_memory(App::new(bank)).await;
    let error = elsewhere.tasks().cancel(nobody).within(&db).run().unwrap_err().to_string();
    assert!(error.contains("not SQLite"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_all_in_the_transaction_or_the_first_refusal_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, client) = bank(&folder).await;
    let mut db = bank.open();
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let bad = client.enqueue_many((0..3u8).map(|n| client.enqueue(Book { cents: 1 }).priority(8 + n))).within(&tx).run();
    assert!(bad.unwrap_err().to_string().contains("priority"));
    let count = gristmill::core::limits::BATCH_TASKS_MAX + 1;
    let handles = client.enqueue_many((0..count).map(|_| client.enqueue(Book { cents: 1 }))).within(&tx).await.unwrap();
    assert_eq!(handles.len(), count);
    assert!(handles[0].status().await.unwrap().is_none(), "not before the commit");
    tx.commit().unwrap();
    client.nudge();
    assert_eq!(client.queues().list().await.unwrap()[0].ready, count as u64);
}

/// Many large tasks are several commits, so that a file that can't take all keeps what was committed before.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_tasks_are_committed_in_parts() {
    const LARGE: usize = 250_000;
    let folder = tempfile::tempdir().unwrap();
    // Room for 16 MiB of them, and not for 20 million bytes.
    let url = format!("sqlite:{}?max_pages=4700", folder.path().join("small.db").display());
    let client = App::new(()).connect(&url).await.unwrap();
    let args = serde_json::json!({"text": "x".repeat(LARGE)});
    let answers = client.enqueue_many((0..80).map(|_| client.enqueue_named("large", args.clone()).force(true))).await;
    let kept = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert_eq!(kept, gristmill::core::limits::BATCH_BYTES_MAX.div_ceil(args.to_string().len()));
    assert!(answers[kept..].iter().all(Result::is_err));
}
