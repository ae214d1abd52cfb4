use std::time::Duration;

use gristmill_core::{
    Advance, Advanced, Cursor, DueSchedules, Lead, Page, Schedule, ScheduleEdit, Schedules, State, StoreError, TaskId,
    TickRecord, WorkerId, async_trait, limits,
};

use crate::inner::{Kind, run};
use crate::store::PostgresStore;
use crate::{ops, view};

#[async_trait]
impl Schedules for PostgresStore {
    async fn edit_schedules(&self, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, StoreError> {
        run!(&self.inner(), pool, Kind::Transaction, s => ops::edit_schedules(&mut s, names, edit))
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        run!(&self.inner(), reads, Kind::Single, s => view::schedule(&mut s, name))
    }

    async fn schedules(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        run!(&self.inner(), reads, Kind::Single, s => view::schedules(&mut s, owner, after, limit))
    }

    async fn due_schedules(&self, limit: usize) -> Result<DueSchedules, StoreError> {
        self.inner().signals.looking_for_schedules();
        run!(&self.inner(), pool, Kind::Single, s => view::due_schedules(&mut s, limit))
    }

    async fn advance_schedules(&self, advances: Vec<Advance>) -> Result<Vec<Advanced>, StoreError> {
        Advance::check(&advances)?;
        self.inner().advance(&advances).await
    }

    async fn ticks(&self, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, StoreError> {
        run!(&self.inner(), reads, Kind::Single, s => view::ticks(&mut s, schedule, after, limit))
    }

    async fn lead_beats(&self, beat: WorkerId, lease: Duration) -> Result<Lead, StoreError> {
        let inner = self.inner();
        let lead: Result<Lead, StoreError> = run!(&inner, pool, Kind::Single, s => ops::lead_beats(&mut s, beat, lease));
        if lead.as_ref().is_ok_and(|lead| lead.leads) {
            inner.herald.leads_beats(lease);
        }
        lead
    }

    async fn resign_beat(&self, beat: WorkerId) -> Result<(), StoreError> {
        run!(&self.inner(), pool, Kind::Single, s => ops::resign_beat(&mut s, beat))
    }

    async fn task_states(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        limits::check_batch(ids.len())?;
        run!(&self.inner(), reads, Kind::Single, s => view::task_states(&mut s, ids))
    }
}
