//! Which workers are dead, though the wall clock may have been set meanwhile.
//!
//! A worker writes until when it lives, by the store's wall clock. Whoever rescues compares that with what he has seen himself, by
//! his own monotonic clock: a clock that is set forward makes all look dead, and one that was ahead lets the dead live for as long.

use std::collections::HashMap;
use std::time::Duration;

use crate::Timestamp;

/// A wall clock that went on by so much more or less than the monotonic one was set, or the machine slept.
const STEP: Duration = Duration::from_secs(1);
/// The lease of a worker of a version that does not say how long it is.
const LEASE_UNSAID: Duration = Duration::from_secs(30);

/// What a worker has last said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The store's key of the worker.
    pub worker: i64,
    /// Until when it lives, by the store's clock then.
    pub expires_at: Timestamp,
    /// How long its lease is.
    pub lease: Option<Duration>,
}

/// What one handle of a store has seen of its workers.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Look>,
    /// When it last looked as if the wall clock had been set, by the monotonic clock.
    stepped_at: Option<Duration>,
    seen: HashMap<i64, Seen>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Look {
    wall: Timestamp,
    monotonic: Duration,
}

/// A worker's last word as it was seen, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Seen {
    expires_at: Timestamp,
    /// The first look that found it so.
    since: Duration,
    /// It was said no earlier than this; nothing is known of what was there at the first look of all.
    not_before: Option<Duration>,
}

impl Watch {
    /// Looks at all workers at this moment of the store's clock and of one's own, and says which are dead.
    ///
    /// - One that has not been heard of for its lease, as seen from here, is dead if its time is over, whatever the clocks say.
    /// - As long as the wall clock was not set, a lease that is over by it is believed, so that the first look of a process finds
    ///   those that died before. The exception is one that was heard of from here within its lease: its clock is another.
    /// - A lease that ends later than it can was given by a clock that was ahead. Its worker lives if it is heard of again.
    pub fn dead(&mut self, wall: Timestamp, monotonic: Duration, beats: &[Beat]) -> Vec<Beat> {
        let before = self.last.replace(Look { wall, monotonic });
        if before.is_some_and(|before| before.is_a_step_from(wall, monotonic)) {
            self.stepped_at = Some(monotonic);
        }
        let seen_before = std::mem::take(&mut self.seen);
        let mut dead = Vec::new();
        for beat in beats {
            let known = seen_before.get(&beat.worker).filter(|seen| seen.expires_at == beat.expires_at);
            let not_before = before.map(|before| before.monotonic);
            let seen = known.copied().unwrap_or(Seen { expires_at: beat.expires_at, since: monotonic, not_before });
            if self.is_dead(beat, seen, wall, monotonic) {
                dead.push(*beat);
            }
            self.seen.insert(beat.worker, seen);
        }
        dead
    }

    fn is_dead(&self, beat: &Beat, seen: Seen, wall: Timestamp, monotonic: Duration) -> bool {
        let lease = beat.lease.unwrap_or(LEASE_UNSAID);
        let is_over = |since: Duration| monotonic.saturating_sub(since) >= lease;
        let expired = beat.expires_at <= wall;
        let ahead = beat.lease.is_some_and(|lease| beat.expires_at > wall.saturating_add(lease));
        let believed = expired && self.stepped_at.is_none_or(is_over) && seen.not_before.is_none_or(is_over);
        believed || ((expired || ahead) && is_over(seen.since))
    }
}

impl Look {
    fn is_a_step_from(self, wall: Timestamp, monotonic: Duration) -> bool {
        let passed = i64::try_from(monotonic.saturating_sub(self.monotonic).as_millis()).unwrap_or(i64::MAX);
        let told = wall.as_millis().saturating_sub(self.wall.as_millis());
        u128::from(told.abs_diff(passed)) >= STEP.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);
    const HOUR: i64 = 3_600;

    /// Two clocks, in seconds, and workers that beat by the wall clock.
    struct Bench {
        watch: Watch,
        wall: i64,
        passed: u64,
        beats: Vec<Beat>,
    }

    impl Bench {
        fn new(workers: i64) -> Self {
            let mut bench = Self { watch: Watch::default(), wall: 1_800_000_000, passed: 5, beats: Vec::new() };
            (0..workers).for_each(|worker| bench.beat(worker));
            bench
        }

        fn beat(&mut self, worker: i64) {
            let expires_at = Timestamp::from_millis((self.wall + 30) * 1_000);
            self.beats.retain(|beat| beat.worker != worker);
            self.beats.push(Beat { worker, expires_at, lease: Some(LEASE) });
        }

        fn pass(&mut self, seconds: u64) {
            self.passed += seconds;
            self.wall += seconds as i64;
        }

        fn dead(&mut self) -> Vec<i64> {
            let wall = Timestamp::from_millis(self.wall * 1_000);
            self.watch.dead(wall, Duration::from_secs(self.passed), &self.beats).iter().map(|beat| beat.worker).collect()
        }
    }

    #[test]
    fn a_lease_that_is_over_is_over() {
        let mut bench = Bench::new(2);
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(29);
        bench.beat(1);
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(1);
        assert_eq!(bench.dead(), [0]);
        // At its first look a process finds those that died before it began.
        bench.watch = Watch::default();
        assert_eq!(bench.dead(), [0]);
    }

    #[test]
    fn a_clock_that_is_set_forward_kills_nobody_who_lives() {
        let mut bench = Bench::new(2);
        bench.dead();
        bench.pass(1);
        bench.wall += HOUR;
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(9);
        bench.beat(1);
        assert_eq!(bench.dead(), [0; 0]);
        // The other one has not been heard of for a lease, as seen from here: no later than without the step.
        bench.pass(20);
        assert_eq!(bench.dead(), [0]);
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_the_dead_no_longer_than_a_lease() {
        let mut bench = Bench::new(0);
        bench.wall += HOUR;
        bench.beat(0);
        bench.beat(1);
        bench.wall -= HOUR;
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(10);
        bench.beat(1);
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(19);
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(1);
        assert_eq!(bench.dead(), [0]);
    }

    #[test]
    fn a_worker_with_another_clock_lives_as_long_as_it_is_heard_of() {
        for difference in [HOUR, -HOUR] {
            let mut bench = Bench::new(0);
            bench.dead();
            for _ in 0..20 {
                bench.wall += difference;
                bench.beat(0);
                bench.wall -= difference;
                bench.pass(5);
                assert_eq!(bench.dead(), [0; 0], "{difference}");
                bench.pass(5);
                assert_eq!(bench.dead(), [0; 0], "{difference}");
            }
            bench.pass(26);
            assert_eq!(bench.dead(), [0], "{difference}");
        }
    }

    #[test]
    fn a_machine_that_slept_finds_its_workers_alive() {
        let mut bench = Bench::new(1);
        bench.dead();
        // The monotonic clock stood still.
        bench.wall += 8 * HOUR;
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(5);
        bench.beat(0);
        bench.pass(29);
        assert_eq!(bench.dead(), [0; 0]);
    }

    #[test]
    fn one_that_does_not_say_how_long_its_lease_is_is_believed_to_be_ahead_of_nothing() {
        let mut bench = Bench::new(1);
        bench.beats[0].lease = None;
        bench.wall -= HOUR;
        assert_eq!(bench.dead(), [0; 0]);
        bench.pass(60);
        assert_eq!(bench.dead(), [0; 0]);
    }
}
