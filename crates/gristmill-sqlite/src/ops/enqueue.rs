use gristmill_core::{EnqueueOutcome, NewTask, Points};

use super::place::announce;
use crate::driver::Driver;
use crate::error::Fault;
use crate::plan::Plan;
use crate::tx::Tx;

/// Writes new tasks; each answers for itself.
pub(crate) fn enqueue(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<Vec<EnqueueOutcome>, Fault> {
    let mut driver = Driver::new(tx.conn);
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let mut plan = Plan::new(task, tx.now);
        match tx.labels.checked_sub(plan.labels()) {
            Some(left) => tx.labels = left,
            None => plan.label_later(),
        }
        let outcome = driver.enqueue(&mut tx.memory.names, &mut plan)?;
        if outcome == EnqueueOutcome::Created {
            announce(tx, plan.place(), plan.run_at());
            tx.effects.points.add(Points::ENQUEUE);
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
