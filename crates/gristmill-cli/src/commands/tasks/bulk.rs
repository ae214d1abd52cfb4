//! What is done to tasks by their ids, or to all that match a filter.

use std::fmt::Display;

use gristmill::client::{BulkReport, CancelOutcome, DeleteOutcome, MoveOutcome, ReleaseOutcome, RetryOutcome};
use gristmill::core::json::{OutcomeJson, TaskJson};
use gristmill::core::{StoreError, limits};
use gristmill::record::{Filter, State};
use gristmill::{Client, TaskId};
use serde::Serialize;

use super::columns::Column;
use super::list::number;
use super::which::Which;
use crate::commands::confirm::Confirm;
use crate::commands::ids::{IdText, find_all};
use crate::commands::unserved::tell_filter;
use crate::exit::CliError;
use crate::output::{self, Format, Out, number_of, table};

/// So many of the tasks are shown before something is done to all of them.
const SAMPLE: usize = 5;
const SAMPLE_COLUMNS: [Column; 5] = [Column::Id, Column::Task, Column::Queue, Column::State, Column::Created];

/// Arguments of what can be done to many tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct Bulk {
    /// The tasks' ids, or their beginnings
    #[arg(value_name = "ID", conflicts_with_all = ["Which", "all", "dry_run"])]
    ids: Vec<IdText>,
    #[command(flatten)]
    pub(super) filter: Which,
    /// All tasks
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirm: Confirm,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    Cancel,
    Retry,
    Delete,
    /// To this queue.
    Move(&'a str),
}

impl Verb<'_> {
    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Delete => "delete",
            Self::Move(_) => "move",
        }
    }

    /// What became of those to which it was done.
    const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Retry => "ready again",
            Self::Delete => "deleted",
            Self::Move(_) => "moved",
        }
    }

    /// Why it could not be done to some.
    const fn undone(self) -> &'static str {
        match self {
            Self::Cancel => "could not be cancelled, as already ended or not there",
            Self::Retry => "could not be retried, as not ended or not there",
            Self::Delete => "could not be deleted, as not ended, wanted by a workflow, or not there",
            Self::Move(_) => "could not be moved, as running, ended, there already, or not there",
        }
    }

    /// The filter, narrowed to the states in which it does something; `None` if none is left.
    fn narrow(self, filter: &Filter) -> Option<Filter> {
        let useful = |state: State| match self {
            Self::Cancel => !state.is_final(),
            // What has succeeded runs again only if somebody says so.
            Self::Retry => state.is_final() && (state != State::Succeeded || filter.names_state(state)),
            Self::Delete => state.is_final(),
            Self::Move(_) => !state.is_final() && state != State::Running,
        };
        let asked = |state: &State| filter.admits_state(*state);
        let states: Vec<_> = State::ALL.into_iter().filter(|state| asked(state) && useful(*state)).collect();
        (!states.is_empty()).then(|| Filter { states, ..filter.clone() })
    }
}

impl Bulk {
    /// The filter, checked before a store is asked. Everything must be said aloud: a forgotten filter must not reach all tasks.
    pub(super) fn check(&self, verb: Verb<'_>) -> Result<Filter, CliError> {
        let filter = self.filter.filter(&[])?;
        if !self.ids.is_empty() {
            return Ok(filter);
        }
        if filter == Filter::default() && self.filter.parent.is_none() && !self.all {
            return Err(CliError::usage("which tasks? give ids, or --query, --state, --queue or another filter, or --all"));
        }
        self.confirm.check(&format!("to {} many tasks at once", verb.name()))?;
        Ok(filter)
    }
}

pub(super) async fn run(verb: Verb<'_>, args: &Bulk, filter: &Filter, client: &Client, out: &Out) -> Result<(), CliError> {
    if !args.ids.is_empty() {
        return by_ids(verb, &find_all(&args.ids, client).await?, client, out).await;
    }
    to_all(verb, filter, &args.confirm, client, out).await
}

/// Cancels all that waits in a queue; what runs goes on.
pub(in crate::commands) async fn purge(queue: &str, confirm: &Confirm, client: &Client, out: &Out) -> Result<(), CliError> {
    to_all(Verb::Cancel, &waiting(queue), confirm, client, out).await
}

/// Moves all that waits in a queue to another one, or of it what is of a task type; what runs goes on.
pub(in crate::commands) async fn move_to(
    (from, to): (&str, &str),
    kind: Option<&str>,
    confirm: &Confirm,
    client: &Client,
    out: &Out,
) -> Result<(), CliError> {
    let filter = Filter { kind: kind.map(str::to_owned), ..waiting(from) };
    to_all(Verb::Move(to), &filter, confirm, client, out).await
}

/// What waits in a queue.
fn waiting(queue: &str) -> Filter {
    let waits = |state: &State| !state.is_final() && *state != State::Running;
    let states = State::ALL.into_iter().filter(waits).collect();
    Filter { queue: Some(queue.to_owned()), states, ..Filter::default() }
}

