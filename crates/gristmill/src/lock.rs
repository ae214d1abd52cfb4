use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::attempt::{Attempt, Why};
use crate::core::{InvalidInput, LeaseRef, LockHolder, LockOutcome, StoreError, StoreErrorKind, limits};
use crate::error::{LeaseLost, LockHeld};
use crate::{Context, Error, Result};

/// Whoever waits asks again after about so long at first, and twice as long each time.
const PAUSE_FIRST: Duration = Duration::from_millis(40);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
/// Who waits for longer says so in the log of the attempt.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// The token where nobody else could have one.
const TOKEN_ALONE: u64 = 1;

impl<S> Context<S> {
    /// A lock by name, which one attempt at a time holds, of all tasks and workers of the store: `.await` it to wait until it is this one's.
    ///
    /// It is the attempt's until it is [released](LockGuard::release) or the attempt has ended, and that is written; so what the attempt
    /// enqueues and settles is within it, and the guard may be dropped. The worker's heartbeat keeps it, and no time passes after which
    /// another could have it beside a handler that runs. What a worker held that is dead is free once its tasks are rescued.
    ///
    /// Who was paused for longer than his worker's lease may believe that he holds it still, as with any lock of this kind. What
    /// can't bear that takes the [token](LockGuard::token) along and refuses a smaller one, or asks [`confirm`](Self::confirm) before.
    ///
    /// ```
    /// use gristmill::{Context, Result, task};
    /// # async fn count_votes(area: u32) -> Result<u32> { Ok(area) }
    /// # async fn publish(area: u32, count: u32, token: u64) -> Result<()> { let _ = (area, count, token); Ok(()) }
    ///
    /// #[task(name = "tally")]
    /// async fn tally(cx: &Context, area: u32) -> Result<()> {
    ///     let lock = cx.lock(format!("tally:{area}")).await?;
    ///     let count = count_votes(area).await?;
    ///     publish(area, count, lock.token()).await               // which refuses a token smaller than the last
    /// }
    /// ```
    ///
    /// # Waiting
    /// Who waits takes a slot of his worker and, if there is one, of his time limit. Released in the same process, it is seen at once;
    /// else by asking again, after 20 ms at first and at most a second later at last. It is nobody's turn: who comes later may be
    /// first. [`wait`](Lock::wait) bounds it, [`now`](Lock::now) does without, and [`or_snooze`](Lock::or_snooze) gives slot and attempt back. Two that wait for what
    /// the other has wait until one's time is over: take several in the same order everywhere.
    ///
    /// # Errors
    /// Awaiting it fails for good if the name is empty, has over 255 bytes or control characters, if the attempt holds
    /// [100 others](crate::core::limits::LOCKS_MAX), and in a synchronous [call](crate::Client::call), which has no lease that could keep
    /// a lock. It fails with [`LeaseLost`] if the task is not ours any more, with [`LockHeld`] if another has it after the time to wait, and with the store's error. If
    /// the attempt is asked to end, it fails so that the handler can return that.
    ///
    /// # Cancel safety
    /// If the future is dropped, the attempt may hold the lock or not; asked again, it is told.
    ///
    /// # In tests
    /// The [test kit](crate::testing) runs one attempt after the other, so that a lock which is held is not waited for there: the time to wait is over
    /// at once.
    pub fn lock(&self, name: impl Into<String>) -> Lock<'_> {
        Lock { attempt: self.inner(), name: name.into(), wait: None, snooze: None }
    }
}

/// A lock about to be taken: `.await` it. See [`Context::lock`].
#[must_use = "nothing is locked until it is awaited"]
pub struct Lock<'a> {
    attempt: &'a Arc<Attempt>,
    name: String,
    wait: Option<Duration>,
    snooze: Option<Duration>,
}

