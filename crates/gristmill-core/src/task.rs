use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::concurrency::{Concurrency, FairBy, Need, OnExcess, RULES_MAX, Rate};
use crate::kind::{check_counts, check_labels, check_timeout};
use crate::unique::{Debounce, Unique, UniqueKey};
use crate::{
    Ack, AttemptState, Backoff, Failure, Flags, Hold, InvalidInput, KindSpec, Limits, Policy, Retention, State, TaskId,
    Timestamp, WorkflowId, limits, version,
};

/// A task on its way into a store: everything is decided, nothing is yet kept.
///
/// Made from a [`KindSpec`] and the [`Overrides`] of one enqueue by [`NewTask::resolve`], so that precedence is decided
/// in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// Known before the commit; enqueueing the same id again changes nothing.
    pub id: TaskId,
    /// The task type.
    pub kind: String,
    /// The queue it waits in.
    pub queue: String,
    /// 0 first … 9 last.
    pub priority: u8,
    /// Failed attempts until it fails.
    pub max_attempts: u32,
    /// Crashes until it fails.
    pub max_crashes: u32,
    /// Whether a crash is run again.
    pub ack: Ack,
    /// How long it is kept once it ended.
    pub retention: Retention,
    /// How long it has to wait first, by the store's clock. Ignored when `run_at` is given.
    pub delay: Duration,
    /// When it is due.
    pub run_at: Option<Timestamp>,
    /// How long after it is due it may still start.
    pub expires: Option<Duration>,
    /// The arguments: a JSON object.
    pub args: String,
    /// What most tasks do without.
    pub meta: Option<Box<TaskMeta>>,
    /// What holds it back beside its time.
    pub hold: Hold,
}

impl NewTask {
    /// What is unusual about it.
    pub fn flags(&self) -> Flags {
        let of_meta = self.meta.as_deref().map_or(Flags::NONE, TaskMeta::flags);
        if self.hold.limited { of_meta.with(Flags::LIMITED) } else { of_meta.without(Flags::LIMITED).without(Flags::RATED) }
    }

    /// Which workflow it belongs to, if any.
    pub fn membership(&self) -> Option<&Membership> {
        self.meta.as_deref().and_then(|meta| meta.member.as_ref())
    }

    /// About how many bytes are kept of it.
    pub fn bytes(&self) -> usize {
        let texts = |meta: &TaskMeta| {
            let headers = meta.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            headers + meta.tags.iter().map(String::len).sum::<usize>() + meta.title.as_ref().map_or(0, String::len)
        };
        self.args.len() + self.meta.as_deref().map_or(0, texts)
    }
}

/// The parts of a task that most do without; kept as one JSON value beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMeta {
    /// The task whose handler enqueued this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Context that travels with the task and to its children: trace, user, request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The timeout of this one enqueue, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The backoff of this one enqueue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The moment from which it is not worth starting any more, whenever it is due; see [`NewTask::deadline`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What this one task is about, for people: at most [`TITLE_BYTES_MAX`](limits::TITLE_BYTES_MAX) bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Which workflow it belongs to. Only a store's workflow operations write such tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Membership>,
    /// The slots that it needs to run, in the order of their keys; see [`Concurrency`]. Whoever writes this holds the task back by
    /// [`Hold::limited`], too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Its key, if no other task of its type may have it at once. Members of workflows have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueKey>,
}

impl TaskMeta {
    /// What is unusual about a task that says this.
    pub fn flags(&self) -> Flags {
        let says = |is: bool, flag| if is { flag } else { Flags::NONE };
        says(self.member.is_some(), Flags::MEMBER)
            .with(says(!self.needs.is_empty(), Flags::LIMITED))
            .with(says(self.needs.iter().any(|need| need.pace.is_some()), Flags::RATED))
    }
}

/// That a task is a member of a step of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The run of the workflow.
    pub workflow: WorkflowId,
    /// The number of the step.
    pub number: u32,
    /// Its name, for people.
    pub step: String,
    /// The member's place among those of the step, from 0 on.
    pub place: u32,
    /// Whether its arguments refer to results of earlier steps, which are put in when an attempt begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refers: bool,
}

