//! One source of checks, against each version of sqlx.

#[cfg(feature = "sqlx-0_8")]
mod v0_8;
#[cfg(feature = "sqlx-0_9")]
mod v0_9;
