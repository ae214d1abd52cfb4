use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep_until;
use tracing::Instrument;

use crate::attempt::{Attempt, Why};
use crate::batch::{Call, RunMany, Seat, Table, Taken};
use crate::core::version::split;
use crate::core::{Claimed, Ending, FailureReason, LeaseRef, failpoint, limits};
use crate::error::What;
use crate::from_ref::Stateless;
use crate::middleware::{Middleware, Next, Trace};
use crate::registry::Registered;
use crate::worker::execute::{
    Closes, End, Guarded, after_asking, end_of, has_ended, plain_args, prepare, settlement, soft_limit, until_threads_end,
};
use crate::worker::gather::Gathered;
use crate::worker::lane::Buffered;
use crate::worker::shared::{Ended, Settler, Shared, Unsettled};
use crate::worker::{remember, suspend};
use crate::{Context, Error, Result, panics};

/// However soon a batch begins, what stands around its tasks has so long to let all of them in.
const COME_WITHIN: Duration = Duration::from_millis(50);

/// Runs a batch in a slot: one call of its handler, and an end for each of its tasks.
pub(super) async fn run(shared: &Shared, gathered: Gathered, settler: &Settler) -> Result<(), Unsettled> {
    let Gathered { kind, key, tasks, .. } = gathered;
    // It was gathered as its type has this.
    let Some((registered, many)) = shared.runtime().registry.get(&kind).and_then(|kind| Some((kind, kind.many.as_ref()?))) else {
        return Ok(());
    };
    let (tasks, not_begun) = begin(shared, tasks).await;
    for ended in not_begun {
        settler.send(ended).await?;
    }
    if tasks.is_empty() {
        return Ok(());
    }
    let attempts: Vec<Arc<Attempt>> = tasks.iter().map(|(attempt, _)| attempt.clone()).collect();
    if failpoint::pass("execute.before").is_err() {
        let released = |attempt: &Arc<Attempt>| attempt.lease.map(|lease| Ended::released(lease, attempt.claim_no));
        for ended in attempts.iter().filter_map(released) {
            shared.let_go(&ended.settlement.lease);
            settler.send(ended).await?;
        }
        return Ok(());
    }
    let ends = ends(registered, &**many, key, tasks).await;
    for (attempt, end) in attempts.iter().zip(ends) {
        has_ended(shared, attempt, end.as_ref());
        let settlement = match end {
            Some(End::Settle(settlement)) => Some(settlement),
            Some(End::Wait(checkpoint)) => suspend::write(shared, attempt, checkpoint).await,
            None => None,
        };
        if let Some(settlement) = settlement {
            // Waits when the store does not keep up, as after a task that runs alone.
            settler.send(Ended { settlement, claim_no: attempt.claim_no, unsure: false }).await?;
        }
    }
    for attempt in attempts.iter().filter(|attempt| attempt.has_threads()) {
        until_threads_end(shared, attempt).await;
    }
    Ok(())
}

type Begun = (Arc<Attempt>, Claimed);

/// Begins the attempts of claimed tasks, as one alone is begun. Those that are not to run come back with what there is to settle.
async fn begin(shared: &Shared, tasks: Vec<Buffered>) -> (Vec<Begun>, Vec<Ended>) {
    let (mut begun, mut ended) = (Vec::with_capacity(tasks.len()), Vec::new());
    let mut ready: Vec<Buffered> = Vec::with_capacity(tasks.len());
    for task in tasks {
        if !shared.is_ours(task.worker) {
            continue;
        }
        if task.is_late() {
            tracing::debug!(task = %task.claimed.lease.id, "too late to start; the task is given back");
            ended.push(Ended::new(&task.claimed, Ending::Released));
            continue;
        }
        ready.push(task);
    }
    let reported: Vec<LeaseRef> = ready.iter().filter(|task| task.claimed.report_start).map(|task| task.claimed.lease).collect();
    if !reported.is_empty() {
        let mut started = start(shared, &reported).await.into_iter();
        ready.retain(|task| {
            if !task.claimed.report_start {
                return true;
            }
            let started = started.next().flatten();
            if started.is_none() {
                ended.push(Ended::new(&task.claimed, Ending::Released));
            }
            started == Some(true)
        });
    }
    for Buffered { mut claimed, worker, .. } in ready {
        let lease = claimed.lease;
        let attempt = Arc::new(prepare(&shared.ground, &mut claimed, Some(shared)));
        shared.hold(lease, &attempt);
        // Again: one that was not held yet when the lease was lost has not been asked to end.
        if !shared.is_ours(worker) {
            shared.let_go(&lease);
            continue;
        }
        if shared.has_asked_all() {
            attempt.ask_to_end(Why::Stopping);
        }
        begun.push((attempt, claimed));
    }
    (begun, ended)
}

