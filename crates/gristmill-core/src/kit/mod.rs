//! For who writes a store: what all of them have in common, without a word of SQL.

pub mod encode;
pub mod row;
pub mod served;
