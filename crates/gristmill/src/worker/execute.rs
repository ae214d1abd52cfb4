use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::attempt::{Attempt, NotesQueue, OwnSettlement, Why};
use crate::codec::{Part, Payload};
use crate::core::durable::Checkpoint;
use crate::core::limits::RESULTS_BYTES_MAX;
use crate::core::{Ack, Claimed, Ending, FailureReason, LeaseRef, Settlement, State, failpoint, format_duration};
use crate::durable::Suspended;
use crate::error::{What, When};
use crate::from_ref::Stateless;
use crate::middleware::{Middleware, Next, Trace};
use crate::panics::Panicked;
use crate::registry::Registered;
use crate::runtime::Ground;
use crate::worker::lane::{Buffered, Lane, Work};
use crate::worker::shared::{Ended, Settler, Shared, Unsettled, micros};
use crate::worker::{batch, refer, remember, suspend};
use crate::{Error, Result, panics};

/// How long a handler that was asked to end may take to do so, at most.
pub(crate) const SOFT_LIMIT_MAX: Duration = Duration::from_secs(5);
/// The same when the worker stops, whose grace period is over by then.
const SOFT_LIMIT_STOPPING: Duration = Duration::from_secs(1);

/// A slot of a lane: runs one task, or one batch of them, after another until the lane is closed.
pub(crate) async fn slot(shared: Arc<Shared>, lane: Arc<Lane>, settler: Settler) {
    while let Some(work) = lane.next().await {
        let ran = match work {
            Work::One(buffered) => run_one(&shared, buffered, &settler).await,
            // Boxed: no slot should be larger for it.
            Work::Batch(gathered) => Box::pin(batch::run(&shared, gathered, &settler)).await,
        };
        if ran.is_err() {
            return;
        }
        lane.done();
    }
}

async fn run_one(shared: &Shared, buffered: Buffered, settler: &Settler) -> Result<(), Unsettled> {
    let claim_no = buffered.claimed.claim_no;
    let (settlement, attempt) = match begin(shared, buffered).await {
        Ok((attempt, claimed)) => match run_held(shared, &attempt, claimed).await {
            Some(End::Wait(checkpoint)) => (suspend::write(shared, &attempt, checkpoint).await, Some(attempt)),
            Some(End::Settle(settlement)) => (Some(settlement), Some(attempt)),
            None => (None, Some(attempt)),
        },
        Err(settlement) => (settlement, None),
    };
    if let Some(settlement) = settlement {
        // Waits when the store does not keep up: then nothing more is started, and memory stays bounded.
        settler.send(Ended { settlement, claim_no, unsure: false }).await?;
    }
    if let Some(attempt) = attempt.filter(|attempt| attempt.has_threads()) {
        until_threads_end(shared, &attempt).await;
    }
    Ok(())
}

/// Begins the attempt of a claimed task. If it is not to run, the error is what there is to settle: nothing, where the lease is lost.
async fn begin(shared: &Shared, buffered: Buffered) -> Result<(Arc<Attempt>, Claimed), Option<Settlement>> {
    let lease = buffered.claimed.lease;
    if !shared.is_ours(buffered.worker) {
        return Err(None);
    }
    if buffered.is_late() {
        // The source ends it, which knows how, and tells who waits for it.
        tracing::debug!(task = %lease.id, "too late to start; the task is given back");
        return Err(Some(Settlement::new(lease, Ending::Released)));
    }
    let mut claimed = buffered.claimed;
    if claimed.report_start {
        // Twice, as an answer may have been lost on the way: what has started and is given back then may never run again.
        let started = match shared.source().start(&[lease]).await {
            Err(_) => shared.source().start(&[lease]).await,
            started => started,
        };
        match started {
            Ok(started) if started.first() == Some(&true) => {}
            Ok(_) => return Err(None),
            Err(error) => {
                tracing::warn!(task = %lease.id, error = %error, "the start can't be recorded; the task is given back");
                return Err(Some(Settlement::new(lease, Ending::Released)));
            }
        }
    }
    let attempt = Arc::new(prepare(&shared.ground, &mut claimed, Some(shared)));
    shared.hold(lease, &attempt);
    // Again: one that was not held yet when the lease was lost has not been asked to end.
    if !shared.is_ours(buffered.worker) {
        shared.let_go(&lease);
        return Err(None);
    }
    Ok((attempt, claimed))
}

/// How an attempt ends.
pub(crate) enum End {
    /// In this way.
    Settle(Settlement),
    /// Its task waits, and remembers this.
    Wait(Checkpoint),
}

