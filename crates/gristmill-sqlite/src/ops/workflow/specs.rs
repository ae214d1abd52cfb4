use std::collections::HashMap;
use std::sync::Arc;

use gristmill_core::WorkflowId;
use gristmill_core::workflow::{FlowStep, Graph, StepSpec};

/// So many steps are remembered, one that waits for many others as several: some megabytes. Beyond it all is forgotten.
const STEPS_MAX: usize = 20_000;
/// For so many others a step waits that takes as much room again as one.
const EDGES_A_STEP: usize = 16;

/// A workflow, and when it was started: one that is gone may be started again with its id, and be made of other steps.
pub(crate) type Key = (WorkflowId, i64);

/// What the steps of workflows are, as far as the writer has read it: it never changes, and a workflow of many steps goes on often.
#[derive(Default)]
pub(crate) struct Specs {
    known: HashMap<Key, Known>,
    steps: usize,
}

/// What one workflow is made of.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) specs: Arc<[Arc<StepSpec>]>,
    pub(super) graph: Arc<Graph>,
}

impl Known {
    pub(super) fn of(steps: &[FlowStep]) -> Self {
        Self {
            specs: steps.iter().map(|step| step.spec.clone()).collect(),
            graph: Arc::new(Graph::of(steps.iter().map(|step| &*step.spec))),
        }
    }
}

impl Specs {
    /// Those of a workflow.
    pub(super) fn of(&self, key: Key) -> Option<&Known> {
        self.known.get(&key)
    }

    pub(super) fn keep(&mut self, key: Key, known: Known) {
        let steps: usize = known.specs.iter().map(|spec| 1 + spec.after.len() / EDGES_A_STEP).sum();
        if self.steps + steps > STEPS_MAX {
            *self = Self::default();
        }
        self.steps += steps;
        self.known.insert(key, known);
    }
}
