//! What a task type, or a single enqueue, may say about how its tasks are run, and the limits on what comes from outside.

pub use crate::core::concurrency::{Concurrency, FairBy, Limit, OnExcess, PerTime, Quantity, Rate, Strategy};
pub use crate::core::unique::{Debounce, OnConflict, Unique, Until};
pub use crate::core::{Ack, Backoff, Batching, KindSpec, Limits, OnError, Oversize, Policy, Retention, Template, parse_duration};
pub use crate::task::Upgrade;
