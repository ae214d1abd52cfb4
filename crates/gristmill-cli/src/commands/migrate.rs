use gristmill::Timestamp;
use gristmill::core::kit::migrate::{Effect, Migration};
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
    /// Print the statements that make the tables of a PostgreSQL store, or with --roles its roles, and run none
    #[arg(long, conflicts_with = "check")]
    sql: bool,
    /// Make the roles of a PostgreSQL store, too: one that enqueues, one that works, one that reads
    #[arg(long, conflicts_with = "check")]
    roles: bool,
}

#[derive(Serialize)]
struct Answer {
    store: String,
    /// Those that the programs before them can't work with.
    migrations: Vec<Row>,
    /// Those of which these notice nothing.
    additions: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    number: i64,
    name: String,
    applied_at: Option<Timestamp>,
}

impl From<Migration> for Row {
    fn from(step: Migration) -> Self {
        Self { number: step.number, name: step.name, applied_at: step.applied_at }
    }
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
        stores::finish(&store).await?;
    }
    let roles = if args.roles { stores::grant_roles(&store).await? } else { Vec::new() };
    let status = stores::migration_status(&store).await?;
    let (breaking, adding): (Vec<_>, Vec<_>) = status.into_iter().partition(|step| step.effect == Effect::Breaks);
    let rows = |steps: Vec<Migration>| steps.into_iter().map(Row::from).collect();
    let answer = Answer { store: stores::shown(&store), migrations: rows(breaking), additions: rows(adding), roles };
    out.value(&answer, |answer| {
        let rows = |kind: &str, rows: &[Row]| {
            let rows = rows.iter().map(|row| {
                vec![row.number.to_string(), row.name.clone(), row.applied_at.map_or("pending".to_owned(), |at| at.to_string())]
            });
            table(&[kind, "name", "applied"], rows)
        };
        let mut text = rows("migration", &answer.migrations) + "\n" + &rows("addition", &answer.additions);
        if !answer.roles.is_empty() {
            text += &format!("\n{}", table(&["role"], answer.roles.iter().map(|role| vec![role.clone()])));
        }
        text
    })?;
    let pending = |rows: &[Row]| rows.iter().filter(|row| row.applied_at.is_none()).count();
    match (pending(&answer.migrations), pending(&answer.additions)) {
        (0, 0) => Ok(()),
        (0, adding) => Err(CliError::failed(format!("additions are pending: {adding}"))
            .with_hint("`migrate` applies them, as does any other command; programs of the version before go on beside them")),
        (breaking, adding) => Err(CliError::failed(format!("migrations are pending: {breaking}, additions: {adding}"))
            .with_hint("`migrate` applies them, as does any other command; stop programs of the version before first")),
    }
}
