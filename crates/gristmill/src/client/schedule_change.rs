use std::fmt;
use std::future::{Future, IntoFuture, Ready};
use std::iter::once;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::beat::{Answers, Change, Definition, Maker, ScheduleError, Scheduled, check_one, put};
use crate::client::{Client, InTransaction, Own};
use crate::core::{Schedule, ScheduleWithin, StoreError};

/// A schedule about to be changed: `.await` it. Nothing happens until then.
#[must_use = "nothing is changed until it is awaited"]
pub struct ScheduleChange<'c, T, W = Own<'c>> {
    client: &'c Client,
    drafted: Result<Drafted<T>, ScheduleError>,
    place: W,
}

struct Drafted<T> {
    name: String,
    change: Change<T>,
    /// Its task type is not this program's: what others declared has to be read before it can be checked.
    unchecked: Option<Box<(Definition, ScheduleError)>>,
}

impl<'c> ScheduleChange<'c, Scheduled> {
    pub(super) fn put(client: &'c Client, name: String, definition: Definition, create: bool) -> Self {
        let draft = || {
            let unchecked = match check_one(client.runtime(), &Maker::default(), &name, &definition) {
                Err(unknown @ ScheduleError::UnknownTask { .. }) => Some(Box::new((definition.clone(), unknown))),
                checked => checked.map(|()| None)?,
            };
            Ok(Drafted { name, change: put(definition, create), unchecked })
        };
        Self { client, drafted: draft(), place: Own(client) }
    }
}

impl<'c, T> ScheduleChange<'c, T> {
    pub(super) fn new(client: &'c Client, name: String, change: Result<Change<T>, ScheduleError>) -> Self {
        Self { client, drafted: change.map(|change| Drafted { name, change, unchecked: None }), place: Own(client) }
    }

    /// Changes it in the caller's own open transaction on gristmill's database: it commits and rolls back with it. Until then
    /// no beat makes a tick of this schedule, and nobody else changes it: commit soon.
    ///
    /// Transactions are those of [`Enqueue::within`](crate::client::Enqueue::within). The task type has to be known to this program, by
    /// registration or by [`App::connect_to_enqueue`](crate::App::connect_to_enqueue). Awaiting it fails with
    /// [`ScheduleError`]; after a driver's error the transaction can only be rolled back, after another it goes on without the
    /// change.
    ///
    /// # Cancel safety
    /// Dropped before its end, it is not known whether the change is in the transaction: roll back.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
    /// # use gristmill::{Client, Result, Timestamp};
    /// # fn example(client: Client, connection: &mut Connection, at: Timestamp) -> Result<()> {
    /// let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// tx.execute("UPDATE election SET closes_at = ?1 WHERE id = 7", [at.to_string()])?;
    /// let moved = client.schedules().reschedule("election:7:close", at).within(&tx).run()?;
    /// tx.commit()?;
    /// println!("{moved:?}");
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn within<X: ScheduleWithin<D>, D>(self, transaction: X) -> ScheduleChange<'c, T, InTransaction<'c, X, D>> {
        ScheduleChange { client: self.client, drafted: self.drafted, place: InTransaction::new(self.client, transaction) }
    }
}

impl<'c, T: Send + 'static> IntoFuture for ScheduleChange<'c, T> {
    type Output = Result<T, ScheduleError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, drafted, .. } = self;
        Box::pin(async move {
            let Drafted { name, change, unchecked } = drafted?;
            if let Some(unchecked) = unchecked {
                let mut maker = Maker::default();
                maker.learn(&**client.store(), client.runtime(), once(&unchecked.0)).await?;
                check_one(client.runtime(), &maker, &name, &unchecked.0)?;
            }
            let (edit, answers) = change.ask();
            client.store().edit_schedules(std::slice::from_ref(&name), &edit).await?;
            answers.take(&name)
        })
    }
}

/// The driver's part and what it answers then; or why nothing is sent.
type Begun<F, T> = Result<(F, Answer<T>), ScheduleError>;

impl<'c, T: Send + 'static, X: ScheduleWithin<D>, D> ScheduleChange<'c, T, InTransaction<'c, X, D>> {
    fn begin(self) -> Begun<X::Doing<Option<Schedule>>, T> {
        let Drafted { name, change, unchecked } = self.drafted?;
        if let Some(unchecked) = unchecked {
            return Err(unchecked.1);
        }
        let (edit, answers) = change.ask();
        let doing = self.place.into_inner().edit_schedule(self.client.store().as_ref(), name.clone(), edit);
        Ok((doing, Answer { name, answers }))
    }
}

impl<'c, T: Send + 'static, X: ScheduleWithin<D>, D> IntoFuture for ScheduleChange<'c, T, InTransaction<'c, X, D>> {
    type Output = Result<T, ScheduleError>;
    type IntoFuture = Changing<X::Doing<Option<Schedule>>, T>;

    fn into_future(self) -> Self::IntoFuture {
        Changing(match self.begin() {
            Ok((doing, answer)) => Step::Running(Box::pin(doing), answer),
            Err(error) => Step::Refused(Some(error)),
        })
    }
}

impl<'c, T, X, D> ScheduleChange<'c, T, InTransaction<'c, X, D>>
where
    T: Send + 'static,
    X: ScheduleWithin<D, Doing<Option<Schedule>> = Ready<Result<Option<Schedule>, StoreError>>>,
{
    /// Changes it without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<T, ScheduleError> {
        let (doing, answer) = self.begin()?;
        doing.into_inner()?;
        answer.take()
    }
}

struct Answer<T> {
    name: String,
    answers: Answers<T>,
}

impl<T> Answer<T> {
    fn take(&self) -> Result<T, ScheduleError> {
        self.answers.take(&self.name)
    }
}

/// The future of a change in the caller's transaction; as `Send` as the driver's own.
pub struct Changing<F, T>(Step<F, T>);

enum Step<F, T> {
    Refused(Option<ScheduleError>),
    Running(Pin<Box<F>>, Answer<T>),
}

impl<F: Future<Output = Result<Option<Schedule>, StoreError>>, T> Future for Changing<F, T> {
    type Output = Result<T, ScheduleError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Step::Refused(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            Step::Running(doing, answer) => doing.as_mut().poll(cx).map(|written| {
                written?;
                answer.take()
            }),
        }
    }
}

impl<F, T> fmt::Debug for Changing<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changing")
    }
}

impl<T, W: fmt::Debug> fmt::Debug for ScheduleChange<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.drafted.as_ref().map(|drafted| &drafted.name);
        f.debug_struct("ScheduleChange").field("schedule", &name).field("place", &self.place).finish_non_exhaustive()
    }
}
