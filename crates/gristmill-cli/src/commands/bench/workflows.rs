//! `bench --workflows`: what it costs that tasks are members of workflows, as ratios to plain tasks in the same run.

use std::time::{Duration, Instant};

use gristmill::Client;
use gristmill::options::Retention;
use gristmill::workflow::{StartError, Workflow};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Args;
use super::measure::{self, Nothing, QUEUE, Result, median, percentiles};
use super::usage::peak_rss_mb;
use crate::exit::CliError;

/// Steps of a chain.
const STEPS: u64 = 10;
/// A chain has a step for each of so many plain tasks, and all chains together a tenth of them.
const CHAINS_MAX: u64 = 10_000;
/// Callers that start chains at the same time.
const STARTERS: u64 = 16;
/// Small chords, each of which is started when the last one is over.
const CHORDS_MAX: u64 = 200;
const CHORD_MEMBERS: u64 = 20;
/// Steps of the chain that runs alone.
const ALONE_MAX: u64 = 300;
/// Members with which one sweep deals.
const SWEPT: usize = 1_000;
/// A worker that serves nothing else has started a task by then, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured. The names are part of the command's contract.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    store: String,
    tasks: u64,
    repeat: u32,
    concurrency: u32,
    retention: Retention,
    /// Plain tasks, one caller, in bulk.
    enqueue_bulk_per_s: f64,
    /// From the worker's start until the store says that every task is finished.
    drain_per_s: f64,
    /// A group of as many members, and one task that waits for all of them.
    chord_start_per_s: f64,
    chord_drain_per_s: f64,
    ratio_chord: f64,
    /// What sweeps do to the members once it is over, members a second: it is no part of the drain, and is not left to the next one.
    chord_left_per_s: f64,
    /// The same group behind a step, which lets it go.
    behind_drain_per_s: f64,
    ratio_behind: f64,
    /// Chains of ten steps, which run at the same time: steps a second.
    chains: u64,
    chains_drain_per_s: f64,
    ratio_chains: f64,
    /// One chain alone: from the start of one step to that of the next.
    step_p50_ms: f64,
    step_p99_ms: f64,
    /// Small chords, one at a time: from when the last member began, which does nothing, to when the one that waits for all did.
    chord_members: u64,
    finisher_p50_ms: f64,
    finisher_p99_ms: f64,
    /// The most memory that this process held while it started and drained workflows.
    peak_rss_mb: f64,
}

/// Measures one thing after another, each as often as is asked for, in turn.
pub(super) async fn all(url: &str, bench: &Args) -> Result<Report> {
    let (client, mut started) = measure::connect(url).await?;
    let chains = (bench.tasks / STEPS / 10).clamp(1, CHAINS_MAX);
    let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
    let mut turns: Vec<Turn> = Vec::new();
    for _ in 0..bench.repeat {
        let enqueue = measure::bulk(&client, bench).await?;
        let plain = rate(bench.tasks, measure::drain(&client, bench).await?);
        let since = Instant::now();
        start_chord(workflow(&client, bench), bench.tasks, false).await?;
        let start = rate(bench.tasks, since.elapsed());
        let chord = rate(bench.tasks + 1, measure::drain(&client, bench).await?);
        let left = rate(bench.tasks + 1, sweep(&client).await?);
        start_chord(workflow(&client, bench), bench.tasks, true).await?;
        let behind = rate(bench.tasks + 2, measure::drain(&client, bench).await?);
        sweep(&client).await?;
        start_chains(&client, bench, chains).await?;
        let chains = rate(chains * STEPS, measure::drain(&client, bench).await?);
        sweep(&client).await?;
        turns.push(Turn { enqueue, plain, start, chord, left, behind, chains });
    }
    let peak_rss_mb = peak_rss_mb();
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let steps = alone(&client, bench, &mut started).await?;
    let finishers = finishers(&client, bench, &mut started).await?;
    worker.stop().await;
    let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
    let ((step_p50_ms, step_p99_ms), (finisher_p50_ms, finisher_p99_ms)) = (percentiles(steps), percentiles(finishers));
    Ok(Report {
        store: client.store().location(),
        tasks: bench.tasks,
        repeat: bench.repeat,
        concurrency: bench.concurrency,
        retention: bench.retention,
        enqueue_bulk_per_s: of(|turn| turn.enqueue),
        drain_per_s: of(|turn| turn.plain),
        chord_start_per_s: of(|turn| turn.start),
        chord_drain_per_s: of(|turn| turn.chord),
        ratio_chord: of(|turn| turn.chord / turn.plain),
        chord_left_per_s: of(|turn| turn.left),
        behind_drain_per_s: of(|turn| turn.behind),
        ratio_behind: of(|turn| turn.behind / turn.plain),
        chains,
        chains_drain_per_s: of(|turn| turn.chains),
        ratio_chains: of(|turn| turn.chains / turn.plain),
        step_p50_ms,
        step_p99_ms,
        chord_members: CHORD_MEMBERS,
        finisher_p50_ms,
        finisher_p99_ms,
        peak_rss_mb,
    })
}

