//! Running what is ready in the caller: what a worker does, without its waiting.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{HarnessError, STEPS_MAX};
use crate::attempt::Attempt;
use crate::client::Client;
use crate::core::durable::Checkpoint;
use crate::core::{Claim, Claimed, Ending, Env, Settled, Settlement, State, StoreError, StoreErrorKind, Wanted, WorkerSpec};
use crate::durable::Journal;
use crate::hooks::Notice;
use crate::lock::Locks;
use crate::worker::execute::{self, End};
use crate::worker::suspend;

/// The clock stands still while tasks run, so that no lease ever ends; this is for who looks at a store that a test left behind.
const LEASE: Duration = Duration::from_secs(3600);

/// Runs what is ready in the caller.
#[derive(Clone, Debug)]
pub(crate) struct Inline {
    pub(super) env: Env,
    /// Whether the store is a database in which a handler's transaction can settle its task.
    settles: bool,
    settings: Arc<Settings>,
}

/// What is set once the client may have been handed out.
#[derive(Debug)]
struct Settings {
    /// Whether each success is run again.
    twice: AtomicBool,
    steps_max: AtomicUsize,
}

/// How much one call may still run.
pub(super) struct Steps {
    left: usize,
    max: usize,
    env: Env,
}

impl Steps {
    pub(super) fn take(&mut self, steps: usize) -> Result<(), HarnessError> {
        let endless = HarnessError::Endless { steps: self.max, now: self.env.now() };
        self.left = self.left.checked_sub(steps).ok_or(endless)?;
        Ok(())
    }
}

impl Inline {
    /// On a store in which no transaction can be opened.
    pub(super) fn alone(env: Env) -> Self {
        let settings = Settings { twice: AtomicBool::new(false), steps_max: AtomicUsize::new(STEPS_MAX) };
        Self { env, settles: false, settings: Arc::new(settings) }
    }

    /// On a database.
    pub(super) fn settling(env: Env) -> Self {
        Self { settles: true, ..Self::alone(env) }
    }

    pub(super) fn repeat(&self) {
        self.settings.twice.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_steps_max(&self, steps: usize) {
        self.settings.steps_max.store(steps, Ordering::Relaxed);
    }

    pub(super) fn steps(&self) -> Steps {
        let max = self.settings.steps_max.load(Ordering::Relaxed);
        Steps { left: max, max, env: self.env.clone() }
    }

    pub(crate) async fn drain(&self, client: &Client) -> Result<usize, HarnessError> {
        self.drain_within(client, &mut self.steps()).await
    }

    pub(super) async fn drain_within(&self, client: &Client, steps: &mut Steps) -> Result<usize, HarnessError> {
        let (mut attempts, mut failed) = (0, Vec::new());
        loop {
            let ran = self.run_ready(client, &mut failed).await?;
            attempts += ran;
            if ran == 0 {
                break;
            }
            steps.take(ran)?;
        }
        if failed.is_empty() { Ok(attempts) } else { Err(HarnessError::NotRepeatable(failed)) }
    }

    /// One task of each queue; says in `failed` what did not succeed a second time.
    async fn run_ready(&self, client: &Client, failed: &mut Vec<String>) -> Result<usize, StoreError> {
        let store = client.store();
        sweep(client).await?;
        let queues: BTreeMap<_, _> = store.queues().await?.into_iter().map(|queue| (queue.name, 1)).collect();
        let worker = self.env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "test".to_owned(),
            lease: LEASE,
            kinds: client.registry().served(),
            queues: queues.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        store.enter(&spec).await?;
        let wanted = queues.keys().map(|queue| Wanted::new(queue.as_str(), 1)).collect();
        let claimed = store.claim(&Claim { worker, fence: self.env.fence(), wanted, again: false }).await?;
        let ran = claimed.len();
        for mut claimed in claimed {
            if claimed.report_start {
                store.start(&[claimed.lease]).await?;
            }
            let again = self.settings.twice.load(Ordering::Relaxed).then(|| redelivered(&claimed));
            let attempt = self.attempt(client, &mut claimed);
            // Boxed: a handler may enqueue, which in inline mode drains again.
            let mut settlement = match boxed(execute::run(&attempt, claimed)).await {
                Some(End::Settle(settlement)) => settlement,
                Some(End::Wait(checkpoint)) => match wait(client, &attempt, checkpoint).await? {
                    Some(settlement) => settlement,
                    None => continue,
                },
                None => continue,
            };
            // What commits with its settlement is never run again.
            let again = again.filter(|_| attempt.settled().is_none());
            if let (Some(mut claimed), Ending::Succeeded) = (again, settlement.ending) {
                let attempt = self.attempt(client, &mut claimed);
                match boxed(execute::run(&attempt, claimed)).await {
                    // The first end was never written; this one is.
                    Some(End::Settle(second)) if second.ending == Ending::Succeeded => settlement = second,
                    second => {
                        let why = match second {
                            Some(End::Settle(second)) => second.failure.map_or_else(String::new, |failure| failure.message),
                            Some(End::Wait(_)) => "it waits for something".to_owned(),
                            None => String::new(),
                        };
                        failed.push(format!("`{}` {} succeeded, but not when it was run again: {why}", attempt.kind, attempt.id));
                    }
                }
            }
            match store.settle(vec![settlement.clone()]).await?.first() {
                Some(Settled::Done(state)) => {
                    if let Some(notice) = Notice::of(settlement, Some(attempt), *state) {
                        tell(client, notice).await;
                    }
                }
                // A worker would try again until it is over; nothing here would ever end it.
                Some(Settled::Later) => return Err(held(&attempt)),
                Some(Settled::LeaseLost) | None => {}
            }
        }
        store.leave(worker).await?;
        Ok(ran)
    }

    fn attempt(&self, client: &Client, claimed: &mut Claimed) -> Arc<Attempt> {
        if self.settles { Arc::new(execute::prepare(client.ground(), claimed, None)) } else { unclaimed(client, claimed, true) }
    }
}

fn boxed<'a>(run: impl Future<Output = Option<End>> + Send + 'a) -> Pin<Box<dyn Future<Output = Option<End>> + Send + 'a>> {
    Box::pin(run)
}

