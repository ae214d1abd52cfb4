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
        Some(text) => read(text).map_err(|why| {
            CliError::usage(format!("`{text}` is not a log filter: {why}"))
                .with_hint("write a level (off, error, warn, info, debug, trace), or levels of targets: info,gristmill=debug")
        })?,
        None => Targets::new().with_default(if long { LevelFilter::INFO } else { LevelFilter::WARN }),
    };
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(color).with_filter(filter);
    // An application may have set up its own before it called us; then that one is the log.
    let _ = tracing_subscriber::registry().with(lines).with(gristmill::log_capture::layer()).try_init();
    Ok(())
}

/// Reads a filter. A word alone is a level; for the library it would also be a target, so that a slip would silence the log.
fn read(text: &str) -> Result<Targets, String> {
    for word in text.split(',').map(str::trim).filter(|part| !part.contains('=')) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(format!("`{word}` is not a level"));
        }
    }
    text.parse().map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())
}
