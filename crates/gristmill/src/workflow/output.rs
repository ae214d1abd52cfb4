use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use super::plan::Need;
use crate::core::InvalidInput;
use crate::core::workflow::references;

/// What a step gives, to be an argument of another: it is put there when that one begins. Made by the handle of a step, such as
/// [`Step::result`](super::Step::result).
#[derive(Clone, Debug)]
pub struct Output<T> {
    given: Given,
    gives: PhantomData<fn() -> T>,
}

impl<T> Output<T> {
    pub(super) fn new(reference: Value, after: Option<Need>) -> Self {
        Self { given: Given { value: Ok(reference), after: after.into_iter().collect() }, gives: PhantomData }
    }
}

/// What can be an argument of type `T` of a task in a workflow: a value, or what a step gives.
///
/// For a text there may stand a `&str`, for an `Option<T>` whatever stands for a `T`, and for a `Vec<T>` an array or a `Vec` of what steps
/// give.
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no `{T}`, which this argument takes",
    label = "gives no `{T}`",
    note = "an argument takes a value of its type, or what a step gives: `step.result()`, `group.results()`, `step.at(\"/part\")`"
)]
pub trait Gives<T> {
    #[doc(hidden)]
    fn give(self) -> Given;
}

/// An argument on its way, and what it comes from.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Given {
    pub(super) value: Result<Value, InvalidInput>,
    pub(super) after: Vec<Need>,
}

impl Given {
    fn of(value: &impl Serialize) -> Self {
        Self { value: plain(value), after: Vec::new() }
    }

    fn all<T>(outputs: impl Iterator<Item = Output<T>>) -> Self {
        let (mut values, mut after) = (Vec::new(), Vec::new());
        for Output { given, .. } in outputs {
            values.push(given.value);
            after.extend(given.after);
        }
        Self { value: values.into_iter().collect::<Result<Vec<_>, _>>().map(Value::Array), after }
    }
}

/// A value as JSON. One that looks like a reference may come from whoever the application serves, and must not read a result.
pub(super) fn plain(value: &impl Serialize) -> Result<Value, InvalidInput> {
    let refused = |problem: String| InvalidInput::new("args", problem);
    let value = serde_json::to_value(value).map_err(|error| refused(format!("can't be written as JSON: {error}")))?;
    match references(&value) {
        Ok(found) if found.is_empty() => Ok(value),
        _ => Err(refused(
            "have an object with the key `$result`, `$results` or `$failure`, which would be taken for what a step gives; name it otherwise"
                .to_owned(),
        )),
    }
}

impl<T: Serialize> Gives<T> for T {
    fn give(self) -> Given {
        Given::of(&self)
    }
}

impl<T: Serialize> Gives<Option<T>> for T {
    fn give(self) -> Given {
        Given::of(&self)
    }
}

impl Gives<String> for &str {
    fn give(self) -> Given {
        Given::of(&self)
    }
}

impl Gives<Option<String>> for &str {
    fn give(self) -> Given {
        Given::of(&self)
    }
}

impl<T> Gives<T> for Output<T> {
    fn give(self) -> Given {
        self.given
    }
}

impl<T> Gives<Option<T>> for Output<T> {
    fn give(self) -> Given {
        self.given
    }
}

impl<T> Gives<Vec<T>> for Vec<Output<T>> {
    fn give(self) -> Given {
        Given::all(self.into_iter())
    }
}

impl<T, const N: usize> Gives<Vec<T>> for [Output<T>; N] {
    fn give(self) -> Given {
        Given::all(self.into_iter())
    }
}
