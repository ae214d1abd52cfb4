//! What a worker does with tasks, on the in-memory store (the SQLite store passes the same contract, see its conformance).

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::beat::{SCHEDULE_HEADER, TICK_HEADER};
use gristmill::client::{AwaitError, BulkReport, CallError, CancelOutcome, DeleteOutcome, RetryOutcome};
use gristmill::core::{AttemptState, Claim, Env, Wanted, WorkerSpec};
use gristmill::error::FailureReason;
use gristmill::options::{Ack, Limits};
use gristmill::record::{Drain, Filter, State};
use gristmill::{App, Context, Error, Result, ResultExt, task};

use crate::hooks::told;
use crate::support::{Heard, Probe, in_memory, on_file, within};

#[task(name = "note", backoff = fixed("0s"))]
pub(crate) async fn note(cx: &Context<Probe>, what: String) -> Result<String> {
    cx.state.saw(&what);
    cx.state.pass().await;
    Ok(what)
}

#[task(name = "fail", max_attempts = 3, backoff = fixed("1ms"))]
pub(crate) async fn fail(cx: &Context<Probe>, how: String) -> Result<u32> {
    cx.state.saw(format!("{how} {}", cx.attempt()));
    match how.as_str() {
        "retry" => Err("no luck".parse::<u32>().unwrap_err().into()),
        "once" if cx.attempt() == 1 => Err(Error::retry("not yet")),
        "fail" => Err(Error::fail("never")),
        "cancel" => Err(Error::cancel("unwanted")),
        "snooze" if cx.state.seen().len() == 1 => Err(Error::snooze(Duration::from_millis(1))),
        "wait" => Err::<u32, _>("not there yet").or_snooze(Duration::from_secs(3_600)),
        "panic" => panic!("out of order"),
        _ => Ok(cx.attempt()),
    }
}

#[task(name = "wait", timeout = "1h")]
pub(crate) async fn wait(cx: &Context<Probe>, polite: bool) -> Result<()> {
    cx.state.saw("started");
    if polite {
        cx.cancellation().cancelled().await;
        cx.state.saw("asked to end");
        return Err(Error::retry("interrupted"));
    }
    std::future::pending().await
}

#[task(name = "parent")]
async fn parent(cx: &Context<Probe>, succeed: bool) -> Result<()> {
    cx.enqueue(Note { what: "child".into() }).await?;
    if succeed { Ok(()) } else { Err(Error::fail("no children then")) }
}

#[task(name = "tell", max_attempts = 2, backoff = fixed("0s"))]
async fn tell(cx: &Context<Probe>, lines: u32) -> Result<()> {
    for line in 0..lines {
        cx.log(format!("line {line}\u{1b}[0m"));
        cx.progress(u64::from(line) + 1, u64::from(lines), "telling");
    }
    cx.state.saw("told");
    cx.state.pass().await;
    Ok(())
}

#[task(name = "crunch")]
fn crunch(cx: &Context<Probe>, n: u64) -> Result<String> {
    assert!(n < 100, "too much");
    cx.state.saw(format!("crunched {n}"));
    Ok(std::thread::current().name().unwrap_or_default().to_owned())
}

#[task(name = "large")]
async fn large(bytes: usize) -> Result<String> {
    Ok("x".repeat(bytes))
}

#[task(name = "large.cut", large_result = truncate)]
async fn large_cut(bytes: usize) -> Result<serde_json::Value> {
    Ok("x".repeat(bytes).into())
}

#[task(name = "grind", max_attempts = 1, kill_after = "1m")]
fn grind(cx: &Context<Probe>) -> Result<()> {
    tokio::runtime::Handle::current().block_on(cx.cancellation().cancelled());
    cx.state.saw("asked to end");
    Ok(())
}

pub(crate) fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone())
        .register::<Note>()
        .register::<Fail>()
        .register::<Wait>()
        .register::<Parent>()
        .register::<Tell>()
        .register::<Crunch>()
        .register::<Grind>()
        .register::<Large>()
        .register::<LargeCut>()
}

