//! The columns of a list of tasks, and its order.

use std::cmp::Ordering;

use clap::ValueEnum;
use gristmill::core::json::TaskJson;

use super::record::failure_line;

/// So much of what may be long fits into a line beside other columns.
const CELL_CHARS: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    Id,
    Task,
    Queue,
    State,
    Attempt,
    Priority,
    Created,
    Due,
    Ended,
    Title,
    Tags,
    Parent,
    Workflow,
    Step,
    Args,
    Result,
    Error,
}

impl Column {
    /// Those that are shown if nobody says.
    pub(super) const USUAL: [Self; 8] =
        [Self::Id, Self::Task, Self::Queue, Self::State, Self::Attempt, Self::Created, Self::Title, Self::Error];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Task => "task",
            Self::Queue => "queue",
            Self::State => "state",
            Self::Attempt => "attempt",
            Self::Priority => "priority",
            Self::Created => "created",
            Self::Due => "due",
            Self::Ended => "ended",
            Self::Title => "title",
            Self::Tags => "tags",
            Self::Parent => "parent",
            Self::Workflow => "workflow",
            Self::Step => "step",
            Self::Args => "args",
            Self::Result => "result",
            Self::Error => "error",
        }
    }

    pub(super) fn cell(self, task: &TaskJson) -> String {
        match self {
            Self::Id => task.id.to_string(),
            Self::Task => task.kind.clone(),
            Self::Queue => task.queue.clone(),
            Self::State => task.state.to_string(),
            Self::Attempt => format!("{}/{}", task.attempt, task.max_attempts),
            Self::Priority => task.priority.to_string(),
            Self::Created => task.created_at.to_string(),
            Self::Due => task.run_at.to_string(),
            Self::Ended => task.ended_at.map(|at| at.to_string()).unwrap_or_default(),
            Self::Title => short(task.title.as_deref().unwrap_or_default()),
            Self::Tags => short(&task.tags.join(",")),
            Self::Parent => task.parent.map(|id| id.to_string()).unwrap_or_default(),
            Self::Workflow => task.workflow.map(|id| id.to_string()).unwrap_or_default(),
            Self::Step => short(task.step.as_deref().unwrap_or_default()),
            Self::Args => short(task.args.get()),
            Self::Result => short(task.result.as_ref().map_or("", |result| result.get())),
            Self::Error => short(&task.error.as_ref().map(failure_line).unwrap_or_default()),
        }
    }

    fn order(self, one: &TaskJson, other: &TaskJson) -> Ordering {
        match self {
            Self::State => one.state.cmp(&other.state),
            Self::Attempt => one.attempt.cmp(&other.attempt),
            Self::Priority => one.priority.cmp(&other.priority),
            Self::Created => one.created_at.cmp(&other.created_at),
            Self::Due => one.run_at.cmp(&other.run_at),
            Self::Ended => one.ended_at.cmp(&other.ended_at),
            _ => self.cell(one).cmp(&self.cell(other)),
        }
    }
}

/// A text that may be long, with a sign where it is cut.
pub(in crate::commands) fn short(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        Some(_) => text.chars().take(CELL_CHARS - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The order of a page: by a column, from its end if that is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    column: Column,
    backwards: bool,
}

impl Sort {
    /// Sorts what is there; of equals the newest stays first.
    pub(super) fn sort(self, tasks: &mut [TaskJson]) {
        tasks.sort_by(|one, other| {
            let order = self.column.order(one, other);
            if self.backwards { order.reverse() } else { order }
        });
    }
}

/// Reads `ended` or `-ended`.
pub(super) fn sort(text: &str) -> Result<Sort, String> {
    let (name, backwards) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let names = || Column::value_variants().iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
    let column = Column::from_str(name, false).map_err(|_| format!("`{name}` is not a column; there are {}", names()))?;
    Ok(Sort { column, backwards })
}
