use std::fmt;
use std::hash::{Hash, Hasher};

use crate::{Fence, TaskId};

/// Names one claim of one task; every write about the attempt carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRef {
    /// The task.
    pub id: TaskId,
    /// The fence of the claim.
    pub fence: Fence,
    /// What the source wants to find again with a settlement.
    pub key: LeaseKey,
}

impl Hash for LeaseRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The fence is never given twice; the rest costs time and tells no more.
        self.id.hash(state);
        self.fence.hash(state);
    }
}

/// A few bytes of a source's own about a claim: where its row is, a delivery tag. Opaque to all others.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseKey {
    length: u8,
    bytes: [u8; Self::BYTES_MAX],
}

impl LeaseKey {
    /// The most bytes that it takes; enough for a number, a UUID and some bits.
    pub const BYTES_MAX: usize = 31;

    /// Keeps these bytes; `None` if they are more than [`BYTES_MAX`](Self::BYTES_MAX).
    ///
    /// ```
    /// use gristmill_core::LeaseKey;
    ///
    /// assert_eq!(LeaseKey::new(b"tag 7").unwrap().as_bytes(), b"tag 7");
    /// assert!(LeaseKey::new(&[0; 32]).is_none());
    /// ```
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Self { length: u8::try_from(bytes.len()).ok()?, bytes: [0; Self::BYTES_MAX] };
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(key)
    }

    /// Keeps a number.
    pub const fn of_number(number: i64) -> Self {
        let mut key = Self { length: 8, bytes: [0; Self::BYTES_MAX] };
        let number = number.to_be_bytes();
        let mut at = 0;
        while at < number.len() {
            key.bytes[at] = number[at];
            at += 1;
        }
        key
    }

    /// The number that [`of_number`](Self::of_number) kept; `None` if it is none.
    pub fn number(&self) -> Option<i64> {
        self.as_bytes().try_into().ok().map(i64::from_be_bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
