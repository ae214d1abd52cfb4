//! Schedules that are stored, and the beats that turn their ticks into tasks.
//!
//! A beat asks the store for the schedules that are due ([`Schedules`](crate::core::Schedules)), decides about each
//! (`decide`, which is pure), and has the store write ticks, tasks and what comes next in one transaction. Any number of beats
//! may run: a tick is written once, whoever leads.

mod decide;
mod definition;
mod memory;
mod policies;

pub use definition::{Definition, Origin, TaskOptions};
pub use memory::Memory;
pub use policies::{CatchUp, Overlap};
