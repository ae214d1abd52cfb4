use std::time::Instant;

use gristmill::Client;
use gristmill::core::{Env, NewTask, Overrides, Policy, TaskMeta, limits};
use gristmill::postgres::raw::Caller;
use tokio::sync::mpsc;

use super::super::Args;
use super::super::measure::{KIND, LATENCY_EVERY, LATENCY_SAMPLES, QUEUE, Result, drain, median, nanos, percentiles};
use crate::exit::CliError;

const PAIRS: usize = 1_000;

/// What it costs a caller to enqueue in its own transaction, and how soon the task is picked up.
pub(super) struct InTransaction {
    pub(super) enqueue_ms: f64,
    pub(super) insert_ms: f64,
    pub(super) latency_p50_ms: f64,
    pub(super) latency_p99_ms: f64,
}

pub(super) async fn measure(
    client: &Client,
    started: &mut mpsc::UnboundedReceiver<u64>,
    url: &str,
    bench: &Args,
) -> Result<InTransaction> {
    let caller = connect(url).await?;
    let (enqueue_ms, insert_ms) = pairs(&caller, bench).await?;
    drain(client, bench).await?;

    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    let mut samples = Vec::new();
    for n in 0..LATENCY_SAMPLES {
        let task = task(n, Some("latency"), bench)?;
        tokio::time::sleep(LATENCY_EVERY).await;
        let before = nanos();
        caller.enqueue(&task).await?;
        let at = started.recv().await.ok_or_else(|| CliError::failed("the worker is gone"))?;
        samples.push(at.saturating_sub(before));
    }
    worker.stop().await;
    let (latency_p50_ms, latency_p99_ms) = percentiles(samples);
    Ok(InTransaction { enqueue_ms, insert_ms, latency_p50_ms, latency_p99_ms })
}

/// An application with a connection of its own.
pub(in super::super) async fn connect(url: &str) -> Result<Caller> {
    Ok(Caller::connect(url).await?)
}

/// What a transaction with one enqueue takes, and one with one plain insert, in milliseconds.
pub(in super::super) async fn pairs(caller: &Caller, bench: &Args) -> Result<(f64, f64)> {
    let (mut enqueues, mut inserts) = (Vec::new(), Vec::new());
    // In turn, as a disk has better and worse moments.
    for n in 0..PAIRS * bench.repeat as usize {
        let task = task(n, None, bench)?;
        let since = Instant::now();
        caller.enqueue(&task).await?;
        enqueues.push(since.elapsed().as_secs_f64() * 1e3);
        let since = Instant::now();
        caller.insert(&task).await?;
        inserts.push(since.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(enqueues), median(inserts)))
}

fn task(n: usize, tag: Option<&str>, bench: &Args) -> Result<NewTask> {
    let meta = tag.map(|tag| TaskMeta { tags: vec![tag.to_owned()], ..TaskMeta::default() });
    let over = Overrides { queue: Some(QUEUE.to_owned()), retention: Some(bench.retention), ..Overrides::default() };
    let (id, args) = (Env::system().task_id(), format!("{{\"n\":{n}}}"));
    let mut task = NewTask::resolve(KIND, &Policy::default(), args, over, id, &limits::Limits::default())
        .map_err(|error| CliError::failed(error.to_string()))?;
    task.meta = meta.map(Box::new);
    Ok(task)
}
