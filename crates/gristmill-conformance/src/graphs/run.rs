use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Due, Kept, Memory, NewEvent};
use gristmill_core::workflow::{Draft, DraftError, Extended, Extension, NewWorkflow, Order, Retried, Retry, Started, StepDraft};
use gristmill_core::{
    Claim, Claimed, Ending, Env, LeaseRef, Limits, Membership, NewTask, Overrides, Policy, Retention, RetryOutcome, Settled,
    Settlement, State, Store, TaskId, TaskMeta, VirtualTime, Wanted, WorkerId, WorkerSpec, WorkflowId,
};

use super::dice::Dice;
use super::draw::draw;
use super::judge::Judge;
use crate::source::settle_all;
use crate::suite::{KIND, QUEUE};
use crate::{MemoryStore, Subject};

const LEASE: Duration = Duration::from_secs(30);
/// Random things that happen before all that is left may end well.
const TURNS: usize = 40;
/// So many events members may wait for.
const EVENTS: usize = 3;
/// Rounds in which all that is left must have ended.
const ROUNDS_MAX: usize = 200;

/// One workflow, from its start to its end.
pub(super) struct Run<'a> {
    subject: &'a dyn Subject,
    store: Arc<dyn Store>,
    env: Env,
    time: VirtualTime,
    dice: Dice,
    worker: WorkerId,
    id: WorkflowId,
    new: NewWorkflow,
    judge: Judge,
    /// How often it was begun.
    attempt: u32,
    leases: Vec<LeaseRef>,
    /// Workflows that members have started.
    children: Vec<WorkflowId>,
    story: String,
}

