//! The one JSON form of what gristmill shows: what the command line prints and an HTTP API answers.
//!
//! Scripts depend on it: fields are added, and none is renamed, dropped or left out when it is empty (`null` says that there is
//! nothing). Times are RFC 3339 in UTC. [`QueueInfo`](crate::QueueInfo), [`WorkerInfo`](crate::WorkerInfo),
//! [`KindInfo`](crate::KindInfo) and [`Finding`](crate::Finding) are their own form; a schedule's is `gristmill::beat::ScheduleJson`,
//! as only that crate knows what a schedule says.

mod answer;
mod page;
mod task;
mod tick;
mod workflow;

pub use answer::{OutcomeJson, PausedJson, PausedKindJson};
pub use page::{ListJson, PageJson};
pub use task::{AttemptJson, FailureJson, TaskJson};
pub use tick::TickJson;
pub use workflow::{MemberJson, OrderedJson, RetriedJson, RoleWord, SkipJson, StepJson, ToleratedJson, WorkflowJson};
