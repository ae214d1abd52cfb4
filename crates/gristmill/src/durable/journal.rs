use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::current::Current;
use crate::core::durable::{Checkpoint, Due, Kept, MISMATCH_AT, Memories, Memory, Mismatch};
use crate::core::limits::{MEMORIES_BYTES_MAX, MEMORIES_MAX, RESULTS_BYTES_MAX};
use crate::core::workflow::NewWorkflow;
use crate::core::{InvalidInput, LeaseRef, NewTask, Timestamp, limits};
use crate::{Error, Result};

/// What a task has asked for so far, as one attempt of it knows it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The claim on whose fence it is kept; what runs in its caller has none, and remembers nothing.
    pub(crate) lease: Option<LeaseRef>,
    /// Nothing new is done, and nothing kept.
    replays: bool,
    /// Most tasks ask for nothing.
    open: OnceLock<Box<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    pages: Mutex<Pages>,
    /// Cancelled when nothing more can be asked for.
    closed: CancellationToken,
    /// A step has ended beside what waits on threads of their own, which then look whether anything else goes on.
    step_ended: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    /// What earlier attempts have left.
    remembered: BTreeMap<u32, Memory>,
    /// By how much the store's clock is ahead of ours, in milliseconds; `None` if nothing was read yet.
    ahead: Option<i64>,
    /// How many things this attempt has asked for.
    asked: u32,
    names: HashMap<String, u32>,
    bytes: usize,
    /// What goes on: steps that run, and what is being written.
    running: usize,
    /// Threads that wait for something.
    threads: usize,
    waits: BTreeMap<u32, Wait>,
    /// What steps that run have enqueued.
    children: HashMap<u32, Vec<NewTask>>,
    mismatch: Option<Mismatch>,
    /// That is remembered, and nobody should take it for what is so now.
    stood_still: bool,
    /// How the attempt ends, once it is over.
    sealed: Option<Checkpoint>,
}

/// What the attempt waits for.
#[derive(Debug)]
struct Wait {
    memory: Memory,
    until: Option<Timestamp>,
    /// It is the handler's end, and these are what it leaves behind.
    last: Option<Last>,
}

/// What a handler leaves behind that is replaced by a workflow.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) workflow: Box<NewWorkflow>,
    pub(super) children: Vec<NewTask>,
}

/// The place of a thing that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) position: u32,
    pub(super) name: String,
    occurrence: u32,
}

impl Place {
    pub(super) fn keep(&self, kept: Kept) -> Memory {
        Memory { position: self.position, name: self.name.clone(), occurrence: self.occurrence, kept }
    }
}

/// What is known of a thing when it is asked for.
#[derive(Debug)]
pub(super) enum Asked {
    New(Place),
    Known(Place, Kept),
    /// Something else is remembered there: the attempt does not go on.
    Elsewhere,
}

/// How an attempt begins by what is remembered.
#[derive(Debug, PartialEq)]
pub(crate) enum Begin {
    /// The handler runs.
    Run,
    /// The task has become a workflow.
    Replaced(Memory),
    /// Somebody has said that it is to fail.
    Fails(Mismatch),
}

impl Journal {
    pub(crate) fn new(lease: Option<LeaseRef>) -> Self {
        Self { lease, replays: false, open: OnceLock::new() }
    }

    /// For an attempt that is to show how far the code comes with what is remembered.
    #[cfg(feature = "testing")]
    pub(crate) fn replaying(lease: LeaseRef) -> Self {
        Self { replays: true, ..Self::new(Some(lease)) }
    }

    pub(super) fn replays(&self) -> bool {
        self.replays
    }

    /// Takes over what earlier attempts have left.
    pub(crate) fn begin(&self, memories: Memories, now: Timestamp) -> Begin {
        let mut remembered: BTreeMap<_, _> = memories.kept.into_iter().map(|memory| (memory.position, memory)).collect();
        if let Some(Memory { kept: Kept::Mismatch(mismatch), .. }) = remembered.remove(&MISMATCH_AT) {
            if mismatch.fails {
                return Begin::Fails(mismatch);
            }
            self.pages().stood_still = true;
        }
        for memory in remembered.values() {
            if let Kept::Replaced { .. } = &memory.kept {
                return Begin::Replaced(memory.clone());
            }
        }
        if !remembered.is_empty() {
            let bytes = remembered.values().map(bytes).sum();
            let mut pages = self.pages();
            pages.ahead = Some(memories.now.as_millis() - now.as_millis());
            (pages.remembered, pages.bytes) = (remembered, bytes);
        }
        Begin::Run
    }

