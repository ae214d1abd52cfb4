use sqlx_0_8 as sqlx;

#[path = "within.rs"]
#[allow(clippy::duplicate_mod, reason = "against this version, too")]
mod within;

pub use within::Sqlx;
