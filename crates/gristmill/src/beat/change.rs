use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::definition::{Definition, Origin};
use super::error::ScheduleError;
use super::memory::Memory;
use super::stored::{Written, is_ahead, is_frozen, read_definition, read_memory, same, same_timing, write};
use crate::core::{Edit, NewSchedule, Schedule, ScheduleEdit, StoreError, TaskId, Timestamp};
use crate::schedule::{Rule, RuleError, Timing};

/// What became of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduled {
    /// There was none of this name; now there is.
    Created,
    /// There was another; it is as was asked for now.
    Changed,
    /// It was so before; nothing was written.
    Unchanged,
    /// It is defined as before, and goes on: it waited for a time to which the clock was set by mistake, or had been set aside.
    Mended,
    /// It was left as it is: an operator made or changed it.
    Left,
}

/// What became of a new timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rescheduled {
    /// The next tick is another one now; a paused schedule has it once it is resumed.
    Moved {
        /// The tick that would have come.
        from: Option<Timestamp>,
        /// The one that comes instead.
        to: Timestamp,
    },
    /// It had this timing before; nothing was written.
    Unchanged,
    /// Too late: its only tick has been dealt with, or all its runs are made. Nothing was written.
    Over {
        /// The tick of the last run; none if it was missed.
        tick: Option<Timestamp>,
        /// The task of the last run.
        task: Option<TaskId>,
    },
    /// There is none of this name.
    NotFound,
}

/// What became of the wish to delete a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deleted {
    /// It is gone. Its ticks and its tasks stay.
    Deleted {
        /// The tick that does not come any more; `None` if none would have come: it is too late to call that one off.
        next: Option<Timestamp>,
        /// The task of its last run, which goes on.
        last_task: Option<TaskId>,
    },
    /// There is none of this name.
    NotFound,
}

/// A change of schedules, decided where nobody else changes them, and an answer for each that a store's edit has no room for.
pub(crate) struct Change<T> {
    decide: Arc<Decide<T>>,
}

type Decide<T> = dyn Fn(&str, Option<&Schedule>, Timestamp) -> Result<(Edit, T), ScheduleError> + Send + Sync;

/// What was decided, by name.
pub(crate) struct Answers<T>(Arc<Mutex<HashMap<String, Result<T, ScheduleError>>>>);

impl<T: Send + 'static> Change<T> {
    fn new(
        decide: impl Fn(&str, Option<&Schedule>, Timestamp) -> Result<(Edit, T), ScheduleError> + Send + Sync + 'static,
    ) -> Self {
        Self { decide: Arc::new(decide) }
    }

    /// As a store takes it. What is refused is kept as it is, and its answer says why.
    pub(crate) fn ask(&self) -> (ScheduleEdit, Answers<T>) {
        let (decide, answers) = (self.decide.clone(), Arc::<Mutex<HashMap<_, _>>>::default());
        let kept = answers.clone();
        let edit = Arc::new(move |name: &str, found: Option<&Schedule>, now| {
            let (edit, answer) = match decide(name, found, now) {
                Ok((edit, answer)) => (edit, Ok(answer)),
                Err(error) => (Edit::Keep, Err(error)),
            };
            // A store may ask again; its last question counts.
            kept.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), answer);
            Ok(edit)
        });
        (edit, Answers(answers))
    }
}

impl<T> Answers<T> {
    /// What was decided about one schedule.
    pub(crate) fn take(&self, name: &str) -> Result<T, ScheduleError> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        answer.unwrap_or_else(|| {
            let message = format!("the store did not ask about schedule {name:?}");
            Err(StoreError::new(crate::core::StoreErrorKind::Other, message).into())
        })
    }
}

/// Writes a definition at run time; `create` refuses one that is there.
pub(crate) fn put(definition: Definition, create: bool) -> Change<Scheduled> {
    Change::new(move |name, found, now| {
        let mut definition = definition.clone();
        (definition.withdrawn, definition.edited, definition.origin) = (false, false, Origin::Operator);
        let mut owner = None;
        if let Some(schedule) = found {
            if create {
                return Err(ScheduleError::Exists { name: name.to_owned() });
            }
            if let Some((before, memory)) = readable(schedule) {
                definition.paused |= before.paused;
                // What no origin defines any more is the operator's from now on.
                if !before.withdrawn {
                    owner.clone_from(&schedule.owner);
                    definition.origin = before.origin;
                    definition.edited = before.edited;
                    if same(&before, &definition) && !memory.is_set_aside() && !is_ahead(&before, &memory, now) {
                        return Ok((Edit::Keep, Scheduled::Unchanged));
                    }
                    definition.edited = owner.is_some();
                }
            }
        }
        let written = rewrite(name, owner, definition, found, now)?;
        Ok((will_tick(name, written, now)?, if found.is_some() { Scheduled::Changed } else { Scheduled::Created }))
    })
}