    /// Gives a thing its position, and says what is remembered there.
    pub(super) fn ask(&self, task: crate::TaskId, name: String) -> Result<Asked> {
        limits::check_name("step", &name).map_err(Error::fail)?;
        if Current::position_of(task).is_some() {
            let why = format!("`{name}` is asked for within a step; ask for one after the other, each outside of all others");
            return Err(Error::fail(InvalidInput::new("step", why)));
        }
        if self.is_closed() {
            return Err(super::Suspended { id: task }.into());
        }
        let mut pages = self.pages();
        let position = pages.asked;
        if position as usize >= MEMORIES_MAX {
            let why = format!(
                "`{name}` would be more than {MEMORIES_MAX} things that a task asks for; do the rest in a task that this one enqueues, or in a workflow"
            );
            return Err(Error::fail(InvalidInput::new("step", why)));
        }
        pages.asked += 1;
        let count = pages.names.entry(name.clone()).or_default();
        let occurrence = *count;
        *count += 1;
        Ok(match pages.remembered.remove(&position) {
            None => Asked::New(Place { position, name, occurrence }),
            Some(memory) if memory.name == name && memory.occurrence == occurrence => {
                Asked::Known(Place { position, name, occurrence }, memory.kept)
            }
            Some(memory) => {
                pages.mismatch(position, memory.name, Some(name));
                Asked::Elsewhere
            }
        })
    }

    /// What is remembered of a thing is of another sort: it has the name of something else.
    pub(super) fn is_elsewhere(&self, place: &Place, expected: &str) {
        self.pages().mismatch(place.position, format!("{} ({expected})", place.name), Some(place.name.clone()));
    }

    /// Whether nothing is remembered from here on but what is called so; it counts as asked for then.
    pub(super) fn is_ahead(&self, name: &str) -> bool {
        let pages = self.pages();
        let next = pages.remembered.first_key_value();
        next.is_none_or(|(position, memory)| *position == pages.asked && memory.name == name && memory.kept == Kept::Patched)
    }

    /// The handler has succeeded. False if it has not asked for all that is remembered.
    pub(crate) fn has_asked_for_all(&self) -> bool {
        let Some(open) = self.open.get() else { return true };
        let mut pages = open.pages();
        let Some((position, memory)) = pages.remembered.pop_first() else { return true };
        pages.mismatch(position, memory.name, None);
        false
    }

    /// Counts what is about to be remembered.
    pub(super) fn count(&self, memory: &Memory) -> Result<(), InvalidInput> {
        let (of, more) = (format!("the value of `{}`", memory.name), bytes(memory));
        if more > RESULTS_BYTES_MAX {
            let why = format!(
                "{of} has {more} bytes of JSON; at most {RESULTS_BYTES_MAX} are remembered: keep what is large elsewhere, and return where"
            );
            return Err(InvalidInput::new("step", why));
        }
        let mut pages = self.pages();
        if pages.bytes + more > MEMORIES_BYTES_MAX {
            let why = format!(
                "with {of} a task would remember more than {MEMORIES_BYTES_MAX} bytes; keep what is large elsewhere, and return where"
            );
            return Err(InvalidInput::new("step", why));
        }
        pages.bytes += more;
        Ok(())
    }

    /// By how much the store's clock is ahead of ours, if that is known.
    pub(super) fn ahead(&self) -> Option<i64> {
        self.pages().ahead
    }

    pub(super) fn set_ahead(&self, ahead: i64) {
        self.pages().ahead = Some(ahead);
    }