/// What a single enqueue may say that differs from its task type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// An id of the caller's choice.
    pub id: Option<TaskId>,
    /// See [`Policy::queue`].
    pub queue: Option<String>,
    /// See [`Policy::priority`].
    pub priority: Option<u8>,
    /// See [`Policy::max_attempts`].
    pub max_attempts: Option<u32>,
    /// See [`Policy::max_crashes`].
    pub max_crashes: Option<u32>,
    /// See [`Policy::ack`].
    pub ack: Option<Ack>,
    /// See [`Policy::retention`].
    pub retention: Option<Retention>,
    /// See [`Policy::expires`]; [`DURATION_MAX`](limits::DURATION_MAX) is none, also where the task type has one.
    pub expires: Option<Duration>,
    /// The moment from which it is not worth starting any more; refused together with `expires`.
    pub expires_at: Option<Timestamp>,
    /// See [`Policy::timeout`]; [`DURATION_MAX`](limits::DURATION_MAX) is as good as none.
    pub timeout: Option<Duration>,
    /// See [`Policy::backoff`].
    pub backoff: Option<Backoff>,
    /// Wait this long first.
    pub delay: Option<Duration>,
    /// Wait until then; refused together with `delay`.
    pub run_at: Option<Timestamp>,
    /// What this one task is about, for people. Control characters are left out, and the rest is cut at
    /// [`TITLE_BYTES_MAX`](limits::TITLE_BYTES_MAX) bytes.
    pub title: Option<String>,
    /// Added to the task type's own.
    pub tags: Vec<String>,
    /// Context for the handler and its children.
    pub headers: BTreeMap<String, String>,
    /// The task that enqueues this one.
    pub parent: Option<TaskId>,
    /// In the stead of the limits of [`Policy::concurrency`]; an empty list is no limit, also where the task type has one.
    pub concurrency: Option<Vec<Concurrency>>,
    /// In the stead of its sequences, likewise.
    pub sequence: Option<Vec<Concurrency>>,
    /// In the stead of the rates of [`Policy::rate`], likewise.
    pub rate: Option<Vec<Rate>>,
    /// How many tasks of the queue that it goes to may run at once, beside all else that holds it back.
    pub queue_concurrency: Option<u32>,
    /// Between which keys the queue that it goes to is fair.
    pub queue_fair_by: Option<FairBy>,
    /// In the stead of [`Policy::unique`]; `Some(None)` is none, also where the task type has one.
    pub unique: Option<Option<Unique>>,
    /// In the stead of [`Policy::debounce`], likewise.
    pub debounce: Option<Option<Debounce>>,
}

impl NewTask {
    /// Its key, if no other task of its type may have it at once.
    pub fn unique(&self) -> Option<&UniqueKey> {
        self.meta.as_deref()?.unique.as_ref()
    }

