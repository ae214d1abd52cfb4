use super::known::Known;
use super::start::{More, Rest};
use super::{IntoSignature, StartError, WorkflowHandle};
use crate::core::workflow::{Extended, Extension, StepRecord};
use crate::task::stored_name;

impl<O> WorkflowHandle<O> {
    /// Adds members to a group that was left [open](super::Step::open), in batches of up to 1,000: they are made as they are needed. The
    /// group stays open. How many members it has then.
    ///
    /// One hand at a time adds to a group: each gets the places behind those that it finds. They refer only to what the group waits for,
    /// as it needs it. The options that the workflow and the step were given when it was started are not theirs: they have those of their
    /// task type, and their own ([`Signature::options`](super::Signature::options)).
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "process")] async fn process(upload: u32) -> Result<u32> { Ok(upload) }
    /// # #[task(name = "merge")] async fn merge(parts: Vec<u32>) -> Result<u32> { Ok(parts.iter().sum()) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("upload");
    /// let parts = w.each("process", [Process { upload: 1 }]).open();
    /// w.step("merge", Merge::with(parts.results()));
    /// let run = w.start().await?;
    /// run.extend(&parts, (2..=5_000).map(|upload| Process { upload })).await?;
    /// run.close(&parts).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a member is refused; if there is no such step, or its tasks are of another type, or of another
    /// version of it; if it is closed, or takes no more as it has ended or was
    /// cancelled; if the store can't be read or written. Those batches that were added before stay.
    ///
    /// # Cancel safety
    /// Dropped before its end, it is not known how many were added.
    pub async fn extend<I>(&self, step: impl AsRef<str>, tasks: I) -> Result<u32, StartError>
    where
        I: IntoIterator<Item: IntoSignature, IntoIter: Send>,
    {
        let members: More<'_> = Box::new(tasks.into_iter().map(|task| task.into_signature().member()));
        self.extend_by(step.as_ref(), &stored_name::<<I::Item as IntoSignature>::Task>(), members).await
    }

    /// Closes a group that was left open: it has all of its members, and ends when they have. One that is closed stays so.
    ///
    /// # Errors
    /// If there is no such step, or the store can't be read or written.
    pub async fn close(&self, step: impl AsRef<str>) -> Result<(), StartError> {
        let (name, id) = (step.as_ref(), self.id());
        let (number, record, _) = self.step(name).await?;
        if record.row.tally.closed {
            return Ok(());
        }
        let from = record.row.tally.members;
        let extension = Extension { workflow: id, step: number, from, members: Vec::new(), close: true };
        match self.client().workflows().extend(extension).await.map_err(|error| StartError::Store { id, error })? {
            Extended::Added(_) | Extended::Closed => Ok(()),
            Extended::Conflict | Extended::Gap(_) | Extended::NotFound => Err(StartError::Gone { id, step: name.to_owned() }),
        }
    }

    async fn extend_by(&self, name: &str, kind: &str, members: More<'_>) -> Result<u32, StartError> {
        let (number, record, known) = self.step(name).await?;
        let (id, step) = (self.id(), name.to_owned());
        if record.spec.kind != kind {
            return Err(StartError::Gone { id, step });
        }
        if record.row.tally.closed {
            return Err(StartError::Closed { id, step });
        }
        let kind = record.spec.kind;
        let given = record.row.tally.members;
        let mut rest = Rest { number, step, kind, group: true, given, open: true, members: members.peekable(), known };
        if rest.hand_in(self.client(), id).await? { Ok(rest.given) } else { Err(StartError::Closed { id, step: rest.step }) }
    }

    /// A step with its number, and what its members can refer to.
    async fn step(&self, name: &str) -> Result<(u32, StepRecord, Known), StartError> {
        let id = self.id();
        let record = self.status().await.map_err(|error| StartError::Store { id, error })?;
        let mut steps = record.map(|record| record.steps).unwrap_or_default();
        let found = steps.iter().position(|step| step.spec.name == name).and_then(|at| Some((at, u32::try_from(at).ok()?)));
        let (at, number) = found.ok_or_else(|| StartError::Gone { id, step: name.to_owned() })?;
        let specs: Vec<_> = steps.iter().map(|step| &step.spec).collect();
        // What was said in particular is not kept apart from what follows of arguments.
        let known = Known::of(number, &specs, &[]);
        Ok((number, steps.swap_remove(at), known))
    }
}
