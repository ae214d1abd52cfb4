use sqlx_0_9 as sqlx;

#[path = "within.rs"]
#[allow(clippy::duplicate_mod, reason = "against this version, too")]
mod within;

pub use within::Sqlx;
