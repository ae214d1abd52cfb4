//! The PostgreSQL store: its options, its migrations, and its bare statements for measurements.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = gristmill::App::new(()).connect("postgres://app@db.internal/shop?sslmode=verify-full").await?;
//! # Ok(())
//! # }
//! ```

pub use gristmill_postgres::{Migration, PostgresOptions, PostgresStore, SslMode, migrate, migration_sql, migration_status, raw};
