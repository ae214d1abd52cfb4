mod builder;
pub(crate) mod execute;
mod fetch;
mod heartbeat;
mod lane;
mod notes;
mod report;
mod run;
mod settle;
mod shared;
mod stall;
mod sweep;
mod tell;

pub use builder::{WorkerBuilder, WorkerError};
pub use report::ExitReport;
pub use run::{Running, Stop};
