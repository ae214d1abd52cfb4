use sqlx_0_8 as sqlx;

#[path = "checks.rs"]
#[allow(clippy::duplicate_mod, reason = "against this version, too")]
mod checks;