    /// Joins a task type's policy with the overrides of one enqueue and checks all of it against the limits.
    ///
    /// `args` must be the JSON text of an object; whether it fits the schema is the caller's to check.
    ///
    /// # Errors
    /// The field that is out of range, and what would be right.
    pub fn resolve(
        kind: &str,
        policy: &Policy,
        args: String,
        over: Overrides,
        id: TaskId,
        max: &Limits,
    ) -> Result<Self, InvalidInput> {
        limits::check_name("task", kind)?;
        if args.len() > max.args_bytes {
            return Err(InvalidInput::new(
                "args",
                format!("are {} bytes of JSON; at most {} are allowed", args.len(), max.args_bytes),
            ));
        }
        limits::check_depth("args", &args)?;
        if !args.trim_start().starts_with('{') {
            return Err(InvalidInput::new("args", "are not a JSON object such as {\"name\": \"value\"}"));
        }
        if over.delay.is_some() && over.run_at.is_some() {
            return Err(InvalidInput::new("delay", "says when it is due, and so does `at`; give one of them"));
        }
        if over.expires.is_some() && over.expires_at.is_some() {
            return Err(InvalidInput::new(
                "expires",
                "says until when it is worth starting, and so does `expires_at`; give one of them",
            ));
        }
        check_counts(over.priority, over.max_attempts, over.max_crashes)?;
        if let Some(queue) = &over.queue {
            limits::check_name("queue", queue)?;
        }
        for (field, duration) in [("delay", over.delay), ("expires", over.expires), ("timeout", over.timeout)] {
            if duration.is_some_and(|d| d > limits::DURATION_MAX) {
                return Err(InvalidInput::new(field, "is longer than 100 years"));
            }
        }
        check_timeout(over.timeout)?;
        over.backoff.as_ref().map_or(Ok(()), crate::Backoff::check)?;
        check_labels("tags", over.tags.iter())?;
        check_labels("headers", over.headers.keys())?;
        let bytes: usize = over.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::HEADER_BYTES_MAX {
            let most = limits::HEADER_BYTES_MAX;
            return Err(InvalidInput::new("headers", format!("have {bytes} bytes together; at most {most} are kept")));
        }
        // The longest is none, also where the task type says one.
        let mut expires = over.expires.or(policy.expires).filter(|expires| *expires < limits::DURATION_MAX);
        let mut expires_at = over.expires_at;
        if let (Some(at), Some(run_at)) = (expires_at, over.run_at) {
            if at < run_at {
                return Err(InvalidInput::new("expires_at", "is before the moment at which the task is due"));
            }
            // Both are known, so that the form which every store has says it all.
            (expires, expires_at) = (Some(at.since(run_at)), None);
        }
        let unique = over.unique.unwrap_or_else(|| policy.unique.clone());
        let debounce = over.debounce.unwrap_or_else(|| policy.debounce.clone());
        let mut delay = over.delay.unwrap_or_default();
        if let Some(debounce) = &debounce {
            debounce.check_beside(unique.as_ref())?;
            if over.delay.is_some() || over.run_at.is_some() || over.expires_at.is_some() {
                let problem = "says when the task is due, so that nothing else does; leave out the delay, `at` and `expires_at`";
                return Err(InvalidInput::new("debounce", problem));
            }
            delay = debounce.wait;
        }
        let rates = over.rate.as_ref().unwrap_or(&policy.rate);
        let (mut needs, unique) = keys(kind, &rules(policy, over.concurrency, over.sequence), rates, unique, debounce, &args)?;
        let queue = over.queue.unwrap_or_else(|| policy.queue.clone());
        if let Some(limit) = over.queue_concurrency {
            needs.push(Concurrency::need_of_queue(&queue, limit)?);
        }
        let priority = over.priority.unwrap_or(policy.priority);
        if let Some(fair) = &over.queue_fair_by {
            needs.push(fair.need(&queue, priority, &read_args(&args)?)?);
        }
        if over.queue_concurrency.is_some() || over.queue_fair_by.is_some() {
            needs.sort_by(|one, other| one.in_order().cmp(&other.in_order()));
        }
        if needs.len() > RULES_MAX {
            let problem = format!("has {} rules, with those of its queue; at most {RULES_MAX} are allowed", needs.len());
            return Err(InvalidInput::new("concurrency", problem));
        }
        let hold = Hold { limited: !needs.is_empty(), ..Hold::NONE };
        let mut tags = policy.tags.clone();
        tags.extend(over.tags);
        let meta = TaskMeta {
            parent: over.parent,
            tags,
            headers: over.headers,
            timeout_ms: over.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            backoff: over.backoff,
            expires_at,
            title: over.title.map(limits::title).filter(|title| !title.is_empty()),
            member: None,
            needs,
            unique,
        };
        Ok(Self {
            id: over.id.unwrap_or(id),
            kind: kind.to_owned(),
            queue,
            priority,
            max_attempts: over.max_attempts.unwrap_or(policy.max_attempts),
            max_crashes: over.max_crashes.unwrap_or(policy.max_crashes),
            ack: over.ack.unwrap_or(policy.ack),
            retention: over.retention.unwrap_or(policy.retention),
            delay,
            run_at: over.run_at,
            expires,
            args,
            meta: (meta != TaskMeta::default()).then(|| Box::new(meta)),
            hold,
        })
    }