/// Records that these start, and says which are ours; `None` of those of which that can't be recorded. What was recorded for others of them holds:
/// given back, they might never run again.
async fn start(shared: &Shared, leases: &[LeaseRef]) -> Vec<Option<bool>> {
    let mut started = Vec::with_capacity(leases.len());
    for leases in leases.chunks(limits::BATCH_TASKS_MAX) {
        // Twice, as an answer may have been lost on the way.
        let answer = match shared.source().start(leases).await {
            Err(_) => shared.source().start(leases).await,
            answer => answer,
        };
        match answer {
            Ok(answer) => started.extend(answer.into_iter().map(Some)),
            Err(error) => {
                tracing::warn!(tasks = leases.len(), error = %error, "starts can't be recorded; the tasks are given back");
                started.extend(leases.iter().map(|_| None));
            }
        }
    }
    started
}

/// Runs the call, and says of each task how its attempt ends.
async fn ends(kind: &Registered, many: &dyn RunMany, key: Option<Arc<str>>, tasks: Vec<Begun>) -> Vec<Option<End>> {
    let (attempts, args): (Vec<_>, Vec<_>) = tasks.into_iter().map(|(attempt, claimed)| (attempt, claimed.args)).unzip();
    let (started, size) = (Instant::now(), attempts.len());
    let shown = key.clone().unwrap_or_default();
    let outcomes = outcomes(kind, many, key, &attempts, args).await;
    let ran_for = started.elapsed();
    let _ = failpoint::pass("execute.after");
    let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let ms = ran_for.as_millis() as u64;
    if kind.spec.policy.quiet {
        tracing::debug!(kind = %kind.spec.name, key = %shown, tasks = size, succeeded, ms, "a batch has ended");
    } else {
        tracing::info!(kind = %kind.spec.name, key = %shown, tasks = size, succeeded, ms, "a batch has ended");
    }
    let end = async |attempt: &Arc<Attempt>, outcome| {
        let lease = attempt.lease?;
        // What the line above says of all is enough. A panic here, as when an error is dropped, costs this one, and not the worker with all of them.
        match panics::caught(pin!(end_of(kind, attempt, lease, outcome, ran_for, true))).await {
            Ok(end) => end,
            Err(panicked) => settlement(kind, attempt, lease, Err(panicked.into()), ran_for, true).map(End::Settle),
        }
    };
    join_all(attempts.iter().zip(outcomes).map(|(attempt, outcome)| end(attempt, outcome))).await
}

/// Runs the call until it ends or has to, as a handler that runs alone: all of its tasks are asked to end by its timeout, and it is, once all of them
/// are for whatever reason.
async fn outcomes(
    kind: &Registered,
    many: &dyn RunMany,
    key: Option<Arc<str>>,
    attempts: &[Arc<Attempt>],
    args: Vec<String>,
) -> Vec<Result<String>> {
    let timeout = attempts.iter().map(|attempt| attempt.timeout).reduce(|a, b| Some(a?.max(b?))).flatten();
    let deadline = timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
    let call = Arc::new(Call { key, deadline, ..Call::default() });
    let done = Done(Mutex::new(attempts.iter().map(|_| None).collect()));
    let panicked = 'ran: {
        let Some(first) = attempts.first() else { break 'ran None };
        let whole = pin!(Some(seated(kind, many, &call, attempts, args, &done)));
        let mut whole = Guarded { handler: whole, attempt: first };
        let _close: Vec<_> = attempts.iter().map(|attempt| Closes(attempt)).collect();
        tokio::select! {
            biased;
            ended = &mut whole => break 'ran ended.err(),
            () = all_asked(attempts) => {}
            () = until(deadline) => attempts.iter().for_each(|attempt| attempt.ask_to_end(Why::Timeout)),
        }
        call.ending.cancel();
        let limit = attempts.iter().map(|attempt| soft_limit(attempt, kind)).min().unwrap_or_default();
        tokio::select! {
            biased;
            ended = &mut whole => ended.err(),
            () = tokio::time::sleep(limit) => None,
            () = first.abandon.cancelled() => None,
        }
    };
    let mut common = panicked.map(|panicked| Error::from(panicked).common());
    let outcome = |(attempt, outcome): (&Arc<Attempt>, Option<Result<String>>)| {
        after_asking(attempt, outcome.or_else(|| common.as_mut().map(|common| Err(common()))))
    };
    attempts.iter().zip(done.take()).map(outcome).collect()
}

