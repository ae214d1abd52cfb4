//! What is read for clients and operators.

mod list;
mod overview;
mod record;

pub(crate) use list::list;
pub(crate) use overview::{kinds, pending, queues, workers};
pub(crate) use record::get;
