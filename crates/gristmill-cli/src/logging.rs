//! The program's own log, on standard error.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Global;
use crate::exit::CliError;
use crate::visible::Visible;

/// What -q, -v, --log and the environment say of the log, the first of them first; `None` for the usual.
pub(crate) fn filter(global: &Global, long: bool) -> Option<String> {
    let level = match (global.quiet, global.verbose, long) {
        (true, _, _) => "error",
        (_, 0, _) => return global.log.clone(),
        (_, 1, false) => "info",
        (_, 1, true) | (_, 2, false) => "debug",
        _ => "trace",
    };
    Some(level.to_owned())
}

/// Starts the log: what workers do, or only warnings for a command that comes and goes.
///
/// # Errors
/// A filter that can't be read.
pub(crate) fn start(filter: Option<&str>, long: bool) -> Result<(), CliError> {
    let filter = match filter {
        Some(text) => check(text)?,
        None => Targets::new().with_default(if long { LevelFilter::INFO } else { LevelFilter::WARN }),
    };
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let kept = gristmill::log_capture::layer().level(LevelFilter::TRACE).with_filter(kept(&filter));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(color).fmt_fields(fields());
    // An application may have set up its own before it called us; then that one is the log.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(kept).try_init();
    Ok(())
}

/// Reads a filter.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(filter: &str) -> Result<Targets, CliError> {
    read(filter).map_err(|why| {
        CliError::usage(format!("`{filter}` is not a log filter: {why}"))
            .with_hint("write a level (off, error, warn, info, debug, trace), or levels of targets: info,gristmill=debug")
    })
}

/// What an attempt's own log keeps: what its handler and all libraries say at `info` and above, and more from the targets that
/// the filter names. A library's chatter about connections is nothing to those who look at a task.
fn kept(filter: &Targets) -> Targets {
    let named = filter.iter().map(|(target, level)| (target.to_owned(), level.max(LevelFilter::INFO)));
    Targets::new().with_default(LevelFilter::INFO).with_targets(named)
}

/// Fields as the library writes them, but that a value stays in its line, whatever is in it: an error may hold what a task wrote.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        match (field.name(), writer.has_ansi_escapes()) {
            ("message", _) => {}
            (name, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
            (name, false) => write!(writer, "{name}=")?,
        }
        write!(Visible(writer), "{value:?}")
    })
    .delimited(" ")
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Heard {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn no_value_forges_a_line_or_moves_the_cursor() {
        let bad = "bad\n2026-11-28 ERROR gristmill: forged\r\u{1b}]0;owned\u{7}\u{202e}";
        let error: Box<dyn std::error::Error> = bad.into();
        for color in [false, true] {
            let heard = Heard::default();
            let lines = tracing_subscriber::fmt::layer().with_writer(heard.clone()).with_ansi(color).fmt_fields(fields());
            tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
                let _span = tracing::info_span!("task", kind = %bad).entered();
                tracing::warn!(error = %bad, text = bad, cause = &*error, number = 5, "said {bad}");
            });
            let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
            let own = if color { text.replace("\u{1b}[", "") } else { text };
            assert_eq!(own.matches('\n').count(), 1, "{own}");
            assert!(!own.trim_end().contains(crate::visible::is_hidden), "{own:?}");
            assert_eq!(own.matches(r"\u{1b}]0;owned\u{7}\u{202e}").count(), 5, "{own}");
            assert!(color || own.contains(r"said bad\n2026-11-28 ERROR") && own.contains(" number=5"), "{own}");
        }
    }

    #[test]
    fn an_attempt_keeps_what_is_said_at_info_and_more_of_what_is_named() {
        let kept = kept(&read("warn,mine=debug,other=error").unwrap());
        let would = |target: &str, level| kept.would_enable(target, &level);
        assert!(would("any", tracing::Level::INFO) && would("other", tracing::Level::INFO));
        assert!(would("mine::deep", tracing::Level::DEBUG) && !would("hyper", tracing::Level::DEBUG));
    }
}
