use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::StepFailed;
use super::current::Current;
use crate::core::durable::{Checkpoint, Due, Kept, MISMATCH_AT, Memories, Memory, Mismatch};
use crate::core::limits::{MEMORIES_BYTES_MAX, MEMORIES_MAX, RESULTS_BYTES_MAX};
use crate::core::workflow::NewWorkflow;
use crate::core::{Failure, InvalidInput, LeaseRef, NewTask, Timestamp, limits};
use crate::error::What;
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
    /// Cancelled when nothing is waited for any more.
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
    /// Those of them that are steps, which may go on for long and end the attempt in another way.
    steps: usize,
    /// Threads that wait for something.
    threads: usize,
    waits: BTreeMap<u32, Wait>,
    /// What steps that run have enqueued.
    children: HashMap<u32, Children>,
    mismatch: Option<Mismatch>,
    /// Something is not over, and the attempt has failed with that, whatever its handler makes of it.
    broken: Option<Broken>,
    /// Something else was asked for after that, and the attempt goes no further.
    past_broken: bool,
    /// When what is remembered was read, by the store's clock.
    read_at: Option<Timestamp>,
    /// Events that had not come by then, and those that were found to have come when it was read again.
    awaited: BTreeSet<u32>,
    came: BTreeMap<u32, String>,
    /// That is remembered, and nobody should take it for what is so now.
    stood_still: bool,
    /// How the attempt ends, once it is over.
    sealed: Option<Checkpoint>,
    /// It ends to wait: nothing more can be asked for.
    over: bool,
}

/// What the attempt waits for.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) memory: Memory,
    pub(super) until: Option<Timestamp>,
    /// It is the handler's end, and these are what it leaves behind.
    pub(super) last: Option<Last>,
    /// It has a deadline that is remembered nowhere yet.
    pub(super) is_unkept: bool,
}

/// A step, or whatever else was asked for, that failed and is to be tried again by the next attempt.
#[derive(Clone, Debug)]
struct Broken {
    what: What,
    step: StepFailed,
}

impl Broken {
    fn error(&self) -> Error {
        Error::new(self.what, self.step.failure.reason, self.step.clone())
    }
}

/// What a step has enqueued.
#[derive(Debug, Default)]
struct Children {
    tasks: Vec<NewTask>,
    bytes: usize,
}

