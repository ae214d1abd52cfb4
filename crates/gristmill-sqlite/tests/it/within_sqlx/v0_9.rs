use sqlx_0_9 as sqlx;

#[path = "checks.rs"]
#[allow(clippy::duplicate_mod, reason = "against this version, too")]
mod checks;