    /// Something goes on, such as a step, until what this gives is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        self.pages().running += 1;
        Running(self)
    }

    /// Adds to what the step that runs on this thread has enqueued. Those that no step enqueues come back.
    pub(crate) fn add_children(&self, task: crate::TaskId, tasks: Vec<NewTask>) -> Result<Option<Vec<NewTask>>, InvalidInput> {
        let Some(position) = Current::position_of(task) else { return Ok(Some(tasks)) };
        let mut pages = self.pages();
        let of = pages.children.entry(position).or_default();
        let max = limits::BATCH_TASKS_MAX;
        if of.len() + tasks.len() > max {
            return Err(InvalidInput::new("children", format!("one step may enqueue at most {max} tasks")));
        }
        of.extend(tasks);
        Ok(None)
    }

    pub(super) fn take_children(&self, position: u32) -> Vec<NewTask> {
        self.pages().children.remove(&position).unwrap_or_default()
    }

    /// Waits until the attempt is over: forever, as far as a handler can tell that is dropped then.
    pub(super) async fn wait(&self, memory: Memory, until: Option<Timestamp>, last: Option<Last>) {
        let position = memory.position;
        self.pages().waits.insert(position, Wait { memory, until, last });
        let _waiting = Waiting { journal: self, position };
        self.until_closed().await;
    }

    /// The same without waiting for anything.
    pub(super) async fn until_closed(&self) {
        let open = self.open();
        loop {
            tokio::select! {
                biased;
                () = open.closed.cancelled() => return,
                // Whoever polls this looks anew.
                () = open.step_ended.notified() => {}
            }
        }
    }

    /// Whether nothing but waiting is left, once what was polled has no more to do. A thread that waits looks by itself.
    pub(crate) fn only_waits(&self, on_thread: bool) -> bool {
        let Some(open) = self.open.get() else { return false };
        let pages = open.pages();
        let waits = !pages.waits.is_empty() || pages.mismatch.is_some();
        waits && pages.running == 0 && (on_thread || pages.threads == 0)
    }

    /// A thread waits until what this gives is dropped.
    pub(crate) fn on_thread(&self) -> OnThread<'_> {
        self.pages().threads += 1;
        OnThread(self)
    }

    /// Ends the attempt so that the task waits, before the handler is dropped.
    pub(crate) fn seal(&self) {
        let (Some(open), Some(lease)) = (self.open.get(), self.lease) else { return };
        let mut pages = open.pages();
        let mut checkpoint = Checkpoint::new(lease);
        let mut due = None;
        if let Some(mismatch) = pages.mismatch.take() {
            // What it waits for besides would only wake it in vain.
            checkpoint.memories.push(mismatched(mismatch));
        } else {
            for Wait { memory, until, last } in std::mem::take(&mut pages.waits).into_values() {
                checkpoint.memories.push(memory);
                due = [due, until].into_iter().flatten().min();
                if let Some(Last { workflow, children }) = last {
                    (checkpoint.workflow, checkpoint.children) = (Some(workflow), children.into());
                }
            }
        }
        // What it stood still for is over, if somebody has let it run and it has come further.
        if std::mem::take(&mut pages.stood_still) && checkpoint.memories.iter().all(|memory| memory.position != MISMATCH_AT) {
            let name = "mismatch".to_owned();
            checkpoint.memories.push(Memory { position: MISMATCH_AT, name, occurrence: 0, kept: Kept::Patched });
        }
        checkpoint.suspend = Some(due.map_or(Due::Never, Due::At));
        pages.sealed = Some(checkpoint);
        drop(pages);
        open.closed.cancel();
    }

    /// How the attempt ends, if it does so to wait.
    pub(crate) fn take_sealed(&self) -> Option<Checkpoint> {
        self.open.get()?.pages().sealed.take()
    }

    /// Ends the attempt of a task that is what a workflow is, and waits for that.
    pub(crate) fn wait_on(&self, memory: Memory) {
        let Some(lease) = self.lease else { return };
        self.pages().sealed = Some(Checkpoint { memories: vec![memory], suspend: Some(Due::Never), ..Checkpoint::new(lease) });
    }

    fn is_closed(&self) -> bool {
        self.open.get().is_some_and(|open| open.closed.is_cancelled())
    }

    fn open(&self) -> &Open {
        self.open.get_or_init(Box::default)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.open().pages()
    }
}

impl Open {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// The first one counts.
    fn mismatch(&mut self, position: u32, expected: String, found: Option<String>) {
        self.mismatch.get_or_insert(Mismatch { position, expected, found, fails: false });
    }
}

fn mismatched(mismatch: Mismatch) -> Memory {
    Memory { position: MISMATCH_AT, name: "mismatch".to_owned(), occurrence: 0, kept: Kept::Mismatch(mismatch) }
}

/// What it takes up of what a task may remember.
fn bytes(memory: &Memory) -> usize {
    match &memory.kept {
        Kept::Value(text) => text.len(),
        Kept::Failed(failure) => failure.message.len() + failure.trace.as_ref().map_or(0, String::len),
        _ => 0,
    }
}

/// See [`Journal::run`].
pub(super) struct Running<'a>(&'a Journal);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let wakes = {
            let mut pages = self.0.pages();
            pages.running -= 1;
            pages.threads > 0
        };
        if wakes {
            self.0.open().step_ended.notify_waiters();
        }
    }
}

/// See [`Journal::on_thread`].
pub(crate) struct OnThread<'a>(&'a Journal);

impl Drop for OnThread<'_> {
    fn drop(&mut self) {
        self.0.pages().threads -= 1;
    }
}

/// Something that is waited for, until nobody does.
struct Waiting<'a> {
    journal: &'a Journal,
    position: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.journal.pages().waits.remove(&self.position);
    }
}
