//! A task as it is shown: the JSON that scripts depend on, and the text for people.

use std::collections::BTreeMap;

use gristmill::core::{AttemptRecord, AttemptState, Failure, FailureReason, Progress};
use gristmill::{State, TaskId, TaskRecord, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::output::{escape, table};

/// A task. Arguments and result keep the very text that the store has, so that no number changes on the way.
#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    pub(super) id: TaskId,
    pub(super) kind: String,
    pub(super) title: Option<String>,
    pub(super) queue: String,
    pub(super) state: State,
    pub(super) attempt: u32,
    pub(super) max_attempts: u32,
    crashes: u32,
    max_crashes: u32,
    priority: u8,
    args: Box<RawValue>,
    result: Option<Box<RawValue>>,
    pub(super) error: Option<FailureView>,
    pub(super) created_at: Timestamp,
    pub(super) run_at: Timestamp,
    ended_at: Option<Timestamp>,
    cancel_requested: bool,
    parent: Option<TaskId>,
    tags: Vec<String>,
    headers: BTreeMap<String, String>,
    /// Left out of lists, which do not read the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptView>>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    attempt: u32,
    claim: u32,
    state: AttemptState,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    worker: Option<String>,
    error: Option<FailureView>,
    logs: Option<String>,
    progress: Option<Progress>,
}

/// A failure with all its fields, so that scripts need not ask whether one is there.
#[derive(Debug, Serialize)]
pub(super) struct FailureView {
    reason: FailureReason,
    pub(super) message: String,
    chain: Vec<String>,
    trace: Option<String>,
}

impl TaskView {
    /// A task of a list.
    pub(super) fn of(task: TaskRecord) -> Self {
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
            error: task.error.map(FailureView::of),
            created_at: task.created_at,
            run_at: task.run_at,
            ended_at: task.ended_at,
            cancel_requested: task.cancel_requested,
            parent: task.meta.parent,
            tags: task.meta.tags,
            headers: task.meta.headers,
            attempts: None,
        }
    }

    /// A task with its history.
    pub(super) fn with_attempts(mut task: TaskRecord) -> Self {
        let attempts = std::mem::take(&mut task.attempts).into_iter().map(AttemptView::of).collect();
        Self { attempts: Some(attempts), ..Self::of(task) }
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name:<12}{}\n", escape(value)));
            }
        };
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        line("id", &self.id.to_string());
        line("task", &self.kind);
        line("title", self.title.as_deref().unwrap_or_default());
        line("queue", &self.queue);
        line("state", &format!("{}{}", self.state, if self.cancel_requested { " (to be cancelled)" } else { "" }));
        line("attempt", &format!("{} of {}, {} crashes of {}", self.attempt, self.max_attempts, self.crashes, self.max_crashes));
        line("priority", &self.priority.to_string());
        line("created", &self.created_at.to_string());
        line("due", &self.run_at.to_string());
        line("ended", &time(self.ended_at));
        line("parent", &self.parent.map(|id| id.to_string()).unwrap_or_default());
        line("tags", &self.tags.join(", "));
        line("args", self.args.get());
        line("result", self.result.as_ref().map_or("", |result| result.get()));
        line("error", &self.error.as_ref().map(FailureView::line).unwrap_or_default());
        let attempts = self.attempts.as_deref().unwrap_or_default();
        if !attempts.is_empty() {
            text.push('\n');
            text.push_str(&table(
                &["attempt", "state", "started", "finished", "worker", "error"],
                attempts.iter().map(|attempt| {
                    vec![
                        attempt.attempt.to_string(),
                        attempt.state.as_str().to_owned(),
                        time(attempt.started_at),
                        time(attempt.finished_at),
                        attempt.worker.clone().unwrap_or_default(),
                        attempt.error.as_ref().map(FailureView::line).unwrap_or_default(),
                    ]
                }),
            ));
        }
        if let Some(last) = attempts.last() {
            if let Some(Progress { done, total, message, data }) = &last.progress {
                let total = total.map(|total| format!("/{total}")).unwrap_or_default();
                text.push_str(&format!("\nprogress    {done}{total} {}\n", escape(message)));
                if let Some(data) = data {
                    text.push_str(&format!("            {}\n", escape(&data.to_string())));
                }
            }
            if let Some(logs) = &last.logs {
                text.push_str("\nlog of the last attempt\n");
                text.extend(logs.lines().map(|line| format!("  {}\n", escape(line))));
            }
        }
        text
    }
}

impl AttemptView {
    fn of(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            claim: attempt.claim_no,
            state: attempt.state,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            worker: attempt.worker,
            error: attempt.error.map(FailureView::of),
            logs: attempt.logs,
            progress: attempt.progress,
        }
    }
}

impl FailureView {
    fn of(failure: Failure) -> Self {
        Self { reason: failure.reason, message: failure.message, chain: failure.chain, trace: failure.trace }
    }

    /// Message and sources in one line.
    pub(super) fn line(&self) -> String {
        let new: Vec<_> =
            self.chain.iter().filter(|source| !self.message.contains(source.as_str())).map(String::as_str).collect();
        std::iter::once(self.message.as_str()).chain(new).collect::<Vec<_>>().join(": ")
    }
}

/// JSON text as it is; what is none (a damaged row) as a string.
fn raw(text: String) -> Box<RawValue> {
    let quoted = serde_json::Value::from(text.as_str()).to_string();
    RawValue::from_string(text).or_else(|_| RawValue::from_string(quoted)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
