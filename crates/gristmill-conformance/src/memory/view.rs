use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_core::kit::Sift;
use gristmill_core::kit::served::{Holding, Serves};
use gristmill_core::limits::{COUNT_MAX, PAGE_ITEMS_MAX, PAGE_ROWS_MAX};
use gristmill_core::{
    AttemptRecord, AttemptState, Cursor, Filter, KindInfo, Page, Pending, QueueInfo, State, TaskId, TaskMeta, TaskRecord,
    Timestamp, WorkerId, WorkerInfo,
};

use super::tables::{Place, Tables, Task};

impl Tables {
    pub(super) fn get(&self, id: TaskId) -> Option<TaskRecord> {
        let (_, task) = self.by_id(id)?;
        let running = task.lease().map(|lease| AttemptRecord {
            attempt: task.attempt,
            claim_no: task.claim_no,
            state: AttemptState::Running,
            started_at: Some(lease.claimed_at),
            finished_at: None,
            worker: Some(lease.worker_name.clone()),
            error: None,
            logs: lease.logs.clone(),
            progress: lease.progress.clone(),
        });
        Some(TaskRecord { attempts: task.history.iter().cloned().chain(running).collect(), ..record(task) })
    }

    pub(super) fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Vec<TaskId> {
        let mut ids: Vec<_> = self.tasks.values().map(|task| task.new.id).filter(|id| (first..=last).contains(id)).collect();
        ids.sort_unstable();
        ids.truncate(limit);
        ids
    }

    pub(super) fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Page<TaskRecord> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let mut sift = Sift::new(filter, after, limit);
        if sift.ask().is_none() {
            return Page::last(Vec::new());
        }
        // Of all that the query asks, it is only taken to know the worker. The rest each task is asked here, one by one.
        let looked_for = Filter { worker: sift.filter().worker.clone(), ..filter.clone() };
        let fits = |task: &TaskRecord| filter.query.as_ref().is_none_or(|query| query.matches(task));
        let end = after.map_or(i64::MAX, Cursor::key);
        let mut page = Page { items: Vec::new(), next: None };
        let mut rows = self.tasks.range(..end).rev();
        for (read, (seq, task)) in rows.by_ref().enumerate() {
            if matches(&looked_for, task) {
                page.items.extend(Some(record(task)).filter(fits));
            }
            if page.items.len() == limit || read + 1 == PAGE_ROWS_MAX {
                page.next = Some(Cursor::after(*seq));
                break;
            }
        }
        if rows.next().is_none() {
            page.next = None;
        }
        page
    }

    pub(super) fn pending(&self, queues: &[String], within: Duration, now: Timestamp) -> Pending {
        let asked = |queue: &String| queues.contains(queue);
        let claimable = |queue: &String, kind: &String| {
            self.queues.get(queue) == Some(&false) && !self.paused_kinds.contains(kind) && self.is_served(queue, kind, now)
        };
        let asked_of = |seq: &i64| self.tasks.get(seq).is_some_and(|task| asked(&task.new.queue));
        let horizon = now.saturating_add(within);
        Pending {
            ready: self.ready.keys().any(|(queue, kind)| asked(queue) && claimable(queue, kind)),
            scheduled: self.scheduled.range(..=(horizon, i64::MAX)).any(|(_, seq)| asked_of(seq))
                || self.limited.next_until(horizon).any(|seq| asked_of(&seq)),
            running: self.held.values().flatten().any(asked_of),
            held: self.on_hold.iter().any(asked_of),
        }
    }

    pub(super) fn queue_infos(&self, now: Timestamp) -> Vec<QueueInfo> {
        self.queues.iter().map(|(name, paused)| self.queue_info(name, *paused, now)).collect()
    }

    fn queue_info(&self, name: &str, paused: bool, now: Timestamp) -> QueueInfo {
        let mut info = QueueInfo {
            name: name.to_owned(),
            paused,
            ready: 0,
            scheduled: 0,
            blocked: 0,
            waiting: 0,
            running: 0,
            buffered: 0,
            unserved: 0,
            oldest_ready_at: None,
        };
        for task in self.tasks.values().filter(|task| task.new.queue == name) {
            match task.state() {
                State::Ready => {
                    info.ready += 1;
                    info.unserved += u64::from(!self.is_served(name, &task.new.kind, now));
                    // In the order of arrival: what came first has waited longest, whatever the clock said since.
                    info.oldest_ready_at = info.oldest_ready_at.or(Some(task.created_at));
                }
                State::Scheduled => info.scheduled += 1,
                State::Blocked => info.blocked += 1,
                State::Waiting => info.waiting += 1,
                State::Running => {}
                State::Succeeded | State::Failed | State::Cancelled | State::Expired => {}
            }
        }
        let held = self.held.keys().fold(Holding::default(), |mut held, worker| {
            held += self.holding(*worker, Some(name));
            held
        });
        (info.running, info.buffered) = (held.running, held.buffered);
        for count in [&mut info.ready, &mut info.scheduled, &mut info.blocked, &mut info.waiting, &mut info.unserved] {
            *count = (*count).min(COUNT_MAX);
        }
        info
    }

    fn is_served(&self, queue: &str, kind: &str, now: Timestamp) -> bool {
        self.workers.values().any(|worker| worker.is_alive(now) && worker.serves(queue, kind))
    }

    /// What a worker holds, of one queue or of all.
    fn holding(&self, worker: WorkerId, queue: Option<&str>) -> Holding {
        let mut held: BTreeMap<&str, u64> = BTreeMap::new();
        for task in self.held_by(worker).iter().filter_map(|seq| self.tasks.get(seq)) {
            *held.entry(&task.new.queue).or_default() += 1;
        }
        let queues = self.workers.get(&worker).map(|worker| worker.spec.queues.clone()).unwrap_or_default();
        let serves = Serves { queues, ..Serves::default() };
        let mut all = Holding::default();
        for (name, held) in held.into_iter().filter(|(name, _)| queue.is_none_or(|queue| queue == *name)) {
            all += serves.holding(name, held);
        }
        all
    }

    pub(super) fn worker_infos(&self, now: Timestamp) -> Vec<WorkerInfo> {
        let mut newest_first: Vec<_> = self.workers.iter().collect();
        newest_first.sort_by_key(|(id, worker)| std::cmp::Reverse((worker.started_at, **id)));
        let info = |(id, worker): (&WorkerId, &super::tables::Worker)| WorkerInfo {
            id: worker.spec.id.to_string(),
            name: worker.spec.name.clone(),
            version: worker.spec.version.clone(),
            alive: worker.is_alive(now),
            drain: worker.drain,
            started_at: worker.started_at,
            expires_at: worker.expires_at,
            queues: worker.spec.queues.clone(),
            kinds: worker.spec.kind_names().map(str::to_owned).collect(),
            running: self.holding(*id, None).running,
            buffered: self.holding(*id, None).buffered,
        };
        newest_first.into_iter().map(info).collect()
    }

    pub(super) fn kind_infos(&self, now: Timestamp) -> Vec<KindInfo> {
        let serving = |name: &String| {
            self.workers
                .values()
                .filter(|worker| worker.is_alive(now) && worker.spec.kind_names().any(|kind| kind == name))
                .count() as u64
        };
        let info = |(name, spec): (&String, &Option<gristmill_core::KindSpec>)| KindInfo {
            name: name.clone(),
            schema: spec.as_ref().map(|spec| spec.schema.clone()),
            policy: spec.as_ref().map(|spec| spec.policy.clone()),
            workers: serving(name),
            paused: self.paused_kinds.contains(name),
        };
        self.kinds.iter().map(info).collect()
    }
}

