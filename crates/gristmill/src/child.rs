use std::fmt;
use std::marker::PhantomData;

use crate::TaskId;

/// A task that a handler enqueued through its context: its id is known, and it exists once the handler has succeeded.
///
/// It can't be awaited in its parent, as it does not start before that has ended. Whoever is to wait for it gets its id, in the
/// parent's result for one, and asks a client for a [`handle`](crate::Client::handle).
///
/// ```
/// # use gristmill::{App, Context, Result, TaskId, task};
/// #[task(name = "pack")]
/// async fn pack(order: u32) -> Result<u32> {
///     Ok(order)
/// }
///
/// #[task(name = "order")]
/// async fn order(cx: &Context, order: u32) -> Result<TaskId> {
///     Ok(cx.enqueue(Pack { order }).await?.id())
/// }
/// # async fn example(client: gristmill::Client) -> Result<()> {
/// let packing = client.enqueue(Order { order: 7 }).await?.result().await?;
/// assert_eq!(client.handle_of::<Pack>(packing).result().await?, 7);
/// # Ok(())
/// # }
/// ```
pub struct Child<O> {
    id: TaskId,
    output: PhantomData<fn() -> O>,
}

impl<O> Child<O> {
    pub(crate) fn new(id: TaskId) -> Self {
        Self { id, output: PhantomData }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl<O> Clone for Child<O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for Child<O> {}

impl<O> fmt::Debug for Child<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({})", self.id)
    }
}
