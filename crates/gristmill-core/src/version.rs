//! Versions of a task type's arguments, which stand in the name under which its tasks are stored.
//!
//! Tasks of version 1 have the plain name, and those of version `N` end in `@N`. So to a program that does not know the version they are of a type
//! that it does not know: it leaves them alone.

use std::borrow::Cow;

use crate::limits::VERSION_MAX;

/// The name under which tasks of this version of a type are stored.
///
/// ```
/// use gristmill_core::version::stored_name;
/// assert_eq!(stored_name("email.send", 1), "email.send");
/// assert_eq!(stored_name("email.send", 2), "email.send@2");
/// ```
pub fn stored_name(name: &str, version: u32) -> Cow<'_, str> {
    if version <= 1 { Cow::Borrowed(name) } else { Cow::Owned(format!("{name}@{version}")) }
}

/// The name of the task type and the version in a stored name: what all versions have in common goes by the former.
///
/// ```
/// use gristmill_core::version::split;
/// assert_eq!(split("email.send@2"), ("email.send", 2));
/// assert_eq!(split("email.send"), ("email.send", 1));
/// assert_eq!(split("ann@example.org"), ("ann@example.org", 1));
/// ```
pub fn split(stored: &str) -> (&str, u32) {
    // Nearly every name ends here.
    if !stored.as_bytes().last().is_some_and(u8::is_ascii_digit) {
        return (stored, 1);
    }
    let Some((name, digits)) = stored.rsplit_once('@') else { return (stored, 1) };
    // Only as it is written here: `a@02` and `a@+2` are names of their own, or two names would stand for one version.
    let is_written_so = !name.is_empty() && !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit());
    match digits.parse() {
        Ok(version) if is_written_so && (2..=VERSION_MAX).contains(&version) => (name, version),
        _ => (stored, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_name_says_its_type_and_its_version() {
        for (name, version) in [("a", 1), ("a", 2), ("a", 10), ("a b@c", VERSION_MAX), ("a@2", 3)] {
            assert_eq!(split(&stored_name(name, version)), (name, version));
        }
        for own in ["", "@", "@2", "a@", "a@0", "a@1", "a@02", "a@+2", "a@2x", "a@-2", "a@101", "a@4294967298", "a@٣", "a2"] {
            assert_eq!(split(own), (own, 1));
        }
    }
}
