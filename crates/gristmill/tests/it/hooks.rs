//! What an application's hooks are told, and that they hold nothing up.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::App;
use gristmill::core::{Claim, Env, Wanted, WorkerSpec};

use crate::support::{Probe, in_memory, within};
use crate::worker::{Fail, Note, Wait, app};

/// An application whose hooks note what they are told.
pub(crate) fn told(probe: &Probe) -> App<Probe> {
    let (failed, ended) = (probe.clone(), probe.clone());
    app(probe)
        .on_failed_attempt(|_| panic!("a hook that panics hinders no other"))
        .on_failed_attempt(move |event| {
            let user = event.meta.headers.get("user").map_or("", String::as_str);
            let trace = if event.failure.trace.is_some() { " with a trace" } else { "" };
            failed.saw(format!(
                "{} {}/{} {}of {user}: {}{trace}: {:?}",
                event.kind, event.attempt, event.max_attempts, event.queue, event.failure.message, event.next
            ));
        })
        .on_ended(move |event| {
            let why = event.failure.as_ref().map_or("", |failure| failure.message.as_str());
            ended.saw(format!("{} {} after {}: {why}", event.id, event.state, event.attempt));
        })
}

#[tokio::test]
async fn hooks_are_told_of_failed_attempts_and_of_failed_tasks() {
    let probe = Probe::default();
    let client = in_memory(told(&probe)).await;
    let worker = client.worker().queue("default", 1).queue("x", 1).start().await.unwrap();
    let enqueue = |how: &str| client.enqueue(Fail { how: how.into() }).queue("x").header("user", "7").max_attempts(2);
    let ids = {
        let mut ids = Vec::new();
        for how in ["retry", "panic", "fail", "cancel", "once"] {
            let handle = enqueue(how).await.unwrap();
            within(handle.ended()).await.unwrap();
            ids.push(handle.id());
        }
        ids
    };
    worker.stop().await;
    let seen: Vec<_> = probe.seen().into_iter().filter(|line| line.contains(": ")).collect();
    let retry = "Retry { after: 1ms }";
    assert_eq!(
        seen,
        [
            format!("fail 1/2 xof 7: invalid digit found in string: {retry}"),
            "fail 2/2 xof 7: invalid digit found in string: Ended(Failed)".to_owned(),
            format!("{} failed after 2: invalid digit found in string", ids[0]),
            format!("fail 1/2 xof 7: panicked: out of order with a trace: {retry}"),
            "fail 2/2 xof 7: panicked: out of order with a trace: Ended(Failed)".to_owned(),
            format!("{} failed after 2: panicked: out of order", ids[1]),
            "fail 1/2 xof 7: never: Ended(Failed)".to_owned(),
            format!("{} failed after 1: never", ids[2]),
            format!("{} cancelled after 1: unwanted", ids[3]),
            format!("fail 1/2 xof 7: not yet: {retry}"),
        ]
    );
}

#[tokio::test]
async fn hooks_are_told_of_what_nobody_ran_to_its_end() {
    let probe = Probe::default();
    let client = in_memory(told(&probe)).await;
    let crashed = client.enqueue(Note { what: "crashed".into() }).queue("gone").max_crashes(1).await.unwrap();
    // A worker that claims and is never heard of again.
    let id = Env::system().worker_id();
    let (kinds, queues) = (vec!["note".into()], BTreeMap::from([("gone".to_owned(), 1)]));
    let spec = WorkerSpec { id, name: "dead".into(), lease: Duration::from_secs(60), kinds, queues, version: String::new() };
    client.store().enter(&spec).await.unwrap();
    let wanted = vec![Wanted::new("gone", 1)];
    client.store().claim(&Claim { worker: id, fence: Env::system().fence(), wanted, again: false }).await.unwrap();
    client.store().enter(&WorkerSpec { lease: Duration::from_millis(1), ..spec }).await.unwrap();

    let late = client.enqueue(Note { what: "late".into() }).expires(Duration::ZERO).await.unwrap();
    let worker = client.worker().queue("default", 1).lease(Duration::from_millis(300)).start().await.unwrap();
    let stopped = client.enqueue(Wait { polite: true }).await.unwrap();
    probe.until_seen("started").await;
    stopped.cancel().await.unwrap();
    let waiting = client.enqueue(Note { what: "waiting".into() }).delay(Duration::from_secs(3600)).await.unwrap();
    waiting.cancel().await.unwrap();
    probe
        .until_seen(&format!(
            "{} failed after 1: the worker died while it ran this task, and the crash limit is reached",
            crashed.id()
        ))
        .await;
    probe.until_seen(&format!("{} expired after 0: not started by its deadline", late.id())).await;
    probe.until_seen(&format!("{} cancelled after 1: interrupted", stopped.id())).await;
    worker.stop().await;
    assert!(!probe.seen().iter().any(|line| line.starts_with(&waiting.id().to_string())), "its canceller knows");
}

