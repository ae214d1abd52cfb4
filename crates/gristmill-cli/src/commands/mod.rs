//! One file a command: its arguments, and what it does.

pub(crate) mod beat;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
mod confirm;
pub(crate) mod dev;
pub(crate) mod doctor;
mod elsewhere;
pub(crate) mod enqueue;
pub(crate) mod events;
mod ids;
pub(crate) mod init;
pub(crate) mod kinds;
pub(crate) mod locks;
pub(crate) mod migrate;
pub(crate) mod names;
pub(crate) mod queues;
pub(crate) mod schedules;
mod signals;
pub(crate) mod tasks;
mod typed;
mod unserved;
mod values;
mod wait;
pub(crate) mod worker;
pub(crate) mod workers;
pub(crate) mod workflows;
