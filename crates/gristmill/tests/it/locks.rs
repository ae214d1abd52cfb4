//! Locks as handlers take them, in workers, in the test kit and in calls.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::client::CallError;
use gristmill::core::{Claim, LockOutcome, Wanted, WorkerSpec};
use gristmill::error::{FailureReason, LeaseLost, LockHeld};
use gristmill::record::State;
use gristmill::testing::Harness;
use gristmill::{App, Context, Error, Result, task};

use crate::support::{Probe, in_memory, on_file, within};

/// What one holder at a time may write.
#[derive(Clone, Default)]
struct Tally {
    inside: Arc<AtomicUsize>,
    last: Arc<AtomicU64>,
    tokens: Arc<Mutex<Vec<u64>>>,
}

#[task(name = "count")]
async fn count(cx: &Context<Tally>, n: u32) -> Result<()> {
    let lock = cx.lock("tally").await?;
    assert_eq!(cx.state.inside.fetch_add(1, Ordering::SeqCst), 0, "another is inside");
    tokio::task::yield_now().await;
    assert!(cx.state.last.swap(lock.token(), Ordering::SeqCst) < lock.token());
    cx.state.tokens.lock().unwrap().push(lock.token());
    cx.state.inside.fetch_sub(1, Ordering::SeqCst);
    // Some let it go early, others with their end.
    if n.is_multiple_of(2) { lock.release().await } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_handlers_of_two_programs_one_has_the_lock() {
    let (folder, tally) = (tempfile::tempdir().unwrap(), Tally::default());
    let app = || App::new(tally.clone()).register::<Count>();
    let (one, other) = (on_file(app(), &folder).await, on_file(app(), &folder).await);
    let mut handles = Vec::new();
    for n in 0..24 {
        handles.push(one.enqueue(Count { n }).await.unwrap());
    }
    let worker = |client: &gristmill::Client| client.worker().queue("default", 4);
    let workers = [worker(&one).start().await.unwrap(), worker(&other).start().await.unwrap()];
    for handle in handles {
        within(handle.result()).await.unwrap();
    }
    for worker in workers {
        worker.stop().await;
    }
    let tokens = tally.tokens.lock().unwrap().clone();
    assert!(tokens.len() == 24 && tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    assert_eq!(one.locks().list("", None, 10).await.unwrap(), []);
}

#[task(name = "hold")]
async fn hold(cx: &Context<Probe>, name: String) -> Result<u64> {
    // The guard is dropped at once, which changes nothing.
    let token = cx.lock(name.as_str()).await?.token();
    cx.state.saw(format!("holds {name}"));
    cx.state.pass().await;
    Ok(token)
}

#[task(name = "want", max_attempts = 1)]
async fn want(cx: &Context<Probe>, how: String) -> Result<Option<u64>> {
    let lock = cx.lock("a");
    let guard = match how.as_str() {
        "now" => return Ok(lock.now().await?.map(|guard| guard.token())),
        "snooze" => lock.or_snooze(Duration::from_secs(3_600)).await?,
        "wait then snooze" => lock.wait(Duration::from_millis(30)).or_snooze(Duration::from_secs(3_600)).await?,
        "wait" => lock.wait(Duration::from_millis(30)).await?,
        _ => {
            cx.state.saw("waits");
            let waited = lock.await;
            cx.state.saw(if waited.is_ok() { "has it" } else { "is asked to end" });
            waited?
        }
    };
    Ok(Some(guard.token()))
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Hold>().register::<Want>()
}

#[tokio::test]
async fn who_finds_it_held_waits_or_is_told_or_is_put_off() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 8).start().await.unwrap();
    probe.close();
    let holder = client.enqueue(Hold { name: "a".into() }).await.unwrap();
    probe.until_seen("holds a").await;

    let want = |how: &str| client.enqueue(Want { how: how.into() });
    assert_eq!(within(want("now").await.unwrap().result()).await.unwrap(), None);
    for how in ["snooze", "wait then snooze"] {
        let id = want(how).await.unwrap().id();
        within(async {
            while client.tasks().get(id).await.unwrap().unwrap().state != State::Scheduled {
                tokio::task::yield_now().await
            }
        })
        .await;
        let task = client.tasks().get(id).await.unwrap().unwrap();
        assert_eq!((task.attempt, task.crashes), (0, 0), "no attempt is burnt: {task:?}");
        let says = format!("the lock `a` is held by the task {}", holder.id());
        assert!(task.error.as_ref().unwrap().message.contains(&says), "{task:?}");
        let why = client.tasks().why(id).await.unwrap().unwrap().reasons[0].to_string();
        assert!(why.contains(&says), "{why}");
    }
    let error = within(want("wait").await.unwrap().result()).await.unwrap_err();
    assert!(error.to_string().contains("the lock `a` is held"), "{error}");
    let why = client.tasks().why(holder.id()).await.unwrap().unwrap().reasons[0].to_string();
    assert!(why.ends_with("; it holds the lock `a`"), "{why}");
    let held = client.locks().of(holder.id()).await.unwrap();
    assert_eq!(held.iter().map(|lock| lock.name.as_str()).collect::<Vec<_>>(), ["a"]);

    let waits = want("wait for ever").await.unwrap();
    probe.until_seen("waits").await;
    probe.open();
    let first = within(holder.result()).await.unwrap();
    assert!(within(waits.result()).await.unwrap().unwrap() > first);
    assert!(within(want("now").await.unwrap().result()).await.unwrap().is_some());
    worker.stop().await;
}

