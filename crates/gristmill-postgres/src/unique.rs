//! Keys that one task has at once: what is left of them once nobody has them.

use std::sync::{Arc, Mutex, PoisonError};

use gristmill_core::StoreError;

use crate::inner::{Inner, Kind, run};
use crate::ops;

/// So many looks a sweep has, as long as most of what they find can go.
const LOOKS: usize = 20;

/// How far the sweeps of a process have walked.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<ops::KeysWalked>);

impl Inner {
    /// Forgets keys that nobody has any more, a part of them.
    pub(crate) async fn sweep_keys(self: &Arc<Self>) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            let walked = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let pruned: Result<_, StoreError> = run!(self, pool, Kind::SingleBriefly, s => ops::prune_keys(&s, &walked));
            let (walked, goes_on) = pruned?;
            *self.keys.0.lock().unwrap_or_else(PoisonError::into_inner) = walked;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}