/// What has come of each task so far.
struct Done(Mutex<Vec<Option<Result<String>>>>);

impl Done {
    fn set(&self, place: usize, outcome: Result<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(outcome);
    }

    fn take(self) -> Vec<Option<Result<String>>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn all_asked(attempts: &[Arc<Attempt>]) {
    for attempt in attempts {
        attempt.token.cancelled().await;
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Lets each task come to the table, through what stands around it, makes the call with those that have come, and gives each what it is answered. Who
/// has not come for a while gets a call of his own: what stands around may let in only some at once, and wait for these to end.
async fn seated(
    kind: &Registered,
    many: &dyn RunMany,
    call: &Arc<Call>,
    attempts: &[Arc<Attempt>],
    args: Vec<String>,
    done: &Done,
) {
    let (table, ended) = (Arc::new(Table::default()), AtomicUsize::new(0));
    let come = async |place: usize, attempt: &Arc<Attempt>, args: String| {
        let _ = attempt.seat.set(Seat { table: table.clone(), place });
        // A panic outside of all handlers costs this one.
        let outcome = panics::caught(pin!(one(kind, attempt, args))).await;
        done.set(place, outcome.unwrap_or_else(|panicked| Err(panicked.into())));
        ended.fetch_add(1, Ordering::Relaxed);
    };
    let coming = attempts.iter().zip(args).enumerate().map(|(place, (attempt, args))| come(place, attempt, args));
    let mut coming = coming.collect::<FuturesUnordered<_>>();
    let wait = kind.spec.policy.batch.as_ref().map_or(COME_WITHIN, |batching| batching.wait.max(COME_WITHIN));
    while ended.load(Ordering::Relaxed) < attempts.len() {
        let mut all_in = poll_fn(|cx| {
            while let Poll::Ready(Some(())) = coming.poll_next_unpin(cx) {}
            if table.taken() + ended.load(Ordering::Relaxed) < attempts.len() { Poll::Pending } else { Poll::Ready(()) }
        });
        loop {
            tokio::select! {
                biased;
                () = &mut all_in => break,
                () = tokio::time::sleep(wait) => {
                    if table.taken() > 0 {
                        break;
                    }
                }
            }
        }
        // Who has not come yet goes on meanwhile: one that stood still here would keep a connection, or what else he waits with, from everybody.
        let mut answering = pin!(answer(many, call, attempts, table.take()));
        poll_fn(|cx| {
            while let Poll::Ready(Some(())) = coming.poll_next_unpin(cx) {}
            answering.as_mut().poll(cx)
        })
        .await;
    }
}

/// One task, with what stands around it.
async fn one(kind: &Registered, attempt: &Arc<Attempt>, args: String) -> Result<String> {
    // Boxed, as where it runs alone.
    let begun = if attempt.claim_no > 1 { Box::pin(remember::begin(attempt)).await? } else { None };
    if let Some(result) = begun {
        return Ok(result);
    }
    let args = plain_args(kind, attempt, args).await;
    let cx = Context::new(Stateless, attempt.clone());
    Trace.run(&cx, Next::new(kind, &cx, args)).await
}

/// Makes a call with those that have come.
async fn answer(many: &dyn RunMany, call: &Arc<Call>, attempts: &[Arc<Attempt>], taken: Vec<Taken>) {
    let (mut tasks, mut waiting) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
    for Taken { place, args, outcome } in taken {
        let attempt = &attempts[place];
        // Somebody has cancelled it before it has begun, or it is another worker's.
        if matches!(attempt.why(), Why::Requested | Why::LeaseLost) {
            let _ = outcome.send(Err(Error::new(
                What::Cancel,
                FailureReason::Cancelled,
                "cancelled on request, before its batch had begun",
            )));
            continue;
        }
        tasks.push((attempt.clone(), args));
        waiting.push(outcome);
    }
    let Some((first, _)) = tasks.first() else { return };
    let span = tracing::info_span!("batch", kind = %split(&first.kind).0, tasks = tasks.len(), key = call.key.as_deref().unwrap_or_default());
    let outcomes = match panics::caught(pin!(many.run_many(call.clone(), tasks).instrument(span))).await {
        Ok(outcomes) => outcomes,
        Err(panicked) => {
            let mut common = Error::from(panicked).common();
            waiting.iter().map(|_| Err(common())).collect()
        }
    };
    for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
        // Who does not wait any more has ended in another way.
        let _ = waiting.send(outcome);
    }
}
