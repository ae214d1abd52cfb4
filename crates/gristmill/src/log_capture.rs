//! Keeps what a handler logs through `tracing` with its attempt.

use std::fmt::{self, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::attempt::Attempt;

tokio::task_local! {
    /// The attempt whose handler is being polled.
    pub(crate) static CURRENT: Arc<Attempt>;
}

/// A layer that copies every event of a running handler into the log of its attempt, in one line each.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
/// let subscriber = tracing_subscriber::registry().with(gristmill::log_capture::layer());
/// # let _ = subscriber;
/// ```
pub fn layer() -> CaptureLayer {
    CaptureLayer { _private: () }
}

/// See [`layer`].
#[derive(Debug)]
pub struct CaptureLayer {
    _private: (),
}

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // What the engine itself says about the task would only repeat the history.
        if event.metadata().target().starts_with("gristmill") {
            return;
        }
        let _ = CURRENT.try_with(|attempt| {
            let mut line = Line(event.metadata().level().to_string());
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