impl<'a> Lock<'a> {
    /// Waits for so long at most; then awaiting it fails with [`LockHeld`], which `?` makes a failed attempt.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # use std::time::Duration;
    /// #[task(name = "report")]
    /// async fn report(cx: &Context) -> Result<()> {
    ///     cx.lock("report").wait(Duration::from_secs(5)).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn wait(mut self, at_most: Duration) -> Self {
        self.wait = Some(at_most);
        self
    }

    /// If another has it, at once or after the time to [`wait`](Self::wait), awaiting it fails such that `?` puts the task off: it is run again after
    /// this delay, the attempt is given back, and the reason, with the task that has the lock, is shown for as long as it waits.
    ///
    /// All that wait so come back after the same time; a delay that varies keeps them from coming together.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # use std::time::Duration;
    /// #[task(name = "report")]
    /// async fn report(cx: &Context) -> Result<()> {
    ///     cx.lock("report").or_snooze(Duration::from_secs(30)).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn or_snooze(mut self, delay: Duration) -> Self {
        self.snooze = Some(delay);
        self
    }

    /// Takes it if nobody else has it, without waiting; `None` if another does, whatever was said of waiting and snoozing.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// #[task(name = "clean_up")]
    /// async fn clean_up(cx: &Context) -> Result<()> {
    ///     let Some(lock) = cx.lock("clean-up").now().await? else { return Ok(()) };   // somebody is at it
    ///     println!("cleaning with {}", lock.token());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As awaiting it, but for [`LockHeld`].
    pub async fn now(self) -> Result<Option<LockGuard>> {
        let asking = self.begin()?;
        Ok(asking.ask().await.map_err(meaning)??.ok())
    }

    async fn run(self) -> Result<LockGuard> {
        let asking = self.begin()?;
        // Nobody else goes on while an attempt runs in its caller.
        let at_most = if self.attempt.runs_inline() { Some(Duration::ZERO) } else { self.wait };
        let at_most = at_most.or(self.snooze.map(|_| Duration::ZERO));
        let held = match asking.until_held(at_most).await? {
            Ok(guard) => return Ok(guard),
            Err(LockHolder { task, since }) => LockHeld { name: self.name.clone(), task, since },
        };
        Err(match self.snooze {
            Some(delay) => Error::snooze_because(delay, held),
            None => Error::retry(held),
        })
    }

    fn begin(&self) -> Result<Asking<'_>> {
        limits::check_name("lock", &self.name).map_err(Error::fail)?;
        let attempt = self.attempt;
        let lease = attempt.lease.or(attempt.journal.lease);
        if lease.is_none() && !attempt.locks.alone {
            let why = format!("`{}` can't be locked in a task that is called, as no lease would keep it; enqueue it", self.name);
            return Err(Error::fail(InvalidInput::new("lock", why)));
        }
        if attempt.seat.get().is_some() {
            let why = format!(
                "`{}` can't be locked by one task of a batch: two that want the same would wait for one another; give the batch a key, or lock where \
                 one task runs",
                self.name
            );
            return Err(Error::fail(InvalidInput::new("lock", why)));
        }
        Ok(Asking { attempt, name: &self.name, lease: lease.filter(|_| !attempt.locks.alone) })
    }
}

impl<'a> IntoFuture for Lock<'a> {
    type Output = Result<LockGuard>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("wait", &self.wait)
            .field("snooze", &self.snooze)
            .finish_non_exhaustive()
    }
}

/// A lock that the attempt holds. To drop it changes nothing: the attempt holds the lock until it has ended, or [`release`](Self::release)
/// lets it go before.
pub struct LockGuard {
    attempt: Arc<Attempt>,
    held: Arc<Held>,
}

impl LockGuard {
    /// The name of the lock.
    pub fn name(&self) -> &str {
        &self.held.name
    }

    /// The fence for what the lock protects. It is larger than those of all who held the lock before: a resource that remembers the largest
    /// that it has seen, and refuses a smaller one, is safe from a holder that was paused and does not know yet that he lost it. An attempt that asks
    /// for what it holds has the same.
    pub fn token(&self) -> u64 {
        self.held.token
    }

