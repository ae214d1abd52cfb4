use gristmill_core::{Effects, Timestamp};
use rusqlite::Connection;

use crate::memory::Memory;

/// An open write transaction and all that an operation in it may touch.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) now: Timestamp,
    pub(crate) memory: &'a mut Memory,
    pub(crate) effects: &'a mut Effects,
}
