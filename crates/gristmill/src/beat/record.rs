use std::fmt;

use super::definition::Definition;
use super::memory::Memory;
use super::stored::{is_ahead, read_definition, read_memory};
use crate::core::{Schedule, Timestamp};

/// A schedule as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// Its name.
    pub name: String,
    /// The program or the file that defines it; `None` for one made at run time.
    pub owner: Option<String>,
    /// Whether it ticks.
    pub state: ScheduleState,
    /// Why it has ended or was set aside.
    pub why: Option<String>,
    /// What it is; `None` if what is stored can't be read.
    pub definition: Option<Definition>,
    /// Its rule in words, or what is wrong with it.
    pub rule: String,
    /// The tick to come; `None` while it does not tick.
    pub next: Option<Timestamp>,
    /// What the beats remember of it.
    pub memory: Memory,
    /// Grows with every change, by an edit or by a tick.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Timestamp,
}

/// Whether a schedule ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScheduleState {
    /// It does.
    Active,
    /// An operator paused it.
    Paused,
    /// Its origin no longer defines it.
    Withdrawn,
    /// It has no tick any more.
    Ended,
    /// It can't be read, or not be written; the others go on without it.
    SetAside,
}

impl ScheduleRecord {
    pub(crate) fn of(schedule: Schedule) -> Self {
        let memory = read_memory(&schedule);
        let definition = read_definition(&schedule);
        let plan = definition.as_ref().map_err(Clone::clone).and_then(|d| d.timing.plan().map_err(|error| error.to_string()));
        let problem = plan.as_ref().err().or(memory.as_ref().err()).cloned();
        let rule = plan.as_ref().map_or_else(Clone::clone, |plan| plan.describe().to_owned());
        let (memory, definition) = (memory.unwrap_or_default(), definition.ok());
        let state = match &definition {
            _ if problem.is_some() || memory.is_set_aside() => ScheduleState::SetAside,
            Some(definition) if definition.withdrawn => ScheduleState::Withdrawn,
            Some(definition) if definition.paused => ScheduleState::Paused,
            _ if memory.ended.is_some() => ScheduleState::Ended,
            _ => ScheduleState::Active,
        };
        let next = plan.ok().filter(|_| state == ScheduleState::Active).and_then(|plan| plan.next_after(memory.after));
        Self {
            name: schedule.name,
            owner: schedule.owner,
            state,
            why: memory.ended.clone().or(problem),
            definition,
            rule,
            next,
            memory,
            revision: schedule.revision,
            created_at: schedule.created_at,
            edited_at: schedule.edited_at,
        }
    }
}

impl ScheduleRecord {
    /// Whether it waits for a time to which the clock was set by mistake, or has ended by then, for a store whose clock says `now`.
    /// A beat mends that when it starts or sees the clock go back; [`Schedules::reset`](crate::client::Schedules::reset) does it at once.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        let definition = self.definition.as_ref().filter(|_| matches!(self.state, ScheduleState::Active | ScheduleState::Ended));
        definition.is_some_and(|definition| is_ahead(definition, &self.memory, now))
    }
}

impl fmt::Display for ScheduleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Withdrawn => "withdrawn",
            Self::Ended => "ended",
            Self::SetAside => "set_aside",
        })
    }
}
