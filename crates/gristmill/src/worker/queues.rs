use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::core::{Ending, InvalidInput};
use crate::runtime::Runtime;
use crate::worker::WorkerError;
use crate::worker::builder::check_queue;
use crate::worker::execute;
use crate::worker::lane::Lane;
use crate::worker::lanes::Lanes;
use crate::worker::part::supervised;
use crate::worker::shared::{Ended, Settler, Shared};

/// Changes that wait for their turn; who comes then waits for room.
const WAITING_MAX: usize = 16;

/// Changes the queues of a running worker. Cheap to clone; made by [`Running::queues`](crate::worker::Running::queues).
///
/// ```no_run
/// # use gristmill::{Client, worker::WorkerError};
/// # async fn example(client: Client) -> Result<(), WorkerError> {
/// let worker = client.worker().queue("default", 8).start().await?;
/// let queues = worker.queues();
/// queues.serve("default", 2).await?; // fewer at once from now on
/// queues.serve("import", 6).await?; // and a queue more
/// queues.withdraw("import").await?; // served no more, and none of its tasks runs here any longer
/// assert_eq!(queues.served()["default"], 2);
/// # Ok(())
/// # }
/// ```
///
/// Changes are made one after another, and last until the worker ends. They are told to the store, so that others see them.
#[derive(Clone, Debug)]
pub struct Queues {
    runtime: Arc<Runtime>,
    lanes: Arc<Lanes>,
    drains: bool,
    sender: mpsc::Sender<Change>,
}

/// A change that somebody asked for.
#[derive(Debug)]
pub(crate) struct Change {
    queue: String,
    /// Zero for a queue that is to be served no more.
    concurrency: u32,
    answer: oneshot::Sender<Result<Arc<Lane>, WorkerError>>,
}

pub(crate) type Changes = mpsc::Receiver<Change>;

impl Queues {
    pub(crate) fn new(shared: &Shared) -> (Self, Changes) {
        let (sender, changes) = mpsc::channel(WAITING_MAX);
        (
            Self { runtime: shared.ground.runtime.clone(), lanes: shared.lanes.clone(), drains: shared.config.drain, sender },
            changes,
        )
    }

    /// The queues that the worker serves, each with the number of tasks that run at once.
    pub fn served(&self) -> BTreeMap<String, u32> {
        self.lanes.queues()
    }

    /// Serves a queue with so many tasks at once from now on, whether it served it before or not. Above a lower number, what runs goes
    /// on to its end.
    ///
    /// # Errors
    /// A name or a number that can't be, a worker that [drains](crate::worker::WorkerBuilder::drain) and so has to end with the queues that it
    /// began with, one that [has stopped](WorkerError::Stopped), or a store that can't be written: then nothing is changed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the change is made or not, and never in part.
    pub async fn serve(&self, queue: impl Into<String>, concurrency: u32) -> Result<(), WorkerError> {
        let queue = self.runtime.routes.real(&queue.into()).into_owned();
        check_queue(&queue, concurrency)?;
        self.change(queue, concurrency).await.map(drop)
    }

    /// Serves a queue no more: nothing of it is claimed from now on, and what was claimed ahead is given back. Returns when the last
    /// of its tasks that runs here has ended, however long that takes; if somebody serves it again meanwhile, with the end of that.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and if the worker does not serve this queue.
    ///
    /// # Cancel safety
    /// Dropped while it waits for the last task, the queue is withdrawn.
    pub async fn withdraw(&self, queue: &str) -> Result<(), WorkerError> {
        let (served, queue) = (self.served(), &*self.runtime.routes.real(queue));
        if !served.contains_key(queue) {
            let names = served.into_keys().collect::<Vec<_>>().join(", ");
            let problem = format!("this worker does not serve the queue `{queue}`; it serves {names}");
            return Err(InvalidInput::new("queue", problem).into());
        }
        self.change(queue.to_owned(), 0).await?.slots.wait().await;
        Ok(())
    }

    async fn change(&self, queue: String, concurrency: u32) -> Result<Arc<Lane>, WorkerError> {
        if self.drains {
            return Err(InvalidInput::new("queue", "a worker that drains ends with the queues that it began with").into());
        }
        let (answer, answered) = oneshot::channel();
        let change = Change { queue, concurrency, answer };
        self.sender.send(change).await.map_err(|_| WorkerError::Stopped)?;
        answered.await.unwrap_or(Err(WorkerError::Stopped))
    }
}

/// Adds slots to lanes.
pub(crate) struct Filler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slots: TaskTracker,
    pub(crate) settler: Settler,
}

impl Filler {
    pub(crate) fn fill(&self, lane: &Arc<Lane>, count: u32) {
        for _ in 0..count {
            let slot = lane.slots.track_future(execute::slot(self.shared.clone(), lane.clone(), self.settler.clone()));
            self.slots.spawn(supervised(self.shared.clone(), "slot", slot));
        }
    }
}

/// Makes the changes that are asked for, until the worker stops.
pub(crate) async fn run(filler: Filler, mut changes: Changes) {
    let stopping = filler.shared.stopping.clone();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stopping.cancelled() => return,
        };
        // Nobody is left who could ask.
        let Some(Change { queue, concurrency, answer }) = change else { return };
        let changed = tokio::select! {
            changed = make(&filler, &queue, concurrency) => changed,
            () = stopping.cancelled() => Err(WorkerError::Stopped),
        };
        // Whoever asked may be gone.
        let _ = answer.send(changed);
    }
}

async fn make(filler: &Filler, queue: &str, concurrency: u32) -> Result<Arc<Lane>, WorkerError> {
    let shared = &filler.shared;
    let mut queues = shared.lanes.queues();
    queues.remove(queue);
    if concurrency > 0 {
        queues.insert(queue.to_owned(), concurrency);
    }
    // First, so that nothing is changed if it can't be written, and under the same id, which keeps what the worker holds. One whose
    // lease is lost says all anew by itself.
    let mut told = None;
    if shared.trust.holds() {
        let id = shared.id();
        shared.source().enter(&shared.spec(id, queues)).await?;
        told = Some(id);
    }
    let lane = shared.lanes.resize(queue, concurrency, |lane, more| filler.fill(lane, more)).ok_or(WorkerError::Stopped)?;
    // It may have said so by now, and with the queues of before.
    if told != Some(shared.id()) && shared.trust.holds() {
        shared.tell_queues().await?;
    }
    if concurrency == 0 {
        for buffered in lane.take_buffered() {
            // Refused only when the worker ends, which gives all back that it holds.
            let _ = filler.settler.send(Ended::new(&buffered.claimed, Ending::Released)).await;
        }
    }
    tracing::info!(queue, concurrency, "the worker's queues were changed");
    Ok(lane)
}
