use std::collections::HashMap;

use gristmill_core::{
    Claim, Ending, Env, Failure, FailureReason, Hold, LeaseKey, LeaseRef, NewTask, Note, Progress, SCHEDULE_HEADER, Settlement,
    TaskId, TaskMeta, Timestamp, Wanted, WorkerId, WorkerSpec,
};

use super::call::{Answer, Call, Held};
use super::op::{ALL, End, LEASE, NAMES, Op, Spec};

/// What the clients and workers of a case know, and from which operations are made.
pub(super) struct World {
    /// Makes ids, and nothing else does: a store that draws from its own environment changes none of them.
    ids: Env,
    tasks: Vec<NewTask>,
    workers: Vec<WorkerSpec>,
    leases: Vec<Held>,
    /// Positions of the workers and leases that nobody was told are lost. They are picked mostly, the others now and then.
    live_workers: Vec<usize>,
    live_leases: Vec<usize>,
    short_names: Vec<(String, String)>,
    counts: HashMap<&'static str, usize>,
}

impl World {
    pub(super) fn new() -> Self {
        let (ids, _) = Env::virtual_time(Timestamp::from_millis(1_700_000_000_000), 7);
        Self {
            ids,
            tasks: Vec::new(),
            workers: Vec::new(),
            leases: Vec::new(),
            live_workers: Vec::new(),
            live_leases: Vec::new(),
            short_names: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// Every task that was ever enqueued.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|task| task.id).collect()
    }

    /// The operation with everything it takes; `None` if there is nothing yet that it could be about.
    pub(super) fn call(&mut self, op: &Op, now: Timestamp) -> Option<Call> {
        Some(match op {
            Op::Enqueue(specs) => Call::Enqueue(specs.iter().map(|spec| self.task(spec, now)).collect()),
            Op::EnqueueAgain { task, changed } => {
                let mut task = pick(&self.tasks, *task)?.clone();
                if *changed {
                    task.args = "{\"changed\":true}".to_owned();
                }
                Call::Enqueue(vec![task])
            }
            Op::Enter { queues, kinds } => Call::Enter(self.worker(*queues, *kinds)),
            Op::Leave(worker) => Call::Leave(self.some_worker(*worker)?.id),
            Op::Heartbeat(worker) => Call::Heartbeat(self.some_worker(*worker)?.id),
            // Somebody has to work.
            Op::Claim { .. } if self.live_workers.is_empty() => Call::Enter(self.worker(ALL, ALL)),
            Op::Claim { worker, queues, limit } => {
                // From the queues that it serves: what nobody serves a store may put aside.
                let worker = self.some_worker(*worker)?;
                let asked: Vec<_> = subset(*queues).filter(|queue| worker.queues.contains_key(*queue)).collect();
                let asked = if asked.is_empty() { worker.queues.keys().map(String::as_str).collect() } else { asked };
                let wanted = asked.into_iter().map(|queue| Wanted::new(queue, *limit)).collect();
                let (worker, fence) = (worker.id, self.ids.fence());
                self.name("f", &fence.to_string());
                Call::Claim(Claim { worker, fence, wanted, again: false })
            }
            Op::Start(leases) => Call::Start(leases.iter().map(|lease| self.lease(*lease)).collect::<Option<_>>()?),
            Op::Settle(ends) => Call::Settle(ends.iter().map(|end| self.settlement(end, now)).collect::<Option<_>>()?),
            Op::Note { lease, logs, progress } => {
                let held = self.lease(*lease)?;
                let logs = logs.then(|| format!("noted at {now}"));
                let progress = progress.then(|| Progress { done: 1, message: format!("at {now}"), ..Progress::default() });
                Call::Note(held, Note { lease: held.on(super::Side::Model), logs, progress })
            }
            Op::Lock { lease, name } => Call::Lock(self.lease(*lease)?, NAMES[*name]),
            Op::Unlock { lease, name } => Call::Unlock(self.lease(*lease)?, NAMES[*name]),
            Op::Cancel(tasks) => Call::Cancel(self.some_tasks(tasks)?),
            Op::Retry(tasks) => Call::Retry(self.some_tasks(tasks)?),
            Op::Release(tasks) => Call::Release(self.some_tasks(tasks)?),
            Op::Delete(tasks) => Call::Delete(self.some_tasks(tasks)?),
            Op::Forget(worker) => Call::Forget(self.some_worker(*worker)?.id),
            Op::Drain(worker) => Call::Drain(self.some_worker(*worker)?.id),
            Op::Unblock(tasks) => Call::Unblock(self.some_tasks(tasks)?),
            Op::Admit(tasks) => Call::Admit(self.some_tasks(tasks)?),
            Op::Pause { queue, paused } => Call::Pause(NAMES[*queue], *paused),
            Op::Move { tasks, queue } => Call::Move(self.some_plain_tasks(tasks)?, NAMES[*queue]),
            Op::PauseKind { kind, paused } => Call::PauseKind(NAMES[*kind], *paused),
            // These are no single call; see `Case::step`.
            Op::Advance(_)
            | Op::SetBack(_)
            | Op::SetForward(_)
            | Op::Reopen
            | Op::SweepInSteps(_)
            | Op::PruneInSteps(_)
            | Op::Plan(_)
            | Op::Look => return None,
        })
    }

    /// What lists look for, in changing company.
    fn meta(&self) -> TaskMeta {
        let n = self.tasks.len();
        let mut meta = TaskMeta { tags: vec!["tag".to_owned()], ..TaskMeta::default() };
        meta.parent = self.tasks.get(n / 2).filter(|_| n.is_multiple_of(3)).map(|task| task.id);
        meta.title = n.is_multiple_of(2).then(|| "a b".to_owned());
        if n % 4 < 2 {
            meta.headers.insert(SCHEDULE_HEADER.to_owned(), "a".to_owned());
        }
        meta
    }

    /// Learns what clients and workers learn from an answer, which both sides have given alike.
    pub(super) fn learn(&mut self, call: &Call, model: &Answer, store: &Answer) {
        match (call, model, store) {
            (Call::Claim(_), Answer::Claimed(model), Answer::Claimed(store)) => {
                for (model, store) in model.iter().zip(store) {
                    let (model, store) = (model.lease, store.lease);
                    self.live_leases.push(self.leases.len());
                    self.leases.push(Held { id: model.id, fence: model.fence, model_key: model.key, store_key: store.key });
                }
            }
            (Call::Settle(ends), ..) => {
                let over = |lease: &Held| ends.iter().any(|(held, _)| held.id == lease.id && held.fence == lease.fence);
                self.live_leases.retain(|at| !over(&self.leases[*at]));
            }
            (Call::Enter(spec), ..) => {
                self.live_workers.extend(self.workers.iter().position(|known| known.id == spec.id));
            }
            (Call::Claim(claim), Answer::Error(..), _) => self.retire(claim.worker),
            (Call::Heartbeat(worker), Answer::Pulse(pulse), _) if !pulse.alive => self.retire(*worker),
            (Call::Leave(worker) | Call::Forget(worker), ..) => self.retire(*worker),
            _ => {}
        }
    }

    fn retire(&mut self, worker: WorkerId) {
        self.live_workers.retain(|at| self.workers[*at].id != worker);
    }

    /// Puts short names in the place of ids.
    pub(super) fn shorten(&self, text: &str) -> String {
        let short = |text: String, (id, name): &(String, String)| text.replace(id, name);
        self.short_names.iter().fold(text.to_owned(), short)
    }

    pub(super) fn task(&mut self, spec: &Spec, now: Timestamp) -> NewTask {
        let id = self.ids.task_id();
        self.name("t", &id.to_string());
        let run_at = spec.run_at.map(|from_now| Timestamp::from_millis(now.as_millis() + from_now));
        let meta = spec.tagged.then(|| Box::new(self.meta()));
        let task = NewTask {
            id,
            kind: NAMES[spec.kind].to_owned(),
            queue: NAMES[spec.queue].to_owned(),
            priority: spec.priority,
            max_attempts: spec.max_attempts,
            max_crashes: spec.max_crashes,
            ack: spec.ack,
            retention: spec.retention,
            delay: spec.delay,
            run_at,
            expires: spec.expires,
            args: format!("{{\"n\":{}}}", self.tasks.len()),
            meta,
            hold: spec.hold,
        };
        self.tasks.push(task.clone());
        task
    }

    fn worker(&mut self, queues: usize, kinds: usize) -> WorkerSpec {
        let id = self.ids.worker_id();
        self.name("w", &id.to_string());
        let spec = WorkerSpec {
            id,
            name: format!("host-{}", self.workers.len() + 1),
            lease: LEASE,
            kinds: subset(kinds).map(Into::into).collect(),
            queues: subset(queues).map(|queue| (queue.to_owned(), 4)).collect(),
            version: "1".to_owned(),
        };
        self.workers.push(spec.clone());
        spec
    }

    fn settlement(&mut self, end: &End, now: Timestamp) -> Option<(Held, Settlement)> {
        let mut held = self.lease(end.lease)?;
        if end.stale {
            // The fence of another claim if there is one: nothing is guessed as easily as one's own older ones.
            let other = pick(&self.leases, end.lease / 2).map(|other| other.fence).filter(|fence| *fence != held.fence);
            held.fence = other.unwrap_or_else(|| self.ids.fence());
        }
        let failed = matches!(end.ending, Ending::Failed | Ending::Retry { .. });
        let says = |what: &str| end.says.then(|| format!("{what} at {now}"));
        let lease = LeaseRef { id: held.id, fence: held.fence, key: LeaseKey::default() };
        let settlement = Settlement {
            ran_for: end.ran_for,
            result: says("\"done\"").filter(|_| end.ending == Ending::Succeeded),
            failure: failed.then(|| Box::new(Failure::new(FailureReason::Error, format!("failed at {now}")))),
            logs: says("ended"),
            progress: end.says.then(|| Box::new(Progress { done: 2, total: Some(2), ..Progress::default() })),
            children: self.children(end, now).into(),
            ..Settlement::new(lease, end.ending)
        };
        Some((held, settlement))
    }

    fn children(&mut self, end: &End, now: Timestamp) -> Vec<NewTask> {
        let taken = end.refused.and_then(|task| pick(&self.tasks, task)).cloned();
        let mut children: Vec<_> = end.children.iter().map(|child| self.task(child, now)).collect();
        children.extend(taken.map(|taken| NewTask { args: "{\"changed\":true}".to_owned(), ..taken }));
        children
    }

    fn lease(&self, n: usize) -> Option<Held> {
        some(&self.leases, &self.live_leases, n).copied()
    }

    fn some_worker(&self, n: usize) -> Option<&WorkerSpec> {
        some(&self.workers, &self.live_workers, n)
    }

    /// Of those that nothing but their time has ever held back: they stand in line at the places of their arrival, which are the same in every queue. Where
    /// others stand that come to another line, each store says.
    fn some_plain_tasks(&self, picks: &[usize]) -> Option<Vec<TaskId>> {
        let plain: Vec<_> = self.tasks.iter().filter(|task| task.hold == Hold::default()).collect();
        picks.iter().map(|n| pick(&plain, *n).map(|task| task.id)).collect()
    }

    pub(super) fn some_tasks(&self, picks: &[usize]) -> Option<Vec<TaskId>> {
        picks.iter().map(|n| pick(&self.tasks, *n).map(|task| task.id)).collect()
    }

    fn name(&mut self, prefix: &'static str, id: &str) {
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        self.short_names.push((id.to_owned(), format!("{prefix}{count}")));
    }
}

/// One of the live ones, and in one of eight cases one of all.
fn some<'a, T>(all: &'a [T], live: &[usize], n: usize) -> Option<&'a T> {
    if n.is_multiple_of(8) { pick(all, n / 8) } else { all.get(*pick(live, n / 8)?) }
}

fn pick<T>(from: &[T], n: usize) -> Option<&T> {
    from.get(n.checked_rem(from.len())?)
}

/// The names whose bits are set.
fn subset(bits: usize) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().enumerate().filter(move |(n, _)| bits & (1 << n) != 0).map(|(_, name)| name)
}