type Told = Result<(), String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl<'a> Run<'a> {
    pub(super) async fn new(
        subject: &'a dyn Subject,
        store: Arc<dyn Store>,
        env: Env,
        time: VirtualTime,
        mut dice: Dice,
    ) -> Self {
        let id = env.workflow_id();
        let draft = draw(&mut dice);
        let new = draft.resolve(id, "{}".to_owned(), |_, _, ()| Ok::<_, DraftError>(task(&env))).expect("what is drawn is right");
        let judge = Judge::new(&new.steps);
        let worker = env.worker_id();
        Self {
            subject,
            store,
            env,
            time,
            dice,
            worker,
            id,
            new,
            judge,
            attempt: 1,
            leases: Vec::new(),
            children: Vec::new(),
            story: String::new(),
        }
    }

    pub(super) fn story(&self) -> String {
        let mut graph = String::new();
        for (number, step) in self.new.steps.iter().enumerate() {
            _ = writeln!(
                graph,
                "  {number} {} members {} open {}",
                serde_json::to_string(&step.spec).unwrap_or_default(),
                step.members,
                step.open
            );
        }
        format!("{graph}{}", self.story)
    }

    pub(super) fn into_store(self) -> Arc<dyn Store> {
        self.store
    }

    pub(super) async fn play(&mut self) -> Told {
        self.enter().await?;
        self.start().await?;
        loop {
            for _ in 0..TURNS {
                self.happen().await?;
                self.look().await?;
                if self.judge.is_over() && self.dice.once_in(3) {
                    break;
                }
            }
            self.end_well().await?;
            if !self.dice.once_in(3) {
                return Ok(());
            }
            self.retry_all().await?;
        }
    }

    /// Begins all of it anew, or what failed.
    async fn retry_all(&mut self) -> Told {
        let retry = [Retry::All, Retry::Failed, Retry::FailedAndAfter][self.dice.below(3)];
        let rerun = if self.dice.once_in(3) { retry.without_history() } else { retry.into() };
        let answer = self.store.retry_workflow(self.id, rerun).await.map_err(text)?;
        self.tell(format_args!("retry {rerun:?}: {answer:?}"));
        self.attempt += 1;
        match (answer, self.judge.began_anew(retry)) {
            (Retried::Done(attempt), true) if attempt == self.attempt => {}
            (Retried::Nothing, false) => self.attempt -= 1,
            (answer, _) => return Err(format!("a retry of the whole was answered by {answer:?}")),
        }
        self.sweep().await?;
        self.look().await
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        _ = writeln!(self.story, "{what}");
    }

    async fn enter(&mut self) -> Told {
        self.worker = self.env.worker_id();
        let spec = WorkerSpec {
            id: self.worker,
            name: "graphs".to_owned(),
            lease: LEASE,
            kinds: vec![KIND.into()],
            queues: [(QUEUE.to_owned(), 10)].into(),
            version: "1".to_owned(),
        };
        self.store.enter(&spec).await.map_err(text)?;
        self.sweep().await
    }

    async fn start(&mut self) -> Told {
        for member in &self.new.members {
            let of = member.membership().expect("a member");
            self.judge.add(of.number as usize, member.id);
        }
        // What a handle does whose answer was lost.
        let times = 1 + usize::from(self.dice.once_in(4));
        for time in 0..times {
            let started = self.store.start_workflow(self.new.clone()).await.map_err(text)?;
            let expected = if time == 0 { Started::Created } else { Started::Exists(self.id) };
            if started != expected {
                return Err(format!("a start was answered by {started:?} instead of {expected:?}"));
            }
        }
        self.look().await
    }

    /// Something happens.
    async fn happen(&mut self) -> Told {
        match self.dice.below(20) {
            0..5 => self.claim().await,
            5..12 => self.settle().await,
            12 => self.cancel_one().await,
            13 => self.retry_one().await,
            14 => self.extend().await,
            15 => self.pause_or_resume().await,
            16 if self.dice.once_in(4) => self.cancel_all().await,
            17 if self.dice.once_in(2) => self.die().await,
            18 if self.dice.once_in(2) => self.send_one().await,
            18 => self.delete_one().await,
            19 if self.dice.once_in(3) => {
                self.tell("the process dies");
                // The subject gets the only handle, so that the old store can be gone before the new one is there.
                let dead = std::mem::replace(&mut self.store, MemoryStore::new(self.env.clone()));
                self.store = self.subject.reopen(dead, self.env.clone()).await;
                Ok(())
            }
            _ => self.sweep().await,
        }
    }

    async fn claim(&mut self) -> Told {
        let limit = 1 + self.dice.below(3);
        self.claim_up_to(limit).await.map(drop)
    }

    async fn claim_up_to(&mut self, limit: usize) -> Result<usize, String> {
        let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted: vec![Wanted::new(QUEUE, limit)], again: false };
        let claimed = self.store.claim(&claim).await.map_err(text)?;
        let count = claimed.len();
        for Claimed { lease, meta, .. } in claimed {
            let of = meta.as_ref().and_then(|meta| meta.member.as_ref()).map(|of| format!("{}[{}]", of.step, of.place));
            self.tell(format_args!("claim {}", of.as_deref().unwrap_or("a task of no workflow")));
            // Members of workflows that members have started go when they may.
            if meta.as_ref().and_then(|meta| meta.member.as_ref()).is_none_or(|of| of.workflow == self.id) {
                self.judge.claimed(lease.id)?;
            }
            self.leases.push(lease);
        }
        Ok(count)
    }

    async fn settle(&mut self) -> Told {
        if self.leases.is_empty() {
            return self.claim().await;
        }
        let mut settlements = Vec::new();
        for _ in 0..=self.dice.below(3) {
            if self.leases.is_empty() {
                break;
            }
            let lease = self.leases.swap_remove(self.dice.below(self.leases.len()));
            if self.dice.once_in(8) {
                self.suspend(lease).await?;
                continue;
            }
            let ending = match self.dice.below(8) {
                0 => Ending::Failed,
                1 => Ending::Retry { delay: Duration::ZERO },
                2 => Ending::Cancelled,
                3 => Ending::Snooze { delay: Duration::from_secs(1) },
                _ => Ending::Succeeded,
            };
            settlements.push(Settlement::new(lease, ending));
        }
        self.tell(format_args!("settle {:?}", settlements.iter().map(|one| one.ending).collect::<Vec<_>>()));
        if self.dice.once_in(5) {
            // Its answer is lost.
            settle_all(&*self.store, settlements.clone()).await;
        }
        settle_all(&*self.store, settlements).await;
        Ok(())
    }

    /// An attempt ends until something happens: an event, a time, or the end of a workflow that it has started.
    async fn suspend(&mut self, lease: LeaseRef) -> Told {
        let mut checkpoint = Checkpoint { suspend: Some(Due::Never), ..Checkpoint::new(lease) };
        let kept = match self.dice.below(3) {
            0 => Kept::Event { name: self.event(), until: None },
            1 => {
                checkpoint.suspend = Some(Due::In(Duration::from_secs(1)));
                Kept::Sleeps(self.env.now())
            }
            _ => {
                let steps = vec![StepDraft::group("some", KIND, vec![(); self.dice.below(3)])];
                let draft = Draft {
                    name: "child".to_owned(),
                    key: None,
                    tags: Vec::new(),
                    retention: Retention::default(),
                    deadline: None,
                    steps,
                };
                let id = self.env.workflow_id();
                let child = draft.resolve(id, "{}".to_owned(), |_, _, ()| Ok::<_, DraftError>(task(&self.env))).map_err(text)?;
                checkpoint.workflow = Some(Box::new(child));
                Kept::Workflow(id)
            }
        };
        checkpoint.memories = vec![Memory { position: 0, name: "wait".to_owned(), occurrence: 0, kept }];
        let started = checkpoint.workflow.as_ref().map(|child| child.id);
        let answer = self.store.checkpoint(checkpoint).await.map_err(text)?;
        self.tell(format_args!("suspend {}: {answer:?}", lease.id));
        // Of one that was asked to end nothing is kept.
        if !matches!(answer, Settled::LeaseLost | Settled::Done(State::Cancelled)) {
            self.children.extend(started);
        }
        Ok(())
    }

    /// One of a few.
    fn event(&mut self) -> String {
        format!("event{}", self.dice.below(EVENTS))
    }

    async fn send_one(&mut self) -> Told {
        let name = self.event();
        self.send(name).await
    }

    async fn send(&mut self, name: String) -> Told {
        let answer = self.store.send_event(NewEvent::new(name.clone(), "1").map_err(text)?).await.map_err(text)?;
        self.tell(format_args!("send {name}: {answer:?}"));
        Ok(())
    }

    fn some_member(&mut self) -> Option<TaskId> {
        let members = self.judge.members();
        self.dice.one(&members).copied()
    }

    async fn cancel_one(&mut self) -> Told {
        let Some(id) = self.some_member() else { return Ok(()) };
        let answer = self.store.cancel(&[id]).await.map_err(text)?;
        self.tell(format_args!("cancel {id}: {answer:?}"));
        Ok(())
    }

    async fn retry_one(&mut self) -> Told {
        let Some(id) = self.some_member() else { return Ok(()) };
        let answer = self.store.retry(&[id]).await.map_err(text)?;
        self.tell(format_args!("retry {id}: {answer:?}"));
        if answer == [RetryOutcome::Ready] {
            self.judge.retried(id);
        }
        Ok(())
    }

    /// Refused while somebody may want its result.
    async fn delete_one(&mut self) -> Told {
        if self.judge.is_over() {
            return Ok(());
        }
        let Some(id) = self.some_member() else { return Ok(()) };
        let answer = self.store.delete(&[id]).await.map_err(text)?;
        self.tell(format_args!("delete {id}: {answer:?}"));
        if answer == [gristmill_core::DeleteOutcome::Deleted] { Err("a member was deleted".to_owned()) } else { Ok(()) }
    }

    async fn extend(&mut self) -> Told {
        let step = self.dice.below(self.new.steps.len());
        let (count, close) = (self.dice.below(3) as u32, self.dice.once_in(2));
        self.extend_by(step, count, close).await
    }

    async fn extend_by(&mut self, number: usize, count: u32, close: bool) -> Told {
        let from = self.judge.members_of(number);
        let name = self.new.steps[number].spec.name.clone();
        let member = |place| {
            let of = Membership { workflow: self.id, number: number as u32, step: name.clone(), place, refers: false };
            NewTask { meta: Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() })), ..task(&self.env) }
        };
        let members: Vec<_> = (from..from + count).map(member).collect();
        let ids: Vec<_> = members.iter().map(|member| member.id).collect();
        let extension = Extension { workflow: self.id, step: number as u32, from, members, close };
        let answer = self.store.extend_workflow(extension).await.map_err(text)?;
        self.tell(format_args!("extend {name} by {count}, close {close}: {answer:?}"));
        match answer {
            Extended::Added(_) if self.judge.takes_members(number) => {
                ids.into_iter().for_each(|id| self.judge.add(number, id));
                if close {
                    self.judge.close(number);
                }
                Ok(())
            }
            Extended::Closed if !self.judge.takes_members(number) => Ok(()),
            // Nothing was added that was not there.
            Extended::Added(_) if count == 0 => Ok(()),
            answer => Err(format!("more members for {name} were answered by {answer:?}")),
        }
    }

    async fn pause_or_resume(&mut self) -> Told {
        let order = if self.dice.once_in(2) { Order::Pause } else { Order::Resume };
        self.order(order).await
    }

    async fn order(&mut self, order: Order) -> Told {
        let answer = self.store.order_workflow(self.id, order).await.map_err(text)?;
        self.tell(format_args!("{order:?}: {answer:?}"));
        if matches!(answer, gristmill_core::workflow::Ordered::Done(_)) {
            match order {
                Order::Pause => self.judge.paused(true),
                Order::Resume => self.judge.paused(false),
                Order::Cancel => self.judge.cancelled(),
            }
        }
        Ok(())
    }

    async fn cancel_all(&mut self) -> Told {
        self.order(Order::Cancel).await
    }

    /// The worker dies with all that it holds, and another one comes.
    async fn die(&mut self) -> Told {
        self.tell("the worker dies");
        let started: Vec<_> = self.leases.drain(..).collect();
        self.store.start(&started).await.map_err(text)?;
        self.time.advance(LEASE);
        self.sweep().await?;
        self.enter().await
    }

    async fn sweep(&mut self) -> Told {
        while self.store.sweep(1_000).await.map_err(text)?.next_due == Some(Duration::ZERO) {}
        Ok(())
    }

    async fn look(&mut self) -> Told {
        let ids = self.judge.members();
        let states = self.store.task_states(&ids).await.map_err(text)?;
        self.judge.saw(&states)?;
        let record = self.store.workflow(self.id).await.map_err(text)?.ok_or("the workflow is gone")?;
        self.judge.compare(&record)
    }

    /// All that is left ends, and then there is nothing left.
    async fn end_well(&mut self) -> Told {
        self.tell("from here on all goes well");
        self.order(Order::Resume).await?;
        for n in 0..EVENTS {
            self.send(format!("event{n}")).await?;
        }
        for number in 0..self.new.steps.len() {
            if self.new.steps[number].open {
                self.extend_by(number, 0, true).await?;
            }
        }
        self.look().await?;
        for _ in 0..ROUNDS_MAX {
            self.time.advance(Duration::from_secs(2));
            self.store.heartbeat(self.worker, LEASE).await.map_err(text)?;
            self.sweep().await?;
            self.claim_up_to(100).await?;
            let settlements: Vec<_> = self.leases.drain(..).map(|lease| Settlement::new(lease, Ending::Succeeded)).collect();
            let none = settlements.is_empty();
            settle_all(&*self.store, settlements).await;
            self.look().await?;
            let ids = self.judge.members();
            let states = self.store.task_states(&ids).await.map_err(text)?;
            if none
                && self.judge.is_over()
                && states.iter().flatten().copied().all(State::is_final)
                && self.children_ended().await?
            {
                return Ok(());
            }
        }
        Err("something of it never ends".to_owned())
    }

    async fn children_ended(&self) -> Result<bool, String> {
        for child in &self.children {
            let record = self.store.workflow(*child).await.map_err(text)?.ok_or("a workflow that was started is not there")?;
            if !record.state.is_final() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn task(env: &Env) -> NewTask {
    NewTask::resolve(KIND, &Policy::default(), "{}".to_owned(), Overrides::default(), env.task_id(), &Limits::default())
        .expect("a plain task is within every limit")
}
