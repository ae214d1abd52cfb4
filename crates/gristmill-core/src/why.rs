#[cfg(test)]
mod tests;
mod waits;

use std::fmt;

use serde::Serialize;

use crate::concurrency::{RATE, Standby};
use crate::durable::Memory;
use crate::workflow::{Role, StepWord, WorkflowRecord, WorkflowState, waits_for};
use crate::{
    AttemptState, Batching, Drain, LockInfo, Membership, QueueInfo, State, TaskId, TaskRecord, Timestamp, WorkerInfo, WorkflowId,
    format_duration,
};

/// So many steps or locks are named in a text; all of them are in its JSON.
const STEPS_TOLD: usize = 5;

/// Why a task does not run now, or that it does: all that stands in its way, what it waits for first being first.
///
/// As JSON, on which scripts depend as on [all other](crate::json): `{"id": ..., "state": "ready", "reasons": [{"code": "queue_paused",
/// "queue": "mail", "text": "..."}]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub state: State,
    /// Never empty.
    #[serde(serialize_with = "with_texts")]
    pub reasons: Vec<Reason>,
}

/// One thing that a task waits for, or that nothing is left to wait for. Its text says what to do, if there is something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It has ended.
    Ended {
        /// How.
        state: State,
        /// When.
        at: Option<Timestamp>,
        /// Why it was cancelled, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// It runs, or its worker has claimed it and waits for a slot.
    Running {
        /// The worker's name.
        worker: Option<String>,
        /// Since when.
        since: Option<Timestamp>,
        /// Whether somebody has asked it to end.
        cancel_requested: bool,
        /// The locks that it holds, by name.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        locks: Vec<String>,
        /// How its type is gathered to be run with others, if it is: it may wait for those as well.
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<Batching>,
    },
    /// The worker that had it lives no more.
    WorkerLost {
        /// The worker's name.
        worker: String,
    },
    /// Other tasks have not ended.
    Blocked {
        /// The workflow that it belongs to.
        workflow: Option<WorkflowId>,
        /// The steps of it that have to end first. Empty if none has to, and it goes on within moments.
        steps: Vec<String>,
    },
    /// Somebody has paused its workflow: what waits in it for other steps goes no further.
    WorkflowPaused {
        /// The workflow.
        workflow: WorkflowId,
    },
    /// Somebody has cancelled its workflow, and it is about to be cancelled with it.
    WorkflowCancelled {
        /// The workflow.
        workflow: WorkflowId,
    },
    /// Its workflow had not ended by its deadline, and was cancelled: so is, or was, what had not ended of it.
    WorkflowOverdue {
        /// The workflow.
        workflow: WorkflowId,
        /// The deadline.
        deadline: Timestamp,
    },
    /// It was cancelled as its step never went: another one did not end as that needs.
    StepSkipped {
        /// The workflow.
        workflow: WorkflowId,
        /// Its step.
        step: String,
        /// The step with which it began.
        after: String,
        /// How that one ended.
        ended: StepWord,
        /// A member of that one which did not end as it had to; `None` if that is not known.
        task: Option<TaskId>,
    },
    /// Its time has not come.
    Due {
        /// When it comes.
        at: Timestamp,
        /// How the attempt before ended, after which it is due again; `None` if it waits for its first.
        after: Option<AttemptState>,
        /// What its handler said of it, if that is why it is run again later: who has the lock that it wants, say.
        #[serde(skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// Its handler sleeps.
    Sleeps {
        /// The position of that, from 0 on.
        position: u32,
        /// Until then.
        until: Timestamp,
    },
    /// Its handler awaits an event.
    AwaitsEvent {
        /// The position of that, from 0 on.
        position: u32,
        /// The event's name.
        event: String,
        /// When it has waited for long enough.
        until: Option<Timestamp>,
    },
    /// It awaits the end of a workflow that it has started.
    AwaitsWorkflow {
        /// The position of that, from 0 on.
        position: u32,
        /// The workflow.
        workflow: WorkflowId,
        /// Whether it has become that, so that its handler runs no more.
        has_become: bool,
    },
    /// It stands still, as its code no longer asks for what it remembers.
    StandsStill {
        /// The task.
        task: TaskId,
        /// The position where that is so, from 0 on.
        position: u32,
        /// What it remembers there.
        expected: String,
        /// What its code asks for; `None` if it ends before.
        found: Option<String>,
    },
    /// There are no slots for it of a key with a limit.
    Limited {
        /// In whose line it stands; `None` if it is about to be put into one.
        #[serde(flatten)]
        standby: Option<Standby>,
    },
    /// Nobody takes anything from its queue.
    QueuePaused {
        /// The queue.
        queue: String,
    },
    /// Nobody takes anything of its task type.
    KindPaused {
        /// The task type.
        kind: String,
    },
    /// No worker that lives serves its type in its queue.
    NoWorker {
        /// The queue.
        queue: String,
        /// The task type.
        kind: String,
        /// How many workers live.
        living: u64,
        /// How many of them serve the queue.
        of_queue: u64,
        /// How many of them serve the task type.
        of_kind: u64,
    },
    /// All slots for its queue are taken.
    Busy {
        /// The queue.
        queue: String,
        /// How many slots the workers have there that serve its type.
        slots: u64,
        /// How many tasks are ready there, itself among them, at most the [limit of counts](crate::limits::COUNT_MAX). Those of a
        /// more urgent priority go before it, and those of its own that are there for longer.
        ready: u64,
    },
    /// Nothing stands in its way: a worker takes it when it comes to it.
    Next {
        /// The queue.
        queue: String,
        /// As in [`Busy`](Self::Busy).
        ready: u64,
    },
}

/// The workflow of a task, as far as that says why it does not run.
#[derive(Clone, Copy, Debug)]
pub struct WhyMember<'a> {
    /// The workflow with its steps.
    pub workflow: &'a WorkflowRecord,
    /// A member of the step that [`WorkflowRecord::began_with`] names which did not end as it had to.
    pub culprit: Option<TaskId>,
}