/// Rates of one turn.
struct Turn {
    enqueue: f64,
    plain: f64,
    start: f64,
    chord: f64,
    left: f64,
    behind: f64,
    chains: f64,
}

/// Does what workflows that are over leave to sweeps, at most so many members at once.
async fn sweep(client: &Client) -> Result<Duration> {
    let since = Instant::now();
    while client.store().sweep(SWEPT).await?.next_due.is_some_and(|due| due.is_zero()) {}
    Ok(since.elapsed())
}

/// A group with what joins it; behind a step, if that is wanted. The one that joins it takes no results: those are read, and not drained.
async fn start_chord(mut w: Workflow<'_>, members: u64, is_behind: bool) -> Result<()> {
    let first = is_behind.then(|| w.step("first", Nothing { n: 0 }));
    let group = w.each("group", (0..members).map(|n| Nothing { n }));
    let group = match first {
        Some(first) => group.after(&first),
        None => group,
    };
    w.step("join", Nothing { n: members }).after(&group);
    w.start().await.map_err(failed)?;
    Ok(())
}

async fn start_chains(client: &Client, bench: &Args, chains: u64) -> Result<()> {
    let mut starters = JoinSet::new();
    for nth in 0..STARTERS.min(chains) {
        let (client, bench) = (client.clone(), bench.clone());
        starters.spawn(async move {
            for _ in (nth..chains).step_by(STARTERS as usize) {
                chain(&client, &bench, STEPS).start().await?;
            }
            Ok::<_, StartError>(())
        });
    }
    while let Some(done) = starters.join_next().await {
        done.map_err(|error| CliError::failed(error.to_string()))?.map_err(failed)?;
    }
    Ok(())
}

fn chain<'c>(client: &'c Client, bench: &Args, steps: u64) -> Workflow<'c> {
    let mut w = workflow(client, bench);
    let mut last = None;
    for n in 0..steps {
        let step = w.step(format!("step {n}"), Nothing { n });
        last = Some(match last {
            Some(last) => step.after(&last),
            None => step,
        });
    }
    w
}

/// From one step to the next of a chain that is alone, in nanoseconds.
async fn alone(client: &Client, bench: &Args, started: &mut mpsc::UnboundedReceiver<u64>) -> Result<Vec<u64>> {
    let steps = ALONE_MAX.min(bench.tasks).max(2);
    // Those that are tagged say when they begin.
    chain(client, bench, steps).tag("latency").start().await.map_err(failed)?;
    let began = begun(started, steps).await?;
    Ok(began.windows(2).map(|two| two[1].saturating_sub(two[0])).collect())
}

/// From the last member of a chord to the one that waits for all, in nanoseconds.
async fn finishers(client: &Client, bench: &Args, started: &mut mpsc::UnboundedReceiver<u64>) -> Result<Vec<u64>> {
    let mut samples = Vec::new();
    for _ in 0..CHORDS_MAX.min(bench.tasks) {
        start_chord(workflow(client, bench).tag("latency"), CHORD_MEMBERS, false).await?;
        let mut began = begun(started, CHORD_MEMBERS + 1).await?;
        let (finisher, last) = (began.pop().unwrap_or_default(), began.pop().unwrap_or_default());
        samples.push(finisher.saturating_sub(last));
    }
    Ok(samples)
}

/// When so many tasks began, in their order.
async fn begun(started: &mut mpsc::UnboundedReceiver<u64>, tasks: u64) -> Result<Vec<u64>> {
    let mut began = Vec::new();
    for _ in 0..tasks {
        let next = tokio::time::timeout(PATIENCE, started.recv()).await.ok().flatten();
        began.push(next.ok_or_else(|| CliError::failed("a workflow stands still"))?);
    }
    began.sort_unstable();
    Ok(began)
}

fn workflow<'c>(client: &'c Client, bench: &Args) -> Workflow<'c> {
    let retention = bench.retention;
    client.workflow("gristmill.bench").retention(retention).set(|all| all.retention = Some(retention))
}

fn failed(error: StartError) -> CliError {
    CliError::failed(error.to_string())
}
