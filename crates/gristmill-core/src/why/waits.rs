use std::time::Duration;

use super::Reason;
use crate::durable::{Kept, MISMATCH_AT, Memory, NEVER};
use crate::{TaskRecord, Timestamp};

/// By so much a moment may differ from what was asked for.
const ABOUT: Duration = Duration::from_secs(1);

/// What a scheduled task waits for by its durable steps; nothing if it is due again for another reason.
pub(super) fn reasons(task: &TaskRecord, memories: &[Memory]) -> Vec<Reason> {
    if let Some(Memory { kept: Kept::Mismatch(mismatch), .. }) = memories.iter().find(|memory| memory.position == MISMATCH_AT) {
        let (position, expected, found) = (mismatch.position, mismatch.expected.clone(), mismatch.found.clone());
        return vec![Reason::StandsStill { task: task.id, position, expected, found }];
    }
    // What is due by its time, or never, was not put off by a failure, of which something that is no longer waited for may be left.
    let is_never = task.run_at.since(task.created_at) >= NEVER / 2;
    let is_then = |until: &Timestamp| until.since(task.run_at) < ABOUT && task.run_at.since(*until) < ABOUT;
    let untils: Vec<_> = memories.iter().filter_map(|memory| until(&memory.kept)).collect();
    if !is_never && !untils.iter().any(is_then) {
        return Vec::new();
    }
    let is_to_come = |until: Timestamp| until.saturating_add(ABOUT) > task.run_at;
    let waits = |memory: &Memory| match &memory.kept {
        Kept::Sleeps(until) if is_to_come(*until) => Some(Reason::Sleeps { position: memory.position, until: *until }),
        Kept::Event { name, until } => {
            let (position, event, until) = (memory.position, name.clone(), *until);
            Some(Reason::AwaitsEvent { position, event, until })
        }
        Kept::Workflow(workflow) => {
            Some(Reason::AwaitsWorkflow { position: memory.position, workflow: *workflow, has_become: false })
        }
        Kept::Replaced { by, .. } => Some(Reason::AwaitsWorkflow { position: memory.position, workflow: *by, has_become: true }),
        _ => None,
    };
    memories.iter().filter_map(waits).collect()
}

fn until(kept: &Kept) -> Option<Timestamp> {
    match kept {
        Kept::Sleeps(until) => Some(*until),
        Kept::Event { until, .. } => *until,
        _ => None,
    }
}
