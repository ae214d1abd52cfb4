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
    /// Make the roles of a PostgreSQL store, too: one that enqueues, one that works, one that reads
    #[arg(long, conflicts_with = "check")]
    roles: bool,
}

#[derive(Serialize)]
struct Answer {
    store: String,
    migrations: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    number: i64,
    name: String,
    applied_at: Option<Timestamp>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: &Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let store = session.store.clone();
    // A store that has no roles is refused before anything is made.
    let roles_sql = if args.roles { Some(stores::roles_sql(&store)?) } else { None };
    if args.sql {
        return out.raw(&roles_sql.map_or_else(|| stores::migration_sql(&store), Ok)?);
    }
    if !args.check {
        // Connecting brings the tables up to date.
        drop(session.connect().await?);
    }
    let roles = if args.roles { stores::grant_roles(&store).await? } else { Vec::new() };
    let status = stores::migration_status(&store).await?;
    let migrations: Vec<Row> =
        status.into_iter().map(|step| Row { number: step.number, name: step.name, applied_at: step.applied_at }).collect();
    let pending = migrations.iter().filter(|row| row.applied_at.is_none()).count();
    out.value(&Answer { store: stores::shown(&store), migrations, roles }, |answer| {
        let rows = answer.migrations.iter().map(|row| {
            vec![row.number.to_string(), row.name.clone(), row.applied_at.map_or("pending".to_owned(), |at| at.to_string())]
        });
        let roles = answer.roles.iter().map(|role| vec![role.clone()]);
        let roles = if answer.roles.is_empty() { String::new() } else { format!("\n{}", table(&["role"], roles)) };
        table(&["migration", "name", "applied"], rows) + &roles
    })?;
    if pending > 0 {
        return Err(CliError::failed(format!("{pending} migrations are pending"))
            .with_hint("`migrate` applies them, as does any other command"));
    }
    Ok(())
}