#[tokio::test]
async fn outcomes_are_values() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let run = |how: &str| {
        let client = client.clone();
        let how = how.to_owned();
        async move {
            let handle = client.enqueue(Fail { how }).await.unwrap();
            (within(handle.result()).await, handle.status().await.unwrap().unwrap())
        }
    };
    let (result, _) = run("once").await;
    assert_eq!(result.unwrap(), 2);

    let (result, task) = run("retry").await;
    let AwaitError::Failed { failure, .. } = result.unwrap_err() else { panic!("it fails") };
    assert_eq!((failure.reason, failure.message.as_str()), (FailureReason::Error, "invalid digit found in string"));
    assert_eq!((task.state, task.attempt, task.attempts.len()), (State::Failed, 3, 3));

    let (_, task) = run("fail").await;
    assert_eq!((task.state, task.attempt), (State::Failed, 1));

    let (result, task) = run("cancel").await;
    assert!(matches!(result, Err(AwaitError::Cancelled { .. })));
    assert_eq!(task.error.unwrap().message, "unwanted");

    let (_, task) = run("panic").await;
    let error = task.error.unwrap();
    assert_eq!((error.reason, error.message.as_str()), (FailureReason::Panic, "panicked: out of order"));
    assert!(error.trace.unwrap().contains("worker.rs"), "the trace names the place");
    assert_eq!(task.attempt, 3);
    worker.stop().await;
}

