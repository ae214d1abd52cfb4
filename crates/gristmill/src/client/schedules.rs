use std::iter::once;

use super::schedule_change::ScheduleChange;
use crate::beat::{self, Definition, Deleted, Maker, Origin, Rescheduled, ScheduleError, ScheduleRecord, Scheduled, SyncReport};
use crate::client::Client;
use crate::core::{
    Advance, Advanced, Cursor, Page, StoreError, StoreErrorKind, TaskId, Tick, TickOutcome, TickRecord, Timestamp, limits,
};
use crate::schedule::{Timing, Upcoming};

/// How often an edit or a run by hand is tried against beats and operators who change the schedule in the same moment.
const RACES: usize = 20;

/// The schedules of a store: look, change, run now. Made by [`Client::schedules`].
#[derive(Clone, Copy, Debug)]
pub struct Schedules<'c> {
    client: &'c Client,
}

impl<'c> Schedules<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// The schedule of this name.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, name: &str) -> Result<Option<ScheduleRecord>, ScheduleError> {
        Ok(self.client.store().schedule(name).await?.map(ScheduleRecord::of))
    }

    /// Schedules in the order of their names, those behind `after`, at most `limit` or 1,000; with `owner` only those that it
    /// owns. Fewer than that are the last.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, ScheduleError> {
        let found = self.client.store().schedules(owner, after, limit.clamp(1, limits::PAGE_ITEMS_MAX)).await?;
        Ok(found.into_iter().map(ScheduleRecord::of).collect())
    }

    /// Writes a schedule, whether there is one of this name or not. What has run stays remembered; a changed timing counts from
    /// now; a pause stays until [`resume`](Self::resume). One that a program or a file defines is the operator's edit from then
    /// on, which no start of theirs undoes.
    ///
    /// Awaiting it fails with a [`ScheduleError`] if its timing can't be or has no tick to come, if no program has declared its
    /// task type, or if its arguments or options are out of range.
    ///
    /// ```
    /// # use gristmill::{Client, Result, Timestamp, task};
    /// use gristmill::beat::Definition;
    /// # #[task(name = "report.build")] async fn build_report() -> Result<()> { Ok(()) }
    /// # #[task(name = "election.close")] async fn close_election(id: u32) -> Result<()> { let _ = id; Ok(()) }
    /// # async fn example(client: Client, closes_at: Timestamp) -> Result<()> {
    /// let schedules = client.schedules();
    /// schedules.put("nightly-report", Definition::cron("0 3 * * *", BuildReport {}).tz("Europe/Rome")).await?;
    /// schedules.put("election:7:close", Definition::on(closes_at, CloseElection { id: 7 })).await?;
    /// for tick in schedules.next("nightly-report", 3).await? {
    ///     println!("{} = {}", tick.local, tick.utc);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn put(&self, name: impl Into<String>, definition: Definition) -> ScheduleChange<'c, Scheduled> {
        ScheduleChange::put(self.client, name.into(), definition, false)
    }

    /// As [`put`](Self::put), but a schedule that is there is refused with [`ScheduleError::Exists`].
    pub fn create(&self, name: impl Into<String>, definition: Definition) -> ScheduleChange<'c, Scheduled> {
        ScheduleChange::put(self.client, name.into(), definition, true)
    }

    /// Changes what `change` changes of a schedule's definition, and nothing else. `change` is called again if a beat or
    /// somebody else changed the schedule in the same moment. As [`put`](Self::put), it leaves pauses alone, and makes a
    /// schedule of a program or a file the operator's edit.
    ///
    /// ```
    /// # async fn example(client: gristmill::Client) -> Result<(), gristmill::beat::ScheduleError> {
    /// let record = client.schedules().edit("nightly-report", |definition| definition.max_runs = Some(10)).await?;
    /// println!("{}, {}", record.rule, record.state);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Unreadable`], those of [`put`](Self::put), or the store's.
    pub async fn edit(&self, name: &str, change: impl Fn(&mut Definition)) -> Result<ScheduleRecord, ScheduleError> {
        let (store, mut maker) = (self.client.store(), Maker::default());
        for _ in 0..RACES {
            let schedule = store.schedule(name).await?.ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })?;
            let mut definition = beat::read_definition(&schedule)
                .map_err(|problem| ScheduleError::Unreadable { name: name.to_owned(), problem })?;
            change(&mut definition);
            maker.learn(&**store, self.client.runtime(), once(&definition)).await?;
            beat::check_one(self.client.runtime(), &maker, name, &definition)?;
            let (edit, answers) = beat::put_over(definition, schedule.revision).ask();
            let after = store.edit_schedules(&[name.to_owned()], &edit).await?;
            if answers.take(name)?
                && let Some(after) = after.into_iter().next().flatten()
            {
                return Ok(ScheduleRecord::of(after));
            }
        }
        Err(raced(name))
    }

    /// Gives a schedule another timing, or a one-off another instant. The answer says what happened: a one-off whose tick has
    /// been dealt with is left as it is, and [`Rescheduled::Over`] has its task.
    pub fn reschedule(&self, name: impl Into<String>, timing: impl Into<Timing>) -> ScheduleChange<'c, Rescheduled> {
        let (name, timing) = (name.into(), timing.into());
        let checked = timing.plan().map_err(|error| ScheduleError::Rule { name: name.clone(), error });
        ScheduleChange::new(self.client, name, checked.map(|_| beat::reschedule(timing)))
    }

    /// Deletes a schedule; its ticks and its tasks stay. One that a program or a file still defines is made anew at its next
    /// start: [`pause`](Self::pause) that.
    pub fn delete(&self, name: impl Into<String>) -> ScheduleChange<'c, Deleted> {
        ScheduleChange::new(self.client, name.into(), Ok(beat::delete()))
    }

    /// Stops the ticks of a schedule until it is resumed. What falls due meanwhile is not made up for.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Unreadable`], or the store's.
    pub async fn pause(&self, name: &str) -> Result<ScheduleRecord, ScheduleError> {
        self.set_paused(name, true).await
    }

    /// Lets a paused schedule tick again. The record's [`state`](ScheduleRecord::state) says if it has no tick left.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, name: &str) -> Result<ScheduleRecord, ScheduleError> {
        self.set_paused(name, false).await
    }

    /// Lets a schedule count from the store's now, whatever the beats remember of it: what is overdue is left out, a run that waits
    /// for the one before it is dropped, and failures in a row are forgotten. How often it ran stays. For a schedule that waits for
    /// a time to which the clock was set by mistake; beats find those by themselves, if one runs.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Unreadable`], or the store's.
    pub async fn reset(&self, name: &str) -> Result<ScheduleRecord, ScheduleError> {
        self.change(name, beat::reset()).await
    }

    /// Makes a run out of turn, at the store's now, whether the schedule is paused or has ended; its ticks come as before.
    /// Returns the task's id.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Unreadable`], a task that can't be made, or the store's.
    pub async fn run_now(&self, name: &str) -> Result<TaskId, ScheduleError> {
        let (store, mut maker) = (self.client.store(), Maker::default());
        let mut before = Timestamp::MIN;
        for _ in 0..RACES {
            let schedule = store.schedule(name).await?.ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })?;
            let definition = beat::read_definition(&schedule)
                .map_err(|problem| ScheduleError::Unreadable { name: name.to_owned(), problem })?;
            maker.learn(&**store, self.client.runtime(), once(&definition)).await?;
            let mut at = store.due_schedules(1).await?.now.max(after(before));
            // A tick of the rule at the same instant would find its place taken, and have no task.
            if definition.timing.plan().is_ok_and(|plan| plan.last_until(at) == Some(at)) {
                at = after(at);
            }
            before = at;
            let task = maker.make(self.client.runtime(), name, &definition, at).map_err(|error| error.of(name))?;
            let id = task.id;
            let tick = Tick { at, task: Some(task), outcome: TickOutcome::Manual, reason: Some("run by hand".to_owned()) };
            let advance = Advance {
                name: schedule.name,
                revision: schedule.revision,
                due_at: schedule.due_at,
                memory: schedule.memory,
                ticks: vec![tick],
                cancel: Vec::new(),
            };
            if let Some(Advanced::Done(new)) = store.advance_schedules(vec![advance]).await?.pop()
                && new == [true]
            {
                return Ok(id);
            }
        }
        Err(raced(name))
    }

    /// The next ticks after the store's now, at most 1,000, as if the schedule were not paused.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn next(&self, name: &str, count: usize) -> Result<Vec<Upcoming>, ScheduleError> {
        let unreadable = |problem| ScheduleError::Unreadable { name: name.to_owned(), problem };
        let schedule =
            self.client.store().schedule(name).await?.ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })?;
        let definition = beat::read_definition(&schedule).map_err(unreadable)?;
        let plan = definition.timing.plan().map_err(|error| unreadable(error.to_string()))?;
        let now = self.client.store().due_schedules(1).await?.now;
        Ok(plan.preview(now, count.min(limits::PAGE_ITEMS_MAX)))
    }

    /// What became of a schedule's ticks, the latest first. They outlive the schedule, and are kept for 90 days.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn history(&self, name: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, ScheduleError> {
        Ok(self.client.store().ticks(name, after, limit.clamp(1, limits::PAGE_ITEMS_MAX)).await?)
    }

    /// Makes the stored schedules of `owner` what `schedules` say: writes those that are new or changed, and withdraws those
    /// that it no longer defines. An operator's pauses and edits stay, and so does what an operator made, though it has the
    /// name of one of them. For front ends that read definitions from files of their own.
    ///
    /// A task type that nobody has declared yet is no error, as the program that has it may start later.
    ///
    /// # Errors
    /// A definition that can't be; a name that another owner has ([`ScheduleError::Owned`]), in which case others may have been
    /// written; or the store's.
    pub async fn sync(
        &self,
        owner: &str,
        origin: Origin,
        schedules: Vec<(String, Definition)>,
    ) -> Result<SyncReport, ScheduleError> {
        beat::sync(&**self.client.store(), self.client.runtime(), owner, origin, schedules).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<ScheduleRecord, ScheduleError> {
        self.change(name, beat::pause(paused)).await
    }

    async fn change(&self, name: &str, change: beat::Change<()>) -> Result<ScheduleRecord, ScheduleError> {
        let (edit, answers) = change.ask();
        let after = self.client.store().edit_schedules(&[name.to_owned()], &edit).await?;
        answers.take(name)?;
        let after = after.into_iter().next().flatten();
        after.map(ScheduleRecord::of).ok_or_else(|| ScheduleError::NotFound { name: name.to_owned() })
    }
}

fn raced(name: &str) -> ScheduleError {
    let message = format!("schedule {name:?} was changed by others at each of {RACES} tries; try again");
    StoreError::new(StoreErrorKind::Busy, message).into()
}

fn after(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() + 1)
}
