use gristmill::core::json::{OutcomeJson, PageJson, TaskJson};
use gristmill::core::{Cursor, Page, limits};
use gristmill::{BulkReport, CancelOutcome, Client, Filter, RetryOutcome, State, TaskId, TaskRecord};
use serde::Serialize;

use super::record::{failure_line, text};
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{Format, Out};

/// Arguments of `tasks`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List tasks, newest first
    List(List),
    /// Show one task with its history
    Show(Show),
    /// Cancel tasks: those that wait never start, those that run are told to end
    Cancel(Bulk),
    /// Make ended tasks ready again, with fresh attempts and their history
    Retry(Bulk),
}

/// Arguments of `tasks list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Which,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
}

/// Arguments of `tasks show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The task's id
    id: TaskId,
}

/// Arguments of `tasks cancel` and `tasks retry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Bulk {
    /// The tasks' ids
    #[arg(value_name = "ID", conflicts_with_all = ["state", "queue", "kind", "tag", "all"])]
    ids: Vec<TaskId>,
    #[command(flatten)]
    filter: Which,
    /// All tasks
    #[arg(long)]
    all: bool,
}

/// Which tasks.
#[derive(Debug, clap::Args)]
struct Which {
    /// In this state; may be given more than once
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,
    /// In this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Of this task type
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    if let Args::Cancel(bulk) | Args::Retry(bulk) = &args {
        bulk.check()?;
    }
    let client = session.connect().await?;
    match args {
        Args::List(args) => list(args, &client, out).await,
        Args::Show(args) => show(args.id, &client, out).await,
        Args::Cancel(args) => cancel(args, &client, out).await,
        Args::Retry(args) => retry(args, &client, out).await,
    }
}

async fn list(args: List, client: &Client, out: &Out) -> Result<(), CliError> {
    let page = page(client, &args.filter.into(), args.cursor, args.limit.into()).await?;
    out.page(
        &PageJson::of(page, TaskJson::of),
        &["id", "task", "queue", "state", "attempt", "created", "title", "error"],
        |task| {
            vec![
                task.id.to_string(),
                task.kind.clone(),
                task.queue.clone(),
                task.state.to_string(),
                format!("{}/{}", task.attempt, task.max_attempts),
                task.created_at.to_string(),
                task.title.as_deref().unwrap_or_default().chars().take(60).collect(),
                task.error.as_ref().map(failure_line).unwrap_or_default().chars().take(60).collect(),
            ]
        },
    )
}

/// A page that is full or the last. The store gives back less when it has read many rows that do not match.
async fn page(client: &Client, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, CliError> {
    let mut page = client.list(filter, after, limit).await?;
    while let (true, Some(next)) = (page.items.len() < limit, page.next) {
        let more = client.list(filter, Some(next), limit - page.items.len()).await?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    Ok(page)
}

async fn show(id: TaskId, client: &Client, out: &Out) -> Result<(), CliError> {
    let Some(task) = client.get(id).await? else {
        return Err(
            CliError::failed(format!("there is no task {id}")).with_hint("it may have ended longer ago than its retention")
        );
    };
    out.value(&TaskJson::with_attempts(task), text)
}

async fn cancel(args: Bulk, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.ids.is_empty() {
        let mut each = Each::new(out);
        let report = client.cancel_all(&args.filter.into(), |id, outcome| each.add(id, outcome)).await?;
        return each.end(&report, "cancelled");
    }
    let mut rows = Vec::new();
    for ids in args.ids.chunks(limits::BATCH_TASKS_MAX) {
        let outcomes = client.store().cancel(ids).await?;
        rows.extend(ids.iter().zip(outcomes).map(|(id, outcome)| OutcomeJson { id: *id, outcome }));
    }
    out.list(&rows, &["id", "outcome"], |row| vec![row.id.to_string(), word(&row.outcome)])?;
    let good = |outcome| matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::CancelRequested);
    all_done(rows.iter().filter(|row| !good(row.outcome)).count(), "could not be cancelled: they have ended, or are not there")
}

async fn retry(args: Bulk, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.ids.is_empty() {
        let mut each = Each::new(out);
        let report = client.retry_all(&args.filter.into(), |id, outcome| each.add(id, outcome)).await?;
        return each.end(&report, "ready again");
    }
    let mut rows = Vec::new();
    for ids in args.ids.chunks(limits::BATCH_TASKS_MAX) {
        let outcomes = client.store().retry(ids).await?;
        rows.extend(ids.iter().zip(outcomes).map(|(id, outcome)| OutcomeJson { id: *id, outcome }));
    }
    out.list(&rows, &["id", "outcome"], |row| vec![row.id.to_string(), word(&row.outcome)])?;
    all_done(
        rows.iter().filter(|row| row.outcome != RetryOutcome::Ready).count(),
        "could not be retried: they have not ended, or are not there",
    )
}

fn all_done(left: usize, why: &str) -> Result<(), CliError> {
    if left == 0 { Ok(()) } else { Err(CliError::failed(format!("{left} tasks {why}"))) }
}

/// Writes the outcomes of a bulk operation as they come, if they are wanted one by one.
struct Each<'a> {
    out: &'a Out,
    written: Result<(), CliError>,
}

impl<'a> Each<'a> {
    fn new(out: &'a Out) -> Self {
        Self { out, written: Ok(()) }
    }

    fn add(&mut self, id: TaskId, outcome: impl Serialize) {
        // Should nobody read any more, the operation goes on: it is half done.
        if self.out.format == Format::Jsonl && self.written.is_ok() {
            self.written = self.out.lines(&[OutcomeJson { id, outcome }]);
        }
    }

    fn end(self, report: &BulkReport, what: &str) -> Result<(), CliError> {
        self.written?;
        match self.out.format {
            Format::Jsonl => Ok(()),
            _ => self.out.value(report, |sum| format!("{} {what}, {} left as they were\n", sum.changed, sum.unchanged)),
        }
    }
}

/// An outcome's name, as in JSON.
fn word(outcome: &impl Serialize) -> String {
    serde_json::to_value(outcome).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Bulk {
    /// Everything must be said aloud: a forgotten filter must not cancel all tasks.
    fn check(&self) -> Result<(), CliError> {
        let Which { state, queue, kind, tag } = &self.filter;
        let filtered = !state.is_empty() || queue.is_some() || kind.is_some() || tag.is_some();
        if self.ids.is_empty() && !filtered && !self.all {
            return Err(CliError::usage("which tasks? give ids, or --state, --queue, --kind, --tag, or --all"));
        }
        Ok(())
    }
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        Self { states: which.state, queue: which.queue, kind: which.kind, tag: which.tag }
    }
}
