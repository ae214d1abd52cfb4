//! The queues of a worker that runs, changed.
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::worker::{WorkerBuilder, WorkerError};
use gristmill::{App, Client, Context, Result, task};

use crate::support::{Probe, in_memory, on_file, within};

#[task(name = "work")]
async fn work(cx: &Context<Probe>, nth: u32) -> Result<u32> {
    cx.state.saw(format!("{nth} begins"));
    cx.state.pass().await;
    cx.state.saw(format!("{nth} ends"));
    Ok(nth)
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Work>()
}

fn begun(seen: &[String]) -> usize {
    seen.iter().filter(|line| line.ends_with("begins")).count()
}

fn running(seen: &[String]) -> usize {
    begun(seen) - seen.iter().filter(|line| line.ends_with("ends")).count()
}

async fn told(client: &Client) -> BTreeMap<String, u32> {
    client.store().workers().await.unwrap().remove(0).queues
}

#[tokio::test]
async fn a_queue_is_served_from_when_it_is_added() {
    let folder = tempfile::tempdir().unwrap();
    for kept in [false, true] {
        let probe = Probe::default();
        let client = if kept { on_file(app(&probe), &folder).await } else { in_memory(app(&probe)).await };
        let late = client.enqueue(Work { nth: 1 }).queue("late").await.unwrap();
        let worker = client.worker().queue("default", 1).start().await.unwrap();
        within(client.enqueue(Work { nth: 2 }).await.unwrap().result()).await.unwrap();
        assert!(!probe.seen().contains(&"1 begins".to_owned()), "nobody serves it");
        let queues = worker.queues();
        queues.serve("late", 2).await.unwrap();
        assert_eq!(within(late.result()).await.unwrap(), 1);
        let both = BTreeMap::from([("default".to_owned(), 1), ("late".to_owned(), 2)]);
        assert_eq!((queues.served(), told(&client).await), (both.clone(), both));
        // News of it wakes the worker as that of the others does.
        within(client.enqueue(Work { nth: 3 }).queue("late").await.unwrap().result()).await.unwrap();
        worker.stop().await;
    }
}

#[tokio::test]
async fn as_many_run_at_once_as_was_said_last() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).prefetch(0).start().await.unwrap();
    probe.close();
    let tasks = (0..12).map(|nth| client.enqueue(Work { nth }));
    let handles: Vec<_> = client.enqueue_many(tasks).await.into_iter().map(|handle| handle.unwrap()).collect();
    probe.until(|seen| begun(seen) == 1).await;
    worker.queues().serve("default", 4).await.unwrap();
    probe.until(|seen| begun(seen) == 4).await;
    worker.queues().serve("default", 2).await.unwrap();
    assert_eq!(running(&probe.seen()), 4, "what runs goes on");
    probe.open();
    for handle in &handles {
        within(handle.result()).await.unwrap();
    }
    // From when no more than two ran, two is the most.
    let seen = probe.seen();
    let counts: Vec<_> = (4..=seen.len()).map(|end| running(&seen[..end])).collect();
    let few = counts.iter().position(|count| *count <= 2).unwrap();
    assert!(counts[few..].iter().all(|count| *count <= 2), "{counts:?}");
    worker.stop().await;
}

#[tokio::test]
async fn a_queue_that_is_withdrawn_runs_out() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).queue("going", 1).start().await.unwrap();
    let queues = worker.queues();
    // So fast that more are claimed ahead.
    for nth in 0..200 {
        client.enqueue(Work { nth }).queue("going").await.unwrap();
    }
    probe.until(|seen| begun(seen) == 200 && running(seen) == 0).await;
    probe.close();
    let tasks = (200..300).map(|nth| client.enqueue(Work { nth }).queue("going"));
    let handles: Vec<_> = client.enqueue_many(tasks).await.into_iter().map(|handle| handle.unwrap()).collect();
    probe.until(|seen| running(seen) == 1).await;

    let withdrawn = tokio::spawn({
        let queues = queues.clone();
        async move { queues.withdraw("going").await }
    });
    within(async {
        while queues.served().contains_key("going") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!withdrawn.is_finished(), "one still runs");
    assert_eq!(told(&client).await, BTreeMap::from([("default".to_owned(), 1)]));
    probe.open();
    within(withdrawn).await.unwrap().unwrap();
    assert_eq!((begun(&probe.seen()), running(&probe.seen())), (201, 0));
    within(client.enqueue(Work { nth: 1_000 }).await.unwrap().result()).await.unwrap();
    // The others are given back, for whoever serves the queue, and again here if it is served again.
    let others = client.worker().queue("going", 4).drain(true).start().await.unwrap();
    within(others.ended()).await;
    queues.serve("going", 1).await.unwrap();
    for handle in handles {
        within(handle.result()).await.unwrap();
    }
    within(client.enqueue(Work { nth: 1_001 }).queue("going").await.unwrap().result()).await.unwrap();
    let report = worker.stop().await;
    assert!(report.panicked.is_empty() && report.leases_lost == 0, "{report}");
}