impl Wait {
    /// For no time.
    pub(super) fn of(memory: Memory) -> Self {
        Self { memory, until: None, last: None, is_unkept: false }
    }
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
            pages.read_at = Some(memories.now);
            pages.awaited =
                remembered.values().filter(|of| matches!(of.kept, Kept::Event { .. })).map(|of| of.position).collect();
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
        let mut pages = self.pages();
        if pages.over {
            return Err(super::Suspended { id: task }.into());
        }
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
        let remembered = pages.remembered.remove(&position);
        let is_known = remembered.as_ref().is_some_and(|memory| memory.name == name && memory.occurrence == occurrence);
        if pages.broken.is_some() && !is_known {
            // What was done because of that would be found where the step's success leads elsewhere. No error: a handler that asks again until
            // it has its way would keep its thread for ever.
            pages.past_broken = true;
            return Ok(Asked::Elsewhere);
        }
        Ok(match remembered {
            // What events tell is counted when it is there: nobody knows before how much it is.
            None if pages.bytes > MEMORIES_BYTES_MAX => {
                let why = format!(
                    "`{name}` can't be asked for: with its events the task remembers more than {MEMORIES_BYTES_MAX} bytes; keep what is large \
                     elsewhere, and send where"
                );
                return Err(Error::fail(InvalidInput::new("step", why)));
            }
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

    /// What was asked for failed and is not over: the first of several counts. Not the errors of what is told that the attempt is over.
    pub(super) fn broke(&self, name: &str, what: What, failure: Failure) {
        if !self.open().closed.is_cancelled() {
            let step = StepFailed { name: name.to_owned(), failure };
            self.pages().broken.get_or_insert(Broken { what, step });
        }
    }

    /// How the attempt ends where it would wait, though a step of it has failed: to wait would put off what is to be tried again. Where it
    /// stands still, as it has asked for something else before that, it does so.
    pub(crate) fn broken(&self) -> Option<Error> {
        let pages = self.open.get()?.pages();
        pages.broken.as_ref().filter(|_| pages.mismatch.is_none()).map(Broken::error)
    }

    /// Whether what is remembered was read when this time was over.
    pub(super) fn was_read_after(&self, until: Timestamp) -> bool {
        self.pages().read_at.is_some_and(|at| at >= until)
    }

    /// What is remembered was read again: of events that had not come, those that have.
    pub(super) fn read_again(&self, memories: Memories) {
        let mut pages = self.pages();
        pages.read_at = Some(memories.now);
        for memory in memories.kept {
            if let (true, Kept::Value(payload)) = (pages.awaited.contains(&memory.position), memory.kept) {
                pages.came.insert(memory.position, payload);
            }
        }
    }

    pub(super) fn take_what_came(&self, position: u32) -> Option<String> {
        self.pages().came.remove(&position)
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

    /// The same of a step, which may leave the attempt without an end that is kept.
    pub(super) fn run_step(&self) -> RunningStep<'_> {
        self.pages().steps += 1;
        RunningStep { journal: self, _running: self.run() }
    }

    /// Adds to what the step that runs on this thread has enqueued, of which there may be so many bytes. Those that no step enqueues come back.
    pub(crate) fn add_children(
        &self,
        task: crate::TaskId,
        tasks: Vec<NewTask>,
        most: usize,
    ) -> Result<Option<Vec<NewTask>>, InvalidInput> {
        let Some(position) = Current::position_of(task) else { return Ok(Some(tasks)) };
        let mut pages = self.pages();
        let of = pages.children.entry(position).or_default();
        let max = limits::BATCH_TASKS_MAX;
        if of.tasks.len() + tasks.len() > max {
            return Err(InvalidInput::new("children", format!("one step may enqueue at most {max} tasks")));
        }
        let bytes = tasks.iter().map(NewTask::bytes).fold(of.bytes, usize::saturating_add);
        if bytes > most {
            let problem =
                format!("the tasks that one step enqueues may have at most {most} bytes together; this one makes it {bytes}");
            return Err(InvalidInput::new("children", problem));
        }
        of.bytes = bytes;
        of.tasks.extend(tasks);
        Ok(None)
    }

    pub(super) fn take_children(&self, position: u32) -> Vec<NewTask> {
        self.pages().children.remove(&position).unwrap_or_default().tasks
    }

    /// Whether a step runs that may end the attempt before it ends to wait.
    pub(super) fn has_steps(&self) -> bool {
        self.pages().steps > 0
    }

    /// What is waited for until a time that is remembered nowhere yet: with the attempt it would be lost, and the next one begin the time anew.
    pub(super) fn take_unkept(&self) -> Vec<Memory> {
        let mut pages = self.pages();
        let waits = pages.waits.values_mut();
        waits.filter_map(|wait| std::mem::take(&mut wait.is_unkept).then(|| wait.memory.clone())).collect()
    }

    /// Waits until the attempt is over: forever, as far as a handler can tell that is dropped then.
    pub(super) async fn wait(&self, wait: Wait) {
        let position = wait.memory.position;
        self.pages().waits.insert(position, wait);
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
        let waits = !pages.waits.is_empty() || pages.mismatch.is_some() || pages.past_broken;
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
            for Wait { memory, until, last, .. } in std::mem::take(&mut pages.waits).into_values() {
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
        (pages.sealed, pages.over) = (Some(checkpoint), true);
        drop(pages);
        open.closed.cancel();
    }

    /// Nothing is waited for any more, as the attempt ends in another way: who waits on a thread, which nobody can drop, is told so.
    pub(crate) fn close(&self) {
        if let Some(open) = self.open.get() {
            open.closed.cancel();
        }
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
        Kept::Replaced { result, .. } => result.as_ref().map_or(0, String::len),
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

/// See [`Journal::run_step`].
pub(super) struct RunningStep<'a> {
    journal: &'a Journal,
    _running: Running<'a>,
}

impl Drop for RunningStep<'_> {
    fn drop(&mut self) {
        self.journal.pages().steps -= 1;
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::core::{Env, LeaseKey, WorkflowId};

    fn remembered(position: u32, name: &str, kept: Kept) -> Memory {
        Memory { position, name: name.to_owned(), occurrence: 0, kept }
    }

    fn known(journal: &Journal, task: crate::TaskId, name: &str) -> Wait {
        match journal.ask(task, name.to_owned()).unwrap() {
            Asked::Known(place, kept) => Wait::of(place.keep(kept)),
            other => panic!("{other:?}"),
        }
    }

    /// Stores look at nothing else: one that were left out would never be found to have come.
    #[test]
    fn a_suspension_has_all_that_still_is_waited_for_and_nothing_beside_a_mismatch() {
        let env = Env::system();
        let task = env.task_id();
        let event = Kept::Event { name: "paid".to_owned(), until: None };
        let workflow = Kept::Workflow(WorkflowId::from_uuid(env.task_id().as_uuid()));
        for differs in [false, true] {
            let journal = Journal::new(Some(LeaseRef { id: task, fence: env.fence(), key: LeaseKey::default() }));
            let kept = vec![
                remembered(0, "paid", event.clone()),
                remembered(1, "pages", workflow.clone()),
                remembered(2, "done", Kept::Value("1".to_owned())),
                remembered(3, "charge", Kept::Value("1".to_owned())),
            ];
            assert_eq!(journal.begin(Memories { now: env.now(), kept }, env.now()), Begin::Run);
            let mut poll = Context::from_waker(Waker::noop());
            let mut event_comes = pin!(journal.wait(known(&journal, task, "paid")));
            let mut workflow_ends = pin!(journal.wait(known(&journal, task, "pages")));
            assert_eq!(event_comes.as_mut().poll(&mut poll), Poll::Pending);
            assert_eq!(workflow_ends.as_mut().poll(&mut poll), Poll::Pending);
            known(&journal, task, "done");
            if differs {
                assert!(matches!(journal.ask(task, "check".to_owned()).unwrap(), Asked::Elsewhere));
            }
            journal.seal();
            let checkpoint = journal.take_sealed().unwrap();
            let positions: Vec<_> = checkpoint.memories.iter().map(|memory| memory.position).collect();
            assert_eq!(positions, if differs { vec![MISMATCH_AT] } else { vec![0, 1] });
            assert_eq!(checkpoint.suspend, Some(Due::Never));
            assert!(journal.ask(task, "more".to_owned()).is_err(), "the attempt is over");
        }
    }

    fn journal(env: &Env, task: crate::TaskId, at: i64, kept: Vec<Memory>) -> Journal {
        let journal = Journal::new(Some(LeaseRef { id: task, fence: env.fence(), key: LeaseKey::default() }));
        assert_eq!(journal.begin(Memories { now: Timestamp::from_millis(at), kept }, env.now()), Begin::Run);
        journal
    }

    /// Or each of a thousand that were not told in time would read all thousand.
    #[test]
    fn what_came_is_read_once_for_all_events_of_one_time() {
        let (env, at) = (Env::system(), Timestamp::from_millis);
        let event = |name: &str| Kept::Event { name: name.to_owned(), until: Some(at(11)) };
        let value = |of: &str| Kept::Value(of.to_owned());
        let kept = vec![remembered(0, "a", event("a")), remembered(1, "b", event("b")), remembered(2, "c", value("3"))];
        let journal = journal(&env, env.task_id(), 10, kept);
        assert!(!journal.was_read_after(at(11)));
        let kept = vec![remembered(0, "a", value("1")), remembered(1, "b", event("b")), remembered(2, "c", value("3"))];
        journal.read_again(Memories { now: at(12), kept });
        assert!(journal.was_read_after(at(11)));
        let came: Vec<_> = (0..3).map(|position| journal.take_what_came(position)).collect();
        assert_eq!(came, [Some("1".to_owned()), None, None]);
    }

    #[test]
    fn changed_code_is_told_before_a_failure_and_not_after_it() {
        let env = Env::system();
        let task = env.task_id();
        let failure = || Failure::new(crate::core::FailureReason::Error, "no net");
        for fails_first in [false, true] {
            let journal = journal(&env, task, 10, vec![remembered(0, "a", Kept::Value("1".to_owned()))]);
            let breaks = || journal.broke("b", What::Retry(crate::error::When::Backoff), failure());
            if fails_first {
                breaks();
            }
            assert!(matches!(journal.ask(task, "x".to_owned()).unwrap(), Asked::Elsewhere));
            if !fails_first {
                breaks();
            }
            assert_eq!((journal.broken().is_some(), journal.only_waits(false)), (fails_first, true));
        }
    }

    /// Who is told that the attempt is over gets an error, too.
    #[test]
    fn what_is_told_that_the_attempt_is_over_has_not_failed() {
        let env = Env::system();
        let kept = vec![remembered(0, "a", Kept::Value("1".to_owned()))];
        let journal = journal(&env, env.task_id(), 10, kept);
        journal.close();
        journal.broke("a", What::Retry(crate::error::When::Backoff), Failure::new(crate::core::FailureReason::Error, "over"));
        assert!(journal.broken().is_none());
    }
}
