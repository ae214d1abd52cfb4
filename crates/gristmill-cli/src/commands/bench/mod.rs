//! `gristmill bench`: measures the store and the engine on this machine, and with `--raw` the store's bare statements in
//! the same run, so that the engine's share is a ratio and not a number that depends on the machine.

mod fleet;
mod limited;
mod lists;
mod measure;
mod server;
mod usage;
mod workflows;

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use gristmill::options::Retention;
use gristmill::postgres::raw::Server;
use serde::Serialize;

use crate::exit::CliError;
use crate::output::{Out, note, table};
use crate::stores::{Scratch, is_postgres, shown};

/// How much of what to measure.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Args {
    /// Tasks to enqueue in bulk and to drain
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    tasks: u64,
    /// Tasks that the worker runs at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Callers that enqueue one by one at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,
    /// Measure the store's bare statements too, in a place of their own; and what only a PostgreSQL store has
    #[arg(long)]
    raw: bool,
    /// Drain as many tasks in batches of 1,000, too
    #[arg(long)]
    batches: bool,
    /// Drain as many tasks with a limit, too: over 1,000 keys, over 10,000, and of one
    #[arg(long)]
    limits: bool,
    /// How often each thing is measured; the medians are told
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    repeat: u32,
    /// With --raw on PostgreSQL: drain so many waiting tasks too, as 2000000, and compare with 10,000
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    backlog: u64,
    /// How long the tasks are kept, such as 7d or none
    #[arg(long, default_value = "7d", value_parser = retention)]
    retention: Retention,
    /// Measure nothing but the first page of each filter of `tasks list`, in the store as it is
    #[arg(long)]
    lists: bool,
    /// Measure nothing but workflows, beside plain tasks: chords, a group behind a step, chains
    #[arg(long, conflicts_with_all = ["lists", "raw", "fleet"])]
    workflows: bool,
    #[command(flatten)]
    fleet: fleet::Size,
    /// Be the other process of the latency across processes
    #[arg(long, hide = true)]
    latency_worker: bool,
}

fn retention(text: &str) -> Result<Retention, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// What was measured. The names are part of the command's contract.
#[derive(Debug, Serialize)]
struct Report {
    store: String,
    tasks: u64,
    repeat: u32,
    concurrency: u32,
    producers: u32,
    retention: Retention,
    /// One caller, one by one, each acknowledged before the next.
    enqueue_single_per_s: f64,
    /// Many callers, one by one.
    enqueue_concurrent_per_s: f64,
    /// One caller, in bulk.
    enqueue_bulk_per_s: f64,
    raw_enqueue_bulk_per_s: Option<f64>,
    ratio_enqueue_bulk: Option<f64>,
    /// From the worker's start until the store says that every task is finished.
    drain_per_s: f64,
    raw_drain_per_s: Option<f64>,
    ratio_drain: Option<f64>,
    /// The same drain in batches of 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_batches_per_s: Option<f64>,
    /// The same drain of tasks with a limit, by how many keys they are spread over.
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_limited_per_s: Option<BTreeMap<String, f64>>,
    /// The same enqueue in bulk with a unique key for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    enqueue_unique_bulk_per_s: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    limited: Option<limited::Limited>,
    /// Enqueue call to handler start, idle worker in this process.
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    /// The same with the worker in another process.
    latency_across_p50_ms: f64,
    latency_across_p99_ms: f64,
    /// Processor time of the drain, user and system, store included when it is embedded.
    cpu_s_per_100k: f64,
    /// The most memory that this process held while it enqueued and drained.
    peak_rss_mb: f64,
    #[serde(flatten)]
    server: Option<server::Report>,
}

/// Runs the command. Without a store, a file of its own is made in the current folder and removed afterwards.
///
/// # Errors
/// A store that can't be used, or a task that was lost on the way.
pub(crate) async fn run(args: Args, store: Option<String>, out: &Out) -> Result<(), CliError> {
    match store {
        Some(url) if args.latency_worker => measure::be_the_other(&url).await,
        Some(url) if !args.fleet.member_of.is_empty() => fleet::be_one(&url, &args).await,
        store if args.fleet.fleet => fleet::run(store.as_deref(), &args, out).await,
        None if args.lists => Err(CliError::usage("which store's lists? give --store")),
        Some(url) if args.lists => lists::run(&url, args.repeat, out).await,
        Some(url) if is_postgres(&url) => {
            // In a schema of its own in that database, which is removed afterwards.
            let url = format!("{}&application_name={}", Scratch::beside(&url, "gristmill-bench").url(), application_name());
            note(&format!("measuring in a schema of its own, {}", shown(&url)));
            let told = tell(&url, &args, out).await;
            // Whatever came of it, as what was enqueued is of use to nobody.
            Server::connect(&url).await?.drop_schema().await?;
            told
        }
        Some(url) => {
            note(&format!("measuring on {}: its {} and more tasks stay there for their retention", shown(&url), args.tasks));
            tell(&url, &args, out).await
        }
        None => tell(&Scratch::file("gristmill-bench").url(), &args, out).await,
    }
}

/// Measures, and tells each figure in a line of its own.
async fn tell(url: &str, args: &Args, out: &Out) -> Result<(), CliError> {
    let figures = match args.workflows {
        true => serde_json::to_value(workflows::all(url, args).await?),
        false => serde_json::to_value(measure::all(url, args).await?),
    };
    out.value(&figures.unwrap_or_default(), |figures| {
        let rows = figures.as_object().into_iter().flatten().map(|(name, value)| {
            let text =
                value.as_f64().filter(|_| value.is_f64()).map_or_else(|| value.to_string(), |number| format!("{number:.2}"));
            vec![name.clone(), text]
        });
        table(&["measured", "value"], rows)
    })
}

/// What the server calls this program's connections.
fn application_name() -> String {
    format!("gristmill_bench_{}", std::process::id())
}
