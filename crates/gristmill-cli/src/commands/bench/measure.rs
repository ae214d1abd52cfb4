use std::process::Stdio;
use std::time::{Duration, Instant};

use gristmill::core::limits;
use gristmill::{App, Client, Context, Enqueue, EnqueueError, Retention, task};
use tokio::sync::mpsc;

use super::usage::{cpu_seconds, peak_rss_mb};
use super::{Args, Report};
use crate::exit::CliError;
use crate::stores;

type Result<T, E = CliError> = std::result::Result<T, E>;

const QUEUE: &str = "bench";
/// As many tasks as the engine moves at once when there are many.
const RAW_BATCH: usize = limits::BATCH_TASKS_MAX;
/// One by one, for so long at most: an fsync each makes a fixed count take long on a slow disk.
const SINGLE_FOR: Duration = Duration::from_secs(2);
const LATENCY_SAMPLES: usize = 500;
const LATENCY_EVERY: Duration = Duration::from_millis(10);
/// The samples across processes come back as results, which have to be kept for that.
const KEPT: Retention = Retention::For(Duration::from_secs(3600));

/// Measures everything, one thing after another.
pub(super) async fn all(url: &str, bench: &Args) -> Result<Report> {
    let (client, mut started) = connect(url).await?;
    let enqueue_single_per_s = single(&client, bench).await?;
    let enqueue_concurrent_per_s = concurrent(&client, bench).await?;
    drain(&client, bench).await?;

    let enqueue_bulk_per_s = bulk(&client, bench).await?;
    let cpu = cpu_seconds();
    let drain_per_s = bench.tasks as f64 / drain(&client, bench).await?.as_secs_f64();
    let cpu_s_per_100k = (cpu_seconds() - cpu) * 100_000.0 / bench.tasks as f64;

    let peak_rss_mb = peak_rss_mb();
    let (latency_p50_ms, latency_p99_ms) = latency_within(&client, bench, &mut started).await?;
    let (latency_across_p50_ms, latency_across_p99_ms) = latency_across(&client, url, bench).await?;
    let raw = match bench.raw {
        true => Some(stores::raw(url, usize::try_from(bench.tasks).unwrap_or(usize::MAX), RAW_BATCH, bench.retention).await?),
        false => None,
    };
    Ok(Report {
        store: client.store().location(),
        tasks: bench.tasks,
        concurrency: bench.concurrency,
        producers: bench.producers,
        retention: bench.retention,
        enqueue_single_per_s,
        enqueue_concurrent_per_s,
        enqueue_bulk_per_s,
        drain_per_s,
        raw_drain_per_s: raw.as_ref().map(|raw| raw.drained as f64 / raw.drain.as_secs_f64()),
        raw_enqueue_bulk_per_s: raw.as_ref().map(|raw| bench.tasks as f64 / raw.enqueue.as_secs_f64()),
        latency_p50_ms,
        latency_p99_ms,
        latency_across_p50_ms,
        latency_across_p99_ms,
        cpu_s_per_100k,
        peak_rss_mb,
    })
}

/// The worker of the other process: runs until its standard input ends.
pub(super) async fn be_the_other(url: &str) -> Result<()> {
    let (client, _started) = connect(url).await?;
    let worker = client.worker().queue(QUEUE, 4).start().await?;
    // An error is an end as well.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    worker.stop().await;
    Ok(())
}

/// Does nothing, but says when it was started if it is one of the latency samples: on the monotonic clock, which all
/// processes of a machine share.
#[task(name = "gristmill.bench", queue = "bench", quiet)]
async fn nothing(cx: &Context<mpsc::UnboundedSender<u64>>, n: u64) -> gristmill::Result<u64> {
    if cx.meta().tags.is_empty() {
        return Ok(n);
    }
    let now = nanos();
    // Nobody listens in the other process; the result tells there.
    let _ = cx.state.send(now);
    Ok(now)
}

