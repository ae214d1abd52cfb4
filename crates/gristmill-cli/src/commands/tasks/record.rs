//! A task as text for people; scripts read its JSON form, [`TaskJson`].

use gristmill::Timestamp;
use gristmill::core::Progress;
use gristmill::core::json::{FailureJson, TaskJson};

use crate::output::{escape, table};

/// A task with its history.
pub(super) fn text(task: &TaskJson) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12}{}\n", escape(value)));
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    line("id", &task.id.to_string());
    line("task", &task.kind);
    line("title", task.title.as_deref().unwrap_or_default());
    line("queue", &task.queue);
    line("state", &format!("{}{}", task.state, if task.cancel_requested { " (to be cancelled)" } else { "" }));
    line("attempt", &format!("{} of {}, {} crashes of {}", task.attempt, task.max_attempts, task.crashes, task.max_crashes));
    line("priority", &task.priority.to_string());
    line("created", &task.created_at.to_string());
    line("due", &task.run_at.to_string());
    line("ended", &time(task.ended_at));
    line("parent", &task.parent.map(|id| id.to_string()).unwrap_or_default());
    line("workflow", &task.workflow.map(|id| id.to_string()).unwrap_or_default());
    line("step", task.step.as_deref().unwrap_or_default());
    line("tags", &task.tags.join(", "));
    line("headers", &task.headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", "));
    line("args", task.args.get());
    line("result", task.result.as_ref().map_or("", |result| result.get()));
    line("error", &task.error.as_ref().map(failure_line).unwrap_or_default());
    let attempts = task.attempts.as_deref().unwrap_or_default();
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
                    attempt.error.as_ref().map(failure_line).unwrap_or_default(),
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

/// Message and sources in one line.
pub(in crate::commands) fn failure_line(failure: &FailureJson) -> String {
    let new: Vec<_> =
        failure.chain.iter().filter(|source| !failure.message.contains(source.as_str())).map(String::as_str).collect();
    std::iter::once(failure.message.as_str()).chain(new).collect::<Vec<_>>().join(": ")
}
