//! Tasks that wait for tasks: chains, groups, and any graph of them.

mod definition;
mod error;
mod failed;
mod form;
mod handle;
mod member;
mod read;
mod start;

pub use error::{RunError, StartError};
pub use failed::Failed;
pub use form::{FORM_BYTES_MAX, Form, FormError};
pub use handle::WorkflowHandle;
pub use member::MemberDraft;
pub use start::{Start, Starting};

use crate::core::workflow::{Role, StepRecord};

fn is_work(step: &StepRecord) -> bool {
    step.spec.role == Role::Work
}
