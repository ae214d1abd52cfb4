use gristmill_core::kit::encode::ms;
use gristmill_core::kit::list::labels_of;
use gristmill_core::kit::row::NewRow;
use gristmill_core::unique::{COLLECTED_BYTES_MAX, Merge, UniqueKey, Until};
use gristmill_core::{EnqueueOutcome, Flags, Membership, NewTask, Place, TaskId, Timestamp};

use crate::names::{Names, Naming};
use crate::ops::entry;
use crate::step::{Answer, Next, Statement, Step, Value};
use crate::whereabouts::Waiter;

/// The enqueue of one task, in steps that every driver runs alike. Pure: it reads no clock and touches no file.
pub(crate) struct Plan<'a> {
    row: NewRow<'a>,
    member: Option<&'a Membership>,
    unique: Option<&'a UniqueKey>,
    /// Who has its key.
    holder: TaskId,
    now: i64,
    place: Place,
    queue: i64,
    kind: i64,
    key: i64,
    /// What the task is filed under, so far as it is not written yet.
    labels: Vec<String>,
    labels_later: bool,
    /// That of the statement before.
    label: String,
    stage: Stage,
}

/// What was asked for last.
enum Stage {
    Queue(Naming),
    Kind(Naming),
    Holder,
    Debounce(Statement),
    Merge,
    Body,
    Same,
    Label,
    Place,
    Expiry,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(task: &'a NewTask, now: Timestamp) -> Self {
        let row = NewRow::of(task);
        let place = row.place(now);
        let stage = Stage::Queue(Naming::default());
        let labels = task.meta.as_deref().map(labels_of).unwrap_or_default();
        let (labels_later, label) = (false, String::new());
        let (member, unique) = (task.membership(), task.unique());
        Self {
            row,
            member,
            unique,
            holder: task.id,
            now: now.as_millis(),
            place,
            queue: 0,
            kind: 0,
            key: 0,
            labels,
            labels_later,
            label,
            stage,
        }
    }

    /// How many labels the task gets.
    pub(crate) fn labels(&self) -> usize {
        self.labels.len()
    }

    /// Leaves them to the next sweeps.
    pub(crate) fn label_later(&mut self) {
        self.labels.clear();
        self.labels_later = true;
    }

    /// Where the task waits first.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// When it is due.
    pub(crate) fn run_at(&self) -> i64 {
        self.row.due(self.now)
    }