/// Runs an attempt that is held. `None` if there is nothing to settle, as the handler settled by itself.
async fn run_held(shared: &Shared, attempt: &Arc<Attempt>, claimed: Claimed) -> Option<End> {
    let end = run(attempt, claimed).await;
    has_ended(shared, attempt, end.as_ref());
    end
}

/// An attempt that was held has ended in this way, and is held no more.
pub(super) fn has_ended(shared: &Shared, attempt: &Arc<Attempt>, end: Option<&End>) {
    if let Some(lease) = &attempt.lease {
        shared.let_go(lease);
    }
    if let Some(OwnSettlement::Committed(state)) = attempt.settled() {
        shared.counts.settled(state);
        if let Some(teller) = &shared.teller {
            teller.committed(attempt, state, shared);
        }
    }
    if let (Some(teller), Some(End::Settle(settlement))) = (&shared.teller, end) {
        teller.keep(settlement, attempt);
    }
}

/// A thread can't be ended from outside. It keeps its slot: threads would pile up else, until the process has none left for files,
/// names of hosts and hooks.
pub(super) async fn until_threads_end(shared: &Shared, attempt: &Attempt) {
    tracing::warn!(
        task = %attempt.id, kind = %attempt.kind,
        "the attempt has ended, and its thread goes on; it keeps the slot: long work should look at `cx.cancellation()`"
    );
    tokio::select! {
        () = attempt.threads_end() => {}
        () = shared.stopping.cancelled() => {}
    }
}

/// Makes the attempt of a claimed task.
pub(crate) fn prepare(ground: &Arc<Ground>, claimed: &mut Claimed, shared: Option<&Shared>) -> Attempt {
    let policy = ground.runtime.registry.get(&claimed.kind).map(|kind| &kind.spec.policy);
    let own = claimed.meta.as_ref().and_then(|meta| meta.timeout_ms).map(Duration::from_millis);
    let timeout = own.or_else(|| policy.and_then(|policy| policy.timeout));
    let notes: Option<Arc<NotesQueue>> = shared.map(|shared| shared.notes.clone());
    let mut attempt = Attempt::of(claimed, timeout, ground, notes);
    if let Some(shared) = shared {
        attempt.abandon = shared.abandon.clone();
    }
    attempt
}

/// Runs the handler and says how the attempt ended. A panic of the application's code costs one attempt, wherever it happens.
pub(crate) async fn run(attempt: &Arc<Attempt>, claimed: Claimed) -> Option<End> {
    let lease = claimed.lease;
    match panics::caught(pin!(run_to_end(attempt, claimed))).await {
        Ok(end) => end,
        // Outside of the handler, as when its error is dropped.
        Err(panicked) => {
            let kind = attempt.runtime().registry.get(&attempt.kind)?;
            let quiet = kind.spec.policy.quiet;
            settlement(kind, attempt, lease, Err(panicked.into()), attempt.since.elapsed(), quiet).map(End::Settle)
        }
    }
}

async fn run_to_end(attempt: &Arc<Attempt>, claimed: Claimed) -> Option<End> {
    let (lease, runtime) = (claimed.lease, attempt.runtime());
    let Some(kind) = runtime.registry.get(&claimed.kind) else {
        // A store gives a worker only what it has registered; should one not, the task must not be burnt for it.
        return Some(End::Settle(Settlement::new(lease, Ending::Snooze { delay: Duration::from_secs(60) })));
    };
    if failpoint::pass("execute.before").is_err() {
        return Some(End::Settle(Settlement::new(lease, Ending::Released)));
    }
    let started = Instant::now();
    // Boxed: a first claim remembers nothing, and no attempt should be larger for it.
    let begun = if claimed.claim_no > 1 { Box::pin(remember::begin(attempt)).await } else { Ok(None) };
    let outcome = match begun {
        Ok(None) => {
            let args = plain_args(kind, attempt, claimed.args).await;
            run_handler(kind, attempt, args).await
        }
        // Without its handler.
        Ok(Some(result)) => Ok(result),
        Err(error) => Err(error),
    };
    let ran_for = started.elapsed();
    // An error here stands for nothing that could be told to anybody: only `abort` and `sleep` mean something.
    let _ = failpoint::pass("execute.after");
    end_of(kind, attempt, lease, outcome, ran_for, kind.spec.policy.quiet).await
}

