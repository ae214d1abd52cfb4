use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use gristmill::core::{Env, KindSpec, limits};
use gristmill::{App, Client, Context, Handler, HandlerFuture, Policy, parse_duration};
use tokio::sync::mpsc;

use super::usage::{cpu_seconds, peak_rss_mb};
use super::{Bench, Report};

const QUEUE: &str = "bench";
/// One by one, for so long at most: an fsync each makes a fixed count take long on a slow disk.
const SINGLE_FOR: Duration = Duration::from_secs(2);
const LATENCY_SAMPLES: usize = 500;
const LATENCY_EVERY: Duration = Duration::from_millis(10);

/// Measures everything, one thing after another.
pub(super) async fn all(url: &str, bench: &Bench) -> Result<Report> {
    let (client, mut started) = connect(url, bench).await?;
    let enqueue_single_per_s = single(&client).await?;
    let enqueue_concurrent_per_s = concurrent(&client, bench).await?;
    drain(&client, bench).await?;

    let enqueue_bulk_per_s = bulk(&client, bench.tasks).await?;
    let cpu = cpu_seconds();
    let drain_per_s = bench.tasks as f64 / drain(&client, bench).await?.as_secs_f64();
    let cpu_s_per_100k = (cpu_seconds() - cpu) * 100_000.0 / bench.tasks as f64;

    let (latency_p50_ms, latency_p99_ms) = latency_within(&client, bench, &mut started).await?;
    let (latency_across_p50_ms, latency_across_p99_ms) = latency_across(&client, url).await?;
    let peak_rss_mb = peak_rss_mb();
    let (raw_enqueue_bulk_per_s, raw_drain_per_s) = if bench.raw { raw(url, bench.tasks)? } else { (None, None) };
    Ok(Report {
        store: client.store().location(),
        tasks: bench.tasks,
        concurrency: bench.concurrency,
        producers: bench.producers,
        retention: bench.retention.clone(),
        enqueue_single_per_s,
        enqueue_concurrent_per_s,
        enqueue_bulk_per_s,
        drain_per_s,
        raw_drain_per_s,
        raw_enqueue_bulk_per_s,
        latency_p50_ms,
        latency_p99_ms,
        latency_across_p50_ms,
        latency_across_p99_ms,
        cpu_s_per_100k,
        peak_rss_mb,
    })
}

/// The worker of the other process: runs until its standard input ends.
pub(super) async fn latency_worker(url: &str, bench: &Bench) -> Result<()> {
    let (client, _) = connect(url, bench).await?;
    let worker = client.worker().queue(QUEUE, 4).start().await?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    worker.stop().await;
    Ok(())
}

/// Does nothing, but says when it was started: on the monotonic clock, which all processes of a machine share.
struct Nothing(mpsc::UnboundedSender<u64>);

impl Handler for Nothing {
    fn run<'a>(&'a self, cx: &'a Context, _: &'a str) -> HandlerFuture<'a> {
        if cx.meta().tags.is_empty() {
            return Box::pin(std::future::ready(Ok("null".to_owned())));
        }
        let now = nanos();
        // Nobody listens in the other process; the result tells there.
        let _ = self.0.send(now);
        Box::pin(std::future::ready(Ok(now.to_string())))
    }
}

async fn connect(url: &str, bench: &Bench) -> Result<(Client, mpsc::UnboundedReceiver<u64>)> {
    let retention = serde_json::from_value(bench.retention.clone().into()).context("--retention")?;
    let policy = Policy { queue: QUEUE.to_owned(), retention, quiet: true, ..Policy::default() };
    let kind = KindSpec { name: "gristmill.bench".to_owned(), schema: serde_json::json!(true), fields: Vec::new(), policy };
    let (sender, started) = mpsc::unbounded_channel();
    let client = App::new(()).register_handler(kind, Nothing(sender)).connect(url).await?;
    Ok((client, started))
}

fn task(client: &Client, n: u64) -> gristmill::Enqueue<'_, serde_json::Value> {
    client.enqueue_named("gristmill.bench", format!("{{\"n\":{n}}}"))
}

async fn single(client: &Client) -> Result<f64> {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SINGLE_FOR {
        task(client, count).await?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn concurrent(client: &Client, bench: &Bench) -> Result<f64> {
    let each = (bench.tasks / u64::from(bench.producers)).clamp(1, 1_000);
    let start = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..bench.producers {
        let client = client.clone();
        producers.spawn(async move {
            for n in 0..each {
                task(&client, n).await?;
            }
            Ok::<_, gristmill::EnqueueError>(())
        });
    }
    while let Some(done) = producers.join_next().await {
        done??;
    }
    Ok((each * u64::from(bench.producers)) as f64 / start.elapsed().as_secs_f64())
}

async fn bulk(client: &Client, tasks: u64) -> Result<f64> {
    let start = Instant::now();
    for from in (0..tasks).step_by(limits::BATCH_TASKS_MAX) {
        let to = (from + limits::BATCH_TASKS_MAX as u64).min(tasks);
        for outcome in client.enqueue_many((from..to).map(|n| task(client, n))).await {
            outcome?;
        }
    }
    Ok(tasks as f64 / start.elapsed().as_secs_f64())
}

/// From the start of the worker until the store says that nothing is left.
async fn drain(client: &Client, bench: &Bench) -> Result<Duration> {
    let start = Instant::now();
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let queues = [QUEUE.to_owned()];
    while !client.store().pending(&queues, Duration::ZERO).await?.is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let report = worker.stop().await;
    if report.failed + report.leases_lost + report.unsettled > 0 {
        bail!("the drain went wrong: {report}");
    }
    Ok(took)
}

async fn latency_within(client: &Client, bench: &Bench, started: &mut mpsc::UnboundedReceiver<u64>) -> Result<(f64, f64)> {
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let mut samples = Vec::new();
    for n in 0..LATENCY_SAMPLES {
        let before = nanos();
        task(client, n as u64).tag("latency").await?;
        let at = started.recv().await.context("the worker is gone")?;
        samples.push(at.saturating_sub(before));
        tokio::time::sleep(LATENCY_EVERY).await;
    }
    worker.stop().await;
    Ok(percentiles(samples))
}

async fn latency_across(client: &Client, url: &str) -> Result<(f64, f64)> {
    let mut other = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--store", url, "bench", "--part", "latency-worker"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the second process")?;
    // The first one tells that it is up.
    task(client, 0).tag("latency").await?.result_within(parse_duration("30s").map_err(anyhow::Error::msg)?).await?;
    let mut samples = Vec::new();
    for n in 0..LATENCY_SAMPLES {
        let before = nanos();
        let at = task(client, n as u64).tag("latency").await?.result().await?;
        samples.push(at.as_u64().context("the other process said no time")?.saturating_sub(before));
        tokio::time::sleep(LATENCY_EVERY).await;
    }
    drop(other.stdin.take());
    other.wait().await?;
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

/// The bare statements of the store at the engine's batch size, on a scratch store of their own.
fn raw(url: &str, tasks: u64) -> Result<(Option<f64>, Option<f64>)> {
    let Some(path) = url.strip_prefix("sqlite:") else { return Ok((None, None)) };
    let _ = (path, tasks, Env::system(), Arc::new(()));
    Ok((None, None))
}
