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
    ticks: BTreeMap<(String, i64), TickRecord>,
    /// The identities of all ticks.
    known: BTreeSet<(String, Timestamp)>,
    tick_ages: BTreeSet<(Timestamp, String, i64)>,
    last_tick: i64,
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

    pub(super) fn has_tick(&self, name: &str, at: Timestamp) -> bool {
        self.known.contains(&(name.to_owned(), at))
    }

    pub(super) fn add_tick(&mut self, name: &str, tick: TickRecord) {
        self.last_tick += 1;
        self.known.insert((name.to_owned(), tick.at));
        self.tick_ages.insert((tick.written_at, name.to_owned(), self.last_tick));
        self.ticks.insert((name.to_owned(), self.last_tick), tick);
    }

    pub(super) fn ticks(&self, name: &str, after: Option<Cursor>, limit: usize) -> Page<TickRecord> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let (first, end) = ((name.to_owned(), i64::MIN), (name.to_owned(), after.map_or(i64::MAX, Cursor::key)));
        let mut rows = self.ticks.range(first..end).rev();
        let page: Vec<_> = rows.by_ref().take(limit).collect();
        let last = page.last().map(|((_, key), _)| Cursor::after(*key));
        Page { next: last.filter(|_| rows.next().is_some()), items: page.into_iter().map(|(_, tick)| tick.clone()).collect() }
    }

    /// Forgets the oldest ticks of which nobody needs to know any more.
    pub(super) fn prune(&mut self, limit: usize, now: Timestamp) -> usize {
        let over = |written_at: &Timestamp| written_at.saturating_add(TICKS_KEPT) <= now;
        let mut pruned = 0;
        while pruned < limit
            && self.tick_ages.first().is_some_and(|(written_at, ..)| over(written_at))
            && let Some((_, name, key)) = self.tick_ages.pop_first()
        {
            if let Some(tick) = self.ticks.remove(&(name.clone(), key)) {
                self.known.remove(&(name, tick.at));
            }
            pruned += 1;
        }
        pruned
    }
}
