//! Workflows: tasks that wait for tasks. What is decided about them, without a store: see [decision
//! 14](https://github.com/gristmill/gristmill/blob/main/docs/decisions/0014-workflows.md).

mod advance;
mod reference;
mod step;

pub use advance::{Advance, advance};
pub use reference::{Reference, ReferenceError, References, references, resolve};
pub use step::{Because, Edge, Needs, Role, Run, StepEnd, StepRow, StepState, Tally, Tolerance, WorkflowEnd};
