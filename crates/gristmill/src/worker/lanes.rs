use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::worker::lane::Lane;

/// The lanes of a worker, which change when its queues do.
#[derive(Debug)]
pub(crate) struct Lanes {
    now: Mutex<Now>,
    hungry: Arc<Notify>,
}

#[derive(Debug)]
struct Now {
    lanes: Arc<[Arc<Lane>]>,
    closed: bool,
}

impl Lanes {
    /// Those of these queues, with slots yet to be added.
    pub(crate) fn new(queues: &BTreeMap<String, u32>, hungry: Arc<Notify>) -> Self {
        let lanes = queues.iter().map(|(queue, concurrency)| Arc::new(Lane::new(queue, *concurrency, hungry.clone()))).collect();
        Self { now: Mutex::new(Now { lanes, closed: false }), hungry }
    }

    /// All of them, with those that are served no more and whose last tasks still run.
    pub(crate) fn all(&self) -> Arc<[Arc<Lane>]> {
        self.now().lanes.clone()
    }

    /// The queues that are served, with their concurrency.
    pub(crate) fn queues(&self) -> BTreeMap<String, u32> {
        let served = |lane: &Arc<Lane>| (lane.concurrency() > 0).then(|| (lane.queue.to_string(), lane.concurrency()));
        self.all().iter().filter_map(served).collect()
    }

    /// Serves a queue with this concurrency, zero for no more; `fill` adds so many slots to its lane, which is returned. `None` once
    /// they are closed: slots that came then would be waited for in vain.
    pub(crate) fn resize(&self, queue: &str, concurrency: u32, fill: impl FnOnce(&Arc<Lane>, u32)) -> Option<Arc<Lane>> {
        let mut now = self.now();
        if now.closed {
            return None;
        }
        let known = now.lanes.iter().find(|lane| *lane.queue == *queue).cloned();
        let lane = known.unwrap_or_else(|| Arc::new(Lane::new(queue, 0, self.hungry.clone())));
        fill(&lane, lane.resize(concurrency));
        if !now.lanes.iter().any(|other| Arc::ptr_eq(other, &lane)) {
            now.lanes = now.lanes.iter().cloned().chain([lane.clone()]).collect();
        }
        Some(lane)
    }

    /// Forgets lanes that are served no more and have run out. For who adds tasks to them, while he has none for them: in a forgotten
    /// lane nobody would find those.
    pub(crate) fn prune(&self) {
        let mut now = self.now();
        let is_over = |lane: &Arc<Lane>| lane.concurrency() == 0 && lane.is_idle();
        if now.lanes.iter().any(is_over) {
            now.lanes = now.lanes.iter().filter(|lane| !is_over(lane)).cloned().collect();
        }
    }

    /// Lets the slots end once they have run what they run, with what was gathered if it `begins`.
    pub(crate) fn close(&self, begins: bool) {
        let mut now = self.now();
        now.closed = true;
        now.lanes.iter().for_each(|lane| lane.close(begins));
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a part of the worker remembers of each lane.
#[derive(Debug)]
pub(crate) struct PerLane<T>(Vec<(Arc<Lane>, T)>);

impl<T> PerLane<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Forgets lanes that are gone, and begins with those that were added.
    pub(crate) fn follow(&mut self, lanes: &Lanes, begin: impl Fn() -> T) {
        let now = lanes.all();
        if self.0.len() == now.len() && self.0.iter().zip(&*now).all(|((known, _), lane)| Arc::ptr_eq(known, lane)) {
            return;
        }
        let mut known = std::mem::take(&mut self.0);
        self.0.extend(now.iter().map(|lane| match known.iter().position(|(of, _)| Arc::ptr_eq(of, lane)) {
            Some(place) => known.swap_remove(place),
            None => (lane.clone(), begin()),
        }));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Lane, &T)> {
        self.0.iter().map(|(lane, of)| (&**lane, of))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Lane, &mut T)> {
        self.0.iter_mut().map(|(lane, of)| (&**lane, of))
    }
}