/// Ends an attempt whose task waits. What it is instead, if it can't.
async fn wait(client: &Client, attempt: &Arc<Attempt>, checkpoint: Checkpoint) -> Result<Option<Settlement>, StoreError> {
    let lease = checkpoint.lease;
    match client.store().checkpoint(checkpoint).await {
        Ok(Settled::Done(State::Cancelled)) => {
            let settlement = Settlement::new(lease, Ending::Cancelled);
            if let Some(notice) = Notice::of(settlement, Some(attempt.clone()), State::Cancelled) {
                tell(client, notice).await;
            }
            Ok(None)
        }
        Ok(Settled::Done(_) | Settled::LeaseLost) => Ok(None),
        Ok(Settled::Later) => Err(held(attempt)),
        Err(error) if error.kind() == StoreErrorKind::Invalid => Ok(Some(suspend::refused(lease, &error))),
        Err(error) => Err(error),
    }
}

/// An attempt whose claim is known to no database: its handler's transactions are committed alone, as in a synchronous call. What its steps do
/// is remembered if the store has the task.
pub(super) fn unclaimed(client: &Client, claimed: &mut Claimed, remembers: bool) -> Arc<Attempt> {
    let mut attempt = execute::prepare(client.ground(), claimed, None);
    attempt.lease = None;
    if !remembers {
        attempt.journal = Journal::new(None);
        attempt.locks = Locks::alone();
    }
    Arc::new(attempt)
}

fn held(attempt: &Attempt) -> StoreError {
    let Attempt { id, kind, .. } = attempt;
    let message =
        format!("the end of `{kind}` {id} can't be written, as an open transaction holds it; end that before you drain");
    StoreError::new(StoreErrorKind::Busy, message)
}

/// The same task as it comes back after its worker died at the end of the work.
fn redelivered(claimed: &Claimed) -> Claimed {
    let Claimed { attempt, claim_no, crashes, .. } = *claimed;
    Claimed { attempt: attempt + 1, claim_no: claim_no + 1, crashes: crashes + 1, ..claimed.clone() }
}

pub(super) async fn sweep(client: &Client) -> Result<(), StoreError> {
    for id in client.store().sweep(usize::MAX).await?.ended {
        tell(client, Notice::Ended(id)).await;
    }
    Ok(())
}

/// Calls the application's hooks here and now, so that a test sees what they did.
async fn tell(client: &Client, notice: Notice) {
    let hooks = &client.runtime().hooks;
    if !hooks.is_empty() {
        for event in notice.events(&**client.store()).await {
            hooks.tell(&event);
        }
    }
}
