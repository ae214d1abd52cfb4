//! For who writes a store: what all of them do alike, so that each has only its reading and writing to itself.

pub mod check;
pub mod encode;
mod fnv;
pub mod list;
pub mod migrate;
pub mod row;
pub mod served;
mod sift;
pub mod watch;
mod word;

pub use fnv::fnv;
pub use sift::Sift;
pub use word::Word;
