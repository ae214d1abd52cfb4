//! What is done to tasks, each operation on one connection.

mod claim;
mod encode;
mod enqueue;
mod finish;
mod settle;
mod sweep;
mod waiting;
mod worker;
mod writes;

pub(crate) use claim::{claim, given};
pub(crate) use encode::{count, ended_from, ended_of, limit, ms};
pub(crate) use enqueue::enqueue;
pub(crate) use settle::{note, settle, start};
pub(crate) use sweep::{expire, next_due, park, parked_pairs, promote, prune, rescue, served, unpark};
pub(crate) use waiting::{cancel, retry};
pub(crate) use worker::{declare, enter, heartbeat, leave, pause};