    /// Lets it go before the attempt ends. If the attempt has asked for it several times, the last of its guards does so, others change nothing.
    ///
    /// # Errors
    /// [`LeaseLost`] if the task is not ours any more, and the lock with it; the store's error, and then the lock may have been let go or not.
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock may have been let go or not; at the end of the attempt it is.
    pub async fn release(self) -> Result<()> {
        let Self { attempt, held } = self;
        let open = attempt.locks.open(&attempt);
        let mut hands = open.hands.lock().await;
        // Somebody else in this attempt relies on it.
        let Some(Held { name, .. }) = Arc::into_inner(held) else { return Ok(()) };
        if let Some(lease) = attempt.lease.or(attempt.journal.lease).filter(|_| !attempt.locks.alone) {
            // Until the store has answered: should this future be dropped, or the answer be lost, the lock may still be let go later.
            hands.letting_go.insert(name.clone());
            let was_held = attempt.ground.source.release_lock(&lease, &name).await?;
            hands.letting_go.remove(&name);
            // A handler that has settled its task has given all of it back with that.
            if !was_held && attempt.settled().is_none() {
                return attempt.confirm_by(lease).await;
            }
        }
        hands.guards.remove(&name);
        open.bells.ring(&name);
        Ok(())
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("name", &self.name()).field("token", &self.token()).finish_non_exhaustive()
    }
}

/// What stands behind all guards of one lock of an attempt.
#[derive(Debug)]
struct Held {
    name: String,
    token: u64,
}

/// Who asks for what.
struct Asking<'a> {
    attempt: &'a Arc<Attempt>,
    name: &'a str,
    /// Of an attempt that runs where nobody else could have it, there is none.
    lease: Option<LeaseRef>,
}

/// It is the attempt's, or somebody else's.
type Asked = std::result::Result<LockGuard, LockHolder>;

impl Asking<'_> {
    /// Asks once. Errors of the store are apart, as whoever waits survives some of them.
    async fn ask(&self) -> std::result::Result<Result<Asked>, StoreError> {
        let Self { attempt, name, lease } = self;
        let open = attempt.locks.open(attempt);
        // As long as the store is asked: else one that is released beside this could be free although it was just given.
        let mut hands = open.hands.lock().await;
        if let Some(lease) = lease.as_ref().filter(|_| hands.letting_go.contains(*name)) {
            // It would be told that it holds what is about to be let go.
            attempt.ground.source.release_lock(lease, name).await?;
            hands.letting_go.remove(*name);
            hands.guards.remove(*name);
        }
        let token = match lease {
            None => TOKEN_ALONE,
            Some(lease) => match attempt.ground.source.take_lock(lease, name).await? {
                LockOutcome::Held { token, .. } => token,
                LockOutcome::Busy(holder) => return Ok(Ok(Err(holder))),
                LockOutcome::LeaseLost => {
                    attempt.ask_to_end(Why::LeaseLost);
                    return Ok(Err(LeaseLost { id: attempt.id }.into()));
                }
            },
        };
        let known = hands.guards.get(*name).and_then(Weak::upgrade).filter(|held| held.token == token);
        let held = known.unwrap_or_else(|| {
            let held = Arc::new(Held { name: (*name).to_owned(), token });
            hands.guards.insert((*name).to_owned(), Arc::downgrade(&held));
            held
        });
        Ok(Ok(Ok(LockGuard { attempt: (*attempt).clone(), held })))
    }

    /// Asks until it is the attempt's, or the time to wait is over.
    async fn until_held(&self, at_most: Option<Duration>) -> Result<Asked> {
        let Self { attempt, name, .. } = self;
        let deadline = at_most.and_then(|at_most| Instant::now().checked_add(at_most));
        let bell = attempt.locks.open(attempt).bells.listen(name);
        let (since, mut pause, mut last, mut is_told) = (Instant::now(), PAUSE_FIRST, None, false);
        loop {
            let holder = match (self.ask().await, last) {
                (Ok(asked), _) => match asked? {
                    Ok(guard) => return Ok(Ok(guard)),
                    Err(holder) => holder,
                },
                // Who has waited for minutes does so a little longer.
                (Err(error), Some(last)) if error.is_transient() => last,
                // Others were faster, again and again: one of them has it.
                (Err(error), None) if error.kind() == StoreErrorKind::Busy && since.elapsed() < PAUSE_LONGEST => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                    continue;
                }
                (Err(error), _) => return Err(meaning(error)),
            };
            last = Some(holder);
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(Err(holder));
            }
            if !is_told && since.elapsed() >= TOLD_AFTER {
                is_told = true;
                attempt
                    .log(&format!("waits for the lock `{name}`, which the task {} has held since {}", holder.task, holder.since));
            }
            // From half of it on, as those that began to wait together would ask together for ever.
            let some = pause.mul_f64(0.5 + attempt.runtime().env.random() / 2.0);
            tokio::select! {
                biased;
                () = attempt.token.cancelled() => {
                    return Err(Error::retry(format!("the attempt was asked to end while it waited for the lock `{name}`")));
                }
                () = bell.rung() => pause = PAUSE_FIRST,
                () = tokio::time::sleep(some.min(left)) => pause = (pause * 2).min(PAUSE_LONGEST),
            }
        }
    }
}