    /// Goes on with what the step before brought; the first time with nothing.
    pub(crate) fn step(&mut self, names: &mut Names, answer: Answer) -> Next<'_, EnqueueOutcome> {
        loop {
            match &mut self.stage {
                Stage::Queue(naming) => match naming.step(&mut names.queues, self.row.queue, answer) {
                    Next::Run(step) => return Next::Run(step),
                    Next::Done(queue) => (self.queue, self.stage) = (queue, Stage::Kind(Naming::default())),
                },
                Stage::Kind(naming) => match naming.step(&mut names.kinds, self.row.kind, answer) {
                    Next::Run(step) => return Next::Run(step),
                    Next::Done(kind) => {
                        (self.kind, self.stage) = (kind, Stage::Body);
                        let Some(unique) = self.unique else { return Next::Run(self.body()) };
                        self.stage = Stage::Holder;
                        let id = Value::Blob(self.row.id.as_bytes());
                        let values = [Value::Int(kind), Value::Text(&unique.key), Value::Int(self.now), id];
                        return Next::Run(Step::new(Statement::UniqueHolder, values));
                    }
                },
                Stage::Holder => {
                    let Some(holder) = answer.named.as_ref().and_then(|id| TaskId::from_slice(id)) else {
                        self.stage = Stage::Body;
                        return Next::Run(self.body());
                    };
                    let Some(unique) = self.unique.filter(|unique| unique.debounce.is_some() || unique.merge.is_some()) else {
                        return Next::Done(EnqueueOutcome::Exists(holder));
                    };
                    if let Some(merge) = &unique.merge {
                        (self.holder, self.stage) = (holder, Stage::Merge);
                        return Next::Run(self.merge(unique, merge));
                    }
                    // In this order, as the first two go by what the last one changes.
                    self.holder = holder;
                    self.stage = Stage::Debounce(Statement::DebounceExpiry);
                    return Next::Run(self.debounce(Statement::DebounceExpiry));
                }
                Stage::Debounce(done) => {
                    let next = match done {
                        Statement::DebounceExpiry => Statement::DebounceScheduled,
                        Statement::DebounceScheduled => Statement::DebounceTask,
                        _ => return Next::Done(EnqueueOutcome::Exists(self.holder)),
                    };
                    self.stage = Stage::Debounce(next);
                    return Next::Run(self.debounce(next));
                }
                Stage::Merge if answer.changed == 0 => {
                    self.stage = Stage::Body;
                    return Next::Run(self.body());
                }
                Stage::Merge => return Next::Done(EnqueueOutcome::Exists(self.holder)),
                Stage::Body if answer.changed == 0 => {
                    self.stage = Stage::Same;
                    // Into one that merges others may have been written meanwhile.
                    let is_merged = self.unique.is_some_and(|unique| unique.merge.is_some());
                    let args = if is_merged { Value::Null } else { Value::Text(self.row.args) };
                    let values = [Value::Blob(self.row.id.as_bytes()), Value::Int(self.kind), args];
                    return Next::Run(Step::new(Statement::TaskSame, values));
                }
                Stage::Body => {
                    (self.key, self.stage) = (answer.key, Stage::Label);
                    // Only now: an enqueue whose id is taken takes nothing.
                    if let Some(unique) = self.unique {
                        return Next::Run(self.take(unique));
                    }
                }
                Stage::Label => {
                    if let Some(label) = self.labels.pop() {
                        self.label = label;
                        let values = [Value::Text(&self.label), Value::Int(self.key)];
                        return Next::Run(Step::new(Statement::LabelInsert, values));
                    }
                    self.stage = Stage::Place;
                    return Next::Run(entry(self.place, &self.waiter()));
                }
                Stage::Same if answer.found == Some(1) => {
                    return Next::Done(EnqueueOutcome::Exists(TaskId::from_uuid(self.row.id)));
                }
                Stage::Same => return Next::Done(EnqueueOutcome::Conflict),
                Stage::Place => {
                    self.stage = Stage::Expiry;
                    if let Some(at) = self.row.expires_at(self.now) {
                        return Next::Run(Step::new(Statement::ExpiryInsert, [Value::Int(at), Value::Int(self.key)]));
                    }
                }
                Stage::Expiry => return Next::Done(EnqueueOutcome::Created),
            }
        }
    }

    fn body(&self) -> Step<'_> {
        let NewRow { id, priority, max_attempts, max_crashes, ack, retention, args, meta, .. } = &self.row;
        let values = [
            Value::Blob(id.as_bytes()),
            Value::Int(self.queue),
            Value::Int(self.kind),
            Value::Int((*priority).into()),
            Value::Int((*max_attempts).into()),
            Value::Int((*max_crashes).into()),
            Value::Int((*ack).into()),
            Value::Int(*retention),
            Value::Int(self.now),
            Value::Int(self.run_at()),
            self.row.expires_at(self.now).into(),
            Value::Text(args),
            meta.as_deref().into(),
            meta.as_ref().filter(|_| !self.labels_later).map(|_| 1).into(),
        ];
        let step = Step::new(Statement::TaskInsert, values);
        // By a statement of its own, so that others do not pay for it.
        match self.member {
            None => step,
            Some(of) => {
                let of = [Value::Blob(of.workflow.as_bytes()), Value::Int(of.number.into()), Value::Int(of.place.into())];
                step.and(Statement::TaskInsertMember, of)
            }
        }
    }

    /// Puts off the task that has the key.
    fn debounce(&self, statement: Statement) -> Step<'_> {
        let waits = self.unique.and_then(|unique| unique.debounce);
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let due = self.now.saturating_add(waits.map_or(0, |waits| ms(waits.wait_ms)));
        let most = waits.and_then(|waits| waits.max_wait_ms).map(ms);
        let values = [Value::Blob(self.holder.as_bytes()), Value::Int(due), most.into()];
        let step = Step::new(statement, values);
        if statement == Statement::DebounceTask { step.and(statement, [Value::Text(self.row.args)]) } else { step }
    }

    /// Writes into the task that has the key.
    fn merge<'s>(&'s self, unique: &'s UniqueKey, merge: &'s Merge) -> Step<'s> {
        let most = i64::try_from(COLLECTED_BYTES_MAX).unwrap_or(i64::MAX);
        let key = [Value::Int(self.kind), Value::Text(&unique.key)];
        let args = [Value::Text(self.row.args), Value::Text(merge.list()), Value::Int(most)];
        Step::new(Statement::UniqueMerge, key).and(Statement::UniqueMerge, args)
    }

    fn take<'s>(&'s self, unique: &'s UniqueKey) -> Step<'s> {
        let over_at = unique.until.period().map(|period| self.now.saturating_add(ms(period)));
        let lasts = match (unique.debounce, unique.until) {
            (Some(_), _) => 2,
            (None, until) => i64::from(until == Until::Started),
        };
        let id = Value::Blob(self.row.id.as_bytes());
        let values = [Value::Int(self.kind), Value::Text(&unique.key), id, over_at.into(), Value::Int(lasts)];
        Step::new(Statement::UniqueTake, values)
    }

    fn waiter(&self) -> Waiter {
        Waiter {
            queue: self.queue,
            kind: self.kind,
            priority: self.row.priority.into(),
            run_at: self.run_at(),
            flags: Flags::from_bits(self.row.flags),
            ..Waiter::unread(self.key)
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::TaskMeta;

    use super::*;

    #[test]
    fn a_name_is_asked_for_once_and_a_task_costs_two_statements() {
        let env = gristmill_core::Env::virtual_time(Timestamp::from_millis(5), 1).0;
        let task = |args: &str| {
            let (policy, over) = Default::default();
            NewTask::resolve("mail", &policy, args.to_owned(), over, env.task_id(), &gristmill_core::Limits::default()).unwrap()
        };
        let mut names = Names::default();
        let mut run = |task: &NewTask, answers: &[Answer]| {
            let mut plan = Plan::new(task, Timestamp::from_millis(5));
            let mut answers = answers.iter().copied();
            let mut ran = Vec::new();
            let mut answer = Answer::default();
            loop {
                match plan.step(&mut names, answer) {
                    Next::Run(step) => ran.push(step.statement),
                    Next::Done(outcome) => return (ran, outcome),
                }
                answer = answers.next().unwrap();
            }
        };
        use Statement::{KindAdd, KindFind, QueueFind, ReadyInsert, ReadyInsertFlagged, TaskInsert, TaskInsertMember, TaskSame};
        let found = |found| Answer { found, ..Answer::default() };
        let added = |key| Answer { changed: 1, key, ..Answer::default() };
        let (one, two) = (task("{}"), task("{}"));
        let first = run(&one, &[found(Some(3)), found(None), added(4), added(1), added(1)]);
        assert_eq!(first, (vec![QueueFind, KindFind, KindAdd, TaskInsert, ReadyInsert], EnqueueOutcome::Created));
        assert_eq!(run(&two, &[added(2), added(2)]), (vec![TaskInsert, ReadyInsert], EnqueueOutcome::Created));
        let again = run(&two, &[Answer::default(), found(Some(1))]);
        assert_eq!(again, (vec![TaskInsert, TaskSame], EnqueueOutcome::Exists(two.id)));
        assert_eq!(run(&two, &[Answer::default(), found(Some(0))]).1, EnqueueOutcome::Conflict);
        let of = Membership { workflow: env.workflow_id(), number: 0, step: "a".to_owned(), place: 0, refers: false };
        let meta = TaskMeta { member: Some(of), ..TaskMeta::default() };
        let member = run(&NewTask { meta: Some(Box::new(meta)), ..task("{}") }, &[added(5), added(5)]);
        assert_eq!(member, (vec![TaskInsertMember, ReadyInsertFlagged], EnqueueOutcome::Created), "nor does a member cost more");
    }
}
