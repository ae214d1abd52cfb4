use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{AttemptRecord, AttemptState, Failure, FailureReason, Progress, State, TaskId, TaskRecord, Timestamp, WorkflowId};

/// A task. Arguments and result keep the very text that the store has, so that no number changes on the way.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TaskJson {
    /// Its id.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// What this one task is about.
    pub title: Option<String>,
    /// Its queue.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// See [`TaskRecord::attempt`].
    pub attempt: u32,
    /// Failed attempts until it fails.
    pub max_attempts: u32,
    /// How many attempts took their worker down, or lost it.
    pub crashes: u32,
    /// Crashes until it fails.
    pub max_crashes: u32,
    /// 0 first … 9 last.
    pub priority: u8,
    /// The arguments.
    pub args: Box<RawValue>,
    /// The result, once it succeeded.
    pub result: Option<Box<RawValue>>,
    /// What went wrong last, if the task did not succeed after it.
    pub error: Option<FailureJson>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it is or was due.
    pub run_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether it runs and somebody has asked it to stop; no longer once it has ended.
    pub cancel_requested: bool,
    /// The task whose handler enqueued this one.
    pub parent: Option<TaskId>,
    /// The run of a workflow that it belongs to.
    pub workflow: Option<WorkflowId>,
    /// The step of that workflow of which it is a member.
    pub step: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Context that travels with it.
    pub headers: BTreeMap<String, String>,
    /// Its [unique key](crate::unique), if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<String>,
    /// Every attempt, oldest first. Left out of lists, which do not read the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptJson>>,
}

/// One attempt of a task.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptJson {
    /// Its number.
    pub attempt: u32,
    /// The number of the claim, which only grows.
    pub claim: u32,
    /// How it ended, or that it runs.
    pub state: AttemptState,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The name of the worker.
    pub worker: Option<String>,
    /// What went wrong.
    pub error: Option<FailureJson>,
    /// What it logged.
    pub logs: Option<String>,
    /// How far it came.
    pub progress: Option<Progress>,
}

/// A failure with all its fields, so that scripts need not ask whether one is there.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FailureJson {
    /// Its class.
    pub reason: FailureReason,
    /// The error's own text.
    pub message: String,
    /// The texts of its sources, outermost first.
    pub chain: Vec<String>,
    /// A stack trace, for panics.
    pub trace: Option<String>,
}

impl TaskJson {
    /// A task of a list, without its history.
    ///
    /// ```
    /// # use gristmill_core::{TaskRecord, json::TaskJson};
    /// fn line(task: TaskRecord) -> serde_json::Result<String> {
    ///     serde_json::to_string(&TaskJson::of(task))
    /// }
    /// ```
    pub fn of(task: TaskRecord) -> Self {
        Self {
            id: task.id,
            kind: task.kind,
            title: task.meta.title,
            queue: task.queue,
            state: task.state,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            crashes: task.crashes,
            max_crashes: task.max_crashes,
            priority: task.priority,
            args: raw(task.args),
            result: task.result.map(raw),
            error: task.error.map(FailureJson::from),
            created_at: task.created_at,
            run_at: task.run_at,
            ended_at: task.ended_at,
            cancel_requested: task.cancel_requested,
            parent: task.meta.parent,
            workflow: task.meta.member.as_ref().map(|member| member.workflow),
            step: task.meta.member.map(|member| member.step),
            tags: task.meta.tags,
            headers: task.meta.headers,
            unique: task.meta.unique.map(|unique| unique.key),
            attempts: None,
        }
    }

    /// A task with its history, as [`Store::get`](crate::Store::get) brings it.
    pub fn with_attempts(mut task: TaskRecord) -> Self {
        let attempts = std::mem::take(&mut task.attempts).into_iter().map(AttemptJson::from).collect();
        Self { attempts: Some(attempts), ..Self::of(task) }
    }
}

impl From<AttemptRecord> for AttemptJson {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            claim: attempt.claim_no,
            state: attempt.state,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            worker: attempt.worker,
            error: attempt.error.map(FailureJson::from),
            logs: attempt.logs,
            progress: attempt.progress,
        }
    }
}

impl From<Failure> for FailureJson {
    fn from(failure: Failure) -> Self {
        Self { reason: failure.reason, message: failure.message, chain: failure.chain, trace: failure.trace }
    }
}

