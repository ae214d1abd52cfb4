use gristmill::Timestamp;
use serde::Serialize;

use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{Out, table};
use crate::stores;

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what there is to do; exit 1 if that is anything
    #[arg(long)]
    check: bool,
    /// Print the statements that make the tables of a PostgreSQL store, and run none
    #[arg(long, conflicts_with = "check")]
    sql: bool,
}

#[derive(Serialize)]
struct Answer {
    store: String,
    migrations: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    number: i64,
    name: String,
    applied_at: Option<Timestamp>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: &Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let store = session.store.clone();
    if args.sql {
        return out.raw(&stores::migration_sql(&store)?);
    }
    if !args.check {
        // Connecting brings the tables up to date.
        drop(session.connect().await?);
    }
    let status = stores::migration_status(&store).await?;
    let migrations: Vec<Row> =
        status.into_iter().map(|step| Row { number: step.number, name: step.name, applied_at: step.applied_at }).collect();
    let pending = migrations.iter().filter(|row| row.applied_at.is_none()).count();
    out.value(&Answer { store: stores::shown(&store), migrations }, |answer| {
        let rows = answer.migrations.iter().map(|row| {
            vec![row.number.to_string(), row.name.clone(), row.applied_at.map_or("pending".to_owned(), |at| at.to_string())]
        });
        table(&["migration", "name", "applied"], rows)
    })?;
    if pending > 0 {
        return Err(CliError::failed(format!("{pending} migrations are pending"))
            .with_hint("`migrate` applies them, as does any other command"));
    }
    Ok(())
}
