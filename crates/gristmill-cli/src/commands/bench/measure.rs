use std::process::Stdio;
use std::time::{Duration, Instant};

use gristmill::batch::Batch;
use gristmill::client::{Enqueue, EnqueueError};
use gristmill::core::limits;
use gristmill::options::{Concurrency, FairBy, Retention, Unique};
use gristmill::schemars::JsonSchema;
use gristmill::{App, Client, Context, Task, task};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::usage::{cpu_seconds, peak_rss_mb};
use super::{Args, Report, limited, server};
use crate::exit::CliError;
use crate::stores::{self, Raw};

pub(super) type Result<T, E = CliError> = std::result::Result<T, E>;

pub(super) const KIND: &str = "gristmill.bench";
pub(super) const QUEUE: &str = "bench";
/// One in which the arguments take turns.
pub(super) const FAIR: &str = "bench fair";
/// One by one, for so long at most: an fsync each makes a fixed count take long on a slow disk.
const SINGLE_FOR: Duration = Duration::from_secs(2);
/// Whether a drain is over is asked at most for a tenth of its time.
const ASKED: u32 = 9;
pub(super) const LATENCY_SAMPLES: usize = 500;
pub(super) const LATENCY_EVERY: Duration = Duration::from_millis(10);
/// The samples across processes come back as results, which have to be kept for that.
const KEPT: Retention = Retention::For(Duration::from_secs(3600));