#[tokio::test]
async fn who_waits_ends_with_his_attempt() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 8).start().await.unwrap();
    probe.close();
    let holder = client.enqueue(Hold { name: "a".into() }).await.unwrap();
    probe.until_seen("holds a").await;
    let cancelled = client.enqueue(Want { how: "wait for ever".into() }).await.unwrap();
    probe.until_seen("waits").await;
    client.tasks().cancel(cancelled.id()).await.unwrap();
    probe.until_seen("is asked to end").await;
    within(cancelled.result()).await.unwrap_err();
    assert_eq!(client.tasks().get(cancelled.id()).await.unwrap().unwrap().state, State::Cancelled);
    let late = client.enqueue(Want { how: "wait for ever".into() }).timeout(Duration::from_millis(50)).await.unwrap();
    within(late.result()).await.unwrap_err();
    let task = client.tasks().get(late.id()).await.unwrap().unwrap();
    assert_eq!(task.error.unwrap().reason, FailureReason::Timeout);
    probe.open();
    within(holder.result()).await.unwrap();
    worker.stop().await;
}

#[task(name = "long")]
async fn long(cx: &Context<Probe>, releases: bool) -> Result<()> {
    let lock = cx.lock("a").await?;
    cx.state.saw("holds a");
    tokio::time::sleep(Duration::from_secs(100)).await;
    if releases {
        lock.release().await?;
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    Ok(())
}

#[task(name = "next")]
async fn next(cx: &Context<Probe>) -> Result<u64> {
    let since = tokio::time::Instant::now();
    cx.state.saw("waits");
    cx.lock("a").await?;
    Ok(since.elapsed().as_millis() as u64)
}

/// The clock goes on when nobody has anything to do, so that who asks again by itself is up to a second late.
#[tokio::test(start_paused = true)]
async fn who_waits_in_the_same_process_is_told_at_once() {
    for releases in [true, false] {
        let probe = Probe::default();
        let client = in_memory(App::new(probe.clone()).register::<Long>().register::<Next>()).await;
        let worker = client.worker().queue("default", 2).start().await.unwrap();
        let holder = client.enqueue(Long { releases }).await.unwrap();
        probe.until_seen("holds a").await;
        let waited = client.enqueue(Next {}).await.unwrap().result().await.unwrap();
        assert!((99_000..100_100).contains(&waited), "{waited} ms, of a hundred seconds");
        holder.result().await.unwrap();
        worker.stop().await;
    }
}

#[task(name = "several")]
async fn several(cx: &Context<Probe>) -> Result<()> {
    let (first, again) = (cx.lock("a").await?, cx.lock("a").await?);
    assert_eq!((first.name(), first.token()), ("a", again.token()));
    let other = cx.lock("b").await?;
    assert!(other.token() > first.token());
    first.release().await?;
    cx.state.saw("released one of two");
    cx.state.pass().await;
    again.release().await?;
    cx.state.saw("released both");
    cx.state.pass().await;
    let next = cx.lock("a").await?;
    assert!(next.token() > other.token());
    drop(next);
    let (one, two) = tokio::join!(cx.lock("a"), cx.lock("a"));
    assert_eq!(one?.token(), two?.token());
    for n in 0..98 {
        cx.lock(format!("n{n}")).now().await?.unwrap();
    }
    let error = cx.lock("one too many").await.unwrap_err();
    assert!(error.reason() == Some(FailureReason::Error) && error.to_string().contains("at most 100 locks"), "{error}");
    for bad in ["", "a\nb"] {
        cx.lock(bad).await.unwrap_err();
        cx.lock(bad).now().await.unwrap_err();
    }
    Ok(())
}

#[tokio::test]
async fn the_last_guard_of_a_lock_lets_it_go() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<Several>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let held = async || {
        let held = client.locks().list("", None, 10).await.unwrap();
        held.into_iter().map(|lock| lock.name).collect::<Vec<_>>()
    };
    probe.close();
    let task = client.enqueue(Several {}).await.unwrap();
    probe.until_seen("released one of two").await;
    assert_eq!(held().await, ["a", "b"]);
    probe.open();
    probe.close();
    probe.until_seen("released both").await;
    assert_eq!(held().await, ["b"]);
    probe.open();
    within(task.result()).await.unwrap();
    assert_eq!(held().await, [""; 0]);
    worker.stop().await;
}