/// A task as observers see it, without its history.
fn record(task: &Task) -> TaskRecord {
    let state = task.state();
    let error = || task.history.iter().rev().find_map(|row| row.error.clone());
    let (result, ended_at) = match &task.place {
        Place::Ended(end) => (end.result.clone(), Some(end.at)),
        _ => (None, None),
    };
    let new = &task.new;
    TaskRecord {
        id: new.id,
        kind: new.kind.clone(),
        queue: new.queue.clone(),
        state,
        attempt: task.attempt,
        max_attempts: new.max_attempts,
        max_crashes: new.max_crashes,
        crashes: task.crashes,
        priority: new.priority,
        args: new.args.clone(),
        result,
        error: if state == State::Succeeded { None } else { error() },
        created_at: task.created_at,
        run_at: match task.place {
            Place::Blocked(run_at) | Place::Scheduled(run_at) => run_at,
            _ => task.due,
        },
        ended_at,
        cancel_requested: task.lease().is_some_and(|lease| lease.cancel_requested),
        meta: new.meta.as_deref().cloned().unwrap_or_default(),
        attempts: Vec::new(),
    }
}

fn matches(filter: &Filter, task: &Task) -> bool {
    let plain = TaskMeta::default();
    let worker = match task.lease() {
        Some(lease) => Some(&lease.worker_name),
        None => task.history.last().and_then(|last| last.worker.as_ref()),
    };
    filter.admits_state(task.state())
        && filter.queue.as_ref().is_none_or(|queue| *queue == task.new.queue)
        && filter.admits(&task.new.kind, task.new.meta.as_deref().unwrap_or(&plain))
        && filter.admits_time(task.created_at)
        && filter.worker.as_ref().is_none_or(|name| worker == Some(name))
}
