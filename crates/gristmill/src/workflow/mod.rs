//! Tasks that wait for tasks: chains, groups, and any graph of them.

mod build;
mod definition;
mod error;
mod extend;
mod failed;
mod form;
mod handle;
mod member;
mod output;
mod plan;
pub(crate) mod read;
mod results;
mod signature;
mod start;
mod step;

pub use build::Workflow;
pub use error::{RunError, StartError};
pub use failed::Failed;
pub use form::{FORM_BYTES_MAX, Form, FormError};
pub use handle::WorkflowHandle;
pub use member::MemberDraft;
pub use output::{Gives, Output};
pub use results::{Pages, Results};
pub use signature::{IntoSignature, Signature};
pub use start::{Start, Starting};
pub use step::{All, Group, Many, Most, One, Step};

pub use crate::core::workflow::{Member, Needs, Ordered, StepRecord, StepWord, WorkflowFilter, WorkflowRecord, WorkflowState};

use crate::core::workflow::Role;

fn is_work(step: &StepRecord) -> bool {
    step.spec.role == Role::Work
}