#[task(name = "on_thread")]
fn on_thread(cx: &Context<Probe>) -> Result<u64> {
    let lock = cx.block_on(cx.lock("a"))?;
    let token = lock.token();
    cx.block_on(lock.release())?;
    Ok(token)
}

#[task(name = "lost", max_attempts = 3)]
async fn lost(cx: &Context<Probe>) -> Result<String> {
    let lock = cx.lock("a").await?;
    if cx.fencing_token() > 1 {
        return Ok(format!("then {}", lock.token() > 1));
    }
    cx.state.saw("holds a");
    cx.state.pass().await;
    let taken = lock.release().await.unwrap_err();
    assert!(taken.downcast_ref::<LeaseLost>().is_some(), "{taken}");
    let asked = cx.lock("b").await.unwrap_err();
    assert!(asked.downcast_ref::<LeaseLost>().is_some(), "{asked}");
    cx.state.saw("lost it");
    Err(Error::fail("never written"))
}

#[tokio::test]
async fn threads_take_locks_and_who_has_lost_his_task_is_told() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<OnThread>().register::<Lost>()).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let thread = client.enqueue(OnThread {}).await.unwrap();
    within(thread.result()).await.unwrap();
    probe.close();
    let task = client.enqueue(Lost {}).await.unwrap();
    probe.until_seen("holds a").await;
    client.tasks().release(task.id()).await.unwrap();
    // The next attempt has the lock, and the one before does not get it back.
    assert_eq!(within(task.result()).await.unwrap(), "then true");
    probe.open();
    probe.until_seen("lost it").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_call_has_no_lease_that_could_keep_a_lock() {
    let client = in_memory(app(&Probe::default())).await;
    let error = client.call(Hold { name: "a".into() }).await.unwrap_err();
    assert!(matches!(&error, CallError::Failed(_)) && error.to_string().contains("enqueue it"), "{error}");
}

#[tokio::test]
async fn the_test_kit_takes_locks_and_waits_for_none() {
    let probe = Probe::default();
    let test = Harness::new(app(&probe).register::<Several>()).await.unwrap();
    let client = test.client();
    let held = client.enqueue(Hold { name: "a".into() }).await.unwrap();
    let several = client.enqueue(Several {}).await.unwrap();
    test.drain().await.unwrap();
    assert!(held.result().await.unwrap() > 0);
    several.result().await.unwrap();

    // Somebody else's, which nobody would release while the test waits.
    let env = gristmill::core::Env::system();
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "other".to_owned(),
        lease: Duration::from_secs(3_600),
        kinds: vec!["hold".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    client.enqueue(Hold { name: "a".into() }).await.unwrap();
    let store = client.store();
    store.enter(&spec).await.unwrap();
    let claim = Claim { worker: spec.id, fence: env.fence(), wanted: vec![Wanted::new("default", 1)], again: false };
    let claimed = store.claim(&claim).await.unwrap();
    assert!(matches!(store.take_lock(&claimed[0].lease, "a").await.unwrap(), LockOutcome::Held { .. }));
    let waits = client.enqueue(Want { how: "wait for ever".into() }).await.unwrap();
    test.drain().await.unwrap();
    let error = waits.result().await.unwrap_err();
    assert!(error.to_string().contains("the lock `a` is held"), "{error}");

    // One attempt by itself has nobody beside it.
    let performed = test.perform(Hold { name: "a".into() }).await;
    assert_eq!(performed.result, Some(serde_json::json!(1)), "{performed:?}");
}

#[test]
fn an_error_names_the_lock_and_its_holder() {
    let (task, since) = (gristmill::core::Env::system().task_id(), gristmill::Timestamp::from_millis(0));
    let error = Error::retry(LockHeld { name: "a".to_owned(), task, since });
    assert_eq!(error.downcast_ref::<LockHeld>().map(|held| held.task), Some(task));
}

#[derive(serde::Serialize, serde::Deserialize, gristmill::schemars::JsonSchema, gristmill::Task)]
#[schemars(crate = "gristmill::schemars")]
#[task(name = "many", output = String, batch(size = 2, wait = "1ms"))]
struct Many {
    n: u64,
}

impl Many {
    async fn handle(cx: &gristmill::batch::Batch, all: Vec<Self>) -> Result<Vec<Result<String>>> {
        let refused = cx.tasks()[0].lock("x").await.map(drop).unwrap_err().to_string();
        Ok(all.iter().map(|one| Ok(format!("{}: {refused}", one.n))).collect())
    }
}

#[tokio::test]
async fn one_task_of_a_batch_locks_nothing() {
    let client = in_memory(App::new(()).register_batch::<Many>()).await;
    let handle = client.enqueue(Many { n: 1 }).await.unwrap();
    client.worker().drain(true).start().await.unwrap().ended().await;
    let said = handle.result().await.unwrap();
    assert!(said.starts_with("1: ") && said.contains("two that want the same would wait for one another"), "{said}");
}
