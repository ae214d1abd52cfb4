//! What the suite and the model test say about the store in memory, and that they can say no.
#![cfg(feature = "suite")]

mod broken;
mod graphs;
mod model;
mod source;
mod suite;
