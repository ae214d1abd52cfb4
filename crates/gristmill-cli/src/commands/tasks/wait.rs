use std::time::Duration;

use gristmill::Client;
use gristmill::core::json::TaskJson;
use gristmill::record::State;

use super::columns::Column;
use crate::commands::ids::{IdText, find_all};
use crate::commands::values::duration;
use crate::commands::wait;
use crate::exit::CliError;
use crate::output::{Format, Out};

const COLUMNS: [Column; 5] = [Column::Id, Column::State, Column::Attempt, Column::Result, Column::Error];

/// Arguments of `tasks wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// The tasks' ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<IdText>,
    /// How long to wait at most for all of them; then exit 4, and they go on
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    wait_timeout: Option<Duration>,
}

pub(super) async fn run(args: &Wait, client: &Client, out: &Out) -> Result<(), CliError> {
    let began = std::time::Instant::now();
    let ids = find_all(&args.ids, client).await?;
    let mut ended = Vec::with_capacity(ids.len());
    for id in ids {
        let left = args.wait_timeout.map(|limit| limit.saturating_sub(began.elapsed()));
        let task = wait::ended(client, id, left).await??;
        if out.format == Format::Jsonl {
            out.lines(&[TaskJson::of(task.clone())])?;
        }
        ended.push(task);
    }
    let bad = ended.iter().find(|task| task.state != State::Succeeded).map(wait::not_succeeded);
    if out.format != Format::Jsonl {
        let items: Vec<_> = ended.into_iter().map(TaskJson::of).collect();
        out.list(&items, &COLUMNS.map(Column::name), |task| COLUMNS.iter().map(|column| column.cell(task)).collect())?;
    }
    bad.map_or(Ok(()), Err)
}
