//! What stores share, and nobody else needs.

pub mod list;
