//! One file a command: its arguments, and what it does.

pub(crate) mod beat;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod enqueue;
pub(crate) mod init;
mod jsonl;
pub(crate) mod kinds;
pub(crate) mod migrate;
pub(crate) mod queues;
mod record;
pub(crate) mod schedules;
mod signals;
pub(crate) mod tasks;
mod values;
pub(crate) mod worker;
pub(crate) mod workers;