/// What the store does not take, it never will.
fn meaning(error: StoreError) -> Error {
    if error.kind() == StoreErrorKind::Invalid { Error::fail(error) } else { error.into() }
}

/// The locks of one attempt. Most have none.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    /// It runs where nobody else could hold one.
    alone: bool,
    open: OnceLock<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    hands: tokio::sync::Mutex<Hands>,
    bells: Arc<Bells>,
}

#[derive(Debug, Default)]
struct Hands {
    /// What of each lock is in the handler's hands. A lock stays here, and held, when all of that was dropped.
    guards: HashMap<String, Weak<Held>>,
    /// Those of which the store was asked to let go, and has not answered.
    letting_go: HashSet<String>,
}

impl Locks {
    /// Of an attempt that no store knows, and beside which none runs.
    #[cfg(feature = "testing")]
    pub(crate) fn alone() -> Self {
        Self { alone: true, open: OnceLock::new() }
    }

    fn open(&self, attempt: &Attempt) -> &Open {
        self.open.get_or_init(|| Box::new(Open { hands: tokio::sync::Mutex::default(), bells: attempt.ground.bells.clone() }))
    }
}

impl Drop for Open {
    /// The attempt has ended, and its end is about to be written.
    fn drop(&mut self) {
        for name in self.hands.get_mut().guards.keys() {
            self.bells.ring(name);
        }
    }
}

/// Tells those of one process who wait for locks when one of theirs lets go of them.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<HashMap<String, Weak<Notify>>>);

impl Bells {
    fn listen(self: &Arc<Self>, name: &str) -> Bell {
        let mut bells = self.bells();
        let known = bells.get(name).and_then(Weak::upgrade);
        let notify = known.unwrap_or_else(|| {
            let notify = Arc::new(Notify::new());
            bells.insert(name.to_owned(), Arc::downgrade(&notify));
            notify
        });
        Bell { bells: self.clone(), name: name.to_owned(), notify: Some(notify) }
    }

    /// Tells one of those who wait, as only one can be next; he is also told if he looks up only later.
    fn ring(&self, name: &str) {
        if let Some(notify) = self.bells().get(name).and_then(Weak::upgrade) {
            notify.notify_one();
        }
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<String, Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one who waits hears.
struct Bell {
    bells: Arc<Bells>,
    name: String,
    /// Until it is dropped.
    notify: Option<Arc<Notify>>,
}

impl Bell {
    async fn rung(&self) {
        match &self.notify {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let mut bells = self.bells.bells();
        // While nobody else looks: of two that are dropped at once each would leave it to the other.
        self.notify = None;
        if bells.get(&self.name).is_some_and(|notify| notify.strong_count() == 0) {
            bells.remove(&self.name);
        }
    }
}
