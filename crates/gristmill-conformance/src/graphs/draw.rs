use gristmill_core::Retention;
use gristmill_core::workflow::{Draft, Needs, Role, StepDraft, Tolerance};

use super::dice::Dice;
use crate::suite::KIND;

/// The most steps that a drawing has, handlers not counted.
const STEPS_MAX: usize = 7;

/// A random workflow, by one of two ways of drawing.
pub(super) fn draw(dice: &mut Dice) -> Draft<()> {
    let mut steps = if dice.once_in(2) { scattered(dice) } else { composed(dice) };
    for step in &mut steps {
        step.tolerance = match dice.below(6) {
            0 => Tolerance::Count(1),
            1 => Tolerance::Percent(50),
            _ => Tolerance::NONE,
        };
        step.open = step.group && dice.once_in(4);
    }
    let work = steps.len();
    for (number, needs) in [Needs::Success, Needs::Failure, Needs::End].into_iter().enumerate() {
        if dice.once_in(4) {
            let handler = StepDraft::one(format!("handler{number}"), KIND, ());
            steps.push(StepDraft { role: Role::Handler(needs), ..handler });
        }
    }
    for number in 0..work {
        if dice.once_in(5) {
            let name = steps[number].name.clone();
            steps.push(StepDraft { undoes: Some(name), ..StepDraft::one(format!("undo{number}"), KIND, ()) });
        }
    }
    Draft { name: "drawn".to_owned(), key: None, tags: Vec::new(), retention: Retention::default(), deadline: None, steps }
}

fn step(dice: &mut Dice, number: usize) -> StepDraft<()> {
    if dice.once_in(2) {
        StepDraft::one(format!("s{number}"), KIND, ())
    } else {
        StepDraft::group(format!("s{number}"), KIND, vec![(); dice.below(4)])
    }
}

fn needs(dice: &mut Dice) -> Needs {
    match dice.below(5) {
        0 => Needs::End,
        1 => Needs::Failure,
        _ => Needs::Success,
    }
}

/// Any step may wait for any that comes before it in an order which is not that of their numbers.
fn scattered(dice: &mut Dice) -> Vec<StepDraft<()>> {
    let count = 1 + dice.below(STEPS_MAX);
    let mut steps: Vec<_> = (0..count).map(|number| step(dice, number)).collect();
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, dice.below(at + 1));
    }
    for at in 1..count {
        for before in 0..at {
            if dice.once_in(3) {
                let (from, needs) = (format!("s{}", order[before]), needs(dice));
                steps[order[at]].after.push((from, needs));
            }
        }
    }
    steps
}

/// Chains of groups of chains, as people write them: a chord in a chain, a chain as a body, an empty header.
fn composed(dice: &mut Dice) -> Vec<StepDraft<()>> {
    let mut steps = Vec::new();
    compose(dice, &mut steps, Vec::new(), 3);
    steps
}

/// Adds what comes after `after`, and gives what comes last in it.
fn compose(dice: &mut Dice, steps: &mut Vec<StepDraft<()>>, after: Vec<String>, depth: usize) -> Vec<String> {
    if depth == 0 || steps.len() + 1 >= STEPS_MAX || dice.once_in(3) {
        let mut one = step(dice, steps.len());
        one.after = after.into_iter().map(|name| (name, needs(dice))).collect();
        steps.push(one);
        return steps.last().map(|step| step.name.clone()).into_iter().collect();
    }
    if dice.once_in(2) {
        let first = compose(dice, steps, after, depth - 1);
        return compose(dice, steps, first, depth - 1);
    }
    let mut last = compose(dice, steps, after.clone(), depth - 1);
    last.extend(compose(dice, steps, after, depth - 1));
    last
}