#[tokio::test]
async fn hooks_are_told_of_successes() {
    let probe = Probe::default();
    let (told, ended) = (Probe::default(), Probe::default());
    let (told_, ended_) = (told.clone(), ended.clone());
    let app = app(&probe)
        .on_succeeded(|_| panic!("a hook that panics hinders no other"))
        .on_succeeded(move |event| {
            let user = event.meta.headers.get("user").map_or("", String::as_str);
            told_.saw(format!("{} {} {}of {user}, attempt {}", event.kind, event.id, event.queue, event.attempt));
            assert!(event.ran_for > Duration::ZERO);
        })
        .on_ended(move |event| ended_.saw(event.id.to_string()));
    let client = in_memory(app).await;
    let worker = client.worker().queue("x", 1).start().await.unwrap();
    let enqueue = |how: &str| client.enqueue(Fail { how: how.into() }).queue("x").header("user", "7");
    let (well, once, fails) = (enqueue("well").await.unwrap(), enqueue("once").await.unwrap(), enqueue("fail").await.unwrap());
    for handle in [&well, &once, &fails] {
        within(handle.ended()).await.unwrap();
    }
    worker.stop().await;
    let id = well.id();
    assert_eq!(told.seen(), [format!("fail {id} xof 7, attempt 1"), format!("fail {} xof 7, attempt 2", once.id())]);
    assert_eq!(ended.seen(), [fails.id().to_string()]);
}

#[tokio::test]
async fn a_slow_hook_holds_nothing_up_and_what_it_was_not_told_is_counted() {
    let probe = Probe::default();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (gate, told) = (std::sync::Mutex::new(gate), probe.clone());
    let app = app(&probe).on_ended(move |_| {
        // Returns when the other end is dropped.
        let _ = gate.lock().unwrap().recv();
        told.saw("told");
    });
    let client = in_memory(app).await;
    let tasks = (0..1_500).map(|_| client.enqueue(Fail { how: "fail".into() }));
    assert!(client.enqueue_many(tasks).await.into_iter().all(|outcome| outcome.is_ok()));
    let worker = client.worker().queue("default", 8).start().await.unwrap();
    within(async {
        while client.queues().list().await.unwrap().iter().any(|queue| queue.ready + queue.running > 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(open);
    let report = worker.stop().await;
    let told = probe.seen().iter().filter(|line| *line == "told").count() as u64;
    assert_eq!((report.failed, told + report.untold), (1_500, 1_500), "{report}");
    assert!((1..=476).contains(&report.untold), "{report}");
}

#[tokio::test]
async fn a_flood_of_successes_leaves_room_for_failures() {
    let probe = Probe::default();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (gate, failed) = (std::sync::Mutex::new(gate), probe.clone());
    let app = app(&Probe::default())
        .on_succeeded(move |_| {
            // Returns when the other end is dropped.
            let _ = gate.lock().unwrap().recv();
        })
        .on_failed_attempt(move |_| failed.saw("failed"));
    let client = in_memory(app).await;
    let fail = |how: &str| client.enqueue(Fail { how: how.into() });
    let tasks = (0..1_500).map(|_| fail("well")).chain([fail("fail")]);
    assert!(client.enqueue_many(tasks).await.into_iter().all(|outcome| outcome.is_ok()));
    let worker = client.worker().queue("default", 8).drain(true).start().await.unwrap();
    within(async {
        while client.store().queues().await.unwrap().iter().any(|queue| queue.ready + queue.running > 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(open);
    let report = within(worker.ended()).await;
    assert_eq!((report.succeeded, report.failed, probe.seen().len()), (1_500, 1, 1), "{report}");
    assert!((1..=988).contains(&report.untold), "{report}");
}
