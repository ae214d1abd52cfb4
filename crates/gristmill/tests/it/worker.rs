//! What a worker does with tasks, on the in-memory store (the SQLite store passes the same contract, see its conformance).

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::core::WorkerSpec;
use gristmill::core::{Claim, Env, Wanted};
use gristmill::{
    Ack, App, AwaitError, CancelOutcome, Context, Error, FailureReason, Filter, Limits, Result, RetryOutcome, State, task,
};

use crate::support::{Probe, in_memory, within};

#[task(name = "note", backoff = fixed("0s"))]
async fn note(cx: &Context<Probe>, what: String) -> Result<String> {
    cx.state.saw(&what);
    cx.state.pass().await;
    Ok(what)
}

#[task(name = "fail", max_attempts = 3, backoff = fixed("1ms"))]
async fn fail(cx: &Context<Probe>, how: String) -> Result<u32> {
    cx.state.saw(format!("{how} {}", cx.attempt()));
    match how.as_str() {
        "retry" => Err("no luck".parse::<u32>().unwrap_err().into()),
        "once" if cx.attempt() == 1 => Err(Error::retry("not yet")),
        "fail" => Err(Error::fail("never")),
        "cancel" => Err(Error::cancel("unwanted")),
        "snooze" if cx.state.seen().len() == 1 => Err(Error::snooze(Duration::from_millis(1))),
        "panic" => panic!("out of order"),
        _ => Ok(cx.attempt()),
    }
}

#[task(name = "wait", timeout = "1h")]
async fn wait(cx: &Context<Probe>, polite: bool) -> Result<()> {
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

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone())
        .register::<Note>()
        .register::<Fail>()
        .register::<Wait>()
        .register::<Parent>()
        .register::<Tell>()
        .register::<Crunch>()
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
async fn timeouts_fail_the_attempt_and_ask_first() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    for polite in [true, false] {
        let handle = client.enqueue(Wait { polite }).timeout(Duration::from_millis(5)).max_attempts(1).await.unwrap();
        // The soft limit is a tenth of the type's own timeout, at most five seconds: the impolite one is dropped after it.
        let AwaitError::Failed { failure, .. } = within(handle.result()).await.unwrap_err() else { panic!("it fails") };
        assert_eq!(failure.reason, FailureReason::Timeout);
    }
    probe.until_seen("asked to end").await;
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
    assert_eq!(client.cancel_all(&even, |_, _| {}).await.unwrap().changed, 1_250);
    assert_eq!(client.cancel_all(&even, |_, _| {}).await.unwrap().changed, 0);
    let cancelled = Filter { states: vec![State::Cancelled], ..Filter::default() };
    assert_eq!(client.retry_all(&cancelled, |_, _| {}).await.unwrap().changed, 1_250);
    assert_eq!(client.retry_all(&even, |_, _| {}).await.unwrap().changed, 0);
}

#[tokio::test]
async fn children_live_and_die_with_the_parents_success() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let bad = client.enqueue(Parent { succeed: false }).await.unwrap();
    within(bad.ended()).await.unwrap();
    let good = client.enqueue(Parent { succeed: true }).header("user", "7").await.unwrap();
    within(good.ended()).await.unwrap();
    probe.until_seen("child").await;
    worker.stop().await;
    assert_eq!(probe.seen(), ["child"]);
    let children = client.list(&Filter { kind: Some("note".into()), ..Filter::default() }, None, 10).await.unwrap().items;
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].meta.parent, Some(good.id()));
    assert_eq!(children[0].meta.headers["user"], "7");
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
    assert!(shown.0.ends_with("line 499[0m\n"), "control characters are dropped: {:?}", shown.0);
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
    client.pause("default").await.unwrap();
    let handle = client.enqueue(Note { what: "paused".into() }).await.unwrap();
    client.enqueue(Note { what: "other".into() }).queue("other").await.unwrap();
    let worker = client.worker().queue("default", 1).queue("other", 1).start().await.unwrap();
    probe.until_seen("other").await;
    assert_eq!(handle.status().await.unwrap().unwrap().state, State::Ready);
    client.resume("default").await.unwrap();
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
async fn a_dead_workers_tasks_are_rescued_by_another() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let handle = client.enqueue(Note { what: "orphan".into() }).await.unwrap();
    // A worker that claims and is never heard of again.
    let id = Env::system().worker_id();
    let lease = Duration::from_millis(1);
    let (kinds, queues) = (vec!["note".to_owned()], BTreeMap::from([("default".to_owned(), 1)]));
    let spec = WorkerSpec { id, name: "dead".into(), lease, kinds, queues, version: String::new() };
    client.store().enter(&WorkerSpec { lease: Duration::from_secs(60), ..spec.clone() }).await.unwrap();
    let wanted = vec![Wanted { queue: "default".into(), limit: 1 }];
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