/// How an attempt ends whose handler had this outcome. None if there is nothing to settle. Of a success the log has no more than a debug line
/// if it is `quiet`.
pub(super) async fn end_of(
    kind: &Registered,
    attempt: &Attempt,
    lease: LeaseRef,
    outcome: Result<String>,
    ran_for: Duration,
    quiet: bool,
) -> Option<End> {
    if let Some(checkpoint) = attempt.journal.take_sealed() {
        return (attempt.why() != Why::LeaseLost).then(|| End::Wait(attempt.leave_in_checkpoint(checkpoint)));
    }
    if attempt.settled() == Some(OwnSettlement::Perhaps) && was_committed(attempt).await {
        attempt.set_settled(OwnSettlement::Committed(State::Succeeded));
    }
    settlement(kind, attempt, lease, outcome, ran_for, quiet).map(End::Settle)
}

/// The arguments as the handler gets them, from those that are stored.
pub(super) async fn plain_args(kind: &Registered, attempt: &Attempt, stored: String) -> Result<String> {
    let payload = Payload { id: attempt.id, name: &attempt.kind, part: Part::Args };
    let args = attempt.runtime().decode(&payload, stored)?;
    whole_args(kind, attempt, args).await
}

/// The arguments as the handler gets them, checked: what they refer to is put in once they are decoded, as it stands within them, and is
/// decoded by itself.
async fn whole_args(kind: &Registered, attempt: &Attempt, mut args: String) -> Result<String> {
    let mut limits = attempt.runtime().limits;
    if let Some(of) = attempt.meta.member.as_ref().filter(|of| of.refers) {
        // Boxed: most attempts do without, and none of them should be larger for it.
        args = Box::pin(refer::put_results(attempt, of, &args)).await?;
        limits.args_bytes += RESULTS_BYTES_MAX;
    }
    kind.whole(args, &limits)
}

/// Runs a handler, and what stands around it, until it ends or has to: a panic is an error, and whoever is asked to end gets a
/// moment to do so. `args` is what the handler gets, or why it can't.
pub(crate) async fn run_handler(kind: &Registered, attempt: &Arc<Attempt>, args: Result<String>) -> Result<String> {
    let cx = crate::Context::new(Stateless, attempt.clone());
    let handler = pin!(Some(Trace.run(&cx, Next::new(kind, &cx, args))));
    let mut handler = Guarded { handler, attempt };
    // Whatever the end is: a thread that is left behind must not wait for it.
    let _closes = Closes(attempt);
    let outcome = tokio::select! {
        biased;
        outcome = &mut handler => return after_asking(attempt, Some(or_panic(outcome))),
        why = asked_to_end(attempt) => {
            attempt.ask_to_end(why);
            if attempt.why() == Why::Waiting {
                let broken = attempt.journal.broken();
                match &broken {
                    None => attempt.journal.seal(),
                    // What is to be tried again is not put off until something comes that may be years away.
                    Some(_) => attempt.journal.close(),
                }
                drop(handler);
                let waits = wait(attempt).await;
                return broken.map_or(waits, Err);
            }
            if attempt.has_threads() {
                attempt.journal.close();
            }
            tokio::select! {
                biased;
                outcome = &mut handler => Some(or_panic(outcome)),
                // It does not clean up, but waits for something that may be days away.
                () = poll_fn(|_| if attempt.journal.only_waits(false) { Poll::Ready(()) } else { Poll::Pending }) => None,
                () = tokio::time::sleep(soft_limit(attempt, kind)) => None,
                () = attempt.abandon.cancelled() => None,
            }
        }
    };
    after_asking(attempt, outcome)
}

fn or_panic(outcome: Result<Result<String>, Panicked>) -> Result<String> {
    outcome.unwrap_or_else(|panicked| Err(panicked.into()))
}

/// The end of an attempt whose task waits. A thread that works for it is told, and mostly ends at once: it must not do so beside the next attempt.
async fn wait(attempt: &Attempt) -> Result<String> {
    if attempt.has_threads() {
        tokio::select! {
            () = attempt.threads_end() => {}
            () = tokio::time::sleep(SOFT_LIMIT_MAX) => {}
            () = attempt.abandon.cancelled() => {}
        }
    }
    Err(Error::new(What::Wait, FailureReason::Error, "the task waits"))
}

/// Resolves when the handler has to end, by its own deadline or by somebody's wish.
async fn asked_to_end(attempt: &Attempt) -> Why {
    let deadline = async {
        match attempt.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = attempt.token.cancelled() => attempt.why(),
        () = deadline => Why::Timeout,
    }
}

