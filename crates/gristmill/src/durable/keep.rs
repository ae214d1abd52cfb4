use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::journal::{Asked, Place, Wait};
use super::{StepFailed, Suspended};
use crate::attempt::{Attempt, Why};
use crate::codec::{Part, Payload};
use crate::core::durable::{Checkpoint, Kept, Memories, Memory};
use crate::core::{Failure, FailureReason, InvalidInput, Settled, StoreError, StoreErrorKind, Timestamp, failpoint, limits};
use crate::error::{LeaseLost, What};
use crate::{Error, Result};

/// How long after an error the store is asked again, at first and at most.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Attempt {
    pub(super) fn ask(&self, name: String) -> Result<Asked> {
        if self.takes_many() {
            let why = format!(
                "`{name}` is asked for in a batch, in which no task can wait or remember anything for itself; let it enqueue a task that does"
            );
            return Err(Error::fail(InvalidInput::new("step", why)));
        }
        self.journal.ask(self.id, name)
    }

    /// Lets something new go on, unless the attempt is only to show what would be new.
    pub(super) async fn begin_new(&self, place: &Place) -> Result<()> {
        if self.journal.replays() {
            return Err(self.wait_for(Wait::of(place.keep(Kept::Patched))).await);
        }
        Ok(())
    }

    /// What was asked for, when that is there. An attempt goes no further behind an error after which it is to be tried again: with what waits beside
    /// it alone, it would be put off for as long as that takes, and what is not over would be awaited by nobody.
    pub(super) async fn given<T>(&self, name: &str, asked: impl Future<Output = Result<T>>) -> Result<T> {
        let given = asked.await;
        if let Err(error) = &given
            && error.what != What::Fail
        {
            let failure = error.failure().unwrap_or_else(|| Failure::new(FailureReason::Error, error.to_string()));
            self.journal.broke(name, error.what, failure);
        }
        given
    }

    /// Remembers what came of something, with the tasks that it has enqueued.
    pub(super) async fn remember(&self, memory: Memory) -> Result<()> {
        let children = self.journal.take_children(memory.position);
        let Some(lease) = self.journal.lease else {
            // What runs in its caller is not run again.
            return Ok(self.add_children(children)?);
        };
        self.journal.count(&memory).map_err(Error::fail)?;
        self.keep(Checkpoint { memories: vec![memory], children: children.into(), ..Checkpoint::new(lease) }).await
    }

    /// Keeps it, for as long as the store may be readable again while the attempt goes on.
    pub(super) async fn keep(&self, checkpoint: Checkpoint) -> Result<()> {
        if self.journal.replays() {
            return Ok(());
        }
        let _goes_on = self.journal.run();
        let mut pause = PAUSE;
        loop {
            match self.write(&checkpoint).await {
                Ok(Settled::Done(_)) => return Ok(()),
                Ok(Settled::LeaseLost) => {
                    self.ask_to_end(Why::LeaseLost);
                    return Err(LeaseLost { id: self.id }.into());
                }
                Ok(Settled::Later) => self.pause(&mut pause, None).await?,
                Err(error) => self.pause(&mut pause, Some(error)).await?,
            }
        }
    }

    async fn write(&self, checkpoint: &Checkpoint) -> Result<Settled, StoreError> {
        failpoint::pass("checkpoint.before")?;
        let settled = self.ground.source.checkpoint(checkpoint.clone()).await?;
        failpoint::pass("checkpoint.after").map(|()| settled)
    }

    /// Waits before the store is asked again, or says why it is not.
    async fn pause(&self, pause: &mut Duration, error: Option<StoreError>) -> Result<()> {
        let error = match error {
            Some(error) if error.kind() == StoreErrorKind::Invalid => return Err(Error::fail(error)),
            Some(error) if !error.is_transient() => return Err(error.into()),
            error => error,
        };
        if let Some(error) = &error {
            tracing::debug!(task = %self.id, error = %error, "what a step did is not kept yet; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(*pause) => {
                *pause = (*pause * 2).min(PAUSE_MAX);
                Ok(())
            }
            () = self.token.cancelled() => {
                let unkept = || StoreError::new(StoreErrorKind::Busy, "what the step did is not kept, as its task is held");
                Err(error.unwrap_or_else(unkept).into())
            }
        }
    }

    /// The time by the clock of the store, by which it is told whether a wait is over.
    pub(super) async fn store_now(&self) -> Result<Timestamp> {
        let now = || self.runtime().env.now();
        if self.journal.lease.is_none() {
            return Ok(now());
        }
        let ahead = match self.journal.ahead() {
            Some(ahead) => ahead,
            None => {
                let ahead = self.memories().await?.now.as_millis() - now().as_millis();
                self.journal.set_ahead(ahead);
                ahead
            }
        };
        Ok(Timestamp::from_millis(now().as_millis().saturating_add(ahead)))
    }

    /// What the task remembers, as it is now.
    async fn memories(&self) -> Result<Memories> {
        // What waits beside whoever asks must not end the attempt before it is known what this one does.
        let _goes_on = self.journal.run();
        let mut pause = PAUSE;
        loop {
            match self.ground.source.memories(self.id).await {
                Ok(memories) => return Ok(memories),
                Err(error) => self.pause(&mut pause, Some(error)).await?,
            }
        }
    }

    /// The value of an event that came in time, but after this attempt has begun and read what the task remembers: to answer that it did not come
    /// would lose it.
    pub(super) async fn came_meanwhile(&self, place: &Place, until: Timestamp) -> Result<Option<String>> {
        if self.journal.lease.is_none() || self.journal.replays() {
            return Ok(None);
        }
        // Once for all that were to come by the same time.
        if !self.journal.was_read_after(until) {
            let memories = self.memories().await?;
            self.journal.read_again(memories);
        }
        Ok(self.journal.take_what_came(place.position))
    }

    /// Waits until the attempt is over, in which it does not return to a handler that is dropped.
    pub(super) async fn wait_for(&self, wait: Wait) -> Error {
        self.journal.wait(wait).await;
        Suspended { id: self.id }.into()
    }

    /// The same until a time that was just given. Where a step runs beside it, or has failed, that is kept at once: should the step fail, or the worker
    /// crash, the time would begin anew with each attempt, and might never be over.
    pub(super) async fn wait_until(&self, memory: Memory, until: Timestamp) -> Error {
        let mut wait = Wait { until: Some(until), is_unkept: true, ..Wait::of(memory) };
        if self.journal.has_steps() || self.journal.broken().is_some() {
            wait.is_unkept = false;
            if let Err(error) = self.keep_waits(vec![wait.memory.clone()]).await {
                return error;
            }
        }
        self.wait_for(wait).await
    }

    /// Keeps what is waited for, while the attempt goes on.
    pub(super) async fn keep_waits(&self, memories: Vec<Memory>) -> Result<()> {
        match self.journal.lease {
            Some(lease) if !memories.is_empty() => self.keep(Checkpoint { memories, ..Checkpoint::new(lease) }).await,
            _ => Ok(()),
        }
    }

    /// Does not go on, as something else is remembered where it stands.
    pub(super) async fn stand_still(&self) -> Error {
        self.journal.until_closed().await;
        Suspended { id: self.id }.into()
    }

    /// The same, of something that is remembered by its name, but is of another sort.
    pub(super) async fn stand_still_at(&self, place: &Place, kept: &Kept) -> Error {
        self.journal.is_elsewhere(place, sort(kept));
        self.stand_still().await
    }

    /// As it is kept.
    pub(super) fn stored(&self, name: &str, value: &impl Serialize) -> Result<String> {
        let refused = |why: String| Error::fail(format!("what the step `{name}` gave {why}"));
        let text = serde_json::to_string(value).map_err(|error| refused(format!("can't be written as JSON: {error}")))?;
        limits::check_depth("value", &text).map_err(|error| refused(format!("is too deep: {}", error.problem)))?;
        self.runtime().stored_step(self.id, &self.kind, text)
    }

    /// Undoes that.
    pub(super) fn plain(&self, stored: String) -> Result<String> {
        self.runtime().decode(&Payload { id: self.id, name: &self.kind, part: Part::Step }, stored)
    }

    /// Reads what is remembered. The error names no value, as whoever sees it may not see that.
    pub(super) fn read<T: DeserializeOwned>(&self, place: &Place, plain: &str) -> Result<T> {
        serde_json::from_str(plain).map_err(|error| {
            let (position, name) = (u64::from(place.position) + 1, &place.name);
            let (of, line, column) = (std::any::type_name::<T>(), error.line(), error.column());
            tracing::error!(task = %self.id, kind = %self.kind, step = %name, error = %error, "what is remembered can't be read");
            Error::fail(format!(
                "what step {position}, `{name}`, gave can't be read as `{of}` (line {line}, column {column} of its JSON); let the type read what \
                 is there, and retry the task"
            ))
        })
    }

    pub(super) fn failed<T>(&self, name: &str, failure: Failure) -> Result<T> {
        let reason = failure.reason;
        Err(Error::new(What::Fail, reason, StepFailed { name: name.to_owned(), failure }))
    }
}

/// What it is called where something else is asked for.
fn sort(kept: &Kept) -> &'static str {
    match kept {
        Kept::Value(_) | Kept::Failed(_) => "a value",
        Kept::Patched => "a patch",
        Kept::Sleeps(_) => "a sleep",
        Kept::Event { .. } | Kept::TimedOut => "an event",
        Kept::Workflow(_) | Kept::Replaced { .. } => "a workflow",
        Kept::Mismatch(_) => "a mismatch",
    }
}
