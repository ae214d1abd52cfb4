//! What has been taken of a key with a rate: as much as has to be known of the past, in a few numbers that a store keeps with the key. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Pace;
use crate::Timestamp;

/// So many moments a sliding window tells apart. Beyond them, those in the same hundredth of it count until its end.
const MOMENTS_MAX: usize = 128;
const PARTS: i64 = 100;
/// A part of a burst is waited for no longer than this.
const TOGETHER_MAX_US: i64 = 50_000;
/// A clock that differs by more than this was set.
const CLOCK_US: i64 = 1_000_000;
/// Who waits for nothing but others to be claimed looks again after so long at the soonest: they may wait for a queue that is paused.
pub(super) const UNCLAIMED: Duration = Duration::from_micros(UNCLAIMED_US.unsigned_abs());
const UNCLAIMED_US: i64 = 250_000;

/// A rate that holds for a key: so many, in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// How many.
    pub count: u32,
    /// In which time, and how.
    pub pace: Pace,
}

impl Ruled {
    fn per_us(self) -> i64 {
        i64::try_from(self.pace.per_ms).unwrap_or(i64::MAX).saturating_mul(1_000)
    }

    /// The time after which one more may start. Rounded up, so that the rate is never exceeded; some time in any case, as it is divided by, and a row
    /// of somebody else's may say none.
    fn each_us(self) -> i64 {
        let count = i64::from(self.count.max(1));
        (self.per_us() / count + i64::from(self.per_us() % count != 0)).max(1)
    }

    fn most(self) -> u64 {
        u64::from(if self.pace.is_window { self.count } else { self.pace.most })
    }
}

/// What has been taken of a key with a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Of a token bucket: the moment at which it is full again, in microseconds of the clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    full_at: i64,
    /// How long each token takes until then: what is lacking is counted, and not the time that it takes, or a rate that is raised would be the old one
    /// for as long as that.
    #[serde(default, skip_serializing_if = "is_zero")]
    each: i64,
    /// The last moment at which something began, as far as is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    last: i64,
    /// Of a sliding window: when how much was taken, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    moments: Vec<(i64, u64)>,
    /// What the far side has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What a far side has said of its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// So much it still takes.
    left: u64,
    /// Until then.
    until: i64,
}

const fn us(at: Timestamp) -> i64 {
    at.as_millis().saturating_mul(1_000)
}

/// Not before the moment, so that who looks then finds what was promised.
const fn at(us: i64) -> Timestamp {
    Timestamp::from_millis(us.saturating_add(999).div_euclid(1_000))
}

impl Spent {
    /// Attempts have begun then that cost so much.
    pub fn begun(&mut self, rule: Ruled, moment: Timestamp, cost: u32) {
        let (moment, cost) = (us(moment), u64::from(cost));
        self.convert(rule, moment);
        if let Some(told) = &mut self.told {
            told.left = told.left.saturating_sub(cost);
        }
        if rule.pace.is_window {
            let place = self.moments.partition_point(|(before, _)| *before <= moment);
            self.moments.insert(place, (moment, cost));
            if self.moments.len() > MOMENTS_MAX {
                self.gather(rule);
            }
        } else {
            let cost = i64::try_from(cost).unwrap_or(i64::MAX);
            self.full_at = self.full_at.max(moment).saturating_add(rule.each_us().saturating_mul(cost));
            self.last = self.last.max(moment);
        }
    }

    /// Puts moments together that are close to each other, as if all were at the last moment at which they could be: no window is taken for emptier
    /// than it is. At the same moments each time, or what is put together would become later and later.
    fn gather(&mut self, rule: Ruled) {
        let part = (rule.per_us() / PARTS).max(1);
        let last = self.moments.last().map_or(0, |(moment, _)| *moment);
        let mut gathered: Vec<(i64, u64)> = Vec::new();
        for (moment, cost) in self.moments.drain(..).filter(|(moment, _)| moment.saturating_add(rule.per_us()) > last) {
            let end = moment.div_euclid(part).saturating_add(i64::from(moment.rem_euclid(part) != 0)).saturating_mul(part);
            match gathered.last_mut() {
                Some((before, sum)) if *before == end => *sum = sum.saturating_add(cost),
                _ => gathered.push((end, cost)),
            }
        }
        self.moments = gathered;
    }

