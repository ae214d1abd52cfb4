use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gristmill_core::{
    Claim, Claimed, Ending, Env, Flags, Held, LeaseRef, NewTask, Next, Note, Pulse, Settled, Settlement, Source, State,
    StoreError, StoreErrorKind, Timestamp, Wake, WorkerId, WorkerSpec, judge,
};
use tokio::sync::watch;

/// A source of tasks that is no store: a broker in this process, as plain as one can be.
///
/// It is the reference of what a worker needs of a [`Source`] that only delivers: each message is delivered at least once,
/// acknowledged by the settlement of its attempt, delivered again when its worker does not beat for a lease, and put back with a
/// delay for a retry. It keeps nothing of what has ended, lists nothing, can cancel nothing, and leaves all that a source may
/// leave out at its default.
///
/// As of most brokers, a task that was published twice is delivered twice. What it holds lives as long as the process, and its
/// deliveries cost more the more it holds: it is for tests.
///
/// All its time comes from the [`Env`]. After moving a virtual clock, [`nudge`](Self::nudge) wakes who waits.
///
/// ```
/// use gristmill_conformance::MemoryBroker;
/// use gristmill_core::{Env, NewTask, Overrides, Policy};
///
/// let env = Env::system();
/// let broker = MemoryBroker::new(env.clone());
/// let id = env.task_id();
/// let task = NewTask::resolve("mail.send", &Policy::default(), "{}".into(), Overrides::default(), id, &Default::default());
/// broker.publish(task.unwrap());
/// assert_eq!(broker.len(), 1);
/// ```
#[derive(Debug)]
pub struct MemoryBroker {
    env: Env,
    state: Mutex<Broker>,
    /// How many times something changed that a worker may wait for, and how many of them a claim has seen.
    changed: watch::Sender<u64>,
    seen: AtomicU64,
}

#[derive(Debug, Default)]
struct Broker {
    /// What is to be delivered, in that order: by priority, then by arrival.
    messages: BTreeMap<(u8, u64), Message>,
    /// What was delivered and not yet acknowledged.
    unacked: Vec<Unacked>,
    workers: HashMap<WorkerId, Worker>,
    arrived: u64,
    /// When somebody last looked for something to run.
    looked_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Message {
    task: NewTask,
    published_at: Timestamp,
    due_at: Timestamp,
    arrival: u64,
    attempt: u32,
    claim_no: u32,
    crashes: u32,
}

#[derive(Debug)]
struct Unacked {
    lease: LeaseRef,
    worker: WorkerId,
    message: Message,
}

#[derive(Debug)]
struct Worker {
    spec: WorkerSpec,
    expires_at: Timestamp,
}

impl MemoryBroker {
    /// An empty broker that takes its time from `env`.
    pub fn new(env: Env) -> Arc<Self> {
        Arc::new(Self { env, state: Mutex::default(), changed: watch::Sender::new(0), seen: AtomicU64::new(0) })
    }

    /// Takes a task to be delivered when it is due.
    pub fn publish(&self, task: NewTask) {
        self.run(|broker, now| broker.publish(task, now));
        self.nudge();
    }

    /// How many tasks are to be run, those that run now included.
    pub fn len(&self) -> usize {
        self.run(|broker, _| broker.messages.len() + broker.unacked.len())
    }

    /// Whether nothing is left to run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes everybody who waits, so that they look again: to be called after a virtual clock was moved.
    pub fn nudge(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn run<T>(&self, operation: impl FnOnce(&mut Broker, Timestamp) -> T) -> T {
        // A panic in an operation can only come from a bug in this crate; the state is then as good as it was.
        let mut broker = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        operation(&mut broker, self.env.now())
    }
}

#[async_trait]
impl Source for MemoryBroker {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.run(|broker, now| {
            let expires_at = now.saturating_add(worker.lease);
            broker.workers.insert(worker.id, Worker { spec: worker.clone(), expires_at });
        });
        self.nudge();
        Ok(())
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        let given_back = self.run(|broker, now| {
            broker.workers.remove(&worker);
            broker.give_back(now, Ending::Released, |unacked| unacked.worker == worker)
        });
        self.nudge();
        Ok(given_back)
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        Ok(self.run(|broker, now| match broker.workers.get_mut(&worker).filter(|worker| worker.expires_at > now) {
            Some(alive) => {
                alive.expires_at = now.saturating_add(lease);
                Pulse { alive: true, ..Pulse::default() }
            }
            None => Pulse::default(),
        }))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.seen.fetch_max(*self.changed.borrow(), Ordering::SeqCst);
        self.run(|broker, now| broker.claim(claim, now))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let settled = self.run(|broker, now| settlements.into_iter().map(|settlement| broker.settle(settlement, now)).collect());
        self.nudge();
        Ok(settled)
    }

    /// Keeps nothing of it, but knows whose a message is.
    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        Ok(self.run(|broker, now| {
            let is_alive = |id: &WorkerId| broker.workers.get(id).is_some_and(|worker| worker.expires_at > now);
            let holds =
                |note: &Note| broker.unacked.iter().any(|unacked| unacked.lease == note.lease && is_alive(&unacked.worker));
            notes.iter().map(holds).collect()
        }))
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        let mut changed = self.changed.subscribe();
        if wake != Wake::Ready {
            // It promises nothing else: a callback that looks again may as well look later.
            tokio::time::sleep(timeout).await;
            return;
        }
        if *changed.borrow_and_update() > self.seen.load(Ordering::SeqCst) {
            return;
        }
        let due = self.run(|broker, now| broker.next_due().map(|at| at.since(now)));
        let timeout = due.map_or(timeout, |due| due.min(timeout));
        let _ = tokio::time::timeout(timeout, changed.changed()).await;
    }
}

