//! Schedules, and the beats that turn their ticks into tasks.
//!
//! A beat asks the store for the schedules that are due ([`Schedules`](crate::core::Schedules)), decides about each
//! (`decide`, which is pure), and has the store write ticks, tasks and what comes next in one transaction. Any number of beats
//! may run: a tick is written once, whoever leads.

mod change;
mod decide;
mod definition;
mod error;
mod json;
mod maker;
mod memory;
mod policies;
mod record;
mod run;
mod stored;
mod sync;

pub use crate::core::SCHEDULE_HEADER;
pub use change::{Deleted, Rescheduled, Scheduled};
pub use definition::{Definition, Origin, TaskOptions, parse_args};
pub use error::ScheduleError;
pub use json::{LastRunJson, ScheduleJson};
pub use maker::TICK_HEADER;
pub use memory::Memory;
pub use policies::{CatchUp, Overlap};
pub use record::{ScheduleRecord, ScheduleState};
pub use run::RunningBeat;
pub use sync::SyncReport;

pub(crate) use change::{Answers, Change, delete, pause, put, put_over, reschedule, reset};
pub(crate) use maker::Maker;
pub(crate) use run::run;
#[cfg(feature = "testing")]
pub(crate) use run::{Beat, Next};
pub(crate) use stored::read_definition;
pub(crate) use sync::{check_alone, check_one, sync};
