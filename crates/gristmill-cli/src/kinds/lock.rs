//! The lock of a task type of the file, taken before its command or request runs.

use std::time::Duration;

use gristmill::context::LockGuard;
use gristmill::core::{Env, Template};
use gristmill::{Context, Error, Result};
use serde_json::Value;

/// So long a slot is kept for who finds it held, as most are held for a moment.
const WAIT: Duration = Duration::from_secs(1);
/// Then he comes back after about so long the first time, and twice as long each time.
const SNOOZE_FIRST: Duration = Duration::from_secs(1);
const SNOOZE_LONGEST: Duration = Duration::from_secs(60);

/// Takes it, if there is one; or waits a little, and then puts the task off at no cost.
pub(super) async fn take(lock: Option<&Template>, cx: &Context, args: &str) -> Result<Option<LockGuard>> {
    let Some(lock) = lock else { return Ok(None) };
    let args: Value = serde_json::from_str(args).map_err(Error::fail)?;
    let name = lock.fill(|name| args.get(name)).map_err(Error::fail)?;
    // Claims that used up no attempt: nearly all of them were put off like this one.
    let before = cx.fencing_token().saturating_sub(cx.attempt());
    let longest = SNOOZE_FIRST.saturating_mul(1 << before.min(16)).min(SNOOZE_LONGEST);
    // From half of it on, so that those who were put off together do not come back together.
    let delay = longest.mul_f64(0.5 + Env::system().random() / 2.0);
    // Not all of a short time limit, or who waits in vain would have timed out instead.
    let wait = cx.time_left().map_or(WAIT, |left| WAIT.min(left / 2));
    cx.lock(name).wait(wait).or_snooze(delay).await.map(Some)
}
