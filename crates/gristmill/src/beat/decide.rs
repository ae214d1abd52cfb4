use std::collections::VecDeque;
use std::time::Duration;

use super::definition::Definition;
use super::memory::Memory;
use super::policies::{CatchUp, Overlap};
use crate::core::{NewTask, State, TaskId, Tick, TickOutcome, Timestamp, format_duration, rough_duration};
use crate::schedule::Plan;

/// A tick that is found later than this is missed, and the catch-up policy decides about it. As long as another beat may take
/// to get the lead: what that one finds is late, and is run.
pub(crate) const MISSED_AFTER: Duration = Duration::from_secs(10);
/// A run that begins later than this says so.
const LATE_AFTER: Duration = Duration::from_secs(1);
/// Missed ticks that are recorded one by one; the rest of them share one record, as ten years of seconds are 300 million.
const MISSED_RECORDED: usize = 100;
/// Ticks of one schedule that one look deals with. What is left over is due again at once, behind the other schedules.
const TICKS_A_LOOK: usize = 100;
/// The most ticks that are made up for.
pub(crate) const CATCH_UP_MAX: u16 = 1_000;
/// Ticks that can be due within [`MISSED_AFTER`], as none are closer than a second.
const FRESH_MAX: usize = 16;
/// Ticks within a jitter that one look goes through.
const JITTERED_MAX: usize = 1_000;
/// How often it is looked whether the last run has ended that a tick waits for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a tick was missed.
const NO_BEAT: &str = "no beat ran when it was due";

/// What a look at a schedule has to decide on.
pub(crate) struct Look<'a> {
    /// The schedule's name.
    pub(crate) name: &'a str,
    /// What it is.
    pub(crate) definition: &'a Definition,
    /// When it ticks.
    pub(crate) plan: &'a Plan,
    /// What is remembered of it.
    pub(crate) memory: Memory,
    /// The store's time.
    pub(crate) now: Timestamp,
    /// Where the task of the last run stands; `None` if it is not kept any more or there is none.
    pub(crate) last_state: Option<State>,
}

/// What was decided.
#[derive(Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) memory: Memory,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) cancel: Vec<TaskId>,
}

/// Decides what becomes of the ticks that are due: pure, so that a test can walk through ten years. `make` makes the task of a
/// tick, or says why it can't.
pub(crate) fn decide(look: Look<'_>, make: impl FnMut(Timestamp) -> Result<NewTask, String>) -> Decision {
    let running = look.memory.last_task.is_some() && look.last_state.is_some_and(|state| !state.is_final());
    let mut memory = look.memory.clone();
    memory.come_back(look.now);
    let mut deciding = Deciding { ticks: Vec::new(), cancel: Vec::new(), memory, running, look, make };
    deciding.judge();
    deciding.release();
    let more = deciding.deal_with_due();
    let due_at = deciding.next_due(more);
    Decision { due_at, memory: deciding.memory, ticks: deciding.ticks, cancel: deciding.cancel }
}

struct Deciding<'a, F> {
    look: Look<'a>,
    make: F,
    memory: Memory,
    running: bool,
    ticks: Vec<Tick>,
    cancel: Vec<TaskId>,
}

