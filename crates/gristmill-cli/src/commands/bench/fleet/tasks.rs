use std::time::Duration;

use gristmill::worker::Running;
use gristmill::{App, Client, Context, task};
use tokio::sync::mpsc;

use super::super::measure::{LATENCY_EVERY, Nothing, QUEUE, Result, nanos};
use crate::exit::CliError;

/// How long whoever starts may take, and a task until it runs.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Takes its time, as most tasks do.
#[task(name = "gristmill.bench.slow", queue = "bench", quiet)]
pub(super) async fn slow(_cx: &Context<()>, ms: u64) -> gristmill::Result<u64> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(ms)
}

/// A client that knows only the tasks that do nothing, with what says when they started.
pub(super) async fn quick(url: &str) -> Result<(Client, mpsc::UnboundedReceiver<u64>)> {
    let (sender, started) = mpsc::unbounded_channel();
    Ok((quick_of(url, sender).await?, started))
}

/// The same for one of several workers that say it to one who listens.
pub(super) async fn quick_of(url: &str, sender: mpsc::UnboundedSender<u64>) -> Result<Client> {
    Ok(App::new(sender).register::<Nothing>().connect(url).await?)
}

/// A client that knows only the tasks that take their time.
pub(super) async fn slowly(url: &str) -> Result<Client> {
    Ok(App::new(()).register::<Slow>().connect(url).await?)
}

/// Queues of a fleet: the one that is enqueued into, and others that all workers serve as well.
pub(super) fn queues(count: usize) -> Vec<String> {
    (0..count).map(|n| if n == 0 { QUEUE.to_owned() } else { format!("{QUEUE}.{n}") }).collect()
}

/// Starts a worker of these queues.
pub(super) async fn serve(client: &Client, queues: &[String], concurrency: u32) -> Result<Running> {
    let worker = queues.iter().fold(client.worker(), |worker, queue| worker.queue(queue.clone(), concurrency));
    Ok(worker.start().await?)
}

/// Waits for the start of one more task.
pub(super) async fn next(started: &mut mpsc::UnboundedReceiver<u64>) -> Result<u64> {
    let at = tokio::time::timeout(PATIENCE, started.recv()).await;
    at.ok().flatten().ok_or_else(|| CliError::failed("a task that was enqueued does not start"))
}

/// As many samples of the pick-up latency as fit into the window, in nanoseconds.
pub(super) async fn latencies(
    client: &Client,
    started: &mut mpsc::UnboundedReceiver<u64>,
    bench: &super::super::Args,
) -> Result<Vec<u64>> {
    let count = (bench.fleet.window.as_millis() / LATENCY_EVERY.as_millis()).clamp(20, 1_000);
    let mut samples = Vec::new();
    for n in 0..count {
        tokio::time::sleep(LATENCY_EVERY).await;
        let before = nanos();
        super::super::measure::task(client, n as u64, bench).tag("latency").await?;
        samples.push(next(started).await?.saturating_sub(before));
    }
    Ok(samples)
}