async fn connect(url: &str) -> Result<(Client, mpsc::UnboundedReceiver<u64>)> {
    let (sender, started) = mpsc::unbounded_channel();
    Ok((App::new(sender).register::<Nothing>().connect(url).await?, started))
}

fn task<'c>(client: &'c Client, n: u64, bench: &Args) -> Enqueue<'c, u64> {
    client.enqueue(Nothing { n }).retention(bench.retention)
}

async fn single(client: &Client, bench: &Args) -> Result<f64> {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SINGLE_FOR {
        task(client, count, bench).await?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn concurrent(client: &Client, bench: &Args) -> Result<f64> {
    let each = (bench.tasks / u64::from(bench.producers)).clamp(1, 1_000);
    let start = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..bench.producers {
        let (client, bench) = (client.clone(), bench.clone());
        producers.spawn(async move {
            for n in 0..each {
                task(&client, n, &bench).await?;
            }
            Ok::<_, EnqueueError>(())
        });
    }
    while let Some(done) = producers.join_next().await {
        done.map_err(|error| CliError::failed(error.to_string()))??;
    }
    Ok((each * u64::from(bench.producers)) as f64 / start.elapsed().as_secs_f64())
}

async fn bulk(client: &Client, bench: &Args) -> Result<f64> {
    let start = Instant::now();
    let tasks = bench.tasks;
    for from in (0..tasks).step_by(limits::BATCH_TASKS_MAX) {
        let to = (from + limits::BATCH_TASKS_MAX as u64).min(tasks);
        for outcome in client.enqueue_many((from..to).map(|n| task(client, n, bench))).await {
            outcome?;
        }
    }
    Ok(tasks as f64 / start.elapsed().as_secs_f64())
}

/// From the start of the worker until the store says that nothing is left.
async fn drain(client: &Client, bench: &Args) -> Result<Duration> {
    let start = Instant::now();
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let queues = [QUEUE.to_owned()];
    while !client.store().pending(&queues, Duration::ZERO).await?.is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let report = worker.stop().await;
    if report.failed + report.leases_lost + report.unsettled > 0 {
        return Err(CliError::failed(format!("the drain went wrong: {report}")));
    }
    Ok(took)
}

async fn latency_within(client: &Client, bench: &Args, started: &mut mpsc::UnboundedReceiver<u64>) -> Result<(f64, f64)> {
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let mut samples = Vec::new();
    for n in 0..LATENCY_SAMPLES {
        let before = nanos();
        task(client, n as u64, bench).tag("latency").await?;
        let at = started.recv().await.ok_or_else(|| CliError::failed("the worker is gone"))?;
        samples.push(at.saturating_sub(before));
        tokio::time::sleep(LATENCY_EVERY).await;
    }
    worker.stop().await;
    Ok(percentiles(samples))
}

async fn latency_across(client: &Client, url: &str, bench: &Args) -> Result<(f64, f64)> {
    let failed = |error: std::io::Error| CliError::failed(format!("the second process failed: {error}"));
    let mut other = tokio::process::Command::new(std::env::current_exe().map_err(failed)?)
        .args(["--store", url, "bench", "--latency-worker"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    // The first result tells that it is up.
    task(client, 0, bench).retention(KEPT).tag("latency").await?.result_within(Duration::from_secs(30)).await?;
    let mut samples = Vec::new();
    for n in 0..LATENCY_SAMPLES {
        let before = nanos();
        let at = task(client, n as u64, bench).retention(KEPT).tag("latency").await?.result().await?;
        samples.push(at.saturating_sub(before));
        tokio::time::sleep(LATENCY_EVERY).await;
    }
    drop(other.stdin.take());
    other.wait().await.map_err(failed)?;
    Ok(percentiles(samples))
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut nanos: Vec<u64>) -> (f64, f64) {
    nanos.sort_unstable();
    let at = |share: f64| nanos.get(((nanos.len() - 1) as f64 * share).round() as usize).map_or(0.0, |ns| *ns as f64 / 1e6);
    (at(0.5), at(0.99))
}

/// The monotonic clock of the machine.
fn nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
