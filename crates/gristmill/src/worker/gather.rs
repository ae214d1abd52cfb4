use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::batch::key_of;
use crate::codec::{Part, Payload};
use crate::core::{Batching, Claimed, limits};
use crate::registry::Registered;
use crate::runtime::Runtime;
use crate::worker::lane::Buffered;
use crate::worker::shared::Shared;

/// Arguments of so many bytes make a batch, however few tasks they are of: all of them are in memory at once.
const BATCH_BYTES: usize = limits::BATCH_BYTES_MAX;
/// So many bytes are gathered in a lane at once, in all of its batches.
const GATHERED_BYTES: usize = 2 * BATCH_BYTES;
/// And so many tasks.
pub(crate) const GATHERED_MAX: usize = limits::BATCH_SIZE_MAX;

/// What tasks have in common that are run in one call: their type, and their key if it has one.
type Of = (Arc<str>, Option<Arc<str>>);

/// Tasks of one lane that wait for others to be run with.
#[derive(Debug, Default)]
pub(crate) struct Gatherings {
    open: HashMap<Of, Gathering>,
    tasks: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Gathering {
    tasks: Vec<Buffered>,
    bytes: usize,
    due: Instant,
}

/// Tasks that are run in one call.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) kind: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) tasks: Vec<Buffered>,
    /// Since when it is complete.
    pub(crate) since: Instant,
}

/// A claimed task that is to be gathered.
#[derive(Debug)]
pub(crate) struct Element<'r> {
    batching: &'r Batching,
    key: Option<Arc<str>>,
    task: Buffered,
}

/// Which of these tasks are to be gathered; the others come back, to be run each by itself. So does one whose key can't be told before it
/// runs: its arguments do not have it, or it takes them from other steps of a workflow.
pub(crate) fn sorted(runtime: &Runtime, all: Vec<Buffered>) -> (Vec<Element<'_>>, Vec<Buffered>) {
    let (mut elements, mut others) = (Vec::new(), Vec::new());
    for task in all {
        let kind = runtime.registry.get(&task.claimed.kind).filter(|kind| kind.many.is_some());
        match kind.and_then(|kind| Some((kind, kind.spec.policy.batch.as_ref()?))) {
            None => others.push(task),
            Some((kind, batching)) => match key_before(runtime, kind, batching, &task.claimed) {
                Some(key) => elements.push(Element { batching, key, task }),
                None => others.push(task),
            },
        }
    }
    (elements, others)
}

/// `None` if it can't be told.
fn key_before(runtime: &Runtime, kind: &Registered, batching: &Batching, claimed: &Claimed) -> Option<Option<Arc<str>>> {
    let Some(key) = &batching.key else { return Some(None) };
    if claimed.meta.as_ref().is_some_and(|meta| meta.member.as_ref().is_some_and(|of| of.refers)) {
        return None;
    }
    let payload = Payload { id: claimed.lease.id, name: &claimed.kind, part: Part::Args };
    let args = runtime.decode(&payload, claimed.args.clone()).and_then(|args| kind.upgraded(args)).ok()?;
    Some(Some(key_of(key, &args).ok()?.into()))
}

impl Gatherings {
    /// How many tasks wait.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// How many more bytes of arguments there is room for.
    pub(crate) fn room_bytes(&self) -> usize {
        GATHERED_BYTES.saturating_sub(self.bytes)
    }

    /// When the first of them has waited for long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().map(|gathering| gathering.due).min()
    }

    /// Adds a task, and gives what is complete by that.
    pub(crate) fn add(&mut self, Element { batching, key, task }: Element<'_>) -> Vec<Gathered> {
        let mut complete = Vec::new();
        let (of, bytes) = ((task.claimed.kind.clone(), key), task.claimed.args.len());
        if self.open.get(&of).is_some_and(|gathering| gathering.bytes + bytes > BATCH_BYTES) {
            complete.extend(self.take(&of));
        }
        // One that may not start for so long begins in time, and the others with it.
        let wait = task.claimed.expires_in.map_or(batching.wait, |left| batching.wait.min(left / 2));
        let due = task.since + wait;
        let gathering = self.open.entry(of.clone()).or_insert_with(|| Gathering { tasks: Vec::new(), bytes: 0, due });
        gathering.due = gathering.due.min(due);
        gathering.tasks.push(task);
        gathering.bytes += bytes;
        self.tasks += 1;
        self.bytes += bytes;
        if gathering.tasks.len() >= batching.size {
            complete.extend(self.take(&of));
        }
        // Many keys with a few tasks each: what has waited longest makes room.
        while self.tasks > GATHERED_MAX || self.bytes > GATHERED_BYTES {
            match self.oldest().and_then(|of| self.take(&of)) {
                Some(gathered) => complete.push(gathered),
                None => break,
            }
        }
        complete
    }

    /// Those that have waited for long enough.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Gathered> {
        let due: Vec<Of> = self.open.iter().filter(|(_, gathering)| gathering.due <= now).map(|(of, _)| of.clone()).collect();
        due.iter().filter_map(|of| self.take(of)).collect()
    }

    /// Up to so many of them, whatever they still wait for, those first that have waited longest.
    pub(crate) fn take_oldest(&mut self, most: usize) -> Vec<Gathered> {
        (0..most).map_while(|_| self.oldest().and_then(|of| self.take(&of))).collect()
    }

    /// All tasks that wait.
    pub(crate) fn take_tasks(&mut self) -> Vec<Buffered> {
        std::mem::take(self).open.into_values().flat_map(|gathering| gathering.tasks).collect()
    }

    /// One of them.
    pub(crate) fn take_one(&mut self, wanted: impl Fn(&Claimed) -> bool) -> Option<Buffered> {
        let place = |gathering: &Gathering| gathering.tasks.iter().position(|task| wanted(&task.claimed));
        let (of, place) = self.open.iter().find_map(|(of, gathering)| Some((of.clone(), place(gathering)?)))?;
        let gathering = self.open.get_mut(&of)?;
        let task = gathering.tasks.remove(place);
        let bytes = task.claimed.args.len();
        gathering.bytes -= bytes;
        if gathering.tasks.is_empty() {
            self.open.remove(&of);
        }
        self.tasks -= 1;
        self.bytes -= bytes;
        Some(task)
    }

    fn oldest(&self) -> Option<Of> {
        self.open.iter().min_by_key(|(_, gathering)| gathering.due).map(|(of, _)| of.clone())
    }

    fn take(&mut self, of: &Of) -> Option<Gathered> {
        let ((kind, key), Gathering { tasks, bytes, .. }) = self.open.remove_entry(of)?;
        self.tasks -= tasks.len();
        self.bytes -= bytes;
        Some(Gathered { kind, key, tasks, since: Instant::now() })
    }
}