impl Why {
    /// Says of a task that runs how its type is gathered to be run with others.
    pub fn in_batches(&mut self, of: &Batching) {
        for reason in &mut self.reasons {
            if let Reason::Running { batch, .. } = reason {
                *batch = Some(of.clone());
            }
        }
    }

    /// What a task waits for, by what is known of it, of its workflow if it has one, of what it remembers if it is scheduled, of the queues, and
    /// of the workers. All this is not of one moment: what moves meanwhile may be told as it was.
    pub fn of(
        task: &TaskRecord,
        member: Option<WhyMember<'_>>,
        memories: &[Memory],
        queues: &[QueueInfo],
        workers: &[WorkerInfo],
    ) -> Self {
        let last = task.attempts.last();
        let here = queues.iter().find(|queue| queue.name == task.queue);
        let mut reasons = Vec::new();
        let member = task.meta.member.as_ref().zip(member);
        match task.state {
            State::Succeeded | State::Failed | State::Cancelled | State::Expired => {
                let error = task.error.as_ref().filter(|_| task.state == State::Cancelled).map(|error| error.message.clone());
                reasons.push(Reason::Ended { state: task.state, at: task.ended_at, error });
                if task.state == State::Cancelled {
                    reasons.extend(member.and_then(|(of, member)| skipped(of, member).or_else(|| overdue(member.workflow))));
                }
            }
            State::Running => {
                let attempt = last.filter(|attempt| attempt.state == AttemptState::Running);
                let worker = attempt.and_then(|attempt| attempt.worker.clone());
                let lives = |name: &str| workers.iter().any(|worker| worker.alive && worker.name == name);
                reasons.push(match worker {
                    Some(worker) if !lives(&worker) => Reason::WorkerLost { worker },
                    worker => Reason::Running {
                        worker,
                        since: attempt.and_then(|attempt| attempt.started_at),
                        cancel_requested: task.cancel_requested,
                        locks: Vec::new(),
                        batch: None,
                    },
                });
            }
            State::Blocked => match member {
                Some((of, member)) => blocked(of, member, &mut reasons),
                None => reasons.push(Reason::Blocked { workflow: None, steps: Vec::new() }),
            },
            State::Scheduled => {
                reasons = waits::reasons(task, memories);
                if reasons.is_empty() {
                    let snoozed = last.filter(|attempt| attempt.state == AttemptState::Snoozed);
                    let because = snoozed.and_then(|attempt| Some(attempt.error.as_ref()?.message.clone()));
                    reasons.push(Reason::Due { at: task.run_at, after: last.map(|attempt| attempt.state), because });
                }
            }
            State::Waiting => reasons.push(Reason::Limited { standby: None }),
            State::Ready => {}
        }
        if !task.state.is_final() && task.state != State::Running {
            if here.is_some_and(|queue| queue.paused) {
                reasons.push(Reason::QueuePaused { queue: task.queue.clone() });
            }
            reasons.extend(unserved(task, workers));
        }
        if reasons.is_empty() {
            reasons.push(turn(task, here, workers));
        }
        Self { id: task.id, state: task.state, reasons }
    }

