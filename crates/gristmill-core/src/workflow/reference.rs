use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Map, Value};

/// A place in the arguments of a step that says which result stands there when it runs: `{"$result": "STEP"}`, `{"$results": "STEP"}` or
/// `{"$failure": "STEP"}`, each with `"at": "/POINTER"` if a part is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The name of the step that is meant; `None` for the workflow as a whole (`{"$failure": true}`).
    pub step: Option<String>,
    /// What of it.
    pub wanted: Wanted,
    /// The part of it that is meant, as a [JSON Pointer](https://www.rfc-editor.org/rfc/rfc6901); of each of them, if it is all. Empty for
    /// the whole.
    pub at: String,
}

/// What a [`Reference`] wants of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The result of its one member.
    Result,
    /// The results of all its members, in their order; `null` for one that did not succeed.
    Results,
    /// What went wrong: that of the first member that did not succeed; `null` if there is none.
    Failure,
}

/// The references in some arguments, each once, in the order in which they stand there.
pub type References = Vec<Reference>;

/// What is wrong with a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// It can't be read.
    #[error(
        "{place}: {why}; a reference is {{\"$result\": \"STEP\"}}, {{\"$results\": \"STEP\"}} or {{\"$failure\": \"STEP\"}}, each with \"at\": \"/POINTER\" if a part is meant"
    )]
    Form {
        /// Where it stands in the arguments, as a JSON Pointer.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The result has no such part.
    #[error("{place}: the result of the step `{step}` has nothing at {at}")]
    Missing {
        /// Where the reference stands in the arguments, as a JSON Pointer.
        place: String,
        /// The step.
        step: String,
        /// The pointer.
        at: String,
    },
    /// What is put in has too many bytes by then.
    #[error("{place}: the results put into the arguments have more than {most} bytes, with those of the step `{step}`")]
    TooLarge {
        /// Where the reference stands in the arguments, as a JSON Pointer.
        place: String,
        /// The step.
        step: String,
        /// So many are allowed.
        most: usize,
    },
}

/// Finds the references in the arguments of a step.
///
/// # Errors
/// If one can't be read.
pub fn references(args: &Value) -> Result<References, ReferenceError> {
    let mut found = References::new();
    walk(args, &mut String::new(), &mut |reference, _| {
        if !found.contains(&reference) {
            found.push(reference);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The same with the place of each as a JSON Pointer, as often as it stands there.
///
/// # Errors
/// If one can't be read.
pub fn reference_places(args: &Value) -> Result<Vec<(Reference, String)>, ReferenceError> {
    let mut found = Vec::new();
    walk(args, &mut String::new(), &mut |reference, place| {
        found.push((reference, place.to_owned()));
        Ok(())
    })?;
    Ok(found)
}

/// Puts results in the place of references, of `most` bytes at most: as often as each stands there. `result` gives the result of a step,
/// or those of all its members as an array.
///
/// # Errors
/// If a reference can't be read, there is nothing at a pointer, or what is put in has more bytes.
pub fn resolve<'v>(args: Value, most: usize, result: &mut impl FnMut(&Reference) -> &'v Value) -> Result<Value, ReferenceError> {
    Putting { result, most, room: most }.put(args, &mut String::new())
}

struct Putting<'r, F> {
    result: &'r mut F,
    most: usize,
    /// So many bytes are left.
    room: usize,
}

impl<'v, F: FnMut(&Reference) -> &'v Value> Putting<'_, F> {
    fn put(&mut self, value: Value, place: &mut String) -> Result<Value, ReferenceError> {
        Ok(match value {
            Value::Object(map) => match read(&map, place)? {
                Some(reference) => {
                    let whole = (self.result)(&reference);
                    self.part(whole, &reference, place)?
                }
                None => {
                    let mut put_in = Map::with_capacity(map.len());
                    for (key, value) in map {
                        let value = below(place, &key, |place| self.put(value, place))?;
                        put_in.insert(key, value);
                    }
                    Value::Object(put_in)
                }
            },
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                let put_in = items.map(|(at, item)| below(place, &at.to_string(), |place| self.put(item, place)));
                Value::Array(put_in.collect::<Result<_, _>>()?)
            }
            plain => plain,
        })
    }

    fn part(&mut self, whole: &Value, reference: &Reference, place: &str) -> Result<Value, ReferenceError> {
        let step = || reference.step.clone().unwrap_or_default();
        let missing = || ReferenceError::Missing { place: place.to_owned(), step: step(), at: reference.at.clone() };
        let (room, most) = (&mut self.room, self.most);
        let mut copy = |value: &Value| {
            // Before it takes up memory.
            let left = room.checked_sub(bytes(value));
            *room = left.ok_or_else(|| ReferenceError::TooLarge { place: place.to_owned(), step: step(), most })?;
            Ok(value.clone())
        };
        // What is not there has no parts, and its absence is what is told.
        let mut of = |value: &Value, or_null| match value {
            Value::Null if or_null => copy(value),
            value => copy(value.pointer(&reference.at).ok_or_else(missing)?),
        };
        match (whole, reference.wanted) {
            (Value::Array(items), Wanted::Results) => {
                Ok(Value::Array(items.iter().map(|item| of(item, true)).collect::<Result<_, _>>()?))
            }
            (whole, wanted) => of(whole, wanted != Wanted::Result),
        }
    }
}

