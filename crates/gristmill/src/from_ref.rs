/// Takes what a task needs out of the application's state, checked at compile time.
///
/// A task that asks for `Context<Mailer>` can be registered in an `App<State>` if `Mailer: FromRef<State>`.
///
/// ```
/// use gristmill::{App, FromRef};
///
/// #[derive(Clone)]
/// struct Mailer;
/// #[derive(Clone)]
/// struct State { mailer: Mailer }
///
/// impl FromRef<State> for Mailer {
///     fn from_ref(state: &State) -> Self {
///         state.mailer.clone()
///     }
/// }
/// # let _ = App::new(State { mailer: Mailer });
/// ```
#[diagnostic::on_unimplemented(
    message = "the application's state `{S}` does not provide `{Self}`, which the task asks for",
    label = "needs `{Self}`",
    note = "implement `FromRef<{S}>` for `{Self}`, or give `App::new` a state that is one"
)]
pub trait FromRef<S> {
    /// Takes it. Called once an attempt; make it as cheap as the clone of an `Arc`.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}

/// The state of a task that needs none; every application provides it.
// Not `Clone`: that is what keeps the implementation below apart from the one for all `Clone` types.
#[derive(Debug)]
pub struct Stateless;

impl<S> FromRef<S> for Stateless {
    fn from_ref(_: &S) -> Self {
        Self
    }
}