/// Lets batches begin whose first task has waited for long enough, until the worker stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    while !shared.stopping.is_cancelled() {
        let due = shared.lanes.all().iter().filter_map(|lane| lane.gathering_due()).min();
        let until_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = until_due => {
                let now = Instant::now();
                shared.lanes.all().iter().for_each(|lane| lane.begin_due(now));
                shared.buffered.notify_one();
            }
            // Something is gathered that may be due sooner.
            () = shared.gathering.notified() => {}
            () = shared.stopping.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::worker::lane::tests::buffered;

    fn element<'b>(batching: &'b Batching, key: &str, bytes: usize) -> Element<'b> {
        let mut task = buffered();
        task.claimed.args = "x".repeat(bytes);
        Element { batching, key: Some(key.into()), task }
    }

    fn sizes(gathered: &[Gathered]) -> Vec<usize> {
        gathered.iter().map(|gathered| gathered.tasks.len()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_complete_by_its_size_or_its_time_and_has_one_key() {
        let batching = Batching::new(3, Duration::from_secs(1));
        let mut gatherings = Gatherings::default();
        for key in ["a", "b", "a"] {
            assert!(gatherings.add(element(&batching, key, 1)).is_empty());
        }
        let complete = gatherings.add(element(&batching, "a", 1));
        assert_eq!((sizes(&complete), complete[0].key.as_deref()), (vec![3], Some("a")));
        assert_eq!((gatherings.tasks(), gatherings.bytes), (1, 1));
        let due = gatherings.due().unwrap();
        assert!(gatherings.take_due(due - Duration::from_millis(1)).is_empty());
        tokio::time::advance(Duration::from_millis(500)).await;
        gatherings.add(element(&batching, "b", 1));
        assert_eq!(gatherings.due(), Some(due), "it counts from the first");
        assert_eq!(sizes(&gatherings.take_due(due)), [2]);
        assert_eq!((gatherings.tasks(), gatherings.bytes, gatherings.due()), (0, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gathered_is_bounded_in_bytes_and_in_tasks() {
        let batching = Batching::new(10_000, Duration::from_secs(60));
        let mut gatherings = Gatherings::default();
        let large = BATCH_BYTES / 4;
        let complete: Vec<_> = (0..9).flat_map(|_| gatherings.add(element(&batching, "a", large))).collect();
        assert_eq!(sizes(&complete), [4, 4]);
        // Four keys, each too small to be complete: the first gives way.
        let mut complete = Vec::new();
        for key in ["b", "c", "d"] {
            tokio::time::advance(Duration::from_millis(1)).await;
            complete.extend(gatherings.add(element(&batching, key, 3 * large)));
        }
        assert_eq!(complete.iter().map(|of| of.key.as_deref().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        let mut gatherings = Gatherings::default();
        let many = (0..=GATHERED_MAX).flat_map(|n| gatherings.add(element(&batching, &n.to_string(), 1))).count();
        assert_eq!((many, gatherings.tasks()), (1, GATHERED_MAX));
    }

    /// Gathered for longer it could only be given back.
    #[tokio::test(start_paused = true)]
    async fn one_that_expires_sooner_begins_in_time_and_the_others_with_it() {
        let batching = Batching::new(10, Duration::from_secs(30));
        let mut gatherings = Gatherings::default();
        gatherings.add(element(&batching, "a", 1));
        let mut hasty = element(&batching, "a", 1);
        hasty.task.claimed.expires_in = Some(Duration::from_secs(10));
        let since = hasty.task.since;
        gatherings.add(hasty);
        assert_eq!(gatherings.due(), Some(since + Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_taken_out_leaves_the_others() {
        let batching = Batching::new(10, Duration::from_secs(1));
        let mut gatherings = Gatherings::default();
        gatherings.add(element(&batching, "a", 5));
        let second = element(&batching, "a", 7);
        let wanted = second.task.claimed.lease;
        gatherings.add(second);
        assert!(gatherings.take_one(|_| false).is_none());
        assert_eq!(gatherings.take_one(|claimed| claimed.lease == wanted).unwrap().claimed.lease, wanted);
        assert_eq!((gatherings.tasks(), gatherings.bytes), (1, 5));
        assert_eq!(sizes(&gatherings.take_oldest(5)), [1]);
        assert!(gatherings.take_tasks().is_empty());
    }
}
