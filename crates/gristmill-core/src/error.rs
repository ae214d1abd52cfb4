use std::error::Error as StdError;
use std::fmt;

use crate::InvalidInput;

/// Why a store could not do what was asked.
///
/// Opaque on purpose: drivers change, and their types would leak into every caller. Ask the predicates, or match on
/// [`kind`](Self::kind); the driver's own error is the [`source`](StdError::source).
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    lasting: bool,
}

/// What sort of trouble it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store can't be reached or opened.
    Unreachable,
    /// Somebody else holds it for longer than the store waits; try again.
    Busy,
    /// No space is left. Nothing was written; try again when there is.
    Full,
    /// It can be read but not written.
    ReadOnly,
    /// The file or database belongs to something else.
    NotOurs,
    /// It was written by a newer version.
    TooNew,
    /// It is damaged.
    Corrupt,
    /// What was asked for is not possible, whatever the store's condition.
    Invalid,
    /// The store is closed or closing.
    Closed,
    /// Anything else; the source tells.
    Other,
}

impl StoreError {
    /// An error of `kind`. The message says, in lower case, what was tried and what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, lasting: false }
    }

    /// Keeps the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that no call on this handle can succeed any more, whatever its kind. A worker on it ends for that.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// The sort of trouble.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing the request.
    pub fn is_transient(&self) -> bool {
        use StoreErrorKind::{Busy, Full, Other, ReadOnly, Unreachable};
        matches!(self.kind, Busy | Full | Unreachable | ReadOnly | Other) && !self.lasting
    }

    /// Whether all calls will fail until somebody mends the store or opens it anew.
    pub fn is_lasting(&self) -> bool {
        use StoreErrorKind::{Corrupt, NotOurs, TooNew};
        self.lasting || matches!(self.kind, Corrupt | NotOurs | TooNew)
    }

    /// Whether no call on this handle can succeed any more, whatever is done to the store: it has to be opened anew.
    pub fn is_final(&self) -> bool {
        self.lasting || self.kind == StoreErrorKind::Closed
    }

    /// A copy for each of several callers whose work failed together.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let error = Self { lasting: self.lasting, ..Self::new(self.kind, self.message.clone()) };
        match &self.source {
            Some(source) => error.with_source(source.to_string()),
            None => error,
        }
    }
}

/// Whatever a caller gave that no store takes.
impl From<InvalidInput> for StoreError {
    fn from(error: InvalidInput) -> Self {
        Self::new(StoreErrorKind::Invalid, error.to_string())
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