    /// What was spent by another rule is spent by this one: a rate that is changed, or counted otherwise, forgets nothing.
    fn convert(&mut self, rule: Ruled, now: i64) {
        let lacks = self.full_at.saturating_sub(now).max(0);
        let each = if self.each > 0 { self.each } else { rule.each_us() };
        let tokens = lacks / each + i64::from(lacks % each != 0);
        if rule.pace.is_window {
            if tokens > 0 {
                let place = self.moments.partition_point(|(before, _)| *before <= now);
                self.moments.insert(place, (now, tokens.unsigned_abs()));
            }
            (self.full_at, self.each, self.last) = (0, 0, 0);
        } else if each != rule.each_us() || !self.moments.is_empty() {
            let taken = self.moments.drain(..).filter(|(moment, _)| moment.saturating_add(rule.per_us()) > now);
            let taken = taken.fold(0_u64, |sum, (_, cost)| sum.saturating_add(cost));
            let tokens = tokens.saturating_add(i64::try_from(taken).unwrap_or(i64::MAX));
            (self.full_at, self.each, self.last) =
                (now.saturating_add(tokens.saturating_mul(rule.each_us())), rule.each_us(), now);
        } else {
            self.each = each;
        }
    }

    /// As it is now by this rule. What began in the future, as the clock was set back since, began now: it takes its time, and not that of the clock.
    fn settled(&self, rule: Ruled, now: i64) -> Self {
        let mut spent = self.clone();
        let soon = now.saturating_add(CLOCK_US);
        if spent.last > soon {
            spent.full_at = now.saturating_add(spent.full_at.saturating_sub(spent.last).max(0));
            spent.last = now;
        }
        for (moment, _) in spent.moments.iter_mut().filter(|(moment, _)| *moment > soon.saturating_add(rule.per_us() / PARTS)) {
            *moment = now;
        }
        spent.moments.sort_unstable();
        spent.convert(rule, now);
        spent
    }

    /// The far side has said that it takes only so much more until then. What it said before counts no more.
    pub fn told(&mut self, left: u32, until: Timestamp) {
        self.told = Some(Told { left: left.into(), until: us(until) });
    }

    /// What the far side still takes, if it has said so and that counts now.
    pub fn left(&self, now: Timestamp) -> Option<u64> {
        self.told.filter(|told| told.until > us(now)).map(|told| told.left)
    }

    /// How much is there now for whoever wants to begin, where tasks that may begin and have not yet want `unclaimed`.
    pub fn free(&self, rule: Ruled, now: Timestamp, unclaimed: u64) -> u64 {
        let told = self.left(now).unwrap_or(u64::MAX);
        let now = us(now);
        let spent = self.settled(rule, now);
        let of_rate = if rule.pace.is_window {
            let taken = spent.moments.iter().filter(|(moment, _)| moment.saturating_add(rule.per_us()) > now);
            rule.most().saturating_sub(taken.fold(0, |sum, (_, cost)| sum.saturating_add(*cost)))
        } else {
            let lacks = spent.full_at.saturating_sub(now).max(0);
            let lacks = lacks / rule.each_us() + i64::from(lacks % rule.each_us() != 0);
            rule.most().saturating_sub(lacks.unsigned_abs())
        };
        of_rate.min(told).saturating_sub(unclaimed)
    }

    /// When to look again for somebody who wants so much, and does not get it now.
    pub fn next(&self, rule: Ruled, now: Timestamp, unclaimed: u64, cost: u32) -> Timestamp {
        let wants = u64::from(cost).min(rule.most()).saturating_add(unclaimed);
        let now = us(now);
        let spent = self.settled(rule, now);
        let told = self.told.filter(|told| told.until > now && told.left < wants).map_or(now, |told| told.until);
        let of_rate = if rule.pace.is_window {
            let mut room = rule.most();
            let mut over = now;
            // From the newest on: those that leave no room have to be over.
            for (moment, cost) in spent.moments.iter().rev() {
                room = room.saturating_sub(*cost);
                if room < wants {
                    over = moment.saturating_add(rule.per_us());
                    break;
                }
            }
            over
        } else {
            let lacks = i64::try_from(wants).unwrap_or(i64::MAX).saturating_sub(i64::try_from(rule.most()).unwrap_or(i64::MAX));
            spent.full_at.max(now).saturating_add(lacks.saturating_mul(rule.each_us()))
        };
        // A part of a burst at a time, or each token would be a look of its own. What only waits to be claimed has no moment.
        let together = if rule.pace.is_window { 0 } else { i64::from(rule.pace.most).saturating_mul(rule.each_us()) / 4 };
        let least = if told.max(of_rate) > now { together.min(TOGETHER_MAX_US) } else { UNCLAIMED_US };
        at(told.max(of_rate).max(now.saturating_add(least)))
    }

