use std::time::Duration;

use async_trait::async_trait;
use gristmill_core::{
    Advance, Advanced, Cursor, DueSchedules, Lead, Page, Schedule, ScheduleEdit, Schedules, State, StoreError, TaskId, Tick,
    TickRecord, Timestamp, WorkerId, limits,
};

use super::MemoryStore;
use super::book::Leader;
use super::tables::Tables;

#[async_trait]
impl Schedules for MemoryStore {
    async fn edit_schedules(&self, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, StoreError> {
        self.run(|tables, now| {
            tables.news.scheduled |= tables.book.edit(names, edit, now)?;
            Ok(names.iter().map(|name| tables.book.get(name).cloned()).collect())
        })
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        Ok(self.run(|tables, _| tables.book.get(name).cloned()))
    }

    async fn schedules(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        Ok(self.run(|tables, _| tables.book.list(owner, after, limit)))
    }

    async fn due_schedules(&self, limit: usize) -> Result<DueSchedules, StoreError> {
        self.signals.scheduled.looked();
        Ok(self.run(|tables, now| tables.book.due(limit, now)))
    }

    async fn advance_schedules(&self, advances: Vec<Advance>) -> Result<Vec<Advanced>, StoreError> {
        Advance::check(&advances)?;
        Ok(self.run(|tables, now| advances.into_iter().map(|advance| tables.advance(advance, now)).collect()))
    }

    async fn ticks(&self, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, StoreError> {
        Ok(self.run(|tables, _| tables.book.ticks(schedule, after, limit)))
    }

    async fn lead_beats(&self, beat: WorkerId, lease: Duration) -> Result<Lead, StoreError> {
        Ok(self.run(|tables, now| tables.lead(beat, now, now.saturating_add(lease))))
    }

    async fn resign_beat(&self, beat: WorkerId) -> Result<(), StoreError> {
        self.run(|tables, _| {
            if let Some(leader) = tables.book.lead.as_mut().filter(|leader| leader.beat == beat) {
                leader.expires_at = Timestamp::MIN;
            }
        });
        Ok(())
    }

    async fn task_states(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        limits::check_batch(ids.len())?;
        Ok(self.run(|tables, _| ids.iter().map(|id| Some(tables.by_id(*id)?.1.state())).collect()))
    }
}

impl Tables {
    fn advance(&mut self, advance: Advance, now: Timestamp) -> Advanced {
        let Some(found) = self.book.get(&advance.name).filter(|found| found.revision == advance.revision).cloned() else {
            return Advanced::Stale;
        };
        let Advance { name, due_at, memory, ticks, cancel, .. } = advance;
        for id in cancel {
            self.cancel(id, now);
        }
        let new = ticks.into_iter().map(|tick| self.tick(&name, tick, now)).collect();
        self.book.write(Schedule { due_at, memory, ..found });
        Advanced::Done(new)
    }

    /// Writes a tick and makes its task; false if it was written before.
    fn tick(&mut self, name: &str, tick: Tick, now: Timestamp) -> bool {
        if self.book.has_tick(name, tick.at, now) {
            return false;
        }
        let made = tick.task.clone().map(|task| self.enqueue(task, now));
        self.book.add_tick(name, TickRecord::of(&tick, made, now));
        true
    }

    fn lead(&mut self, beat: WorkerId, now: Timestamp, expires_at: Timestamp) -> Lead {
        let leader = self.book.lead.get_or_insert(Leader { beat, term: 1, expires_at });
        // One that ends later than this would was given before the clock was set back.
        let over = leader.expires_at <= now || leader.expires_at > expires_at;
        if leader.beat != beat && !over {
            return Lead { leads: false, term: leader.term };
        }
        leader.term += i64::from(leader.beat != beat);
        leader.beat = beat;
        leader.expires_at = expires_at;
        Lead { leads: true, term: leader.term }
    }
}
