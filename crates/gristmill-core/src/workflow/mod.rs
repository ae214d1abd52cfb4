//! Workflows: tasks that wait for tasks. What is decided about them, and what a store has to keep: see [decision
//! 14](https://github.com/gristmill/gristmill/blob/main/docs/decisions/0014-workflows.md).

mod advance;
mod because;
mod chore;
mod draft;
mod flow;
mod graph;
mod new;
mod record;
mod reference;
mod retry;
mod step;
mod store;

pub use advance::{Advance, advance};
pub use because::{because, began_with, waits_for};
pub use chore::Chore;
pub use draft::{Draft, DraftError, StepDraft};
pub use flow::{Flow, FlowStep};
pub use graph::Graph;
pub use new::{Extended, Extension, NewStep, NewWorkflow, Started, StepSpec};
pub use record::{
    KEPT_MIN, Member, Order, Ordered, QUIET_MAX, StepRecord, StepWord, Tolerated, WorkflowFilter, WorkflowRecord, WorkflowState,
};
pub use reference::{Reference, ReferenceError, References, Wanted, pointer_part, reference_places, references, resolve};
pub use retry::{Rerun, Retried, Retry};
pub use step::{Because, Change, Counted, Edge, Needs, Role, Run, StepEnd, StepRow, StepState, Tally, Tolerance, WorkflowEnd};
pub use store::Workflows;
