//! How far a workflow has come, while somebody waits for it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use gristmill::core::workflow::{Role, StepWord, WorkflowRecord};
use gristmill::workflow::WorkflowHandle;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{self, escape};

/// So often a person sees something new; the end is heard of at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shows it on a terminal until it is dropped; elsewhere nothing.
pub(super) async fn show<O>(handle: &WorkflowHandle<O>) {
    if !io::stderr().is_terminal() || output::is_quiet() {
        return std::future::pending().await;
    }
    let bar = Bar(ProgressBar::no_length());
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} tasks  {msg}");
    bar.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        // Whoever awaits the end hears of a store that can't be read.
        if let Ok(Some(workflow)) = handle.status().await {
            let (ended, all, running) = count(&workflow);
            bar.0.set_length(all);
            bar.0.set_position(ended);
            bar.0.set_message(escape(&running));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How many tasks of the work have ended, how many there are, and which step runs. What was skipped is over.
fn count(workflow: &WorkflowRecord) -> (u64, u64, String) {
    let (mut ended, mut all, mut running) = (0, 0, None);
    for step in workflow.steps.iter().filter(|step| step.spec.role == Role::Work) {
        let members = u64::from(step.row.tally.members);
        all += members;
        ended += if step.state() == StepWord::Skipped { members } else { u64::from(step.row.tally.ended()) };
        running = running.or((step.state() == StepWord::Running).then(|| step.spec.name.clone()));
    }
    (ended, all, running.unwrap_or_else(|| workflow.state.to_string()))
}