pub(super) fn soft_limit(attempt: &Attempt, kind: &Registered) -> Duration {
    match attempt.why() {
        Why::Stopping => SOFT_LIMIT_STOPPING,
        Why::Timeout => kind
            .spec
            .policy
            .kill_after
            .unwrap_or_else(|| attempt.timeout.map_or(SOFT_LIMIT_MAX, |timeout| (timeout / 10).min(SOFT_LIMIT_MAX))),
        _ => SOFT_LIMIT_MAX,
    }
}

/// What the end of a handler means once it was asked to end. A result stands in any case: the work is done.
pub(super) fn after_asking(attempt: &Attempt, outcome: Option<Result<String>>) -> Result<String> {
    match (attempt.why(), outcome) {
        (_, Some(Ok(result))) => remembers_all(attempt, result),
        (Why::Nothing | Why::Waiting, Some(outcome)) => outcome,
        (Why::Nothing | Why::Waiting, None) | (Why::Stopping | Why::LeaseLost, _) => {
            Err(Error::new(What::Release, FailureReason::Cancelled, "the worker stopped"))
        }
        (Why::Requested, outcome) => {
            let source = outcome.and_then(|outcome| outcome.err()?.source);
            // That a thread could not wait says nothing of why.
            let source = source.filter(|source| !source.is::<Suspended>()).unwrap_or_else(|| "cancelled on request".into());
            Err(Error::new(What::Cancel, FailureReason::Cancelled, source))
        }
        // The handler knows better whether another attempt could do what this one did not.
        (Why::Timeout, Some(Err(error))) if matches!(error.what, What::Fail | What::Cancel) => Err(error),
        (Why::Timeout, _) => {
            Err(Error::new(What::Retry(When::Backoff), FailureReason::Timeout, "the attempt ran longer than its timeout"))
        }
    }
}

/// A handler that has not asked for all that its task remembers is not the one that has begun it, and its result is none.
fn remembers_all(attempt: &Attempt, result: String) -> Result<String> {
    if attempt.settled().is_some() || attempt.journal.has_asked_for_all() {
        return Ok(result);
    }
    attempt.journal.seal();
    Err(Error::new(What::Wait, FailureReason::Error, "the task waits"))
}

/// Whether the store has the settlement that a handler wrote itself. If not, it was rolled back, and what the handler returned
/// counts; should it be on its way still, the fence keeps that from being written, too.
async fn was_committed(attempt: &Attempt) -> bool {
    if !attempt.confirm().await.is_err_and(|error| error.is_lease_lost()) {
        return false;
    }
    // The lease is gone, perhaps to another worker. Of a success of which nothing is kept there is no record.
    let record = attempt.ground.source.record(attempt.id).await;
    !record.is_ok_and(|record| record.is_some_and(|record| record.state != State::Succeeded))
}

/// Turns the outcome of a handler into what the store is told.
pub(super) fn settlement(
    kind: &Registered,
    attempt: &Attempt,
    lease: LeaseRef,
    outcome: Result<String>,
    ran_for: Duration,
    quiet: bool,
) -> Option<Settlement> {
    let (policy, runtime) = (&kind.spec.policy, attempt.runtime());
    if matches!(attempt.settled(), Some(OwnSettlement::Committed(_))) {
        match outcome {
            Ok(_) => tell_success(attempt, quiet, ran_for),
            Err(error) => {
                tracing::warn!(task = %attempt.id, kind = %attempt.kind, error = %error, "the handler failed after it had settled its task");
            }
        }
        return None;
    }
    if attempt.why() == Why::LeaseLost {
        return None;
    }
    let outcome = outcome.and_then(|result| runtime.stored_result(attempt.id, &attempt.kind, result, policy.large_result));
    let mut settlement = Settlement::new(lease, Ending::Succeeded);
    // Zero tells the store that the handler never ran.
    settlement.ran_for = ran_for.max(Duration::from_micros(1));
    match outcome {
        Ok(result) => {
            settlement.result = Some(result);
            tell_success(attempt, quiet, ran_for);
        }
        Err(error) => {
            let failed = attempt.attempt.saturating_sub(attempt.crashes);
            let backoff = || {
                let backoff = attempt.meta.backoff.as_ref().unwrap_or(&policy.backoff);
                backoff.delay(failed, runtime.env.random())
            };
            settlement.ending = error.ending(backoff, || runtime.env.now());
            settlement.failure = error.failure().map(|mut failure| {
                failure.bound(runtime.limits.error_bytes);
                Box::new(failure)
            });
            let next = next(settlement.ending, failed >= attempt.max_attempts, policy.ack);
            let error = settlement.failure.as_ref().map_or_else(|| error.to_string(), |failure| failure.message.clone());
            tracing::warn!(task = %attempt.id, kind = %attempt.kind, attempt = attempt.attempt, next, error, "did not succeed");
        }
    }
    attempt.move_to(&mut settlement);
    Some(settlement)
}

