use std::time::{Duration, Instant};

/// This much of one thing is done in a transaction, however slow the machine is: all else would be too little to get anywhere.
const SURELY: usize = 256;
/// What nobody waits for in particular may take so long in one transaction, during which nobody else writes to the file. A sweep
/// does five such things.
const SLICE: Duration = Duration::from_millis(15);

/// How much of one thing a transaction may do before it lets others write.
pub(crate) struct Budget {
    done: usize,
    most: usize,
    until: Instant,
    refused: bool,
}

impl Budget {
    /// At most so many, and no longer than a slice of time.
    pub(crate) fn new(most: usize) -> Self {
        Self { done: 0, most, until: Instant::now() + SLICE, refused: false }
    }

    /// Whether one more may be done, which is counted then.
    pub(crate) fn take(&mut self) -> bool {
        self.take_as(1)
    }

    /// The same for one that is as much work as so many.
    pub(crate) fn take_as(&mut self, weight: usize) -> bool {
        let spent = self.done >= self.most || (self.done >= SURELY && Instant::now() >= self.until);
        self.refused |= spent;
        self.done += if spent { 0 } else { weight };
        !spent
    }

    /// How many were done.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Whether there may be more to do than was allowed.
    pub(crate) fn is_spent(&self) -> bool {
        self.refused || self.done >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_number_or_by_time_but_lets_something_be_done() {
        let mut budget = Budget::new(2);
        assert_eq!([budget.take(), budget.take(), budget.take()], [true, true, false]);
        assert!(budget.is_spent() && budget.done() == 2);
        let mut late = Budget { until: Instant::now(), ..Budget::new(usize::MAX) };
        while late.take() {}
        assert_eq!(late.done(), SURELY);
        assert!(late.is_spent());
    }
}
