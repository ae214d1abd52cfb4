use gristmill::Client;
use gristmill::client::EnqueueError;
use gristmill::core::limits::BATCH_TASKS_MAX;

use super::super::measure::{QUEUE, Result, percentiles};
use super::enqueue::{SETTLED, nothing};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::{Slow, latencies, quick, serve, slowly};
use super::window::Counter;

/// The other service's tasks while the queue is empty of them, so that it works alike in both cases.
const APART: &str = "bench.apart";
/// How long a task of the other service takes, which has one slot.
const SLOW_MS: u64 = 20;

/// Two services share a queue, each with its own type of task. The one that is measured has a worker and nothing to do but the
/// samples; the other works off tasks, first in a queue of its own, and then from its backlog in the shared one.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let (client, mut started) = quick(&place.url("idle")).await?;
    let other = slowly(&place.url("other")).await?;
    let worker = serve(&client, &[QUEUE.to_owned()], 8).await?;
    let busy = other.worker().queue(QUEUE, 1).queue(APART, 1).prefetch(0).start().await?;

    let apart = 10 * bench.fleet.window.as_millis() as u64 / SLOW_MS;
    fill(&other, APART, apart.max(1_000), bench).await?;
    tokio::time::sleep(SETTLED).await;
    let alone = percentiles(latencies(&client, &mut started, bench).await?);

    fill(&other, QUEUE, bench.fleet.others, bench).await?;
    tokio::time::sleep(SETTLED).await;
    let beside = percentiles(latencies(&client, &mut started, bench).await?);
    let mut figures = vec![
        Figure::new("latency p50, empty queue", alone.0, "ms"),
        Figure::new("latency p99, empty queue", alone.1, "ms"),
        Figure::new("latency p50, shared queue", beside.0, "ms"),
        Figure::new("latency p99, shared queue", beside.1, "ms"),
        Figure::new("of the first, p50", beside.0 / alone.0, "").goal(Goal::AtMost(1.2)),
    ];
    if place.is_server() {
        let counter = Counter::new(place, "idle").await?;
        let (idle, ()) = counter.over(nothing(bench)).await?;
        if let Some(percent) = idle.server_percent() {
            figures.push(Figure::new("server time of the idle service", percent, "% of a core").goal(Goal::AtMost(2.0)));
        }
    }
    worker.stop().await;
    busy.stop().await;
    Ok(figures)
}

/// Enqueues tasks of the other service.
pub(super) async fn fill(client: &Client, queue: &str, count: u64, bench: &super::super::Args) -> Result<()> {
    for from in (0..count).step_by(BATCH_TASKS_MAX) {
        let some = from..(from + BATCH_TASKS_MAX as u64).min(count);
        let slow = |_| client.enqueue(Slow { ms: SLOW_MS }).queue(queue).retention(bench.retention);
        client.enqueue_many(some.map(slow)).await.into_iter().collect::<std::result::Result<Vec<_>, EnqueueError>>()?;
    }
    Ok(())
}