/// JSON text as it is; what is none (a damaged row) as a string.
pub(super) fn raw(text: String) -> Box<RawValue> {
    let quoted = serde_json::Value::from(text.as_str()).to_string();
    RawValue::from_string(text).or_else(|_| RawValue::from_string(quoted)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Membership, TaskMeta};

    fn record() -> TaskRecord {
        TaskRecord {
            id: "019a0000-0000-7000-8000-000000000001".parse().unwrap(),
            kind: "mail.send".to_owned(),
            queue: "mail".to_owned(),
            state: State::Failed,
            attempt: 2,
            max_attempts: 3,
            max_crashes: 4,
            crashes: 1,
            priority: 5,
            args: r#"{"n": 1.0, "big": 123456789012345678901234567890}"#.to_owned(),
            result: None,
            error: Some(Failure::new(FailureReason::Timeout, "too long")),
            created_at: Timestamp::from_millis(1_000),
            run_at: Timestamp::from_millis(2_000),
            ended_at: Some(Timestamp::from_millis(3_500)),
            cancel_requested: false,
            meta: TaskMeta {
                parent: Some("019a0000-0000-7000-8000-000000000002".parse().unwrap()),
                tags: vec!["a".to_owned()],
                headers: [("trace".to_owned(), "x".to_owned())].into(),
                title: Some("to Ann".to_owned()),
                member: Some(Membership {
                    workflow: "019a0000-0000-7000-8000-000000000003".parse().unwrap(),
                    number: 1,
                    step: "notify".to_owned(),
                    place: 0,
                    refers: false,
                }),
                ..TaskMeta::default()
            },
            attempts: vec![AttemptRecord {
                attempt: 2,
                claim_no: 7,
                state: AttemptState::Failed,
                started_at: None,
                finished_at: Some(Timestamp::from_millis(3_500)),
                worker: Some("host:1".to_owned()),
                error: Some(Failure { chain: vec!["why".to_owned()], ..Failure::new(FailureReason::Error, "no") }),
                logs: Some("hm\n".to_owned()),
                progress: Some(Progress { done: 1, ..Progress::default() }),
            }],
        }
    }

    #[test]
    fn a_listed_task_is_exactly_this() {
        let expected = concat!(
            r#"{"id":"019a0000-0000-7000-8000-000000000001","kind":"mail.send","title":"to Ann","queue":"mail","state":"failed","#,
            r#""attempt":2,"max_attempts":3,"crashes":1,"max_crashes":4,"priority":5,"#,
            r#""args":{"n": 1.0, "big": 123456789012345678901234567890},"result":null,"#,
            r#""error":{"reason":"timeout","message":"too long","chain":[],"trace":null},"#,
            r#""created_at":"1970-01-01T00:00:01.000Z","run_at":"1970-01-01T00:00:02.000Z","ended_at":"1970-01-01T00:00:03.500Z","#,
            r#""cancel_requested":false,"parent":"019a0000-0000-7000-8000-000000000002","#,
            r#""workflow":"019a0000-0000-7000-8000-000000000003","step":"notify","tags":["a"],"headers":{"trace":"x"}}"#,
        );
        assert_eq!(serde_json::to_string(&TaskJson::of(record())).unwrap(), expected);
    }

    #[test]
    fn a_task_with_its_history_ends_with_its_attempts() {
        let expected = concat!(
            r#""attempts":[{"attempt":2,"claim":7,"state":"failed","started_at":null,"finished_at":"1970-01-01T00:00:03.500Z","#,
            r#""worker":"host:1","error":{"reason":"error","message":"no","chain":["why"],"trace":null},"logs":"hm\n","#,
            r#""progress":{"done":1}}]}"#,
        );
        let text = serde_json::to_string(&TaskJson::with_attempts(record())).unwrap();
        assert!(text.ends_with(expected), "{text}");
        let never_ran = TaskRecord { attempts: Vec::new(), ..record() };
        let text = serde_json::to_string(&TaskJson::with_attempts(never_ran)).unwrap();
        assert!(text.ends_with(r#""headers":{"trace":"x"},"attempts":[]}"#), "{text}");
    }

    #[test]
    fn what_most_tasks_lack_is_null_or_empty_and_never_left_out() {
        let plain = TaskRecord { error: None, ended_at: None, meta: TaskMeta::default(), ..record() };
        let plain = TaskRecord { result: Some("[1.50]".to_owned()), args: "{damaged".to_owned(), ..plain };
        let text = serde_json::to_string(&TaskJson::of(plain)).unwrap();
        let expected = [
            r#""title":null"#,
            r#""args":"{damaged","result":[1.50],"error":null"#,
            r#""ended_at":null,"cancel_requested":false,"parent":null,"workflow":null,"step":null,"tags":[],"headers":{}}"#,
        ];
        for part in expected {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
