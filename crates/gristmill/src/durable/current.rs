use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::TaskId;

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// A step of a task whose work is being polled on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    task: TaskId,
    position: u32,
}

impl Current {
    pub(super) fn new(task: TaskId, position: u32) -> Self {
        Self { task, position }
    }

    /// That of this task. Another's may surround it, where a test runs what a step enqueues at once.
    pub(super) fn position_of(task: TaskId) -> Option<u32> {
        CURRENT.get().filter(|current| current.task == task).map(|current| current.position)
    }
}

/// Work for a thread of its own, which belongs to the step that it is begun in.
pub(crate) fn in_step_of_thread<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let current = CURRENT.get();
    move || within(current, work)
}

fn within<T>(current: Option<Current>, work: impl FnOnce() -> T) -> T {
    /// Also if the work panics.
    struct Restore(Option<Current>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(current));
    work()
}

/// The work of a step.
pub(super) struct InStep<'a, F> {
    pub(super) current: Current,
    pub(super) work: Pin<&'a mut F>,
}

impl<F: Future> Future for InStep<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let current = self.current;
        within(Some(current), || self.work.as_mut().poll(cx))
    }
}
