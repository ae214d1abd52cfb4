//! `gristmill bench`: measures the store and the engine on this machine, and with `--raw` the store's bare statements in
//! the same run, so that the engine's share is a ratio and not a number that depends on the machine.

mod measure;
mod usage;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use crate::output::Output;

/// Measures enqueue, drain and latency with tasks that do nothing.
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// Tasks to enqueue in bulk and to drain.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    tasks: u64,
    /// Tasks that the worker runs at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Callers that enqueue one by one at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,
    /// Measures the store's bare statements too.
    #[arg(long)]
    raw: bool,
    /// How long ended tasks are kept, as in a task type: `7d`, `none`.
    #[arg(long, default_value = "7d")]
    retention: String,
    /// Runs the part of the second process when latency across processes is measured.
    #[arg(long, hide = true)]
    part: Option<String>,
}

/// What was measured. The names are part of the command's contract.
#[derive(Debug, Serialize)]
struct Report {
    store: String,
    tasks: u64,
    concurrency: u32,
    producers: u32,
    retention: String,
    /// One caller, one by one, each acknowledged before the next.
    enqueue_single_per_s: f64,
    /// Many callers, one by one.
    enqueue_concurrent_per_s: f64,
    /// One caller, in bulk.
    enqueue_bulk_per_s: f64,
    /// From the worker's start until the store says that every task is finished.
    drain_per_s: f64,
    raw_drain_per_s: Option<f64>,
    raw_enqueue_bulk_per_s: Option<f64>,
    /// Enqueue call to handler start, idle worker in this process.
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    /// The same with the worker in another process.
    latency_across_p50_ms: f64,
    latency_across_p99_ms: f64,
    /// Processor time of the drain, user and system, store included when it is embedded.
    cpu_s_per_100k: f64,
    /// The most memory that this process held at any time.
    peak_rss_mb: f64,
}

/// Runs the command. Without an explicit store, a database file of its own is made beside the current folder's others and
/// removed afterwards.
pub(crate) async fn run(bench: Bench, store: Option<String>, out: &Output) -> Result<()> {
    if bench.part.as_deref() == Some("latency-worker") {
        let url = store.context("the latency worker needs a store")?;
        return measure::latency_worker(&url, &bench).await;
    }
    let scratch = store.is_none().then(Scratch::new).transpose()?;
    let url = match (&store, &scratch) {
        (Some(url), _) => url.clone(),
        (None, Some(scratch)) => format!("sqlite:{}", scratch.file.display()),
        (None, None) => bail!("no store to measure"),
    };
    let report = measure::all(&url, &bench).await?;
    out.record(&report)
}

/// A database file that goes away with this value, its companions too.
struct Scratch {
    file: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        let file = std::env::current_dir()?.join(format!("gristmill-bench-{}.db", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.file);
    }
}

fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        // It may never have been made.
        let _ = std::fs::remove_file(name);
    }
}
