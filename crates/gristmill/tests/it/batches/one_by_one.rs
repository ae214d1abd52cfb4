//! Each task of a call has an end of its own.

use super::*;

use gristmill::client::CallError;
use gristmill::error::FailureReason;
use gristmill::middleware::{Middleware, Next};
use gristmill::record::Filter;
use gristmill::testing::Harness;

use crate::support::in_memory;

async fn drain(client: &Client) -> gristmill::worker::ExitReport {
    within(client.worker().queue("default", 1).drain(true).start().await.unwrap().ended()).await
}

#[tokio::test]
async fn a_bad_one_holds_up_nobody() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let all = write(&client, &["a", "fails", "retries", "snoozes", "cancels", "sleeps", "b"]).await;
    let report = drain(&client).await;
    assert_eq!(calls(&probe)[0], "a fails retries snoozes cancels sleeps b", "{:?}", probe.seen());
    let mut ends = Vec::new();
    for handle in &all {
        ends.push(end(handle).await);
    }
    let ok = |of: &str| (State::Succeeded, 1, format!("\"wrote {of}\""));
    assert_eq!((&ends[0], &ends[6]), (&ok("a"), &ok("b")));
    assert_eq!(ends[1], (State::Failed, 1, "a bad one".to_owned()));
    assert_eq!((ends[2].0, ends[2].1, ends[3].0), (State::Succeeded, 2, State::Succeeded));
    assert_eq!(ends[4], (State::Cancelled, 1, "nobody wants it".to_owned()));
    // A task can't wait while the others go on.
    assert_eq!(ends[5].0, State::Failed);
    assert!(ends[5].2.contains("asked for in a batch") && ends[5].2.contains("enqueue a task that does"), "{:?}", ends[5]);
    assert_eq!((report.claimed, report.leases_lost, report.abandoned.len()), (9 + 4, 0, 0), "{report}");

    // What one enqueues is kept with its own success, and its log is its own.
    let children =
        client.tasks().list(&Filter { kind: Some("log.index".to_owned()), ..Filter::default() }, None, 100).await.unwrap().items;
    assert_eq!(children.len(), 4, "{children:?}");
    let record = all[1].status().await.unwrap().unwrap();
    assert_eq!(record.attempts[0].logs.as_deref(), Some("wrote fails\n"));
}

#[tokio::test]
async fn an_error_of_the_call_is_that_of_all_and_so_is_a_panic_or_a_list_of_a_wrong_length() {
    for (how, says) in [
        ("breaks", "the database is away"),
        ("panics", "panicked: in the middle"),
        ("is left out", "the batch has 3 tasks, and its handler gave 2 results"),
    ] {
        let probe = Probe::default();
        let client = in_memory(app(&probe)).await;
        let all = write(&client, &["a", how, "b"]).await;
        drain(&client).await;
        for handle in &all {
            let record = within(handle.ended()).await.unwrap();
            let first = record.attempts[0].error.as_ref().unwrap();
            assert!(first.message.contains(says), "{how}: {first:?}");
            let state = if how == "is left out" { State::Failed } else { State::Succeeded };
            assert_eq!((record.state, record.attempts.len()), (state, 2), "{how}");
        }
        let calls = calls(&probe);
        assert_eq!(calls[0], format!("a {how} b"));
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_fail_alone_and_never_come_to_the_handler() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let bad = unchecked(&client, "log.write", r#"{"how": 5}"#);
    let id = bad.id;
    client.store().enqueue(vec![bad]).await.unwrap();
    let all = write(&client, &["a", "b"]).await;
    drain(&client).await;
    for handle in &all {
        assert_eq!(end(handle).await.0, State::Succeeded);
    }
    assert_eq!(calls(&probe), ["a b"]);
    let record = client.tasks().get(id).await.unwrap().unwrap();
    let error = record.error.unwrap();
    assert_eq!((record.state, error.reason), (State::Failed, FailureReason::InvalidArgs), "{error:?}");
}

#[tokio::test]
async fn the_timeout_is_one_for_the_call() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let over = |how: &str| client.enqueue(Write { how: how.to_owned() }).timeout(Duration::from_millis(50));
    let all = [over("a").await.unwrap(), over("hangs").await.unwrap()];
    drain(&client).await;
    // What was asked to end gave results all the same, which stand.
    probe.until_seen("asked to end").await;
    for handle in &all {
        assert_eq!(end(handle).await.0, State::Succeeded);
    }
    probe.close();
    let all = [over("a").await.unwrap(), over("b").await.unwrap()];
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    for handle in &all {
        let record = within(handle.ended()).await.unwrap();
        let reasons: Vec<_> = record.attempts.iter().map(|attempt| attempt.error.as_ref().unwrap().reason).collect();
        assert_eq!((record.state, reasons), (State::Failed, vec![FailureReason::Timeout; 2]));
    }
    worker.stop().await;
}

#[tokio::test]
async fn one_that_is_cancelled_leaves_the_others_alone() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let all = write(&client, &["a", "gone", "b", "done all the same"]).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    probe.until_seen("call a gone b done all the same").await;
    all[1].cancel().await.unwrap();
    all[3].cancel().await.unwrap();
    for (handle, state) in all.iter().zip([State::Succeeded, State::Cancelled, State::Succeeded, State::Succeeded]) {
        assert_eq!(end(handle).await.0, state);
    }
    assert_eq!(calls(&probe).len(), 1);
    within(worker.stop()).await;
}

