//! Being woken instead of asking again and again.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use gristmill_core::{Ending, NewTask, Wake};

use super::bench::{Bench, QUEUE, secs};
use super::list;

/// Nobody waits that long: a check that does has failed, and its own deadline says so.
const NEVER: Duration = Duration::from_secs(3600);

list![
    an_enqueue_wakes,
    a_scheduled_task_wakes_who_waits_for_times,
    a_resumed_queue_wakes,
    a_task_that_comes_back_wakes,
    a_request_to_stop_wakes_who_runs_the_task,
    the_end_of_a_task_wakes_who_waits_for_it,
    whoever_waits_for_what_has_happened_does_not_wait,
    a_wait_ends_with_its_timeout,
    whatever_happens_wakes_who_shows_it,
    whoever_resumes_hears_of_each_end_or_that_some_were_missed,
];

/// A worker that waits for work hears of it.
pub async fn an_enqueue_wakes(bench: Bench<'_>) {
    woken(&bench, Wake::Ready, async {
        bench.add().await;
    })
    .await;
}

/// The next due time may have moved.
pub async fn a_scheduled_task_wakes_who_waits_for_times(bench: Bench<'_>) {
    woken(&bench, Wake::Scheduled, async {
        bench.enqueue(NewTask { delay: secs(5), ..bench.task() }).await;
    })
    .await;
}

/// What waited in a paused queue can be claimed now.
pub async fn a_resumed_queue_wakes(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.store.pause(QUEUE, true).await.expect("the store answers");
    bench.claim(worker, 1).await;
    woken(&bench, Wake::Ready, async { bench.store.pause(QUEUE, false).await.expect("the store answers") }).await;
}

/// A release makes a task ready too.
pub async fn a_task_that_comes_back_wakes(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    woken(&bench, Wake::Ready, async {
        bench.settle(lease, Ending::Released).await;
    })
    .await;
}

/// A worker that runs a task hears at once that it is to stop, and not only with its next heartbeat.
pub async fn a_request_to_stop_wakes_who_runs_the_task(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    let store = &bench.store;
    let cancelled = |worker| async move { store.cancelled(worker).await.expect("the store answers") };
    let mut leases = Vec::new();
    for _ in 0..3 {
        bench.add().await;
        leases.push(bench.claim_one(worker).await.lease);
    }
    assert_eq!(cancelled(worker).await, []);
    woken(&bench, Wake::Cancelled, async {
        bench.store.cancel(&[leases[0].id]).await.expect("the store answers");
    })
    .await;
    assert_eq!(cancelled(worker).await, leases[..1]);
    // Between the look and the wait; and between a heartbeat and the wait.
    bench.store.cancel(&[leases[1].id]).await.expect("the store answers");
    bench.store.wait(Wake::Cancelled, NEVER).await;
    bench.beat(worker).await;
    bench.store.cancel(&[leases[2].id]).await.expect("the store answers");
    bench.store.wait(Wake::Cancelled, NEVER).await;
    assert_eq!(cancelled(worker).await, leases);
    assert_eq!(cancelled(other).await, []);
    assert_eq!(cancelled(bench.env.worker_id()).await, []);
}

/// Whoever awaits a result is told, however the task ends.
pub async fn the_end_of_a_task_wakes_who_waits_for_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for ending in [Ending::Succeeded, Ending::Failed, Ending::Cancelled] {
        let id = bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        woken(&bench, Wake::Ended(id), async {
            bench.settle(lease, ending).await;
        })
        .await;
    }
    let id = bench.add().await;
    woken(&bench, Wake::Ended(id), async {
        bench.store.cancel(&[id]).await.expect("the store answers");
    })
    .await;
}

/// What fell between the look and the wait is not waited for again.
pub async fn whoever_waits_for_what_has_happened_does_not_wait(bench: Bench<'_>) {
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, 1).await, []);
    bench.add().await;
    bench.store.wait(Wake::Ready, NEVER).await;
    let id = bench.claim_one(worker).await.lease;
    bench.settle(id, Ending::Succeeded).await;
    bench.store.wait(Wake::Ended(id.id), NEVER).await;
}

/// If nothing happens, the caller looks again after a while all the same.
pub async fn a_wait_ends_with_its_timeout(bench: Bench<'_>) {
    let id = bench.add().await;
    for wake in [Wake::Ready, Wake::Scheduled, Wake::Cancelled, Wake::Ended(id)] {
        bench.store.wait(wake, Duration::from_millis(1)).await;
    }
}

/// Tasks that come, run and end, and what people do: each moves the mark.
pub async fn whatever_happens_wakes_who_shows_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut mark = bench.store.changes(None).mark;
    for what in ["paused", "resumed", "enqueued", "claimed", "settled", "scheduled", "cancelled"] {
        woken(&bench, Wake::Changed(mark), async {
            match what {
                "paused" | "resumed" => bench.store.pause(QUEUE, what == "paused").await.expect("the store answers"),
                "enqueued" => _ = bench.add().await,
                "claimed" => _ = bench.claim(worker, 1).await,
                "settled" => {
                    let id = bench.add().await;
                    let lease = bench.claim_one(worker).await.lease;
                    assert_eq!(lease.id, id);
                    bench.settle(lease, Ending::Succeeded).await;
                }
                "scheduled" => _ = bench.enqueue(NewTask { delay: secs(5), ..bench.task() }).await,
                _ => {
                    let id = bench.add().await;
                    bench.store.cancel(&[id]).await.expect("the store answers");
                }
            }
        })
        .await;
        let changes = bench.store.changes(Some(mark));
        assert_ne!(changes.mark, mark, "{what} is a change");
        mark = changes.mark;
    }
}

/// Ends come in their order and once each, unless it is said that some were missed.
pub async fn whoever_resumes_hears_of_each_end_or_that_some_were_missed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let start = bench.store.changes(None).mark;
    let mut ended = Vec::new();
    for ending in [Ending::Succeeded, Ending::Failed] {
        ended.push(bench.add().await);
        let lease = bench.claim_one(worker).await.lease;
        bench.settle(lease, ending).await;
    }
    let first = bench.store.changes(Some(start));
    assert!(first.missed || first.ended == ended, "{first:?} after {ended:?}");
    let cancelled = bench.add().await;
    bench.store.cancel(&[cancelled]).await.expect("the store answers");
    let second = bench.store.changes(Some(first.mark));
    assert!(second.missed || second.ended == [cancelled], "{second:?} after {cancelled}");
    // A mark of another handle, or of before a restart.
    let foreign = "00000000000000000000000000000001.0".parse().expect("it is a mark");
    assert!(bench.store.changes(Some(foreign)).missed);
    bench.store.wait(Wake::Changed(foreign), NEVER).await;
}

/// Waits first, then lets it happen. If nobody is woken, the check runs into its deadline.
pub(super) async fn woken(bench: &Bench<'_>, wake: Wake, happens: impl Future<Output = ()>) {
    let mut waiting = pin!(bench.store.wait(wake, NEVER));
    // Polled once, so that the wait has begun; it may resolve for no reason, and is then as good as woken.
    let early = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await;
    happens.await;
    if !early {
        waiting.await;
    }
}