fn tell_success(attempt: &Attempt, quiet: bool, ran_for: Duration) {
    // A level is part of the place in the code, so that a debug line that nobody reads costs one look.
    let ms = ran_for.as_millis() as u64;
    if quiet {
        tracing::debug!(task = %attempt.id, kind = %attempt.kind, attempt = attempt.attempt, ms, "succeeded");
    } else {
        tracing::info!(task = %attempt.id, kind = %attempt.kind, attempt = attempt.attempt, ms, "succeeded");
    }
}

/// What comes after an attempt, for the log: the store decides the same when it is written.
fn next(ending: Ending, is_last: bool, ack: Ack) -> String {
    match ending {
        Ending::Retry { .. } if is_last => "none, no attempt is left".to_owned(),
        Ending::Retry { delay } => format!("again in {}", format_duration(delay)),
        Ending::Snooze { delay } => format!("again in {}, at no cost", format_duration(delay)),
        Ending::Released if ack == Ack::Early => "none, it runs at most once".to_owned(),
        // An enqueue may have asked for that, too.
        Ending::Released => "given back, if it may run again".to_owned(),
        Ending::Cancelled => "none, it is cancelled".to_owned(),
        Ending::Succeeded | Ending::Failed | Ending::Crashed => "none".to_owned(),
    }
}

/// Ends what an attempt waits for on threads, with it.
pub(super) struct Closes<'a>(pub(super) &'a Attempt);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.journal.close();
    }
}

/// The future of a handler and what stands around it, which turns panics into errors and marks when it is being polled, for the
/// stall watch.
pub(super) struct Guarded<'a, F> {
    /// There until this is dropped.
    pub(super) handler: Pin<&'a mut Option<F>>,
    pub(super) attempt: &'a Arc<Attempt>,
}

impl<F: Future> Future for Guarded<'_, F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let attempt = self.attempt;
        let Some(handler) = self.handler.as_mut().as_pin_mut() else { return Poll::Pending };
        attempt.polled_since.store(micros(Instant::now()), Ordering::Relaxed);
        #[cfg(feature = "log-capture")]
        let polled = crate::log_capture::CURRENT.sync_scope(attempt.clone(), || panics::catch(|| handler.poll(cx)));
        #[cfg(not(feature = "log-capture"))]
        let polled = panics::catch(|| handler.poll(cx));
        attempt.polled_since.store(0, Ordering::Relaxed);
        match polled {
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            Ok(Poll::Pending) => {
                attempt.end_if_it_waits(false);
                Poll::Pending
            }
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

impl<F> Drop for Guarded<'_, F> {
    /// What a handler holds when it is dropped half way is the application's, and may panic as well: a client of a blocking
    /// library does, that may not be dropped on the runtime. How the attempt ends is decided by then.
    fn drop(&mut self) {
        let (handler, attempt) = (&mut self.handler, self.attempt);
        if let Err(panicked) = panics::catch(|| handler.set(None)) {
            let error = Error::from(panicked);
            tracing::error!(task = %attempt.id, kind = %attempt.kind, error = %error, "the handler panicked when it was dropped");
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::App;
    use crate::core::{Env, LeaseKey, Timestamp};
    use crate::testing::MemoryBroker;

    #[tokio::test]
    async fn what_was_claimed_under_an_id_that_was_given_up_is_not_begun() {
        let env = Env::system();
        let shared = App::new(()).worker_on(MemoryBroker::new(env.clone())).unwrap().shared();
        shared.enter().await.unwrap();
        let buffered = |worker| {
            let lease = LeaseRef { id: env.task_id(), fence: env.fence(), key: LeaseKey::default() };
            let claimed = Claimed {
                lease,
                kind: "k".into(),
                queue: "default".into(),
                attempt: 1,
                claim_no: 1,
                crashes: 0,
                max_attempts: 1,
                report_start: false,
                created_at: Timestamp::from_millis(0),
                expires_in: None,
                args: "{}".to_owned(),
                meta: None,
            };
            Buffered { claimed, worker, since: tokio::time::Instant::now() }
        };
        assert!(begin(&shared, buffered(shared.id())).await.is_ok());
        let before = shared.id();
        shared.enter().await.unwrap();
        assert!(matches!(begin(&shared, buffered(before)).await, Err(None)));
        assert_eq!(shared.running().len(), 1);
    }
}