#[tokio::test]
async fn a_call_in_the_caller_and_a_test_run_a_batch_of_one() {
    let probe = Probe::default();
    let test = Harness::new(app(&probe)).await.unwrap();
    let client = test.client();
    assert_eq!(client.call(Write { how: "a".into() }).await.unwrap(), "wrote a");
    let failed = client.call(Write { how: "fails".into() }).await.unwrap_err();
    assert!(matches!(&failed, CallError::Failed(failure) if failure.message == "a bad one"), "{failed}");
    assert_eq!(client.call(OfTenant { tenant: Some("x".into()), n: 7 }).await.unwrap(), "7");
    let all = write(client, &["b", "fails", "c"]).await;
    test.drain().await.unwrap();
    assert_eq!(end(&all[2]).await, (State::Succeeded, 1, "\"wrote c\"".to_owned()));
    assert_eq!(calls(&probe), ["a", "fails", "b", "fails", "c"]);
    assert!(probe.seen().contains(&"t:x: x".to_owned()), "{:?}", probe.seen());
}

/// Turns one back, and counts what comes of the others.
struct Watches(Probe);

impl Middleware for Watches {
    async fn run(&self, cx: &gristmill::Context, next: Next<'_>) -> Result<String> {
        if next.args().is_some_and(|args| args.contains("\"is turned back\"")) {
            return Err(Error::fail("not today"));
        }
        let _ = cx;
        let outcome = next.run().await;
        self.0.saw(format!("came to {outcome:?}"));
        outcome
    }
}

#[tokio::test]
async fn middleware_stands_around_each_of_them() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).middleware_for::<Write>(Watches(probe.clone()))).await;
    let all = write(&client, &["a", "is turned back", "fails"]).await;
    drain(&client).await;
    assert_eq!(calls(&probe), ["a fails"]);
    assert_eq!(end(&all[1]).await, (State::Failed, 1, "not today".to_owned()));
    let came: Vec<_> = probe.seen().into_iter().filter(|seen| seen.starts_with("came to")).collect();
    assert_eq!(came, ["came to Ok(\"\\\"wrote a\\\"\")", "came to Err(Fail: \"a bad one\")"]);
}

/// Lets in two at a time.
struct Narrow(std::sync::Arc<tokio::sync::Semaphore>);

impl Middleware for Narrow {
    async fn run(&self, _: &gristmill::Context, next: Next<'_>) -> Result<String> {
        let _permit = self.0.acquire().await.unwrap();
        next.run().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_let_in_later_is_run_in_the_next_call() {
    let probe = Probe::default();
    let narrow = Narrow(std::sync::Arc::new(tokio::sync::Semaphore::new(2)));
    let client = in_memory(app(&probe).middleware_for::<Write>(narrow)).await;
    let all = write(&client, &["a", "b", "c", "d", "e"]).await;
    drain(&client).await;
    for handle in &all {
        assert_eq!(end(handle).await.0, State::Succeeded);
    }
    assert_eq!(calls(&probe), ["a b", "c d", "e"]);
}

#[test]
fn a_type_is_added_as_what_it_is() {
    let mistake = |app: App<Probe>| app.mistake().map(ToString::to_string).unwrap_or_default();
    let probe = Probe::default();
    let alone = mistake(App::new(probe.clone()).register::<Write>());
    assert!(alone.contains("one that takes many is added with `App::register_batch`"), "{alone}");
    let without = mistake(app(&probe).options("log.write", gristmill::options::Policy::default()));
    assert!(without.contains("give it `batch`"), "{without}");
    let policy = gristmill::options::Policy { batch: Write::policy().batch, ..Plain::policy() };
    let with = mistake(app(&probe).options("plain", policy));
    assert!(with.contains("takes one task at a time"), "{with}");
    let mut policy = Write::policy();
    policy.batch.as_mut().unwrap().size = 20_000;
    let large = mistake(app(&probe).options("log.write", policy));
    assert!(large.contains("its size is at least 1 and at most 10000"), "{large}");
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use gristmill::sqlite::rusqlite::Connection;
    use gristmill::testing::SqliteSandbox;

    use super::*;

    /// Writes all of a call in one transaction, which settles them, too.
    #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Task)]
    #[task(name = "book", state = std::path::PathBuf, output = i64, max_attempts = 1, batch(size = 10, wait = "100ms"))]
    struct Book {
        cents: i64,
    }

    impl Book {
        async fn handle(cx: &Batch<std::path::PathBuf>, entries: Vec<Self>) -> Result<Vec<Result<i64>>> {
            let mut db = Connection::open(&cx.state)?;
            let tx = db.transaction()?;
            let mut results = Vec::new();
            for (task, entry) in cx.tasks().iter().zip(entries) {
                if entry.cents < 0 {
                    results.push(Err(Error::fail("no debts")));
                    continue;
                }
                tx.execute("INSERT INTO entry (cents) VALUES (?1)", [entry.cents])?;
                task.settle_in(&tx, &entry.cents).run()?;
                results.push(Ok(entry.cents));
            }
            tx.commit()?;
            Ok(results)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_of_a_call_are_settled_in_one_transaction() {
        let sandbox = SqliteSandbox::new().unwrap();
        let db = Connection::open(sandbox.path()).unwrap();
        db.execute_batch("CREATE TABLE entry (cents INTEGER NOT NULL)").unwrap();
        let app = App::new(sandbox.path().to_owned()).register_batch::<Book>();
        let client = app.connect(sandbox.store_url()).await.unwrap();
        let outcomes = client.enqueue_many([5, -1, 7].map(|cents| Book { cents })).await;
        let all: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap()).collect();
        let report = drain(&client).await;
        assert_eq!((report.succeeded, report.failed, report.leases_lost), (2, 1, 0), "{report}");
        let sum: i64 = db.query_row("SELECT sum(cents) FROM entry", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 12);
        assert_eq!(end(&all[0]).await, (State::Succeeded, 1, "5".to_owned()));
        assert_eq!(end(&all[1]).await, (State::Failed, 1, "no debts".to_owned()));
    }
}