/// Writes what was made of a schedule as it was read at this revision; false if it has changed since.
pub(crate) fn put_over(definition: Definition, revision: i64) -> Change<bool> {
    let put = put(definition, false);
    Change::new(move |name, found, now| {
        if found.is_none_or(|found| found.revision != revision) {
            return Ok((Edit::Keep, false));
        }
        Ok(((put.decide)(name, found, now)?.0, true))
    })
}

/// Writes what a program or a file defines, unless an operator made or changed what is there.
pub(crate) fn define(owner: String, definitions: HashMap<String, Definition>) -> Change<Scheduled> {
    Change::new(move |name, found, now| {
        let Some(mut definition) = definitions.get(name).cloned() else { return Ok((Edit::Keep, Scheduled::Left)) };
        let before = found.and_then(readable);
        let mut became = if found.is_some() { Scheduled::Changed } else { Scheduled::Created };
        if let Some(schedule) = found {
            let withdrawn = before.as_ref().is_some_and(|(before, _)| before.withdrawn);
            match &schedule.owner {
                None => return Ok((Edit::Keep, Scheduled::Left)),
                Some(other) if *other != owner && !withdrawn => {
                    return Err(ScheduleError::Owned { name: name.to_owned(), owner: other.clone() });
                }
                Some(_) => {}
            }
        }
        if let Some((before, memory)) = &before {
            if before.edited {
                if !before.withdrawn {
                    return Ok((Edit::Keep, Scheduled::Left));
                }
                definition = before.clone();
                definition.withdrawn = false;
            }
            definition.paused |= before.paused;
            let is_mine = found.is_some_and(|found| found.owner.as_ref() == Some(&owner));
            if is_mine && same(before, &definition) {
                // What was set aside has another chance with each start: the version that could not read it may be gone.
                if !memory.is_set_aside() && !is_ahead(before, memory, now) {
                    return Ok((Edit::Keep, Scheduled::Unchanged));
                }
                became = Scheduled::Mended;
            }
        }
        // One whose last tick is over is no mistake here: the program would not start any more once its end has passed.
        let written = rewrite(name, Some(owner.clone()), definition, found, now)?;
        Ok((Edit::Put(written.new), became))
    })
}

/// Disables what its owner no longer defines; true if it was not before.
pub(crate) fn withdraw(owner: String) -> Change<bool> {
    Change::new(move |name, found, now| {
        let mine = found.filter(|schedule| schedule.owner.as_ref() == Some(&owner));
        // What can't be read is set aside, and ticks no more either.
        let whole = mine.and_then(readable).filter(|(before, _)| !before.withdrawn && before.timing.plan().is_ok());
        let Some((before, _)) = whole else {
            return Ok((Edit::Keep, false));
        };
        let definition = Definition { withdrawn: true, ..before };
        Ok((Edit::Put(rewrite(name, Some(owner.clone()), definition, found, now)?.new), true))
    })
}

/// Pauses or resumes.
pub(crate) fn pause(paused: bool) -> Change<()> {
    Change::new(move |name, found, now| {
        let schedule = found.ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })?;
        let (before, memory) = read(schedule)?;
        let unreadable = |error: RuleError| ScheduleError::Unreadable { name: name.to_owned(), problem: error.to_string() };
        before.timing.plan().map_err(unreadable)?;
        if before.paused == paused && !is_ahead(&before, &memory, now) {
            return Ok((Edit::Keep, ()));
        }
        let definition = Definition { paused, ..before };
        Ok((Edit::Put(rewrite(name, schedule.owner.clone(), definition, found, now)?.new), ()))
    })
}

/// Lets one that the clock has frozen go on.
pub(crate) fn thaw() -> Change<()> {
    Change::new(|name, found, now| {
        let Some(schedule) = found.filter(|schedule| is_frozen(schedule, now)) else { return Ok((Edit::Keep, ())) };
        let whole = readable(schedule);
        let written = whole.and_then(|(definition, _)| rewrite(name, schedule.owner.clone(), definition, found, now).ok());
        // What can't be read is left as it is, and looked at again.
        let as_it_is = || NewSchedule {
            owner: schedule.owner.clone(),
            body: schedule.body.clone(),
            due_at: Some(now),
            memory: schedule.memory.clone(),
        };
        Ok((Edit::Put(written.map_or_else(as_it_is, |written| written.new)), ()))
    })
}

