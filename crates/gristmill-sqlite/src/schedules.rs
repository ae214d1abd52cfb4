use std::time::Duration;

use gristmill_core::{
    Advance, Advanced, Cursor, DueSchedules, Lead, Page, Schedule, ScheduleEdit, Schedules, State, StoreError, TaskId,
    TickRecord, WorkerId, async_trait, limits,
};

use crate::store::SqliteStore;
use crate::{ops, view};

#[async_trait]
impl Schedules for SqliteStore {
    async fn edit_schedules(&self, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, StoreError> {
        let (names, edit) = (names.to_vec(), edit.clone());
        self.write(names.len(), move |tx| ops::edit_schedules(tx, &names, &edit)).await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let name = name.to_owned();
        self.read(move |view| view::schedule(view.conn, &name)).await
    }

    async fn schedules(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        let (owner, after) = (owner.map(str::to_owned), after.map(str::to_owned));
        self.read(move |view| view::schedules(view, owner.as_deref(), after.as_deref(), limit)).await
    }

    async fn due_schedules(&self, limit: usize) -> Result<DueSchedules, StoreError> {
        self.looking_for_schedules();
        self.read(move |view| view::due_schedules(view, limit)).await
    }

    async fn advance_schedules(&self, advances: Vec<Advance>) -> Result<Vec<Advanced>, StoreError> {
        Advance::check(&advances)?;
        let ticks: usize = advances.iter().map(|advance| advance.ticks.len()).sum();
        self.write(advances.len() + ticks, move |tx| ops::advance_schedules(tx, &advances)).await
    }

    async fn ticks(&self, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, StoreError> {
        let schedule = schedule.to_owned();
        self.read(move |view| view::ticks(view, &schedule, after, limit)).await
    }

    async fn lead_beats(&self, beat: WorkerId, lease: Duration) -> Result<Lead, StoreError> {
        self.write(1, move |tx| ops::lead_beats(tx, beat, lease)).await
    }

    async fn resign_beat(&self, beat: WorkerId) -> Result<(), StoreError> {
        self.write(1, move |tx| ops::resign_beat(tx, beat)).await
    }

    async fn task_states(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        limits::check_batch(ids.len())?;
        let ids = ids.to_vec();
        self.read(move |view| view::task_states(view, &ids)).await
    }
}