#[tokio::test]
async fn a_snooze_gives_the_attempt_back() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let handle = client.enqueue(Fail { how: "snooze".into() }).await.unwrap();
    assert_eq!(within(handle.result()).await.unwrap(), 1);
    assert_eq!(probe.seen(), ["snooze 1", "snooze 1"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_snooze_says_why_if_it_can() {
    let probe = Probe::default();
    let client = in_memory(told(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let handle = client.enqueue(Fail { how: "wait".into() }).await.unwrap();
    let task = within(async {
        loop {
            let task = handle.status().await.unwrap().unwrap();
            if task.state == State::Scheduled {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let task = task.await;
    assert_eq!((task.attempt, task.attempts[0].state), (0, AttemptState::Snoozed));
    assert_eq!(task.error.unwrap().message, "not there yet");
    worker.stop().await;
    assert_eq!(probe.seen(), ["wait 1"], "no hook takes it for a failure");
    assert!(matches!(client.call(Fail { how: "wait".into() }).await, Err(CallError::Snoozed)));
}

#[tokio::test]
async fn timeouts_fail_the_attempt_and_ask_first() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    for polite in [true, false] {
        let handle = client.enqueue(Wait { polite }).timeout(Duration::from_millis(5)).max_attempts(1).await.unwrap();
        // The soft limit is a tenth of the timeout: the impolite one is dropped after it.
        let AwaitError::Failed { failure, .. } = within(handle.result()).await.unwrap_err() else { panic!("it fails") };
        assert_eq!(failure.reason, FailureReason::Timeout);
    }
    probe.until_seen("asked to end").await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_slot_does_not_count_to_the_timeout() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    probe.close();
    let first = client.enqueue(Note { what: "first".into() }).timeout(Duration::from_secs(600)).await.unwrap();
    let second = client.enqueue(Note { what: "second".into() }).timeout(Duration::from_secs(1)).await.unwrap();
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    probe.until_seen("first").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    probe.open();
    within(first.result()).await.unwrap();
    within(second.result()).await.unwrap();
    assert_eq!(second.status().await.unwrap().unwrap().attempts.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn cancelling_what_waits_and_what_runs() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let waiting = client.enqueue(Note { what: "never".into() }).delay(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(waiting.cancel().await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(waiting.cancel().await.unwrap(), CancelOutcome::AlreadyEnded);

    let worker = client.worker().queue("default", 1).lease(Duration::from_millis(300)).start().await.unwrap();
    let running = client.enqueue(Wait { polite: true }).await.unwrap();
    probe.until_seen("started").await;
    assert_eq!(running.cancel().await.unwrap(), CancelOutcome::CancelRequested);
    assert!(matches!(within(running.result()).await, Err(AwaitError::Cancelled { .. })));
    probe.until_seen("asked to end").await;
    assert_eq!(running.status().await.unwrap().unwrap().attempts.len(), 1, "it is not tried again");
    worker.stop().await;
}

#[tokio::test]
async fn an_ended_task_is_retried_under_its_id() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let handle = client.enqueue(Fail { how: "fail".into() }).await.unwrap();
    within(handle.ended()).await.unwrap();
    assert_eq!(handle.retry().await.unwrap(), RetryOutcome::Ready);
    within(probe.until(|seen| seen.len() == 2)).await;
    let task = within(handle.ended()).await.unwrap();
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert_eq!(handle.status().await.unwrap().unwrap().attempts.len(), 2, "the history is kept");
    worker.stop().await;
}

#[tokio::test]
async fn bulk_cancel_and_retry_by_filter() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let notes = (0..2_500).map(|n| client.enqueue(Note { what: n.to_string() }).queue(if n % 2 == 0 { "even" } else { "odd" }));
    assert!(client.enqueue_many(notes).await.into_iter().all(|outcome| outcome.is_ok()));
    let even = Filter { queue: Some("even".into()), ..Filter::default() };
    assert_eq!(client.tasks().cancel_all(&even, |_, _| {}).await.unwrap().changed, 1_250);
    assert_eq!(client.tasks().cancel_all(&even, |_, _| {}).await.unwrap().changed, 0);
    let cancelled = Filter { states: vec![State::Cancelled], ..Filter::default() };
    assert_eq!(client.tasks().retry_all(&cancelled, |_, _| {}).await.unwrap().changed, 1_250);
    assert_eq!(client.tasks().retry_all(&even, |_, _| {}).await.unwrap().changed, 0);
}

#[tokio::test]
async fn ended_tasks_are_deleted_one_or_all_that_match() {
    let folder = tempfile::tempdir().unwrap();
    for kept in [false, true] {
        let app = app(&Probe::default());
        let client = if kept { on_file(app, &folder).await } else { in_memory(app).await };
        let notes = (0..1_203).map(|n| client.enqueue(Note { what: n.to_string() }).queue(if n < 3 { "few" } else { "many" }));
        let handles: Vec<_> = client.enqueue_many(notes).await.into_iter().map(|handle| handle.unwrap()).collect();
        let (first, tasks) = (handles[0].id(), client.tasks());
        assert_eq!(tasks.delete(first).await.unwrap(), DeleteOutcome::NotEnded);
        tasks.cancel(first).await.unwrap();
        assert_eq!(tasks.delete(first).await.unwrap(), DeleteOutcome::Deleted);
        assert_eq!(tasks.delete(first).await.unwrap(), DeleteOutcome::NotFound);
        assert_eq!(tasks.get(first).await.unwrap(), None);

        let all = Filter::default();
        assert_eq!(tasks.delete_all(&all, |_, _| {}).await.unwrap(), BulkReport::default(), "none has ended");
        let many = Filter { queue: Some("many".into()), ..Filter::default() };
        tasks.cancel_all(&many, |_, _| {}).await.unwrap();
        let ready = Filter { states: vec![State::Ready], ..Filter::default() };
        assert_eq!(tasks.delete_all(&ready, |_, _| {}).await.unwrap(), BulkReport::default(), "none of these can have ended");
        let mut told = Vec::new();
        let report = tasks.delete_all(&all, |id, outcome| told.push((id, outcome))).await.unwrap();
        assert_eq!((report.changed, report.unchanged), (1_200, 0));
        // Newest first, as lists are.
        let expected: Vec<_> = handles[3..].iter().rev().map(|handle| (handle.id(), DeleteOutcome::Deleted)).collect();
        assert_eq!(told, expected);
        let left = tasks.list(&all, None, 1_000).await.unwrap().items;
        assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [handles[2].id(), handles[1].id()]);
    }
}

#[tokio::test]
async fn children_live_and_die_with_the_parents_success() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let bad = client.enqueue(Parent { succeed: false }).await.unwrap();
    within(bad.ended()).await.unwrap();
    let good = client.enqueue(Parent { succeed: true }).header("user", "7");
    let good = good.header(SCHEDULE_HEADER, "nightly").header(TICK_HEADER, "2027-01-01T00:00:00.000Z").await.unwrap();
    within(good.ended()).await.unwrap();
    probe.until_seen("child").await;
    worker.stop().await;
    assert_eq!(probe.seen(), ["child"]);
    let children = client.tasks().list(&Filter { kind: Some("note".into()), ..Filter::default() }, None, 10).await.unwrap().items;
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].meta.parent, Some(good.id()));
    assert_eq!(children[0].meta.headers, [("user".to_owned(), "7".to_owned())].into(), "it is no tick");
}

#[tokio::test]
async fn logs_and_progress_are_kept_while_it_runs_and_afterwards() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).limits(Limits { log_bytes: 1_000, ..Limits::default() })).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    probe.close();
    let handle = client.enqueue(Tell { lines: 500 }).await.unwrap();
    probe.until_seen("told").await;
    let shown = within(async {
        loop {
            let task = handle.status().await.unwrap().unwrap();
            if let Some(logs) = task.attempts[0].logs.clone() {
                break (logs, task.attempts[0].progress.clone().unwrap());
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(shown.1.done, 500);
    assert!(shown.0.ends_with("line 499\\u{1b}[0m\n"), "control characters are escaped: {:?}", shown.0);
    probe.open();
    within(handle.ended()).await.unwrap();
    let kept = handle.status().await.unwrap().unwrap().attempts[0].clone();
    let logs = kept.logs.unwrap();
    assert!(logs.starts_with("[earlier lines were cut]\n") && logs.len() < 1_100, "{} bytes", logs.len());
    assert_eq!(kept.progress.unwrap().total, Some(500));
    worker.stop().await;
}

#[tokio::test]
async fn blocking_tasks_have_threads_of_their_own() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let runtime = std::thread::current().name().unwrap_or_default().to_owned();
    let thread = within(client.enqueue(Crunch { n: 5 }).await.unwrap().result()).await.unwrap();
    assert_ne!(thread, runtime);
    let failed = within(client.enqueue(Crunch { n: 500 }).max_attempts(1).await.unwrap().ended()).await.unwrap();
    let error = failed.error.unwrap();
    assert_eq!((error.reason, error.message.as_str()), (FailureReason::Panic, "panicked: too much"));
    worker.stop().await;
}

#[tokio::test]
async fn a_blocking_task_is_asked_to_end_at_its_timeout() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let handle = client.enqueue(Grind {}).timeout(Duration::from_millis(5)).await.unwrap();
    within(handle.result()).await.expect("it honoured the request, so its result stands");
    assert_eq!(probe.seen(), ["asked to end"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_result_above_the_limit_fails_or_is_cut_as_declared() {
    let client = in_memory(app(&Probe::default()).limits(Limits { result_bytes: 1_000, ..Limits::default() })).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let failed = within(client.enqueue(Large { bytes: 1_000 }).await.unwrap().ended()).await.unwrap();
    assert_eq!((failed.state, failed.attempt), (State::Failed, 1));
    assert_eq!(failed.error.unwrap().reason, FailureReason::ResultTooLarge);
    let cut = within(client.enqueue(LargeCut { bytes: 1_000 }).await.unwrap().result()).await.unwrap();
    assert_eq!((cut["truncated"].as_bool(), cut["bytes"].as_u64()), (Some(true), Some(1_002)));
    worker.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_waits_and_then_releases_without_burning_an_attempt() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    probe.close();
    let finishes = client.enqueue(Note { what: "finishes".into() }).await.unwrap();
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    probe.until_seen("finishes").await;
    let waits = client.enqueue(Note { what: "waits".into() }).await.unwrap();
    let stop = worker.stopper();
    stop.graceful();
    probe.open();
    let report = within(worker.ended()).await;
    assert_eq!((report.succeeded, report.abandoned.len()), (1, 0), "{report}");
    assert_eq!(finishes.status().await.unwrap().unwrap().state, State::Succeeded);
    assert_eq!(waits.status().await.unwrap().unwrap().state, State::Ready, "claims stop at once");

    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let hangs = client.enqueue(Wait { polite: false }).await.unwrap();
    let worker = client.worker().queue("default", 1).grace(Duration::from_millis(1)).start().await.unwrap();
    probe.until_seen("started").await;
    let report = within(worker.stop()).await;
    assert_eq!(report.released, 1, "{report}");
    let task = hangs.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.attempt), (State::Ready, 0));
}

/// By its next heartbeat it hears of it. Nothing that it would have claimed then is touched, and nobody else is asked.
#[tokio::test]
async fn a_worker_that_an_operator_drains_ends_as_at_a_first_signal() {
    let folder = tempfile::tempdir().unwrap();
    for kept in [false, true] {
        let probe = Probe::default();
        let client = if kept { on_file(app(&probe), &folder).await } else { in_memory(app(&probe)).await };
        probe.close();
        let finishes = client.enqueue(Note { what: "finishes".into() }).await.unwrap();
        let builder = || client.worker().prefetch(0);
        let worker = builder().queue("default", 1).start().await.unwrap();
        let other = builder().queue("other", 1).start().await.unwrap();
        probe.until_seen("finishes").await;
        let waits = client.enqueue(Note { what: "waits".into() }).await.unwrap();
        let workers = client.workers().list().await.unwrap();
        let id = workers.iter().find(|worker| worker.queues.contains_key("default")).unwrap().id.parse().unwrap();
        assert!(client.workers().drain(id).await.unwrap());
        // It changes no queues any more once it stops.
        within(async { while worker.queues().serve("default", 1).await.is_ok() {} }).await;
        let drain = async |queue: &str| {
            let workers = client.workers().list().await.unwrap();
            workers.into_iter().find(|worker| worker.queues.contains_key(queue)).map(|worker| worker.drain)
        };
        assert_eq!((drain("default").await, drain("other").await), (Some(Some(Drain::Heard)), Some(None)));
        probe.open();
        let report = within(worker.ended()).await;
        assert_eq!((report.succeeded, report.claimed, report.abandoned.len()), (1, 1, 0), "{report}");
        assert_eq!(finishes.status().await.unwrap().unwrap().state, State::Succeeded);
        assert_eq!(waits.status().await.unwrap().unwrap().state, State::Ready);
        assert!(!client.workers().drain(id).await.unwrap(), "it has left");

        let next = builder().queue("default", 1).start().await.unwrap();
        within(waits.result()).await.unwrap();
        next.stop().await;
        other.stop().await;
    }
}

#[tokio::test]
async fn what_outlives_the_grace_period_of_a_drained_worker_is_given_back() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let hangs = client.enqueue(Wait { polite: false }).await.unwrap();
    let worker = client.worker().queue("default", 1).grace(Duration::from_millis(1)).start().await.unwrap();
    probe.until_seen("started").await;
    let id = client.workers().list().await.unwrap()[0].id.parse().unwrap();
    assert!(client.workers().drain(id).await.unwrap());
    assert_eq!(within(worker.ended()).await.released, 1);
    let task = hangs.status().await.unwrap().unwrap();
    assert_eq!((task.state, task.attempt), (State::Ready, 0));
    assert!(client.workers().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_immediate_stop_does_not_wait_for_the_grace_period() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    client.enqueue(Wait { polite: false }).await.unwrap();
    let worker = client.worker().queue("default", 1).grace(Duration::from_secs(3600)).start().await.unwrap();
    probe.until_seen("started").await;
    worker.stopper().graceful();
    worker.stopper().now();
    assert_eq!(within(worker.ended()).await.released, 1);
}

#[tokio::test]
async fn drain_ends_when_nothing_is_left() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    for n in 0..50 {
        client.enqueue(Note { what: n.to_string() }).delay(Duration::from_millis(n)).await.unwrap();
    }
    client.enqueue(Note { what: "later".into() }).delay(Duration::from_secs(3600)).await.unwrap();
    let report = within(client.worker().queue("default", 3).drain(true).start().await.unwrap().ended()).await;
    assert_eq!(report.succeeded, 50, "{report}");
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_until_it_is_resumed() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    client.queues().pause("default").await.unwrap();
    let handle = client.enqueue(Note { what: "paused".into() }).await.unwrap();
    client.enqueue(Note { what: "other".into() }).queue("other").await.unwrap();
    let worker = client.worker().queue("default", 1).queue("other", 1).start().await.unwrap();
    probe.until_seen("other").await;
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Ready);
    client.queues().resume("default").await.unwrap();
    within(handle.result()).await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn each_queue_has_its_own_concurrency() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    probe.close();
    for n in 0..5 {
        client.enqueue(Note { what: format!("heavy {n}") }).queue("heavy").await.unwrap();
        client.enqueue(Note { what: format!("light {n}") }).queue("light").await.unwrap();
    }
    let worker = client.worker().queue("heavy", 1).queue("light", 5).start().await.unwrap();
    probe.until(|seen| seen.iter().filter(|what| what.starts_with("light")).count() == 5).await;
    assert_eq!(probe.seen().iter().filter(|what| what.starts_with("heavy")).count(), 1);
    probe.open();
    worker.stop().await;
}

#[tokio::test]
async fn slow_tasks_are_left_to_other_workers() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    probe.close();
    for n in 0..20 {
        client.enqueue(Note { what: n.to_string() }).await.unwrap();
    }
    let busy = client.worker().queue("default", 1).start().await.unwrap();
    probe.until_seen("0").await;
    let idle = client.worker().queue("default", 20).start().await.unwrap();
    // The first one has claimed none ahead.
    probe.until(|seen| seen.len() == 20).await;
    probe.open();
    within(async { tokio::join!(busy.stop(), idle.stop()) }).await;
}

#[tokio::test]
async fn a_dead_workers_tasks_are_rescued_by_another() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let handle = client.enqueue(Note { what: "orphan".into() }).await.unwrap();
    // A worker that claims and is never heard of again.
    let id = Env::system().worker_id();
    let lease = Duration::from_millis(1);
    let (kinds, queues) = (vec!["note".into()], BTreeMap::from([("default".to_owned(), 1)]));
    let spec = WorkerSpec { id, name: "dead".into(), lease, kinds, queues, version: String::new() };
    client.store().enter(&WorkerSpec { lease: Duration::from_secs(60), ..spec.clone() }).await.unwrap();
    let wanted = vec![Wanted::new("default", 1)];
    let claimed = client.store().claim(&Claim { worker: id, fence: Env::system().fence(), wanted, again: false }).await.unwrap();
    assert_eq!(claimed.len(), 1);
    client.store().enter(&spec).await.unwrap();

    let worker = client.worker().queue("default", 1).lease(Duration::from_millis(100)).start().await.unwrap();
    within(handle.result()).await.unwrap();
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!((task.attempt, task.crashes, task.attempts.len()), (2, 1, 2));
    assert_eq!(task.attempts[0].error.as_ref().unwrap().reason, FailureReason::Crashed);
    assert_eq!(worker.stop().await.rescued, 1);
}

