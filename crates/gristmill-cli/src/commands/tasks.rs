use std::str::FromStr;
use std::time::Duration;

use gristmill::client::{BulkReport, CancelOutcome, ReleaseOutcome, RetryOutcome};
use gristmill::core::json::{OutcomeJson, PageJson, TaskJson};
use gristmill::core::{Cursor, Env, Page, limits};
use gristmill::record::{Filter, State, TaskRecord};
use gristmill::{Client, TaskId, Timestamp};
use serde::Serialize;

use super::record::{failure_line, text};
use super::values::duration;
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
    /// Let tasks run now: take those that run from their workers, at the cost of no attempt, and those that are scheduled from their time
    Release(Release),
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
    #[arg(value_name = "ID", conflicts_with_all = ["Which", "all"])]
    ids: Vec<TaskId>,
    #[command(flatten)]
    filter: Which,
    /// All tasks
    #[arg(long)]
    all: bool,
}

/// Arguments of `tasks release`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The tasks' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<TaskId>,
}

/// Which tasks.
#[derive(Clone, Debug, clap::Args)]
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
    /// Enqueued at this moment or later (RFC 3339, or a duration ago such as 2h)
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Moment>,
    /// Enqueued before this moment
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<Moment>,
    /// Enqueued by this task
    #[arg(long, value_name = "ID")]
    parent: Option<TaskId>,
    /// With exactly this title
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
    /// Made by this schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// That run on the worker of this name, or ran there last
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// With these words in title, task type or tags
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
}

/// A moment, as it is typed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    At(Timestamp),
    Ago(Duration),
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let filter = match &args {
        Args::List(args) => args.filter.filter()?,
        Args::Show(_) | Args::Release(_) => Filter::default(),
        Args::Cancel(bulk) | Args::Retry(bulk) => {
            let filter = bulk.filter.filter()?;
            bulk.check(&filter)?;
            filter
        }
    };
    let client = session.connect().await?;
    match args {
        Args::List(args) => list(&args, &filter, &client, out).await,
        Args::Show(args) => show(args.id, &client, out).await,
        Args::Cancel(args) => cancel(&args, &filter, &client, out).await,
        Args::Retry(args) => retry(&args, &filter, &client, out).await,
        Args::Release(args) => release(&args.ids, &client, out).await,
    }
}

async fn list(args: &List, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    let page = page(client, filter, args.cursor, args.limit.into()).await?;
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
    let mut page = client.tasks().list(filter, after, limit).await?;
    while let (true, Some(next)) = (page.items.len() < limit, page.next) {
        let more = client.tasks().list(filter, Some(next), limit - page.items.len()).await?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    Ok(page)
}

async fn show(id: TaskId, client: &Client, out: &Out) -> Result<(), CliError> {
    let Some(task) = client.tasks().get(id).await? else {
        return Err(
            CliError::failed(format!("there is no task {id}")).with_hint("it may have ended longer ago than its retention")
        );
    };
    out.value(&TaskJson::with_attempts(task), text)
}

async fn cancel(args: &Bulk, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.ids.is_empty() {
        let mut each = Each::new(out);
        let report = client.tasks().cancel_all(filter, |id, outcome| each.add(id, outcome)).await?;
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

async fn retry(args: &Bulk, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.ids.is_empty() {
        let mut each = Each::new(out);
        let report = client.tasks().retry_all(filter, |id, outcome| each.add(id, outcome)).await?;
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

async fn release(ids: &[TaskId], client: &Client, out: &Out) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for ids in ids.chunks(limits::BATCH_TASKS_MAX) {
        let outcomes = client.store().release(ids).await?;
        rows.extend(ids.iter().zip(outcomes).map(|(id, outcome)| OutcomeJson { id: *id, outcome }));
    }
    out.list(&rows, &["id", "outcome"], |row| vec![row.id.to_string(), word(&row.outcome)])?;
    let good = |outcome| matches!(outcome, ReleaseOutcome::Released | ReleaseOutcome::Ended);
    all_done(
        rows.iter().filter(|row| !good(row.outcome)).count(),
        "could not be released: they neither run nor are scheduled, or are not there",
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
    fn check(&self, filter: &Filter) -> Result<(), CliError> {
        if self.ids.is_empty() && *filter == Filter::default() && !self.all {
            return Err(CliError::usage("which tasks? give ids, or --state, --queue or another filter, or --all"));
        }
        Ok(())
    }
}

impl Which {
    /// The filter, checked before a store is asked.
    fn filter(&self) -> Result<Filter, CliError> {
        let which = self.clone();
        // Only to count back from; what a store shows is by its own clock.
        let now = Env::system().now();
        let filter = Filter {
            states: which.state,
            queue: which.queue,
            kind: which.kind,
            tag: which.tag,
            from: which.since.map(|moment| moment.before(now)),
            until: which.until.map(|moment| moment.before(now)),
            parent: which.parent,
            title: which.title,
            schedule: which.schedule,
            worker: which.worker,
            text: which.text,
        };
        filter.check().map_err(|error| CliError::usage(format!("--{error}")))?;
        Ok(filter)
    }
}

impl Moment {
    fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now.saturating_sub(duration),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        let at = text.parse().map(Self::At);
        at.map_err(|_| format!("`{text}` is neither a moment such as 2027-01-31T09:00:00Z nor a duration ago such as 2h"))
    }
}
