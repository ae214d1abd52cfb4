use std::time::Duration;

use super::{Harness, HarnessError};
use crate::Timestamp;
use crate::beat::{Beat, Next};

impl Harness {
    /// Runs a beat, and everything that it makes ready, while the clock goes from tick to tick up to `until`: a year of a
    /// nightly schedule takes some milliseconds in memory. The application's own schedules were written when it was connected.
    /// Returns how many attempts were run.
    ///
    /// ```
    /// use gristmill::testing::{Harness, assert_scheduled};
    /// use gristmill::{App, Result, task};
    ///
    /// #[task(name = "report.build")]
    /// async fn build_report() -> Result<()> {
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app = App::new(()).register::<BuildReport>().tz("Europe/Rome").cron("0 3 * * *", BuildReport {});
    /// let test = Harness::new(app).await?;
    /// assert_scheduled!(test, "report.build", at "2027-01-01T03:00:00+01:00");
    /// let year = test.beat_until("2028-01-01T00:00:00Z".parse()?).await?;
    /// assert_eq!(year, 365);
    /// assert_scheduled!(test, "report.build", at "2028-01-01T03:00:00+01:00");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`drain`](Self::drain): [`Endless`](HarnessError::Endless) if attempts and ticks together are more than
    /// [`steps_max`](Self::steps_max), as those of a schedule that ticks each second of a year. The clock stands then where it came.
    pub async fn beat_until(&self, until: Timestamp) -> Result<usize, HarnessError> {
        let mut steps = self.inline.steps();
        let mut beat = Beat::new(self.client.store().clone(), self.client.runtime().clone());
        let mut attempts = 0;
        loop {
            steps.take(1)?;
            match beat.round().await? {
                Next::More => attempts += self.inline.drain_within(&self.client, &mut steps).await?,
                pause @ Next::Pause(_) => beat.wait(pause).await,
                Next::Sleep(_) => {
                    let left = until.since(self.now());
                    if left.is_zero() {
                        break;
                    }
                    let next = self.client.store().due_schedules(1).await?.next_due.unwrap_or(left);
                    // What the clock passes on its way starts in its order: tasks that wait for a retry, too.
                    let next = next.max(Duration::from_millis(1)).min(left);
                    self.advance(next).await?;
                    attempts += self.inline.drain_within(&self.client, &mut steps).await?;
                }
            }
        }
        beat.resign().await;
        Ok(attempts)
    }
}

/// Asserts that there is a schedule of this name that ticks, and (`at INSTANT`, as RFC 3339 text) when it does next.
/// [`Harness::beat_until`] has an example.
#[macro_export]
macro_rules! assert_scheduled {
    ($harness:expr, $name:expr, at $at:expr) => {{
        $crate::testing::assert_one_scheduled(&$harness, $name, Some($at)).await;
    }};
    ($harness:expr, $name:expr) => {{
        $crate::testing::assert_one_scheduled(&$harness, $name, None).await;
    }};
}

/// What [`assert_scheduled!`] calls.
///
/// # Panics
/// If there is no such schedule, or it does not tick then.
#[expect(clippy::expect_used, clippy::panic, reason = "an assertion of a test")]
pub async fn assert_one_scheduled(harness: &Harness, name: &str, at: Option<&str>) {
    let found = harness.client.schedules().get(name).await.expect("the store can be read");
    let Some(found) = found else {
        let all = harness.client.schedules().list(None, None, 20).await.expect("the store can be read");
        let names: Vec<_> = all.into_iter().map(|schedule| schedule.name).collect();
        panic!("there is no schedule `{name}`; there are {names:?}");
    };
    let next = found.next.unwrap_or_else(|| panic!("schedule `{name}` is {} and ticks no more: {found:#?}", found.state));
    if let Some(at) = at {
        let at: Timestamp = at.parse().expect("an instant in RFC 3339");
        assert_eq!(next, at, "the next tick of schedule `{name}`, {}", found.rule);
    }
}
