//! For who writes a store: what all of them do alike, so that each has only its reading and writing to itself.

mod fnv;
pub mod list;
pub mod migrate;

pub use fnv::fnv;