    /// As [`resolve`](Self::resolve), for a task type that is described.
    ///
    /// # Errors
    /// As there.
    pub fn of(kind: &KindSpec, args: String, over: Overrides, id: TaskId, max: &Limits) -> Result<Self, InvalidInput> {
        Self::resolve(&kind.name, &kind.policy, args, over, id, max)
    }

    /// When it is due, for a store whose clock says `now`.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        self.run_at.unwrap_or_else(|| now.saturating_add(self.delay))
    }

    /// The moment from which it ends as `expired` instead of being started, for a store whose clock says `now`. Stores
    /// ask this and not [`expires`](Self::expires), which knows no moment of its own.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let moment = self.meta.as_ref().and_then(|meta| meta.expires_at);
        moment.or_else(|| self.expires.map(|period| self.due(now).saturating_add(period)))
    }
}

/// The limits and the sequences that hold, each as it is said nearest to the task.
fn rules(policy: &Policy, limits: Option<Vec<Concurrency>>, sequences: Option<Vec<Concurrency>>) -> Vec<Concurrency> {
    let of_type = |until_ended: bool| policy.concurrency.iter().filter(move |rule| rule.until_ended == until_ended).cloned();
    let limits = limits.unwrap_or_else(|| of_type(false).collect());
    limits.into_iter().chain(sequences.unwrap_or_else(|| of_type(true).collect())).collect()
}

fn read_args(args: &str) -> Result<Value, InvalidInput> {
    serde_json::from_str(args).map_err(|error| InvalidInput::new("args", format!("are no JSON: {error}")))
}

fn keys(
    kind: &str,
    rules: &[Concurrency],
    rates: &[Rate],
    unique: Option<Unique>,
    debounce: Option<Debounce>,
    args: &str,
) -> Result<(Vec<Need>, Option<UniqueKey>), InvalidInput> {
    // Most have none, and nobody reads their arguments here.
    if rules.is_empty() && rates.is_empty() && unique.is_none() && debounce.is_none() {
        return Ok((Vec::new(), None));
    }
    // All versions of a type share what it may have at once.
    let (kind, _) = version::split(kind);
    let args = read_args(args)?;
    let mut needs = Concurrency::needs(rules, rates, kind, &args)?;
    if let Some(unique) = &unique {
        unique.check_beside(rules.len() + rates.len())?;
    }
    let unique = unique.map(|unique| unique.resolve(kind, &args)).transpose()?;
    let (unique, after) = unique.unzip();
    needs.extend(after.flatten());
    if needs.iter().any(|need| need.until_ended) && needs.iter().any(|need| !need.on_excess.is_wait()) {
        return Err(OnExcess::beside_turns());
    }
    needs.sort_by(|one, other| one.in_order().cmp(&other.in_order()));
    let debounced = debounce.map(|debounce| debounce.resolve(&args)).transpose()?;
    Ok((needs, unique.or(debounced)))
}

/// How far a running task has come, by its own account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What there is of the result so far, or whatever else a watcher can use; at most
    /// [`PROGRESS_BYTES_MAX`](limits::PROGRESS_BYTES_MAX) bytes of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

