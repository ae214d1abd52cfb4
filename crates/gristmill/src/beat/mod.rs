//! Schedules that are stored, and the beats that turn their ticks into tasks.
//!
//! A beat asks the store for the schedules that are due ([`Schedules`](crate::core::Schedules)), decides about each
//! (`decide`, which is pure), and has the store write ticks, tasks and what comes next in one transaction. Any number of beats
//! may run: a tick is written once, whoever leads.

mod decide;
mod definition;
mod maker;
mod memory;
mod policies;
mod run;
mod stored;

pub use definition::{Definition, Origin, TaskOptions};
pub use maker::{SCHEDULE_HEADER, TICK_HEADER};
pub use memory::Memory;
pub use policies::{CatchUp, Overlap};
pub use run::RunningBeat;