impl<F: FnMut(Timestamp) -> Result<NewTask, String>> Deciding<'_, F> {
    /// Counts the end of the last run, once.
    fn judge(&mut self) {
        let memory = &mut self.memory;
        if self.running || memory.judged || memory.last_task.is_none() {
            return;
        }
        memory.judged = true;
        match self.look.last_state {
            Some(State::Failed) => {
                memory.failures = memory.failures.saturating_add(1);
                memory.skip = memory.failures.min(self.look.definition.penalty);
            }
            // What keeps nothing of its end has succeeded: failures are kept in any case.
            Some(State::Succeeded) | None => (memory.failures, memory.skip) = (0, 0),
            // Somebody's wish, or nobody's time, says nothing of the task.
            Some(_) => {}
        }
    }

    /// Makes the run that waited for the end of the one before.
    fn release(&mut self) {
        if !self.running
            && let Some(tick) = self.memory.buffered.take()
        {
            self.run(tick, Some("waited for the task of the tick before it".to_owned()));
        }
    }

    /// Deals with the ticks that are due, in their order; true if there are more.
    fn deal_with_due(&mut self) -> bool {
        let Due { missed, runs, passed, again } = self.due();
        for (tick, reason) in missed {
            self.record(tick, TickOutcome::Missed, reason);
            self.memory.after = self.memory.after.max(tick);
        }
        for tick in runs {
            self.memory.after = self.memory.after.max(tick);
            if self.has_run_enough() {
                break;
            }
            self.consider(tick);
        }
        self.memory.after = self.memory.after.max(passed.unwrap_or_default());
        again
    }

    /// One tick that is to run unless something is in its way.
    fn consider(&mut self, tick: Timestamp) {
        let definition = self.look.definition;
        if self.memory.skip > 0 {
            self.memory.skip -= 1;
            let failures = self.memory.failures;
            return self.record(tick, TickOutcome::Suppressed, format!("the last run failed, the {failures}. in a row"));
        }
        if let (Some(least), Some(last)) = (definition.min_distance, self.memory.last_run_at) {
            let since = self.look.now.since(last);
            if since < least {
                let reason = format!("the last run was {} ago, less than {}", rough_duration(since), format_duration(least));
                return self.record(tick, TickOutcome::Suppressed, reason);
            }
        }
        if !self.running {
            return self.run(tick, None);
        }
        let previous = self.memory.last_task.map_or_else(String::new, |id| format!(" {id}"));
        match definition.overlap {
            Overlap::Allow => self.run(tick, None),
            Overlap::Skip => {
                self.record(tick, TickOutcome::Skipped, format!("the task{previous} of the tick before has not ended"))
            }
            Overlap::BufferOne if self.memory.buffered.is_none() => self.memory.buffered = Some(tick),
            Overlap::BufferOne => self.record(tick, TickOutcome::Skipped, "another tick waits already".to_owned()),
            Overlap::CancelPrevious => self.run_instead(tick),
        }
    }

    /// Runs a tick in place of the one before. That one's task is cancelled; one of this very look has no task yet, which a
    /// cancellation would miss, and gets none.
    fn run_instead(&mut self, tick: Timestamp) {
        let (last, runs) = (self.memory.last_task, self.memory.runs);
        let before = self.ticks.iter().position(|made| made.task.as_ref().is_some_and(|task| Some(task.id) == last));
        let cancelled = if before.is_some() { self.cancel.last().copied() } else { last };
        self.run(tick, cancelled.map(|id| format!("the task {id} of the tick before is cancelled for it")));
        if self.memory.runs == runs {
            // No task could be made of it, and the one before stays.
            return;
        }
        match before.and_then(|before| self.ticks.get_mut(before)) {
            Some(made) => {
                let reason = Some(format!("superseded: the tick at {tick} was due by then, too"));
                *made = Tick { at: made.at, task: None, outcome: TickOutcome::Skipped, reason };
                self.memory.runs = runs;
            }
            None => self.cancel.extend(last),
        }
    }

    fn run(&mut self, tick: Timestamp, reason: Option<String>) {
        let task = match (self.make)(tick) {
            Ok(task) => task,
            Err(why) => return self.record(tick, TickOutcome::Failed, why),
        };
        let late = self.look.now.since(self.look.plan.starts_at(self.look.name, tick));
        let reason = reason.or_else(|| (late > LATE_AFTER).then(|| format!("{} late", rough_duration(late))));
        self.memory.last_task = Some(task.id);
        self.memory.last_tick = Some(tick);
        self.memory.last_run_at = Some(self.look.now);
        self.memory.judged = false;
        self.memory.runs = self.memory.runs.saturating_add(1);
        self.running = true;
        self.ticks.push(Tick { at: tick, task: Some(task), outcome: TickOutcome::Enqueued, reason });
    }

    fn record(&mut self, tick: Timestamp, outcome: TickOutcome, reason: String) {
        self.ticks.push(Tick { at: tick, task: None, outcome, reason: Some(reason) });
    }

    fn has_run_enough(&self) -> bool {
        self.look.definition.max_runs.is_some_and(|most| self.memory.runs >= most)
    }

    /// When the next look is due; none once it has ended.
    fn next_due(&mut self, more: bool) -> Option<Timestamp> {
        let again = self.memory.buffered.map(|_| self.look.now.saturating_add(LOOK_AGAIN));
        if self.has_run_enough() {
            if self.memory.buffered.is_none() {
                self.memory.ended = Some(format!("it has run {} times", self.memory.runs));
            }
            return again;
        }
        if more {
            return Some(self.look.now);
        }
        match self.look.plan.next_after(self.memory.after) {
            Some(next) => {
                let next = self.look.plan.starts_at(self.look.name, next);
                Some(again.map_or(next, |again| again.min(next)))
            }
            None => {
                if again.is_none() {
                    self.memory.ended = Some("it has no tick any more".to_owned());
                }
                again
            }
        }
    }

    /// The ticks that are due, sorted into those that are to run and those that were missed.
    fn due(&self) -> Due {
        let Look { name, plan, now, .. } = &self.look;
        let is_due = |tick: &Timestamp| plan.starts_at(name, *tick) <= *now;
        let is_missed = |tick: &Timestamp| now.since(plan.starts_at(name, *tick)) > MISSED_AFTER;
        let mut ticks = plan.ticks_after(self.memory.after).take_while(is_due).peekable();
        if ticks.peek().is_some_and(is_missed) {
            return self.after_an_outage(is_due, is_missed);
        }
        let runs = ticks.by_ref().take(TICKS_A_LOOK).collect();
        Due { runs, again: ticks.peek().is_some(), ..Due::default() }
    }

    /// As [`due`](Self::due), when at least one tick was missed. Costs the same whether an hour or ten years were missed.
    fn after_an_outage(&self, is_due: impl Fn(&Timestamp) -> bool, is_missed: impl Fn(&Timestamp) -> bool) -> Due {
        let plan = self.look.plan;
        let mut due = Due::default();
        let Some(last) = self.last_due(is_due) else { return due };
        let catch_up = match self.look.definition.catch_up {
            CatchUp::None => 0,
            CatchUp::Latest => 1,
            CatchUp::All { max, .. } => usize::from(max.min(CATCH_UP_MAX)),
        };
        let (missed, fresh): (Vec<_>, Vec<_>) = self.latest(last, FRESH_MAX + catch_up).into_iter().partition(is_missed);
        let made_up_for = match self.look.definition.catch_up {
            // One that is on time stands for those before it.
            CatchUp::Latest if !fresh.is_empty() => 0,
            CatchUp::All { window, .. } => {
                let oldest = self.look.now.saturating_sub(window);
                missed.iter().filter(|tick| **tick >= oldest).count().min(catch_up)
            }
            _ => missed.len().min(catch_up),
        };
        let mut runs = missed[missed.len() - made_up_for..].iter().chain(&fresh).copied();
        due.runs = runs.by_ref().take(TICKS_A_LOOK).collect();
        due.again = runs.next().is_some();

        let end = due.runs.first().map_or(last.as_millis() + 1, |first| first.as_millis());
        let mut gone = plan.ticks_after(self.memory.after).take_while(|tick| tick.as_millis() < end);
        due.missed = gone.by_ref().take(MISSED_RECORDED).map(|tick| (tick, NO_BEAT.to_owned())).collect();
        if gone.next().is_some()
            && let (Some(record), Some(last)) = (due.missed.last_mut(), plan.last_until(Timestamp::from_millis(end - 1)))
        {
            record.1 = format!("{NO_BEAT}; so were all ticks after it up to {last}");
            due.passed = Some(last);
        }
        due
    }

    /// The last tick that is due. Ticks start in their order, so one that jitter holds back holds back those behind it.
    fn last_due(&self, is_due: impl Fn(&Timestamp) -> bool) -> Option<Timestamp> {
        let Look { plan, definition, now, .. } = &self.look;
        let surely = self.memory.after.max(now.saturating_sub(definition.timing.jitter));
        let jittered = plan.ticks_after(surely).take_while(is_due).take(JITTERED_MAX).last();
        jittered.or_else(|| plan.last_until(surely)).filter(|tick| *tick > self.memory.after)
    }

    /// The last `most` ticks up to `until` that are not dealt with, the earliest first.
    fn latest(&self, until: Timestamp, most: usize) -> VecDeque<Timestamp> {
        let mut latest = VecDeque::new();
        let mut next = Some(until);
        while let Some(tick) = next.filter(|tick| *tick > self.memory.after && latest.len() < most) {
            latest.push_front(tick);
            next = self.look.plan.last_until(Timestamp::from_millis(tick.as_millis() - 1));
        }
        latest
    }
}

/// The ticks that are due.
#[derive(Default)]
struct Due {
    /// Those that are not made up for, and why.
    missed: Vec<(Timestamp, String)>,
    /// Those to run.
    runs: Vec<Timestamp>,
    /// All up to here are dealt with, though not each is recorded.
    passed: Option<Timestamp>,
    /// There are more to run.
    again: bool,
}

#[cfg(test)]
mod tests;