    /// The same of a task whose type is paused, if it is still to be claimed.
    #[must_use]
    pub fn with_paused_kind(mut self, kind: &str) -> Self {
        if self.state.is_final() || self.state == State::Running {
            return self;
        }
        self.reasons.retain(|reason| !matches!(reason, Reason::Busy { .. } | Reason::Next { .. }));
        let is_no_worker = |reason: &Reason| matches!(reason, Reason::NoWorker { .. });
        let at = self.reasons.iter().position(is_no_worker).unwrap_or(self.reasons.len());
        self.reasons.insert(at, Reason::KindPaused { kind: kind.to_owned() });
        self
    }

    /// The same with the locks that its running attempt holds.
    #[must_use]
    pub fn with_locks(mut self, held: Vec<LockInfo>) -> Self {
        for reason in &mut self.reasons {
            if let Reason::Running { locks, .. } = reason {
                *locks = held.iter().map(|lock| lock.name.clone()).collect();
            }
        }
        self
    }

    /// The same with the line of a key in which it waits.
    #[must_use]
    pub fn with_standby(mut self, stands_by: Option<Standby>) -> Self {
        for reason in &mut self.reasons {
            if let Reason::Limited { standby } = reason {
                standby.clone_from(&stands_by);
            }
        }
        self
    }
}

/// Of a member that waits for other steps.
fn blocked(of: &Membership, member: WhyMember<'_>, reasons: &mut Vec<Reason>) {
    let workflow = member.workflow;
    let name = |number: u32| workflow.steps.get(number as usize).map(|step| step.spec.name.clone());
    let steps: Vec<_> = waits_for(&workflow.steps, of.number).into_iter().filter_map(name).collect();
    // Handlers and what undoes steps still have their turn.
    let is_work = workflow.steps.get(of.number as usize).is_none_or(|step| step.spec.role == Role::Work);
    let stands_still = match workflow.state {
        WorkflowState::Paused => Some(Reason::WorkflowPaused { workflow: workflow.id }),
        WorkflowState::Cancelling | WorkflowState::Cancelled if is_work => {
            overdue(workflow).or(Some(Reason::WorkflowCancelled { workflow: workflow.id }))
        }
        _ => skipped(of, member),
    };
    // Without either, its step has begun, and it is let go.
    if !steps.is_empty() || stands_still.is_none() {
        reasons.push(Reason::Blocked { workflow: Some(workflow.id), steps });
    }
    reasons.extend(stands_still);
}

/// Of a member of a workflow that was cancelled for its deadline.
fn overdue(workflow: &WorkflowRecord) -> Option<Reason> {
    let deadline = workflow.deadline.filter(|_| workflow.overdue)?;
    Some(Reason::WorkflowOverdue { workflow: workflow.id, deadline })
}

/// Of a member that was cancelled with its step.
fn skipped(of: &Membership, WhyMember { workflow, culprit }: WhyMember<'_>) -> Option<Reason> {
    let after = workflow.steps.get(workflow.began_with(of.number)? as usize)?;
    Some(Reason::StepSkipped {
        workflow: workflow.id,
        step: of.step.clone(),
        after: after.spec.name.clone(),
        ended: after.state(),
        task: culprit,
    })
}

fn unserved(task: &TaskRecord, workers: &[WorkerInfo]) -> Option<Reason> {
    let count = |of: &dyn Fn(&WorkerInfo) -> bool| workers.iter().filter(|worker| claims(worker) && of(worker)).count() as u64;
    (count(&|worker| serves(worker, task)) == 0).then(|| Reason::NoWorker {
        queue: task.queue.clone(),
        kind: task.kind.clone(),
        living: count(&|_| true),
        of_queue: count(&|worker| worker.queues.contains_key(&task.queue)),
        of_kind: count(&|worker| worker.kinds.contains(&task.kind)),
    })
}