/// All that a store knows about one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// The number of the current or last attempt; 0 before the first.
    pub attempt: u32,
    /// Failed attempts until it fails.
    pub max_attempts: u32,
    /// Crashes until it fails.
    pub max_crashes: u32,
    /// How many attempts took their worker down, or lost it.
    pub crashes: u32,
    /// 0 first … 9 last.
    pub priority: u8,
    /// The arguments, as JSON text.
    pub args: String,
    /// The result as JSON text, once it succeeded.
    pub result: Option<String>,
    /// What went wrong last, if the task did not succeed after it.
    pub error: Option<Failure>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it is or was due.
    pub run_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether it runs and somebody has asked it to stop; no longer once it has ended, in whatever way.
    pub cancel_requested: bool,
    /// Parent, tags, context.
    pub meta: TaskMeta,
    /// Every attempt, oldest first; empty in lists.
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Its number. A snoozed or released attempt gives its number back, so numbers may repeat.
    pub attempt: u32,
    /// The number of the claim, which only grows: the fence for resources outside the store.
    pub claim_no: u32,
    /// How it ended, or that it runs.
    pub state: AttemptState,
    /// When it started; `None` if the task ended without one.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The name of the worker.
    pub worker: Option<String>,
    /// What went wrong.
    pub error: Option<Failure>,
    /// What it logged, bounded.
    pub logs: Option<String>,
    /// How far it came.
    pub progress: Option<Progress>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;
    use crate::unique::OnConflict;

    #[test]
    fn what_headers_and_a_backoff_may_have_is_bounded() {
        let resolve =
            |over| NewTask::resolve("t", &Policy::default(), "{}".into(), over, Env::system().task_id(), &Limits::default());
        let headers = |bytes: usize| Overrides {
            headers: [("a".to_owned(), "x".repeat(bytes / 2 - 1)), ("b".to_owned(), "x".repeat(bytes / 2 - 1))].into(),
            ..Overrides::default()
        };
        assert!(resolve(headers(limits::HEADER_BYTES_MAX)).is_ok());
        let error = resolve(headers(limits::HEADER_BYTES_MAX + 2)).unwrap_err();
        assert_eq!(error.to_string(), "headers: have 65538 bytes together; at most 65536 are kept");
        let steps = vec![Duration::from_secs(1); limits::BACKOFF_STEPS_MAX + 1];
        let error = resolve(Overrides { backoff: Some(Backoff::List(steps)), ..Overrides::default() }).unwrap_err();
        assert_eq!(error.field, "backoff");
    }

    #[test]
    fn two_options_that_say_the_same_are_refused_and_not_ordered() {
        let resolve =
            |over| NewTask::resolve("t", &Policy::default(), "{}".into(), over, Env::system().task_id(), &Limits::default());
        let (second, at) = (Some(Duration::from_secs(1)), Some(Timestamp::from_millis(1)));
        let error = resolve(Overrides { delay: second, run_at: at, ..Overrides::default() }).unwrap_err();
        assert_eq!(error.to_string(), "delay: says when it is due, and so does `at`; give one of them");
        let error = resolve(Overrides { expires: second, expires_at: at, ..Overrides::default() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expires: says until when it is worth starting, and so does `expires_at`; give one of them"
        );
    }

    /// Else all of its tasks would stand in the line of the limit, in the order of their arrival.
    #[test]
    fn a_task_of_a_fair_queue_waits_for_its_turn_first() {
        let policy = Policy { concurrency: vec![Concurrency::of("a".parse().unwrap(), 1)], ..Policy::default() };
        let fair = Some(FairBy::by("{tenant}".parse().unwrap()));
        let over = Overrides { queue_fair_by: fair, queue_concurrency: Some(2), ..Overrides::default() };
        let (id, args) = (Env::system().task_id(), r#"{"tenant":7}"#.to_owned());
        let task = NewTask::resolve("mail", &policy, args, over, id, &Limits::default()).unwrap();
        let keys: Vec<_> = task.meta.unwrap().needs.into_iter().map(|need| need.key).collect();
        assert_eq!(keys, ["fair:5:default:7", "a", "queue:default"]);
    }

    #[test]
    fn versions_of_a_type_share_what_it_may_have_at_once() {
        let policy = Policy {
            concurrency: vec![Concurrency::of_type(4)],
            rate: vec![Rate::of_type("10/s".parse().unwrap())],
            unique: Some(Unique::of_type().on_conflict(OnConflict::RunAfter)),
            ..Policy::default()
        };
        let needs = |kind| {
            let id = Env::system().task_id();
            let task = NewTask::resolve(kind, &policy, "{}".into(), Overrides::default(), id, &Limits::default()).unwrap();
            assert_eq!(task.kind, kind);
            task.meta.unwrap().needs.into_iter().map(|need| need.key).collect::<Vec<_>>()
        };
        assert_eq!(needs("mail"), ["after:mail:", "rate:type:mail", "type:mail"]);
        assert_eq!(needs("mail@2"), needs("mail"));
        assert_eq!(needs("mail@x")[2], "type:mail@x");
    }
}
