//! sqlx, in each major version by itself: cargo holds their types for unrelated ones. One source is compiled against each.

#[cfg(feature = "sqlx-0_8")]
pub(crate) mod v0_8;
#[cfg(feature = "sqlx-0_9")]
pub(crate) mod v0_9;