async fn to_all(verb: Verb<'_>, filter: &Filter, confirm: &Confirm, client: &Client, out: &Out) -> Result<(), CliError> {
    if confirm.wants_preview() {
        let Some(narrowed) = verb.narrow(filter) else { return nothing(verb, confirm, out) };
        let preview = Preview::of(verb, &narrowed, client).await?;
        if confirm.dry_run {
            return out.value(&preview, Preview::text);
        }
        if preview.matching == 0 {
            tell_filter(filter, client).await;
            return nothing(verb, confirm, out);
        }
        // Also with -q: nobody is to answer blind.
        preview.text().lines().for_each(output::complain);
        confirm.ask(&format!("{} {}?", verb.name(), preview.tasks()))?;
    }
    let mut each = Each::new(out);
    let report = match verb {
        Verb::Cancel => client.tasks().cancel_all(filter, |id, outcome| each.add(id, outcome)).await?,
        Verb::Retry => client.tasks().retry_all(filter, |id, outcome| each.add(id, outcome)).await?,
        Verb::Delete => client.tasks().delete_all(filter, |id, outcome| each.add(id, outcome)).await?,
        Verb::Move(queue) => client.tasks().move_all(filter, queue, |id, outcome| each.add(id, outcome)).await?,
    };
    if report == BulkReport::default() {
        tell_filter(filter, client).await;
    }
    each.end(&report, verb.done())
}

/// No task is in a state in which it could be done.
fn nothing(verb: Verb<'_>, confirm: &Confirm, out: &Out) -> Result<(), CliError> {
    if confirm.dry_run {
        return out.value(&Preview { matching: 0, exact: true, words: "0".to_owned(), sample: Vec::new(), verb }, Preview::text);
    }
    Each::new(out).end(&BulkReport::default(), verb.done())
}

/// What it would be done to.
#[derive(Serialize)]
struct Preview<'a> {
    matching: u64,
    /// Whether there are no more than these.
    exact: bool,
    sample: Vec<TaskJson>,
    #[serde(skip)]
    words: String,
    #[serde(skip)]
    verb: Verb<'a>,
}

impl<'a> Preview<'a> {
    async fn of(verb: Verb<'a>, filter: &Filter, client: &Client) -> Result<Self, CliError> {
        let counted = number(filter, client).await?;
        let (mut sample, mut after) = (Vec::new(), None);
        while sample.len() < SAMPLE.min(usize::try_from(counted.count).unwrap_or(SAMPLE)) {
            let page = client.tasks().list(filter, after, SAMPLE - sample.len()).await?;
            sample.extend(page.items.into_iter().map(TaskJson::of));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Self { matching: counted.count, exact: counted.exact, words: counted.words(), sample, verb })
    }

    fn tasks(&self) -> String {
        format!("{} task{}", self.words, if self.words == "1" { "" } else { "s" })
    }

    fn text(&self) -> String {
        let (verb, tasks) = (self.verb.name(), self.tasks());
        if self.sample.is_empty() {
            return format!("{tasks} to {verb}\n");
        }
        let headers = SAMPLE_COLUMNS.map(Column::name);
        let rows = self.sample.iter().map(|task| SAMPLE_COLUMNS.iter().map(|column| column.cell(task)).collect());
        format!("{tasks} to {verb}, the newest of them:\n{}", table(&headers, rows))
    }
}

async fn by_ids(verb: Verb<'_>, ids: &[TaskId], client: &Client, out: &Out) -> Result<(), CliError> {
    let store = client.store();
    match verb {
        Verb::Cancel => {
            let good = |outcome: &CancelOutcome| matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::CancelRequested);
            each_answers(ids, async |ids| store.cancel(ids).await, good, verb.undone(), out).await
        }
        Verb::Retry => {
            let good = |outcome: &RetryOutcome| *outcome == RetryOutcome::Ready;
            each_answers(ids, async |ids| store.retry(ids).await, good, verb.undone(), out).await
        }
        Verb::Delete => {
            let good = |outcome: &DeleteOutcome| *outcome == DeleteOutcome::Deleted;
            each_answers(ids, async |ids| store.delete(ids).await, good, verb.undone(), out).await
        }
        Verb::Move(queue) => {
            let good = |outcome: &MoveOutcome| *outcome == MoveOutcome::Moved;
            each_answers(ids, async |ids| store.move_to(ids, queue).await, good, verb.undone(), out).await
        }
    }
}

pub(super) async fn release(ids: &[IdText], client: &Client, out: &Out) -> Result<(), CliError> {
    let good = |outcome: &ReleaseOutcome| matches!(outcome, ReleaseOutcome::Released | ReleaseOutcome::Ended);
    let why = "could not be released, as neither running nor scheduled, or not there";
    each_answers(&find_all(ids, client).await?, async |ids| client.store().release(ids).await, good, why, out).await
}

/// Does something to each of these tasks, and says what became of it.
///
/// # Errors
/// The store's, and some to which it could not be done.
async fn each_answers<O: Serialize + Copy>(
    ids: &[TaskId],
    act: impl AsyncFn(&[TaskId]) -> Result<Vec<O>, StoreError>,
    good: impl Fn(&O) -> bool,
    why: impl Display,
    out: &Out,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for ids in ids.chunks(limits::BATCH_TASKS_MAX) {
        let outcomes = act(ids).await?;
        rows.extend(ids.iter().zip(outcomes).map(|(id, outcome)| OutcomeJson { id: *id, outcome }));
    }
    out.list(&rows, &["id", "outcome"], |row| vec![row.id.to_string(), word(&row.outcome)])?;
    match rows.iter().filter(|row| !good(&row.outcome)).count() {
        0 => Ok(()),
        left => Err(CliError::failed(format!("{} {why}", number_of(left as u64, "task")))),
    }
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