    /// From when on nothing of this matters any more; `None` if nothing does now.
    pub fn matters_until(&self, rule: Ruled, now: Timestamp) -> Option<Timestamp> {
        let spent = self.settled(rule, us(now));
        let last = spent.moments.last().map(|(moment, _)| moment.saturating_add(rule.per_us()));
        let told = self.told.map(|told| told.until);
        [Some(spent.full_at), last, told].into_iter().flatten().max().filter(|until| *until > us(now)).map(at)
    }

    /// Until when it counts what the far side has said, if it has.
    pub fn told_until(&self) -> Option<Timestamp> {
        self.told.map(|told| at(told.until))
    }

    /// The same without what does not matter any more.
    #[must_use]
    pub fn pruned(mut self, rule: Ruled, now: Timestamp) -> Self {
        let at = us(now);
        self = self.settled(rule, at);
        self.moments.retain(|(moment, _)| moment.saturating_add(rule.per_us()) > at);
        self.told = self.told.filter(|told| told.until > at);
        if self.full_at <= at {
            (self.full_at, self.each, self.last) = (0, 0, 0);
        }
        self
    }
}

/// How long it takes at least until so much has come together.
pub fn takes(rule: Ruled, cost: u64) -> Duration {
    let us = rule.each_us().saturating_mul(i64::try_from(cost).unwrap_or(i64::MAX));
    Duration::from_micros(us.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(count: u32, per_ms: u64, most: u32) -> Ruled {
        Ruled { count, pace: Pace { per_ms, most, is_window: false } }
    }

    fn window(count: u32, per_ms: u64) -> Ruled {
        Ruled { count, pace: Pace { per_ms, most: count, is_window: true } }
    }

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_bucket_fills_with_time_and_no_further_than_the_burst() {
        let (rule, mut spent) = (bucket(10, 1_000, 5), Spent::default());
        assert_eq!(spent.free(rule, ms(1_000), 0), 5);
        spent.begun(rule, ms(1_000), 5);
        assert_eq!(spent.free(rule, ms(1_000), 0), 0);
        assert_eq!((spent.free(rule, ms(1_099), 0), spent.free(rule, ms(1_100), 0)), (0, 1));
        assert_eq!((spent.free(rule, ms(1_250), 1), spent.free(rule, ms(9_000), 0)), (1, 5));
        assert_eq!(spent.next(rule, ms(1_050), 0, 2), ms(1_200));
        assert_eq!(spent.matters_until(rule, ms(1_000)), Some(ms(1_500)));
        assert_eq!(spent.clone().pruned(rule, ms(1_500)), Spent::default());
    }

    #[test]
    fn what_is_lacking_comes_together_as_fast_as_the_rate_is_by_now() {
        let (slow, fast, mut spent) = (bucket(1, 3_600_000, 2), bucket(10, 1_000, 2), Spent::default());
        spent.begun(slow, ms(1_000), 2);
        assert_eq!((spent.next(slow, ms(1_000), 0, 1), spent.free(fast, ms(1_000), 0)), (ms(3_601_000), 0));
        assert_eq!(spent.next(fast, ms(1_000), 0, 1), ms(1_100));
        spent.begun(fast, ms(1_200), 1);
        assert_eq!((spent.free(fast, ms(1_300), 0), spent.free(fast, ms(1_500), 0)), (0, 2));
    }

    #[test]
    fn a_window_has_never_more_in_it_than_its_limit() {
        let (rule, mut spent) = (window(3, 1_000), Spent::default());
        spent.begun(rule, ms(100), 2);
        spent.begun(rule, ms(500), 1);
        assert_eq!((spent.free(rule, ms(500), 0), spent.free(rule, ms(1_099), 0), spent.free(rule, ms(1_100), 0)), (0, 0, 2));
        assert_eq!((spent.next(rule, ms(600), 0, 1), spent.next(rule, ms(600), 0, 3)), (ms(1_100), ms(1_500)));
        assert_eq!(spent.matters_until(rule, ms(600)), Some(ms(1_500)));
    }

    #[test]
    fn what_the_far_side_says_counts_until_its_moment() {
        let (rule, mut spent) = (bucket(1_000, 1_000, 100), Spent::default());
        spent.told(2, ms(5_000));
        assert_eq!((spent.free(rule, ms(0), 0), spent.free(rule, ms(0), 1)), (2, 1));
        spent.begun(rule, ms(10), 2);
        assert_eq!((spent.free(rule, ms(1_000), 0), spent.next(rule, ms(1_000), 0, 1)), (0, ms(5_000)));
        assert_eq!(spent.free(rule, ms(5_000), 0), 100);
    }

    #[test]
    fn who_waits_only_for_others_to_begin_looks_again_soon_and_not_at_once() {
        let (rule, spent) = (bucket(1, 60_000, 1), Spent::default());
        assert_eq!(spent.free(rule, ms(0), 1), 0);
        assert_eq!(spent.next(rule, ms(0), 1, 1), ms(60_000), "not before the other's minute is over");
        assert_eq!(spent.next(window(1, 60_000), ms(0), 1, 1), ms(250));
    }

    #[test]
    fn a_burst_is_not_waited_for_where_tokens_come_slowly() {
        let (rule, mut spent) = (bucket(600, 3_600_000, 100), Spent::default());
        spent.begun(rule, ms(0), 100);
        assert_eq!(spent.next(rule, ms(0), 0, 1), ms(6_000));
    }

    #[test]
    fn a_window_with_many_starts_forgets_them_when_they_are_over() {
        // Below its own limit nobody waits for long, however long that goes on.
        let (rule, mut spent) = (window(1_000, 3_600_000), Spent::default());
        for nth in 0..5_000 {
            let now = ms(nth * 4_000);
            assert!(spent.free(rule, now, 0) > 0, "{nth}: {spent:?}");
            spent.begun(rule, now, 1);
            spent = spent.pruned(rule, now);
            assert!(spent.moments.len() <= MOMENTS_MAX);
        }
    }

    #[test]
    fn nothing_is_forgotten_when_it_is_counted_otherwise() {
        let (by_window, by_bucket) = (window(60, 60_000), bucket(60, 60_000, 60));
        let mut spent = Spent::default();
        spent.begun(by_window, ms(1_000), 60);
        assert_eq!(spent.free(by_bucket, ms(1_000), 0), 0);
        let spent = spent.pruned(by_bucket, ms(2_000));
        assert_eq!((spent.free(by_bucket, ms(2_000), 0), spent.free(by_window, ms(2_000), 0)), (0, 0));
        let back = spent.clone().pruned(by_window, ms(3_000));
        assert!(back.free(by_window, ms(3_000), 0) <= 1, "{back:?}");
        assert_eq!(back.free(by_window, ms(64_000), 0), 60);
        assert!(spent.free(window(30, 60_000), ms(3_000), 0) <= 1);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing_for_longer_than_a_burst() {
        let hour = 3_600_000;
        let (rule, mut spent) = (bucket(10, 1_000, 5), Spent::default());
        spent.begun(rule, ms(hour), 1);
        assert_eq!((spent.free(rule, ms(1_000), 0), spent.free(rule, ms(hour), 0)), (4, 4));
        spent = spent.pruned(rule, ms(1_000));
        assert_eq!(spent.free(rule, ms(1_100), 0), 5);
        let (rule, mut spent) = (window(2, 1_000), Spent::default());
        spent.begun(rule, ms(hour), 2);
        assert_eq!(spent.next(rule, ms(1_000), 0, 1), ms(2_000));
    }

    #[test]
    fn what_takes_more_than_a_burst_is_paid_for_in_full() {
        let (rule, mut spent) = (bucket(20, 1_000, 2), Spent::default());
        spent.begun(rule, ms(1_000), 40);
        assert_eq!(spent.next(rule, ms(1_000), 0, 2), ms(3_000));
    }

    /// As a damaged row may have them, or one that somebody wrote by hand.
    #[test]
    fn numbers_out_of_all_range_are_no_panic() {
        let ends = [i64::MIN, -1, 0, 1, i64::MAX];
        for (count, per_ms, most) in
            [(0, 0, 0), (1, 0, 1), (1, u64::MAX, u32::MAX), (u32::MAX, 1, 0), (u32::MAX, u64::MAX, u32::MAX)]
        {
            for (is_window, end) in [false, true].into_iter().flat_map(|window| ends.map(|end| (window, end))) {
                let rule = Ruled { count, pace: Pace { per_ms, most, is_window } };
                let mut spent = Spent { full_at: end, each: end, last: end, moments: vec![(end, u64::MAX); 130], told: None };
                spent.told(u32::MAX, ms(end));
                for at in ends.map(ms) {
                    spent.begun(rule, at, u32::MAX);
                    spent.free(rule, at, u64::MAX);
                    spent.next(rule, at, u64::MAX, u32::MAX);
                    spent.matters_until(rule, at);
                    spent = spent.pruned(rule, at);
                    takes(rule, u64::MAX);
                }
            }
        }
    }

    #[test]
    fn a_look_in_between_puts_nobody_off() {
        let (rule, mut spent) = (bucket(1, 3_000, 1), Spent::default());
        spent.begun(rule, ms(0), 1);
        for now in [0, 900, 1_800, 2_700, 2_950] {
            assert_eq!(spent.next(rule, ms(now), 0, 1), ms(3_000));
        }
    }

    proptest! {
        /// Tasks begin some time after they were admitted, and are seen to have begun some time after that, in any order.
        #[test]
        fn no_time_has_more_starts_than_the_rate_gives(
            count in 1_u32..20, per_ms in 1_u64..2_000, most in 1_u32..20, is_window: bool,
            steps in prop::collection::vec((0_u64..300, 0_usize..6, 1_u32..4, any::<bool>()), 1..200),
        ) {
            let rule = if is_window { window(count, per_ms) } else { bucket(count, per_ms, most) };
            let mut spent = Spent::default();
            let mut now = 1_000_i64;
            let mut unclaimed: Vec<u32> = Vec::new();
            let mut unseen: Vec<(i64, u32)> = Vec::new();
            let mut starts: Vec<(i64, u32)> = Vec::new();
            for (wait, claims, cost, is_seen) in steps {
                now += i64::try_from(wait).unwrap();
                for _ in 0..claims.min(unclaimed.len()) {
                    let cost = unclaimed.swap_remove(0);
                    unseen.push((now, cost));
                    starts.push((now, cost));
                }
                if is_seen {
                    // The newest first, which no store does.
                    while let Some((moment, cost)) = unseen.pop() {
                        spent.begun(rule, ms(moment), cost);
                    }
                    spent = spent.pruned(rule, ms(now));
                }
                let cost = cost.min(u32::try_from(rule.most()).unwrap());
                let waits: u64 = unclaimed.iter().chain(unseen.iter().map(|(_, cost)| cost)).map(|cost| u64::from(*cost)).sum();
                if spent.free(rule, ms(now), waits) >= u64::from(cost) {
                    unclaimed.push(cost);
                } else {
                    let next = spent.next(rule, ms(now), waits, cost);
                    prop_assert!(next > ms(now), "{next:?}");
                    // Once nobody else wants any, the wait was not for nothing.
                    if waits == 0 {
                        prop_assert!(spent.free(rule, next, 0) >= u64::from(cost));
                    }
                }
            }
            for (nth, (from, _)) in starts.iter().enumerate() {
                let mut sum = 0_u64;
                for (to, cost) in &starts[nth..] {
                    sum += u64::from(*cost);
                    let time = u64::try_from(to - from).unwrap();
                    if is_window {
                        prop_assert!(time >= per_ms || sum <= u64::from(count), "{sum} in {time} ms");
                    } else {
                        let given = u64::from(most) * per_ms + u64::from(count) * (time + 1);
                        prop_assert!(sum * per_ms <= given, "{sum} in {time} ms");
                    }
                }
            }
        }
    }
}
