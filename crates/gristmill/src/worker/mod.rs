//! Workers: what takes tasks from a store or another source, and runs them.

mod apart;
mod batch;
mod builder;
mod cancel;
mod companion;
pub(crate) mod execute;
mod fetch;
mod gather;
mod give_back;
mod heartbeat;
mod lane;
mod lanes;
mod memory;
mod notes;
mod part;
mod queues;
mod refer;
mod remember;
mod report;
mod run;
mod settle;
mod shared;
mod signals;
mod stall;
pub(crate) mod suspend;
mod sweep;
mod tell;

pub use builder::{WorkerBuilder, WorkerError};
pub(crate) use companion::{Companion, Doing};
pub use queues::Queues;
pub use report::ExitReport;
pub use run::{Asked, Running, Stop};
pub use signals::StopSignals;