#[tokio::test]
async fn a_worker_without_a_queue_waits_for_one() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    worker.queues().withdraw("default").await.unwrap();
    let handle = client.enqueue(Work { nth: 1 }).await.unwrap();
    worker.queues().serve("default", 1).await.unwrap();
    within(handle.result()).await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn what_can_not_be_served_is_refused() {
    let probe = Probe::default();
    let client = in_memory(app(&probe)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let queues = worker.queues();
    for (queue, concurrency, problem) in [
        ("", 1, "queue: is empty"),
        ("a\nb", 1, "queue: holds the control character"),
        ("a", 0, "a: its concurrency is at least 1"),
        ("a", 1_000_000, "a: its concurrency is at least 1 and at most"),
    ] {
        let error = queues.serve(queue, concurrency).await.unwrap_err();
        assert!(matches!(error, WorkerError::Invalid(_)) && error.to_string().starts_with(problem), "{error}");
    }
    let error = queues.withdraw("other").await.unwrap_err().to_string();
    assert_eq!(error, "queue: this worker does not serve the queue `other`; it serves default");
    assert_eq!(queues.served(), BTreeMap::from([("default".to_owned(), 1)]));
    worker.stop().await;
    assert!(matches!(queues.serve("a", 1).await, Err(WorkerError::Stopped)));

    probe.close();
    client.enqueue(Work { nth: 1 }).await.unwrap();
    let drains = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    let error = drains.queues().serve("a", 1).await.unwrap_err().to_string();
    assert!(error.contains("drains"), "{error}");
    probe.open();
    within(drains.ended()).await;
}

/// Where the worker's row says what it serves, and wake-ups go by that.
#[cfg(all(unix, feature = "sqlx-0_8", feature = "tokio-postgres"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_of_them() {
    use crate::bank::{Book, Home, Then, Via};

    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    let book = |queue: &str| home.client.enqueue(Book { via: Via::Store, then: Then::Succeed }).queue(queue);
    let queues = worker.queues();
    for (round, concurrency) in [1, 3, 2].into_iter().enumerate() {
        let late = book("late").await.unwrap();
        queues.serve("late", concurrency).await.unwrap();
        within(late.result()).await.unwrap();
        let both = BTreeMap::from([("default".to_owned(), 1), ("late".to_owned(), concurrency)]);
        assert_eq!(told(&home.client).await, both);
        within(book("late").await.unwrap().result()).await.unwrap();
        assert_eq!(home.bank.entries().await.len(), 2 * (round + 1));
    }
    queues.withdraw("late").await.unwrap();
    let report = worker.stop().await;
    assert!(report.panicked.is_empty() && report.leases_lost == 0, "{report}");
    home.close().await;
}

/// Unless it is told one of its own.
#[tokio::test]
async fn a_worker_has_the_shortest_lease_of_its_queues() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let app = app(&Probe::default()).queue_prefix("test_").queue_lease("late", HOUR * 2).queue_lease("default", HOUR);
    let client = in_memory(app).await;
    let lease = async |worker: WorkerBuilder| {
        let worker = worker.start().await.unwrap();
        let told = client.store().workers().await.unwrap().remove(0);
        worker.stop().await;
        told.expires_at.since(told.started_at)
    };
    let served = |queues: &[&str]| queues.iter().fold(client.worker(), |worker, queue| worker.queue(*queue, 1));
    for (worker, expected) in [
        (served(&["late", "other", "default"]), HOUR),
        (served(&["late"]), HOUR * 2),
        (served(&["other"]), Duration::from_secs(30)),
        (served(&["late"]).lease(HOUR * 3), HOUR * 3),
    ] {
        let lease = lease(worker).await;
        // It may have beaten meanwhile.
        assert!(lease >= expected && lease < expected + HOUR / 2, "{lease:?}, and not {expected:?}");
    }
}
