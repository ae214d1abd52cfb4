//! `locks`: which locks handlers hold.

use gristmill::core::json::PageJson;
use gristmill::core::limits;

use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `locks`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List the locks that running tasks hold, by name
    List(List),
}

/// Arguments of `locks list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Those whose names begin so
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let Args::List(List { prefix, limit, cursor }) = args;
    let client = session.connect_to_look().await?;
    let locks = client.locks().list(&prefix, cursor.as_deref(), limit.into()).await?;
    // The name of the last one; there may be none behind it.
    let next = locks.last().filter(|_| locks.len() == usize::from(limit)).map(|lock| lock.name.clone());
    out.page(&PageJson::new(locks, next), &["lock", "task", "type", "worker", "since", "token"], |lock| {
        vec![
            lock.name.clone(),
            lock.task.to_string(),
            lock.kind.clone().unwrap_or_default(),
            lock.worker.clone().unwrap_or_default(),
            lock.since.to_string(),
            lock.token.to_string(),
        ]
    })
}