/// Lets it count from now, whatever it remembers.
pub(crate) fn reset() -> Change<()> {
    Change::new(|name, found, now| {
        let schedule = found.ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })?;
        let unreadable = |problem| ScheduleError::Unreadable { name: name.to_owned(), problem };
        let definition = read_definition(schedule).map_err(unreadable)?;
        // One that can't be read begins anew.
        let mut memory = read_memory(schedule).unwrap_or_default();
        memory.reset(now);
        let before = Some((&definition, &memory));
        let written = write(name, schedule.owner.clone(), definition.clone(), before, now);
        Ok((Edit::Put(written.map_err(|error| unreadable(error.to_string()))?.new), ()))
    })
}

/// Gives it another timing.
pub(crate) fn reschedule(timing: Timing) -> Change<Rescheduled> {
    Change::new(move |name, found, now| {
        let Some(schedule) = found else { return Ok((Edit::Keep, Rescheduled::NotFound)) };
        let (before, mut memory) = read(schedule)?;
        memory.come_back(now);
        let over = Rescheduled::Over { tick: memory.last_tick, task: memory.last_task };
        let mut definition = before.clone();
        definition.timing = timing.clone();
        if same_timing(&before, &definition) {
            let is_over = schedule.due_at.is_none() && memory.ended.is_some();
            return Ok((Edit::Keep, if is_over { over } else { Rescheduled::Unchanged }));
        }
        let has_its_run = match (&before.timing.rule, &definition.timing.rule) {
            (Rule::On { at }, _) if memory.after >= *at => true,
            // A tick has one task for ever: it would not get another.
            (_, Rule::On { at }) => memory.last_tick == Some(*at),
            _ => false,
        };
        if has_its_run || before.max_runs.is_some_and(|most| memory.runs >= most) {
            return Ok((Edit::Keep, over));
        }
        let from = before.timing.plan().ok().and_then(|plan| plan.next_after(memory.after));
        definition.edited |= schedule.owner.is_some();
        let written = rewrite(name, schedule.owner.clone(), definition, found, now)?;
        let to = written.next;
        let edit = will_tick(name, written, now)?;
        Ok((edit, to.map_or(over, |to| Rescheduled::Moved { from, to })))
    })
}

/// Deletes it.
pub(crate) fn delete() -> Change<Deleted> {
    Change::new(move |_, found, _| {
        let Some(schedule) = found else { return Ok((Edit::Keep, Deleted::NotFound)) };
        let (next, last_task) = match readable(schedule) {
            Some((definition, memory)) => {
                let plan = definition.timing.plan().ok().filter(|_| schedule.due_at.is_some());
                let next = plan.and_then(|plan| plan.next_after(memory.after));
                (memory.buffered.or(next), memory.last_task)
            }
            None => (None, None),
        };
        Ok((Edit::Remove, Deleted::Deleted { next, last_task }))
    })
}

/// Writes it over what is there, which keeps what it remembers.
fn rewrite(
    name: &str,
    owner: Option<String>,
    definition: Definition,
    found: Option<&Schedule>,
    now: Timestamp,
) -> Result<Written, ScheduleError> {
    let before = found.and_then(readable);
    write(name, owner, definition, before.as_ref().map(|(definition, memory)| (definition, memory)), now)
        .map_err(|error| ScheduleError::Rule { name: name.to_owned(), error })
}

/// Refuses what would be written and never tick.
fn will_tick(name: &str, written: Written, now: Timestamp) -> Result<Edit, ScheduleError> {
    if written.next.is_some() {
        return Ok(Edit::Put(written.new));
    }
    let why = format!("{}, as it is {now}", written.ended.unwrap_or_default());
    let error = RuleError::NeverTicks { what: written.rule, why };
    Err(ScheduleError::Rule { name: name.to_owned(), error })
}

fn read(schedule: &Schedule) -> Result<(Definition, Memory), ScheduleError> {
    let unreadable = |problem| ScheduleError::Unreadable { name: schedule.name.clone(), problem };
    Ok((read_definition(schedule).map_err(unreadable)?, read_memory(schedule).map_err(unreadable)?))
}

/// What can be read of it; without a memory that can, it begins anew.
fn readable(schedule: &Schedule) -> Option<(Definition, Memory)> {
    Some((read_definition(schedule).ok()?, read_memory(schedule).unwrap_or_default()))
}
