use std::collections::{BTreeMap, BTreeSet};

use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::{
    Cursor, DueSchedules, Edit, NewSchedule, Page, Schedule, ScheduleEdit, StoreError, TICKS_KEPT, TickRecord, Timestamp,
    WorkerId,
};

/// Schedules, their ticks, and who leads the beats.
#[derive(Debug, Default)]
pub(super) struct Book {
    schedules: BTreeMap<String, Schedule>,
    due: BTreeSet<(Timestamp, String)>,
    /// One count for all, so that a schedule which is made again does not begin anew.
    last_revision: i64,
    ticks: BTreeMap<(String, Timestamp), TickRecord>,
    /// By when they were written, then by the identity of the tick.
    tick_ages: BTreeSet<(Timestamp, (String, Timestamp))>,
    pub(super) lead: Option<Leader>,
}

/// The beat that leads, or that led last.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) beat: WorkerId,
    pub(super) term: i64,
    pub(super) expires_at: Timestamp,
}

impl Book {
    pub(super) fn get(&self, name: &str) -> Option<&Schedule> {
        self.schedules.get(name)
    }

    pub(super) fn list(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Schedule> {
        let behind = |name: &str| after.is_none_or(|after| name > after);
        let owned = |schedule: &Schedule| owner.is_none_or(|owner| schedule.owner.as_deref() == Some(owner));
        let all = self.schedules.values().filter(|schedule| behind(&schedule.name) && owned(schedule));
        all.take(limit.clamp(1, PAGE_ITEMS_MAX)).cloned().collect()
    }

    /// Decides about all before anything is written.
    pub(super) fn edit(&mut self, names: &[String], edit: &ScheduleEdit, now: Timestamp) -> Result<bool, StoreError> {
        Edit::check(names)?;
        let edits: Vec<_> = names.iter().map(|name| Edit::ask(edit, name, self.get(name), now)).collect::<Result<_, _>>()?;
        let mut wrote = false;
        for (name, edit) in names.iter().zip(edits) {
            wrote |= match edit {
                Edit::Keep => false,
                Edit::Put(new) => {
                    self.put(name, new, now);
                    true
                }
                Edit::Remove => self.take(name).is_some(),
            };
        }
        Ok(wrote)
    }

    fn put(&mut self, name: &str, new: NewSchedule, now: Timestamp) {
        let created_at = self.get(name).map_or(now, |old| old.created_at);
        let NewSchedule { owner, body, due_at, memory } = new;
        self.write(Schedule { name: name.to_owned(), owner, body, due_at, memory, revision: 0, created_at, edited_at: now });
    }

    /// Writes a schedule under its next revision.
    pub(super) fn write(&mut self, schedule: Schedule) {
        self.take(&schedule.name);
        self.last_revision += 1;
        self.due.extend(schedule.due_at.map(|at| (at, schedule.name.clone())));
        self.schedules.insert(schedule.name.clone(), Schedule { revision: self.last_revision, ..schedule });
    }

    fn take(&mut self, name: &str) -> Option<Schedule> {
        let old = self.schedules.remove(name)?;
        if let Some(at) = old.due_at {
            self.due.remove(&(at, old.name.clone()));
        }
        Some(old)
    }

    pub(super) fn due(&self, limit: usize, now: Timestamp) -> DueSchedules {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(limit);
        let schedules: Vec<_> = due.filter_map(|(_, name)| self.get(name).cloned()).collect();
        let next_due = self.due.iter().nth(schedules.len()).map(|(at, _)| at.since(now));
        DueSchedules { now, schedules, next_due }
    }

    /// Whether a tick was written. One without a task that was written in the future, while the clock was ahead, stands in no one's
    /// way when its time comes.
    pub(super) fn has_tick(&self, name: &str, at: Timestamp, now: Timestamp) -> bool {
        self.ticks.get(&(name.to_owned(), at)).is_some_and(|tick| tick.task.is_some() || tick.written_at <= now)
    }

    pub(super) fn add_tick(&mut self, name: &str, tick: TickRecord) {
        let key = (name.to_owned(), tick.at);
        self.tick_ages.insert((tick.written_at, key.clone()));
        if let Some(before) = self.ticks.insert(key.clone(), tick) {
            self.tick_ages.remove(&(before.written_at, key));
        }
    }

    pub(super) fn ticks(&self, name: &str, after: Option<Cursor>, limit: usize) -> Page<TickRecord> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let below = after.map_or(i64::MAX, Cursor::key);
        let all = self.ticks.range((name.to_owned(), Timestamp::MIN)..=(name.to_owned(), Timestamp::MAX)).rev();
        let mut rows = all.map(|(_, tick)| tick).filter(|tick| tick.at.as_millis() < below);
        let items: Vec<_> = rows.by_ref().take(limit).cloned().collect();
        let last = items.last().map(|tick| Cursor::after(tick.at.as_millis()));
        Page { next: last.filter(|_| rows.next().is_some()), items }
    }

    /// Forgets the oldest ticks of which nobody needs to know any more.
    pub(super) fn prune(&mut self, limit: usize, now: Timestamp) -> usize {
        let over = self.tick_ages.iter().take_while(|(written_at, _)| written_at.saturating_add(TICKS_KEPT) <= now);
        let over: Vec<_> = over.take(limit).cloned().collect();
        for age in &over {
            self.tick_ages.remove(age);
            self.ticks.remove(&age.1);
        }
        over.len()
    }
}