impl Broker {
    fn publish(&mut self, task: NewTask, now: Timestamp) {
        let arrival = self.arrived;
        self.arrived += 1;
        let due_at = task.due(now);
        self.put(Message { task, published_at: now, due_at, arrival, attempt: 0, claim_no: 0, crashes: 0 });
    }

    fn put(&mut self, message: Message) {
        self.messages.insert((message.task.priority, message.arrival), message);
    }

    fn claim(&mut self, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let Some(worker) = self.workers.get(&claim.worker).filter(|worker| worker.expires_at > now) else {
            return Err(StoreError::new(StoreErrorKind::Invalid, "the worker is not known, or its lease has run out"));
        };
        let served: Vec<_> = worker.spec.kind_names().map(str::to_owned).collect();
        self.looked_at = now;
        let workers = &self.workers;
        let gone: Vec<_> = (self.unacked.iter().map(|unacked| unacked.worker))
            .filter(|id| workers.get(id).is_none_or(|worker| worker.expires_at <= now))
            .collect();
        self.give_back(now, Ending::Crashed, |unacked| gone.contains(&unacked.worker));
        self.workers.retain(|_, worker| worker.expires_at > now);
        let is_this = |unacked: &&Unacked| unacked.worker == claim.worker && unacked.lease.fence == claim.fence;
        let given: Vec<_> = self.unacked.iter().filter(is_this).map(Unacked::claimed).collect();
        if claim.again && !given.is_empty() {
            return Ok(given);
        }
        let mut claimed = Vec::new();
        for wanted in &claim.wanted {
            for _ in 0..wanted.limit {
                let Some(mut message) = self.next(&wanted.queue, &served, now) else { break };
                message.attempt += 1;
                message.claim_no += 1;
                let lease = LeaseRef { id: message.task.id, fence: claim.fence, key: Default::default() };
                let unacked = Unacked { lease, worker: claim.worker, message };
                claimed.push(unacked.claimed());
                self.unacked.push(unacked);
            }
        }
        Ok(claimed)
    }

    /// Takes the next message of a queue; what has expired is dropped on the way.
    fn next(&mut self, queue: &str, served: &[String], now: Timestamp) -> Option<Message> {
        loop {
            let fits =
                |message: &Message| message.due_at <= now && message.task.queue == queue && served.contains(&message.task.kind);
            let place = self.messages.iter().find(|(_, message)| fits(message)).map(|(place, _)| *place)?;
            let message = self.messages.remove(&place)?;
            let is_expired = message.task.deadline(message.published_at).is_some_and(|deadline| deadline <= now);
            if !(is_expired && message.claim_no == 0) {
                return Some(message);
            }
        }
    }

    fn settle(&mut self, settlement: Settlement, now: Timestamp) -> Settled {
        let Some(place) = self.unacked.iter().position(|unacked| unacked.lease == settlement.lease) else {
            return Settled::LeaseLost;
        };
        let Unacked { message, .. } = self.unacked.remove(place);
        // Where its worker says that it never ran, it may run again whatever it is.
        let started = settlement.ending != Ending::Released || !settlement.ran_for.is_zero();
        let state = self.end(message, settlement.ending, started, now);
        if state == State::Succeeded {
            for child in settlement.children.iter().cloned() {
                self.publish(child, now);
            }
        }
        Settled::Done(state)
    }

    /// Ends attempts whose workers have left or died.
    fn give_back(&mut self, now: Timestamp, ending: Ending, whose: impl Fn(&Unacked) -> bool) -> u64 {
        let (back, kept): (Vec<_>, _) = std::mem::take(&mut self.unacked).into_iter().partition(whose);
        self.unacked = kept;
        let count = back.len() as u64;
        for unacked in back {
            // A broker can't tell a message that waited in its worker's buffer from one that ran.
            self.end(unacked.message, ending, true, now);
        }
        count
    }

    /// Ends an attempt: the message is acknowledged, or put back as the next one.
    fn end(&mut self, message: Message, ending: Ending, started: bool, now: Timestamp) -> State {
        let held = Held {
            attempt: message.attempt,
            crashes: message.crashes,
            max_attempts: message.task.max_attempts,
            max_crashes: message.task.max_crashes,
            ack: message.task.ack,
            started,
            cancel_requested: false,
            flags: Flags::NONE,
        };
        match judge(&held, ending).next {
            Next::End(state) => state,
            Next::Again { attempt, crashes, delay, place } => {
                self.put(Message { attempt, crashes, due_at: now.saturating_add(delay), ..message });
                place.state()
            }
        }
    }

    /// When something may have to be run that was not there when somebody last looked: it is due, or its worker is dead.
    fn next_due(&self) -> Option<Timestamp> {
        let due = self.messages.values().map(|message| message.due_at);
        let dead = self.workers.values().map(|worker| worker.expires_at);
        due.chain(dead).filter(|at| *at > self.looked_at).min()
    }
}

impl Unacked {
    fn claimed(&self) -> Claimed {
        let Message { task, published_at, attempt, claim_no, crashes, .. } = &self.message;
        Claimed {
            lease: self.lease,
            kind: task.kind.as_str().into(),
            queue: task.queue.as_str().into(),
            attempt: *attempt,
            claim_no: *claim_no,
            crashes: *crashes,
            max_attempts: task.max_attempts,
            report_start: false,
            created_at: *published_at,
            expires_in: None,
            args: task.args.clone(),
            meta: task.meta.clone(),
        }
    }
}
