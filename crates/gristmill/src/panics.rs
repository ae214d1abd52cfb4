use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use crate::core::FailureReason;
use crate::error::{Error, What, When};

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    static TRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught, with the trace of the place where it happened.
#[derive(Debug)]
pub(crate) struct Panicked {
    message: String,
    trace: Option<String>,
}

/// Runs a piece of a handler, or of a part of the worker. A panic becomes a value, so that it ends that and nothing else.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    install_hook();
    let outer = IN_HANDLER.replace(true);
    let caught = catch_unwind(AssertUnwindSafe(work));
    IN_HANDLER.set(outer);
    caught.map_err(|payload| Panicked { message: message_of(&*payload), trace: TRACE.take() })
}

/// Whether this is called by a handler, or by what stands around it.
pub(crate) fn is_in_handler() -> bool {
    IN_HANDLER.get()
}

/// Makes a panic in any poll of a future a value, as [`catch`] does; the future must not be polled again then.
pub(crate) fn caught<F: Future + Unpin>(future: F) -> Caught<F> {
    Caught(future)
}

/// See [`caught`].
pub(crate) struct Caught<F>(F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch(|| Pin::new(&mut self.0).poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

impl From<Panicked> for Error {
    fn from(panicked: Panicked) -> Self {
        let mut error = Self::new(What::Retry(When::Backoff), FailureReason::Panic, panicked.message);
        error.trace = panicked.trace;
        error
    }
}

/// The stack is gone when a panic has been caught; only a hook sees it. Panics outside of handlers go to the hook that
/// was there before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if IN_HANDLER.get() {
                let place = info.location().map(|place| format!("panicked at {place}\n")).unwrap_or_default();
                TRACE.set(Some(format!("{place}{}", Backtrace::force_capture())));
            } else {
                before(info);
            }
        }));
    });
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)"))
}
