use super::{Edge, Needs, StepSpec};

/// What the steps of a workflow wait for, and an order in which each stands behind all that it waits for. Found once for its definition,
/// which never changes: with each end of a member that would cost more than all that follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Of each step what it waits for, one after the other; and where those of each end.
    edges: Vec<(u32, Needs)>,
    ends: Vec<usize>,
    order: Vec<u32>,
}

impl Graph {
    /// That of steps, by their definitions in the order of their numbers.
    pub fn of<'a>(specs: impl ExactSizeIterator<Item = &'a StepSpec>) -> Self {
        let count = specs.len();
        let (mut edges, mut ends) = (Vec::new(), Vec::with_capacity(count));
        for spec in specs {
            edges.extend(spec.after.iter().filter(|(from, _)| (*from as usize) < count));
            ends.push(edges.len());
        }
        let mut graph = Self { edges, ends, order: Vec::new() };
        graph.order = graph.find_order();
        graph
    }

    /// That of so many steps. An edge with a number that no step has is of no account.
    pub fn new(steps: u32, edges: &[Edge]) -> Self {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for number in 0..steps {
            let of = edges.iter().filter(|edge| edge.to == number && edge.from < steps);
            all.extend(of.map(|edge| (edge.from, edge.needs)));
            ends.push(all.len());
        }
        let mut graph = Self { edges: all, ends, order: Vec::new() };
        graph.order = graph.find_order();
        graph
    }

    /// What a step waits for, by their numbers, and what it needs of each.
    pub fn after(&self, number: u32) -> &[(u32, Needs)] {
        let number = number as usize;
        let begin = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        begin.zip(self.ends.get(number)).and_then(|(begin, end)| self.edges.get(begin..*end)).unwrap_or_default()
    }

    /// The numbers, each behind all that it waits for. What waits for itself, by whatever way, is left out, and so waits for ever: no
    /// definition with a circle is taken.
    pub(super) fn in_order(&self) -> &[u32] {
        &self.order
    }

    fn find_order(&self) -> Vec<u32> {
        let count = self.ends.len();
        let numbers = || 0..u32::try_from(count).unwrap_or(u32::MAX);
        let mut next = vec![Vec::new(); count];
        for number in numbers() {
            self.after(number).iter().for_each(|(from, _)| next[*from as usize].push(number));
        }
        let mut left: Vec<usize> = numbers().map(|number| self.after(number).len()).collect();
        let mut order: Vec<u32> = numbers().filter(|number| left[*number as usize] == 0).collect();
        let mut at = 0;
        while let Some(number) = order.get(at).copied() {
            at += 1;
            for to in &next[number as usize] {
                left[*to as usize] -= 1;
                if left[*to as usize] == 0 {
                    order.push(*to);
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_behind_what_it_waits_for_and_a_circle_is_left_out() {
        let edge = |from, to| Edge { from, to, needs: Needs::End };
        let graph = Graph::new(6, &[edge(5, 0), edge(0, 1), edge(5, 1), edge(2, 3), edge(3, 2), edge(9, 4), edge(0, 9)]);
        assert_eq!(graph.in_order(), [4, 5, 0, 1]);
        assert_eq!((graph.after(1), graph.after(4), graph.after(9)), (&[(0, Needs::End), (5, Needs::End)][..], &[][..], &[][..]));
        assert_eq!((Graph::default().in_order(), Graph::default().after(0)), (&[][..], &[][..]));
    }
}
