//! The program's own log, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::CliError;

/// Starts the log: what workers do, or only warnings for a command that comes and goes.
///
/// # Errors
/// A filter that can't be read.
pub(crate) fn start(filter: Option<&str>, long: bool) -> Result<(), CliError> {
    let filter = match filter {
        Some(text) => text.parse::<Targets>().map_err(|error| {
            CliError::usage(format!("`{text}` is not a log filter: {error}"))
                .with_hint("write a level such as debug, or info,gristmill=debug")
        })?,
        None => Targets::new().with_default(if long { LevelFilter::INFO } else { LevelFilter::WARN }),
    };
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(color).with_filter(filter);
    // An application may have set up its own before it called us; then that one is the log.
    let _ = tracing_subscriber::registry().with(lines).with(gristmill::log_capture::layer()).try_init();
    Ok(())
}
