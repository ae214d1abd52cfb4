//! What only a PostgreSQL store has: transactions of others, a write-ahead log, processes of its own.

mod backlog;
pub(super) mod caller;
mod held;
mod idle;
mod single;
mod wal;

use gristmill::Client;
use gristmill::options::Retention;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Args;
use super::measure::{Result, bulk, drain, median, raw};

/// What was measured beside the common things. The names are part of the command's contract.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// One caller, one by one, with the bare statement.
    raw_enqueue_single_per_s: f64,
    /// Of the same run's `enqueue_single_per_s` beside it; 1 is as fast.
    ratio_enqueue_single: f64,
    /// The drain when nothing is kept of a success, and its share of the bare statements'.
    drain_none_per_s: f64,
    raw_drain_none_per_s: f64,
    ratio_drain_none: f64,
    /// The drain undisturbed, and while another transaction keeps dead rows from being removed; the second's share of the first.
    drain_free_per_s: f64,
    drain_held_per_s: f64,
    ratio_drain_held: f64,
    /// The drain of 10,000 waiting tasks, of `backlog` waiting tasks, and the share of the second.
    backlog: u64,
    drain_backlog_small_per_s: Option<f64>,
    drain_backlog_per_s: Option<f64>,
    ratio_backlog: Option<f64>,
    /// A caller's transaction with one enqueue, the same with one plain insert, and how many times as long the first takes.
    transaction_enqueue_ms: f64,
    transaction_insert_ms: f64,
    times_transaction: f64,
    /// From the begin of a caller's transaction to handler start, idle worker in this process.
    latency_transaction_p50_ms: f64,
    latency_transaction_p99_ms: f64,
    /// Write-ahead log of a task, from a checkpoint on: enqueued in bulk, claimed and settled.
    wal_enqueue_bytes: f64,
    wal_run_bytes: f64,
    wal_full_page_writes: String,
    /// Processor time while nothing happens, in percent of a core: of this process with its worker, and of its server
    /// processes, if they are on this machine.
    idle_cpu_percent: f64,
    idle_server_cpu_percent: Option<f64>,
}

/// Measures on `client`, whose store is at `url`.
pub(super) async fn measure(
    client: &Client,
    started: &mut mpsc::UnboundedReceiver<u64>,
    url: &str,
    bench: &Args,
) -> Result<Report> {
    let (enqueue_single_per_s, raw_enqueue_single_per_s) = single::measure(client, url, bench).await?;
    let (drain_none_per_s, raw_drain_none_per_s) = none(client, url, bench).await?;
    let (drain_free_per_s, drain_held_per_s) = held::measure(client, url, bench).await?;
    let caller = caller::measure(client, started, url, bench).await?;
    let wal = wal::measure(client, url, bench).await?;
    let idle = idle::measure(client, url, bench).await?;
    let backlog = if bench.backlog > 0 { Some(backlog::measure(client, bench).await?) } else { None };
    Ok(Report {
        raw_enqueue_single_per_s,
        ratio_enqueue_single: enqueue_single_per_s / raw_enqueue_single_per_s,
        drain_none_per_s,
        raw_drain_none_per_s,
        ratio_drain_none: drain_none_per_s / raw_drain_none_per_s,
        drain_free_per_s,
        drain_held_per_s,
        ratio_drain_held: drain_held_per_s / drain_free_per_s,
        backlog: bench.backlog,
        drain_backlog_small_per_s: backlog.map(|backlog| backlog.small_per_s),
        drain_backlog_per_s: backlog.map(|backlog| backlog.large_per_s),
        ratio_backlog: backlog.map(|backlog| backlog.large_per_s / backlog.small_per_s),
        transaction_enqueue_ms: caller.enqueue_ms,
        transaction_insert_ms: caller.insert_ms,
        times_transaction: caller.enqueue_ms / caller.insert_ms,
        latency_transaction_p50_ms: caller.latency_p50_ms,
        latency_transaction_p99_ms: caller.latency_p99_ms,
        wal_enqueue_bytes: wal.enqueue_bytes,
        wal_run_bytes: wal.run_bytes,
        wal_full_page_writes: wal.full_page_writes,
        idle_cpu_percent: idle.process,
        idle_server_cpu_percent: idle.server,
    })
}

/// With nothing kept of a success: the engine's drain and the bare statements', in turn.
async fn none(client: &Client, url: &str, bench: &Args) -> Result<(f64, f64)> {
    let bench = Args { retention: Retention::None, ..bench.clone() };
    let (mut engine, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeat {
        bulk(client, &bench).await?;
        engine.push(bench.tasks as f64 / drain(client, &bench).await?.as_secs_f64());
        bare.push(raw(url, &bench).await?.drain_per_s());
    }
    Ok((median(engine), median(bare)))
}
