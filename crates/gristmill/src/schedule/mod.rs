//! When a schedule's ticks fall: rules, time zones and bounds, with nothing stored and no clock read.
//!
//! A [`Timing`] is what is written and stored: a [`Rule`], a time zone, bounds. [`Timing::plan`] checks it and gives the
//! [`Plan`] that computes. Instants go in and come out, so that every beat computes the same, and a test can walk ten years.
//!
//! ```
//! use gristmill::schedule::{Rule, Timing};
//!
//! let timing = Timing::new(Rule::cron("30 2 * * *")).tz("Europe/Rome");
//! let plan = timing.plan()?;
//! assert_eq!(plan.describe(), "at 02:30 every day, Europe/Rome");
//! // The night of 28 March 2027 has no 02:30 in Rome: the tick falls on the first instant after the gap.
//! let next = &plan.preview("2027-03-27T12:00:00Z".parse().unwrap(), 1)[0];
//! assert_eq!(next.utc.to_string(), "2027-03-28T01:00:00.000Z");
//! assert_eq!(next.local, "2027-03-28T03:00:00+02:00");
//! assert_eq!(next.remark.as_deref(), Some("in the gap: 02:30 does not exist, runs at 03:00"));
//! # Ok::<(), gristmill::schedule::RuleError>(())
//! ```

mod civil;
mod cron;
mod describe;
mod error;
mod every;
mod jitter;
mod plan;
mod rule;
mod solar;
mod timing;
mod zone;

pub use error::{FieldError, RuleError};
pub use plan::{Plan, Upcoming};
pub use rule::{Rule, SolarEvent};
pub use timing::{INTERVAL_MAX, INTERVAL_MIN, JITTER_MAX, Timing};