#[tokio::test]
async fn a_task_that_runs_at_most_once_says_so_before_it_starts() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).grace(Duration::from_millis(1)).start().await.unwrap();
    let handle = client.enqueue(Wait { polite: false }).ack(Ack::Early).await.unwrap();
    probe.until_seen("started").await;
    within(worker.stop()).await;
    let task = handle.status().await.unwrap().unwrap();
    assert_eq!(
        (task.state, task.error.unwrap().reason),
        (State::Failed, FailureReason::Crashed),
        "it started, so it does not run again"
    );
}

#[tokio::test]
async fn a_worker_with_contradicting_options_does_not_start() {
    let client = in_memory(app(&Probe::default())).await;
    for (builder, what) in [
        (client.worker().queue("a", 1).queue("a", 2), "twice"),
        (client.worker().queue("a", 0), "at least 1"),
        (client.worker().queue("", 1), "empty"),
        (client.worker().queue("a", 1).lease(Duration::from_millis(10)), "100ms"),
        (client.worker().queue("a", 1).name("a\nb"), "control"),
    ] {
        let error = builder.start().await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[task(name = "hush", quiet)]
async fn hush(fail: bool) -> Result<()> {
    if fail { Err(Error::fail("no")) } else { Ok(()) }
}

#[tokio::test]
async fn a_quiet_success_is_told_at_debug_level_and_a_failure_as_ever() {
    let (heard, _guard) = Heard::listen();
    let client = in_memory(App::new(Probe::default()).register::<Hush>().register::<Note>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let quiet = client.enqueue(Hush { fail: false }).await.unwrap();
    let failed = client.enqueue(Hush { fail: true }).await.unwrap();
    let loud = client.enqueue(Note { what: "loud".into() }).await.unwrap();
    within(quiet.ended()).await.unwrap();
    within(failed.ended()).await.unwrap();
    within(loud.ended()).await.unwrap();
    worker.stop().await;
    let told = |level: &str, id: gristmill::TaskId, what: &str| heard.lines(&[level, &id.to_string(), what]).len();
    assert_eq!((told("DEBUG", quiet.id(), "succeeded"), told("INFO", quiet.id(), "succeeded")), (1, 0));
    assert_eq!((told("DEBUG", loud.id(), "succeeded"), told("INFO", loud.id(), "succeeded")), (0, 1));
    assert_eq!(told("WARN", failed.id(), "did not succeed"), 1);
}

/// Takes its time to tidy up when it is asked to end, and then is done.
#[task(name = "tidy", timeout = "1h")]
async fn tidy(cx: &Context<Probe>, secs: u64) -> Result<()> {
    cx.cancellation().cancelled().await;
    tokio::time::sleep(Duration::from_secs(secs)).await;
    Ok(())
}

#[task(name = "tidy.long", timeout = "1h", kill_after = "30s")]
async fn tidy_long(cx: &Context<Probe>, secs: u64) -> Result<()> {
    tidy(cx, secs).await
}

#[tokio::test(start_paused = true)]
async fn what_a_timeout_leaves_for_tidying_up_follows_the_enqueue_or_is_the_types_own() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<Tidy>().register::<TidyLong>()).await;
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let secs = Duration::from_secs;
    // A tenth of ten seconds is one; a tenth of the type's hour would be cut to five.
    let short = client.enqueue(Tidy { secs: 3 }).timeout(secs(10)).max_attempts(1).await.unwrap();
    let in_time = client.enqueue(Tidy { secs: 3 }).timeout(secs(40)).max_attempts(1).await.unwrap();
    let long = client.enqueue(TidyLong { secs: 20 }).timeout(secs(10)).max_attempts(1).await.unwrap();
    let too_long = client.enqueue(TidyLong { secs: 31 }).timeout(secs(10)).max_attempts(1).await.unwrap();
    for (handle, state) in
        [(short, State::Failed), (in_time, State::Succeeded), (long, State::Succeeded), (too_long, State::Failed)]
    {
        let task = within(handle.ended()).await.unwrap();
        assert_eq!((task.state, task.kind.as_str()), (state, task.kind.as_str()), "{:?}", task.error);
    }
    worker.stop().await;
}

#[task(name = "survey", max_attempts = 1)]
async fn survey(cx: &Context<Probe>) -> Result<()> {
    cx.progress_data(1, 3, "looking", &serde_json::json!({ "found": ["a", "b"] }))?;
    let refused = cx.progress_data(2, None, "too much", &"x".repeat(gristmill::core::limits::PROGRESS_BYTES_MAX)).unwrap_err();
    cx.state.saw(refused.to_string());
    cx.state.pass().await;
    Ok(())
}

#[tokio::test]
async fn progress_may_carry_data_of_a_bounded_size() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<Survey>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    probe.close();
    let handle = client.enqueue(Survey {}).await.unwrap();
    probe.until_seen("progress data: has 16386 bytes of JSON; at most 16384 are kept").await;
    let shown = within(async {
        loop {
            if let Some(progress) = handle.status().await.unwrap().unwrap().attempts[0].progress.clone() {
                break progress;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((shown.done, shown.total, shown.message.as_str()), (1, Some(3), "looking"), "what was refused changed nothing");
    assert_eq!(shown.data.as_ref().unwrap()["found"][1], "b");
    probe.open();
    let ended = within(handle.ended()).await.unwrap();
    assert_eq!(ended.attempts[0].progress, Some(shown), "it is kept with the attempt");
    worker.stop().await;
}

#[tokio::test]
async fn the_span_of_a_task_shows_its_headers() {
    let (heard, _guard) = Heard::listen();
    let client = in_memory(app(&Probe::default())).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let bare = client.enqueue(Large { bytes: 1 }).await.unwrap();
    within(bare.ended()).await.unwrap();
    assert_eq!(heard.lines(&["span task", &bare.id().to_string(), "large"]).len(), 1);
    assert_eq!(heard.lines(&["headers"]), [""; 0]);
    let task =
        client.enqueue(Large { bytes: 1 }).header("user", "7\n\u{1b}[0m").header("request", "ab").header("z", "x".repeat(5_000));
    within(task.await.unwrap().ended()).await.unwrap();
    worker.stop().await;
    let [line] = heard.lines(&["recorded headers="]).try_into().unwrap();
    assert!(line.contains("request=ab user=7[0m z=xxx") && line.len() < 1_100, "{line}");
}

#[cfg(feature = "log-capture")]
#[tokio::test]
async fn what_a_handler_says_through_tracing_is_kept_with_its_attempt() {
    use tracing_subscriber::layer::SubscriberExt;

    #[task(name = "speak", max_attempts = 2, backoff = fixed("0s"))]
    async fn speak(cx: &Context) -> Result<()> {
        tracing::info!(attempt = cx.attempt(), "speaking");
        tracing::debug!(target: "hyper", "pooling an idle connection");
        tokio::task::yield_now().await;
        tracing::warn!(target: "elsewhere", "still \u{7}here");
        Err(Error::retry("hoarse"))
    }

    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(gristmill::log_capture::layer()));
    let client = in_memory(App::new(()).register::<Speak>()).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let handles = [client.enqueue(Speak {}).await.unwrap(), client.enqueue(Speak {}).await.unwrap()];
    tracing::info!("said by nobody's handler");
    for handle in handles {
        within(handle.ended()).await.unwrap();
        let logs: Vec<_> = handle.status().await.unwrap().unwrap().attempts.into_iter().map(|row| row.logs.unwrap()).collect();
        assert_eq!(logs, [1, 2].map(|n| format!("INFO speaking attempt={n}\nWARN still \\u{{7}}here\n")));
    }
    worker.stop().await;
}

/// Takes more and more, as the process may give back what other tests had taken.
#[task(name = "grow")]
async fn grow() -> Result<()> {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 10_000_000]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// With nothing lost: it is given back, and another process runs it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_process_takes_too_much_memory_ends() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let taken = rss.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024;
    let client = in_memory(App::new(Probe::default()).register::<Grow>()).await;
    let id = client.enqueue(Grow {}).await.unwrap().id();
    let worker = client.worker().grace(Duration::ZERO).memory_limit(taken + 100_000_000).start().await.unwrap();
    let report = within(worker.ended()).await;
    assert!(report.outgrown.is_some_and(|outgrown| outgrown > taken + 100_000_000), "{report:?}");
    let task = client.tasks().get(id).await.unwrap().unwrap();
    assert_eq!((task.state, task.attempt), (State::Ready, 0), "{report}");
    let refused = client.worker().memory_limit(1).start().await.unwrap_err();
    assert!(refused.to_string().contains("before it has begun"), "{refused}");
}
