//! Keeps what a handler logs through `tracing` with its attempt.

use std::fmt::{self, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::attempt::Attempt;

tokio::task_local! {
    /// The attempt whose handler is being polled.
    pub(crate) static CURRENT: Arc<Attempt>;
}

/// A layer that copies the events of a running handler into the log of its attempt, in one line each: those at `INFO` and above,
/// of whatever target. What HTTP clients and drivers say of their connections at lower levels would bury what the handler says.
///
/// For more, raise the [level](CaptureLayer::level), and let a filter keep the libraries out:
///
/// ```
/// use tracing_subscriber::filter::{LevelFilter, Targets};
/// use tracing_subscriber::layer::{Layer, SubscriberExt};
///
/// let kept = Targets::new().with_default(LevelFilter::INFO).with_target("my_app", LevelFilter::TRACE);
/// let capture = gristmill::log_capture::layer().level(LevelFilter::TRACE).with_filter(kept);
/// let subscriber = tracing_subscriber::registry().with(capture);
/// # let _ = subscriber;
/// ```
pub fn layer() -> CaptureLayer {
    CaptureLayer { level: LevelFilter::INFO }
}

/// See [`layer`].
#[derive(Debug)]
pub struct CaptureLayer {
    level: LevelFilter,
}

impl CaptureLayer {
    /// Copies events of this level and above; `INFO` unless said.
    #[must_use]
    pub fn level(self, level: LevelFilter) -> Self {
        Self { level }
    }
}

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // What the engine itself says about the task would only repeat the history.
        if *metadata.level() > self.level || metadata.target().starts_with("gristmill") {
            return;
        }
        let _ = CURRENT.try_with(|attempt| {
            let mut line = Line(metadata.level().to_string());
            event.record(&mut line);
            attempt.log(&line.0);
        });
    }
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