/// Measures everything, one thing after another.
pub(super) async fn all(url: &str, bench: &Args) -> Result<Report> {
    let (client, mut started) = connect(url).await?;
    let enqueue_single_per_s = single(&client, bench).await?;
    let enqueue_concurrent_per_s = concurrent(&client, bench).await?;
    drain(&client, bench).await?;

    let (mut bulks, mut drains, mut cpu, mut raws, mut batches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut keyed, mut uniques) = (LIMITS.map(|_| Vec::new()), Vec::new());
    for _ in 0..bench.repeat {
        bulks.push(bulk(&client, bench).await?);
        let before = cpu_seconds();
        drains.push(bench.tasks as f64 / drain(&client, bench).await?.as_secs_f64());
        cpu.push((cpu_seconds() - before) * 100_000.0 / bench.tasks as f64);
        if bench.batches {
            bulk_of(bench, |n| client.enqueue(Together { n }).retention(bench.retention), &client).await?;
            batches.push(bench.tasks as f64 / drain(&client, bench).await?.as_secs_f64());
        }
        if bench.limits {
            let rule = Unique::by("{n}".parse().map_err(EnqueueError::Invalid)?);
            uniques.push(bulk_of(bench, |n| task(&client, n, bench).unique(rule.clone()), &client).await?);
            drain(&client, bench).await?;
        }
        for (drains, (keys, limit)) in keyed.iter_mut().zip(LIMITS).filter(|_| bench.limits) {
            let rule = |n| -> Result<Concurrency> {
                Ok(Concurrency::of(format!("bench {n}").parse().map_err(EnqueueError::Invalid)?, limit))
            };
            let rules = (0..keys).map(rule).collect::<Result<Vec<_>>>()?;
            let of = |n: u64| usize::try_from(n % keys).unwrap_or_default();
            bulk_of(bench, |n| task(&client, n, bench).concurrency(rules[of(n)].clone()), &client).await?;
            drains.push(bench.tasks as f64 / drain(&client, bench).await?.as_secs_f64());
        }
        if bench.raw {
            raws.push(raw(url, bench).await?);
        }
    }
    let (enqueue_bulk_per_s, drain_per_s) = (median(bulks), median(drains));
    let raw_of = |rate: fn(&Raw) -> f64| (!raws.is_empty()).then(|| median(raws.iter().map(rate).collect()));
    let (raw_enqueue_bulk_per_s, raw_drain_per_s) = (raw_of(Raw::enqueue_per_s), raw_of(Raw::drain_per_s));

    let limited = match bench.limits {
        true => Some(limited::measure(&client, bench, &mut started).await?),
        false => None,
    };
    let peak_rss_mb = peak_rss_mb();
    let (latency_p50_ms, latency_p99_ms) = latency_within(&client, bench, &mut started).await?;
    let (latency_across_p50_ms, latency_across_p99_ms) = latency_across(&client, url, bench).await?;
    let server = match bench.raw && stores::is_postgres(url) {
        true => Some(server::measure(&client, &mut started, url, bench).await?),
        false => None,
    };
    Ok(Report {
        store: client.store().location(),
        tasks: bench.tasks,
        repeat: bench.repeat,
        concurrency: bench.concurrency,
        producers: bench.producers,
        retention: bench.retention,
        enqueue_single_per_s,
        enqueue_concurrent_per_s,
        enqueue_bulk_per_s,
        raw_enqueue_bulk_per_s,
        ratio_enqueue_bulk: raw_enqueue_bulk_per_s.map(|raw| enqueue_bulk_per_s / raw),
        drain_per_s,
        raw_drain_per_s,
        ratio_drain: raw_drain_per_s.map(|raw| drain_per_s / raw),
        drain_limited_per_s: bench.limits.then(|| {
            let name = |(keys, limit): (u64, u32)| format!("{keys} keys of {limit}");
            LIMITS.into_iter().map(name).zip(keyed.map(median)).collect()
        }),
        enqueue_unique_bulk_per_s: bench.limits.then(|| median(uniques)),
        limited,
        drain_batches_per_s: bench.batches.then(|| median(batches)),
        latency_p50_ms,
        latency_p99_ms,
        latency_across_p50_ms,
        latency_across_p99_ms,
        cpu_s_per_100k: median(cpu),
        peak_rss_mb,
        server,
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
pub(super) async fn nothing(cx: &Context<mpsc::UnboundedSender<u64>>, n: u64) -> gristmill::Result<u64> {
    if cx.meta().tags.is_empty() {
        return Ok(n);
    }
    let now = nanos();
    // Nobody listens in the other process; the result tells there.
    let _ = cx.state.send(now);
    Ok(now)
}

/// How many keys tasks are spread over, and how many of each may run at once.
const LIMITS: [(u64, u32); 3] = [(1_000, 4), (10_000, 4), (1, 100)];

/// The same in batches.
#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[schemars(crate = "gristmill::schemars")]
#[task(name = "gristmill.bench.batch", queue = "bench", output = u64, quiet, batch(size = 1000, wait = "100ms"))]
struct Together {
    n: u64,
}

impl Together {
    async fn handle(_: &Batch, all: Vec<Self>) -> gristmill::Result<Vec<gristmill::Result<u64>>> {
        Ok(all.into_iter().map(|one| Ok(one.n)).collect())
    }
}

pub(super) async fn connect(url: &str) -> Result<(Client, mpsc::UnboundedReceiver<u64>)> {
    let (sender, started) = mpsc::unbounded_channel();
    let by_number = FairBy::by("{n}".parse().map_err(EnqueueError::Invalid)?);
    let app = App::new(sender).register::<Nothing>().register_batch::<Together>().queue_fair_by(FAIR, by_number);
    Ok((app.connect(url).await?, started))
}

pub(super) fn task<'c>(client: &'c Client, n: u64, bench: &Args) -> Enqueue<'c, u64> {
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

pub(super) async fn bulk(client: &Client, bench: &Args) -> Result<f64> {
    bulk_of(bench, |n| task(client, n, bench), client).await
}

async fn bulk_of<'c>(bench: &Args, task: impl Fn(u64) -> Enqueue<'c, u64> + Sync, client: &'c Client) -> Result<f64> {
    let start = Instant::now();
    let tasks = bench.tasks;
    for from in (0..tasks).step_by(limits::BATCH_TASKS_MAX) {
        let to = (from + limits::BATCH_TASKS_MAX as u64).min(tasks);
        for outcome in client.enqueue_many((from..to).map(&task)).await {
            outcome?;
        }
    }
    Ok(tasks as f64 / start.elapsed().as_secs_f64())
}

/// From the start of the worker until the store says that nothing is left.
pub(super) async fn drain(client: &Client, bench: &Args) -> Result<Duration> {
    let start = Instant::now();
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let queues = [QUEUE.to_owned()];
    loop {
        let asked = Instant::now();
        if client.store().pending(&queues, Duration::ZERO).await?.is_idle() {
            break;
        }
        // The question takes a server's time, which it shares with the drain.
        tokio::time::sleep(Duration::from_millis(5).max(asked.elapsed() * ASKED)).await;
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

pub(super) async fn latency_across(client: &Client, url: &str, bench: &Args) -> Result<(f64, f64)> {
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

/// The bare statements, as many tasks at once as the engine moves when there are many.
pub(super) async fn raw(url: &str, bench: &Args) -> Result<Raw> {
    stores::raw(url, usize::try_from(bench.tasks).unwrap_or(usize::MAX), limits::BATCH_TASKS_MAX, bench.retention).await
}

/// The one in the middle; the lower one of two.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// The median and the 99th percentile, in milliseconds.
pub(super) fn percentiles(mut nanos: Vec<u64>) -> (f64, f64) {
    nanos.sort_unstable();
    let at = |share: f64| nanos.get(((nanos.len() - 1) as f64 * share).round() as usize).map_or(0.0, |ns| *ns as f64 / 1e6);
    (at(0.5), at(0.99))
}

/// The monotonic clock of the machine.
pub(super) fn nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