/// Of a task that could run at once: whether there is a slot.
fn turn(task: &TaskRecord, here: Option<&QueueInfo>, workers: &[WorkerInfo]) -> Reason {
    let (queue, ready) = (task.queue.clone(), here.map_or(1, |queue| queue.ready.max(1)));
    let slots_of = |worker: &WorkerInfo| worker.queues.get(&task.queue).copied().map_or(0, u64::from);
    let slots = workers.iter().filter(|worker| claims(worker) && serves(worker, task)).map(slots_of).sum();
    if here.is_some_and(|queue| queue.running >= slots) {
        Reason::Busy { queue, slots, ready }
    } else {
        Reason::Next { queue, ready }
    }
}

fn claims(worker: &WorkerInfo) -> bool {
    worker.alive && worker.drain != Some(Drain::Heard)
}

fn serves(worker: &WorkerInfo, task: &TaskRecord) -> bool {
    worker.queues.get(&task.queue).is_some_and(|slots| *slots > 0) && worker.kinds.contains(&task.kind)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { state, at, error } => {
                write!(f, "it has ended ({state}")?;
                at.map_or(Ok(()), |at| write!(f, ", {at}"))?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))?;
                f.write_str("); `tasks retry` runs it again")
            }
            Self::Running { worker, since, cancel_requested, locks, batch } => {
                f.write_str("it runs")?;
                worker.as_ref().map_or(Ok(()), |worker| write!(f, " on {worker}"))?;
                since.map_or(Ok(()), |since| write!(f, " since {since}"))?;
                f.write_str(if *cancel_requested { ", and was asked to end" } else { "" })?;
                if let Some(Batching { size, wait, .. }) = batch {
                    let wait = format_duration(*wait);
                    write!(
                        f,
                        ", in a batch: its worker gathers up to {size} tasks, for up to {wait}, and runs them in one call"
                    )?;
                }
                if locks.is_empty() {
                    return Ok(());
                }
                let named: Vec<_> = locks.iter().take(STEPS_TOLD).map(|lock| format!("`{lock}`")).collect();
                let more = match locks.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "; it holds the {} {}{more}", if locks.len() == 1 { "lock" } else { "locks" }, named.join(", "))
            }
            Self::WorkerLost { worker } => {
                write!(f, "its worker {worker} lives no more; any other worker takes the task over within moments")
            }
            Self::Blocked { workflow: None, .. } => f.write_str("it waits for other tasks to end"),
            Self::Blocked { workflow: Some(workflow), steps } if steps.is_empty() => {
                write!(f, "its step in the workflow {workflow} has begun; it goes on within moments")
            }
            Self::Blocked { workflow: Some(workflow), steps } => {
                let named: Vec<_> = steps.iter().take(STEPS_TOLD).map(|step| format!("`{step}`")).collect();
                let more = match steps.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let what = if steps.len() == 1 { "step" } else { "steps" };
                write!(f, "it waits for the {what} {}{more} of the workflow {workflow} to end", named.join(", "))
            }
            Self::WorkflowPaused { workflow } => {
                write!(f, "its workflow is paused; `workflows resume {workflow}` lets it go on")
            }
            Self::WorkflowCancelled { .. } => f.write_str("its workflow was cancelled, and it is about to be cancelled with it"),
            Self::WorkflowOverdue { deadline, .. } => {
                write!(f, "its workflow had not ended by {deadline}, its deadline, and was cancelled with what was left of it")
            }
            Self::StepSkipped { step, after, ended, task, .. } => {
                let ended = match ended {
                    StepWord::Failed => "failed",
                    StepWord::Cancelled => "was cancelled",
                    StepWord::Succeeded => "succeeded",
                    StepWord::Waiting | StepWord::Running | StepWord::Skipped => "did not end as it had to",
                };
                write!(f, "its step `{step}` was skipped, as the step `{after}` {ended}")?;
                task.map_or(Ok(()), |task| write!(f, "; `tasks show {task}` tells of a task of that"))
            }
            Self::Due { at, after: None, .. } => write!(f, "it is due at {at}; `tasks release` lets it run now"),
            Self::Due { at, after: Some(after), because } => {
                let after = match after {
                    AttemptState::Snoozed => "its handler asked to be run again later",
                    AttemptState::Crashed => "its last attempt took its worker down",
                    _ => "its last attempt failed",
                };
                write!(f, "{after}")?;
                because.as_ref().map_or(Ok(()), |because| write!(f, " ({because})"))?;
                write!(f, ", and the next is due at {at}; `tasks release` lets it run now")
            }
            Self::Sleeps { position, until } => write!(f, "it sleeps as its step {} until {until}", nth(*position)),
            Self::AwaitsEvent { position, event, until } => {
                write!(f, "it awaits the event `{event}` as its step {}", nth(*position))?;
                until.map_or(Ok(()), |until| write!(f, ", until {until} at most"))?;
                write!(f, "; `events send {event}` sends it")
            }
            Self::AwaitsWorkflow { position, workflow, has_become } => {
                let what = if *has_become { "it has become" } else { "it awaits the end of" };
                write!(
                    f,
                    "{what} the workflow {workflow}, as its step {}; `workflows show {workflow}` tells of that",
                    nth(*position)
                )
            }
            Self::StandsStill { task, position, expected, found } => {
                write!(f, "it stands still: as its step {} it remembers `{expected}`, and its code ", nth(*position))?;
                match found {
                    Some(found) => write!(f, "asks for `{found}`")?,
                    None => f.write_str("ends before")?,
                }
                write!(
                    f,
                    "; `tasks resume {task}` lets it go on by code that does as it was, with `--forget` as if it remembered nothing from there on, \
                     and with `--fail` it fails"
                )
            }
            Self::Limited { standby: None } => f.write_str("it waits for a slot of its limit"),
            Self::Limited { standby: Some(standby) } => {
                let Standby { key, cost, limit, used, before, holders, expected } = standby;
                if limit.pace.is_some() || key.starts_with(RATE) {
                    let many = if *cost == 1 { String::new() } else { format!(", of which it takes {cost}") };
                    write!(f, "it waits for its turn by the rate `{key}`, {limit}{many}")?;
                    if limit.count == 0 {
                        f.write_str(": nobody may begin")?;
                    }
                } else {
                    let slots = if *cost == 1 { "a slot".to_owned() } else { format!("{cost} slots") };
                    write!(f, "it waits for {slots} of the key `{key}`, of which {used} of {limit} are taken")?;
                }
                match before {
                    0 => f.write_str("; it is the next")?,
                    before => write!(f, "; {before} stand before it")?,
                }
                // Of a rate they have not begun, and hold nothing up that they would give back.
                if !holders.is_empty() && limit.pace.is_none() {
                    let more = if holders.len() == Standby::HOLDERS_MAX { " ..." } else { "" };
                    let named: Vec<_> = holders.iter().map(TaskId::to_string).collect();
                    write!(f, "; held by {}{more}", named.join(" "))?;
                }
                if let Some(expected) = expected {
                    write!(f, "; it may begin at {expected} at the soonest")?;
                }
                let set = if key.starts_with(RATE) { "N/s" } else { "N" };
                write!(f, "; `limits show {key}` tells more, `limits set {key} {set}` changes it")
            }
            Self::QueuePaused { queue } => write!(f, "the queue `{queue}` is paused; `queues resume {queue}` lets it go on"),
            Self::KindPaused { kind } => write!(f, "the task type `{kind}` is paused; `kinds resume {kind}` lets it go on"),
            Self::NoWorker { queue, living: 0, .. } => write!(f, "no worker lives; start one that serves the queue `{queue}`"),
            Self::NoWorker { queue, kind, of_queue: 0, .. } => {
                write!(f, "no living worker serves the queue `{queue}`; start one for it, with the task type `{kind}`")
            }
            Self::NoWorker { queue, kind, living, of_queue, of_kind } => {
                write!(
                    f,
                    "of {}, {of_queue} serve the queue `{queue}` and {of_kind} the task type `{kind}`, but none both",
                    count(*living, "living worker")
                )?;
                f.write_str("; start a program that has the type, with the queue among those it serves")
            }
            Self::Busy { queue, slots, ready } => {
                write!(f, "all of {} for the queue `{queue}` are taken, and {} there", count(*slots, "slot"), are_ready(*ready))
            }
            Self::Next { queue, ready } => {
                write!(
                    f,
                    "nothing holds it back: {} in the queue `{queue}`, and a worker that serves it lives",
                    are_ready(*ready)
                )
            }
        }
    }
}

/// As people count.
fn nth(position: u32) -> u64 {
    u64::from(position) + 1
}

fn are_ready(ready: u64) -> String {
    format!("{} {} ready", count(ready, "task"), if ready == 1 { "is" } else { "are" })
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn with_texts<S: serde::Serializer>(reasons: &[Reason], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct WithText<'a> {
        #[serde(flatten)]
        reason: &'a Reason,
        text: String,
    }
    serializer.collect_seq(reasons.iter().map(|reason| WithText { reason, text: reason.to_string() }))
}
