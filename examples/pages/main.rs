//! What the pages of `docs/` show, with what each piece leans on around it. It is compiled and never run.
//!
//! Each Rust block of a page has to stand in some file of `examples`, word for word but for white space: that is how
//! `gristmill-cli/tests/it/pages` knows that it compiles.

#![allow(dead_code, unused_variables, reason = "a page shows pieces, not programs")]

mod batches;
mod limits;
mod locks;
mod middleware;
mod rates;
mod routing;
mod schedules;
mod tasks;
mod unique;
mod versions;
mod workflows;

fn main() {}