/// How many bytes a value has as JSON text.
fn bytes(value: &Value) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0 += part.len();
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

fn walk(
    value: &Value,
    place: &mut String,
    found: &mut impl FnMut(Reference, &str) -> Result<(), ReferenceError>,
) -> Result<(), ReferenceError> {
    match value {
        Value::Object(map) => match read(map, place)? {
            Some(reference) => found(reference, place),
            None => map.iter().try_for_each(|(key, value)| below(place, key, |place| walk(value, place, found))),
        },
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(at, item)| below(place, &at.to_string(), |place| walk(item, place, found)))
        }
        _ => Ok(()),
    }
}

/// A reference, if an object is one: whatever has a key with a dollar that references have.
fn read(map: &Map<String, Value>, place: &str) -> Result<Option<Reference>, ReferenceError> {
    let wrong = |why| ReferenceError::Form { place: if place.is_empty() { "args".to_owned() } else { place.to_owned() }, why };
    let sorts = [("$result", Wanted::Result), ("$results", Wanted::Results), ("$failure", Wanted::Failure)];
    let mut found = sorts.into_iter().filter_map(|(key, wanted)| Some((map.get(key)?, wanted)));
    let Some((step, wanted)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(wrong("it refers to two things at once"));
    }
    let at = match map.get("at") {
        None => "",
        Some(Value::String(at)) if at.is_empty() || at.starts_with('/') => at,
        Some(_) => return Err(wrong("`at` is no JSON Pointer such as \"/a/0\"")),
    };
    let step = match step {
        Value::String(step) => Some(step.clone()),
        Value::Bool(true) if wanted == Wanted::Failure => None,
        _ => return Err(wrong("the step's name is no text")),
    };
    if map.len() > 1 + usize::from(map.contains_key("at")) {
        return Err(wrong("it has other keys besides"));
    }
    Ok(Some(Reference { step, wanted, at: at.to_owned() }))
}

/// Does something one place further down.
fn below<T>(place: &mut String, key: &str, act: impl FnOnce(&mut String) -> T) -> T {
    let here = place.len();
    place.push('/');
    place.push_str(&pointer_part(key));
    let done = act(place);
    place.truncate(here);
    done
}

/// A key as a part of a JSON Pointer.
pub fn pointer_part(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { Cow::Owned(key.replace('~', "~0").replace('/', "~1")) } else { Cow::Borrowed(key) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand_and_each_once() {
        let args = json!({ "a": { "$result": "x" }, "b": [1, { "$results": "y", "at": "/n" }, { "$result": "x" }, { "$failure": true }] });
        let reference =
            |step: Option<&str>, wanted, at: &str| Reference { step: step.map(str::to_owned), wanted, at: at.to_owned() };
        let expected = vec![
            reference(Some("x"), Wanted::Result, ""),
            reference(Some("y"), Wanted::Results, "/n"),
            reference(None, Wanted::Failure, ""),
        ];
        assert_eq!(references(&args), Ok(expected));
        let places: Vec<_> = reference_places(&args).unwrap().into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, ["/a", "/b/1", "/b/2", "/b/3"]);
        assert_eq!(references(&json!({ "result": "x", "at": "/n" })), Ok(vec![]));
    }

    #[test]
    fn results_are_put_in_their_places() {
        let args =
            json!({ "n": { "$result": "x", "at": "/a~1b/0" }, "all": { "$results": "y", "at": "/n" }, "plain": [{ "at": 1 }] });
        let (many, one) = (json!([{ "n": 1 }, null, { "n": 2 }]), json!({ "a/b": [7] }));
        let mut result = |of: &Reference| match of.wanted {
            Wanted::Results => &many,
            Wanted::Result => &one,
            Wanted::Failure => &Value::Null,
        };
        assert_eq!(
            resolve(args, 7, &mut result).unwrap(),
            json!({ "n": 7, "all": [1, null, 2], "plain": [{ "at": 1 }] }),
            "one that failed has no result, and no part of one"
        );
        let error = resolve(json!({ "n": [{ "$result": "x", "at": "/c" }] }), 100, &mut result).unwrap_err();
        assert_eq!(error.to_string(), "/n/0: the result of the step `x` has nothing at /c");
    }

    /// One result that stands there a million times takes up the memory of a million.
    #[test]
    fn what_is_put_in_is_bounded_however_often_it_stands_there() {
        let large = json!({ "text": "x".repeat(98), "n": 1 });
        let args = |references: usize, at: &str| json!(vec![json!({ "$result": "x", "at": at }); references]);
        assert!(resolve(args(10, "/text"), 1_000, &mut |_| &large).is_ok());
        assert!(resolve(args(1_000, "/n"), 1_000, &mut |_| &large).is_ok(), "the part alone counts");
        let error = resolve(args(11, "/text"), 1_000, &mut |_| &large).unwrap_err();
        let expected = "/10: the results put into the arguments have more than 1000 bytes, with those of the step `x`";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_no_reference_is_told_with_its_place() {
        for (args, why) in [
            (json!({ "a": { "$result": 1 } }), "/a: the step's name is no text"),
            (json!({ "a": { "$result": "x", "at": "n" } }), "/a: `at` is no JSON Pointer"),
            (json!({ "a": { "$result": "x", "$results": "x" } }), "/a: it refers to two things"),
            (json!({ "$result": "x", "more": 1 }), "args: it has other keys"),
        ] {
            let error = references(&args).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
