//! Tasks that wait for tasks: chains, groups, and any graph of them.
//!
//! A workflow is written with a [`Workflow`]: [`step`](Workflow::step) adds a task, [`each`](Workflow::each) a group of them, and what a step
//! takes of others says what it waits for. `#[task]` writes a function `with` for each task type, which takes for each argument a value
//! or what a step gives: if that is of another type, it does not compile. There is no dummy, and nothing is looked up by position.
//!
//! ```
//! use gristmill::workflow::Failed;
//! use gristmill::{App, Result, task};
//!
//! #[task(name = "process")]
//! async fn process(upload: u32) -> Result<u32> {
//!     Ok(upload * 10)
//! }
//!
//! #[task(name = "merge")]
//! async fn merge(parts: Vec<u32>) -> Result<u32> {
//!     Ok(parts.iter().sum())
//! }
//!
//! #[task(name = "notify")]
//! async fn notify(commit: String, lines: u32) -> Result<String> {
//!     Ok(format!("{commit}: {lines}"))
//! }
//!
//! #[task(name = "flag")]
//! async fn flag(commit: String, failed: Failed) -> Result<()> {
//!     println!("{commit}: {failed}");
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let app = App::new(()).register::<Process>().register::<Merge>().register::<Notify>().register::<Flag>();
//! # #[cfg(feature = "testing")] {
//! # let test = gristmill::testing::Harness::new(app).await?;
//! # let client = test.client();
//! let mut w = client.workflow("upload").key("upload:abc");
//! let parts = w.each("process", [1, 2, 3].map(|upload| Process { upload })); // a group
//! let merged = w.step("merge", Merge::with(parts.results()));                // once, with every result in order
//! w.step("notify", Notify::with("abc", merged.result()));                    // a chain
//! w.on_failure("flag", Flag::with("abc", w.failure()));
//! let run = w.start().await?.typed::<String>();
//! # test.drain().await?;
//! assert_eq!(run.result().await?, "abc: 60");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # What runs when
//! A step goes once, when all that it waits for has ended as it needs: with success, unless it says otherwise ([`Step::after_when`]). If
//! that can't be any more, it is skipped, and so are those that need its success. Handlers ([`Workflow::on_failure`] and its like) and what
//! [undoes](Step::undo) steps run when all work is over. The workflow fails if a step of its work does, handled or not.
//!
//! Each task of a step, a *member*, is a task like any other: it waits in a queue, is retried, shown, cancelled and hooked as one. Its result
//! is kept until its workflow has ended, whatever its retention says, which begins then.
//!
//! # Results
//! What an argument refers to is put in when an attempt begins, up to
//! [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) for all of them; more is read by pages ([`Results`]). Arguments that are stored
//! by a [codec](crate::codec) have their references within, where only this application sees them: they are decoded first, and each result by
//! itself. Middleware and handlers see the whole. The task's schema is checked then.

mod build;
mod built_in;
mod callback;
mod definition;
mod error;
mod extend;
mod failed;
mod form;
mod handle;
mod known;
mod member;
mod output;
mod plan;
pub(crate) mod read;
mod results;
mod signature;
mod start;
mod step;

pub use build::Workflow;
pub(crate) use built_in::{OfForm, kind as built_in};
pub use callback::Callback;
pub use error::{RunError, StartError};
pub use failed::Failed;
pub use form::{FORM_BYTES_MAX, FORM_MEMBERS_MAX, Form, FormError, NESTED};
pub use handle::WorkflowHandle;
pub(crate) use handle::value;
pub use member::MemberDraft;
pub use output::{Gives, Output};
pub use results::{Pages, Results};
pub use signature::{IntoSignature, Signature};
pub(crate) use start::Written;
pub use start::{Start, Starting};
pub use step::{All, Group, Many, Most, One, Step};

pub use crate::core::workflow::{
    Member, Needs, Ordered, Rerun, Retried, Retry, StepRecord, StepWord, Tolerance, Tolerated, WorkflowFilter, WorkflowRecord,
    WorkflowState,
};

use crate::core::workflow::Role;

fn is_work(step: &StepRecord) -> bool {
    step.spec.role == Role::Work
}
