use super::nested::NESTED;
use super::{Form, FormError, MemberDraft, Mistakes, Place, below};
use crate::client::EnqueueError;
use crate::core::workflow::{Draft, DraftError, Reference, pointer_part, reference_places};
use crate::near::did_you_mean;
use crate::runtime::Runtime;

/// Checks the graph, and tells each mistake where it was written. One that would only follow from another is not told.
pub(super) fn graph(draft: &mut Draft<MemberDraft>, places: &mut [Place], mistakes: &mut Mistakes) {
    let mut is_broken = false;
    while let Err(error) = draft.check() {
        if mistakes.are_enough() {
            return;
        }
        let found = locate(draft, &error);
        let found = found.and_then(|(number, part)| Some((number, part, draft.steps.get_mut(number)?, places.get_mut(number)?)));
        let Some((number, part, step, place)) = found else { return mistakes.add(error.place, error.why) };
        let at = place.at.clone();
        match part.strip_prefix("/after/").and_then(|nth| nth.parse::<usize>().ok()) {
            // Without it the others are found.
            Some(nth) if nth < step.after.len() && nth < place.after.len() => {
                let (name, _) = step.after.remove(nth);
                let place = format!("{at}{}", place.after.remove(nth));
                mistakes.add(place, error.why + &near(draft, &name));
                is_broken = true;
            }
            _ if part == "/args" && !is_broken => match culprit(draft, number) {
                Some((place, name)) => mistakes.add(format!("{at}{place}"), error.why + &near(draft, &name)),
                None => return mistakes.add(format!("{at}{part}"), error.why),
            },
            // Whether it has to come after that is not known.
            _ if part == "/args" => return,
            _ => return mistakes.add(format!("{at}{part}"), error.why),
        }
    }
}

/// The step that an error is about, and the place within it.
fn locate(draft: &Draft<MemberDraft>, error: &DraftError) -> Option<(usize, String)> {
    let place = error.place.strip_prefix("/steps/")?;
    draft.steps.iter().enumerate().find_map(|(number, step)| {
        let part = place.strip_prefix(&*pointer_part(&step.name))?;
        (part.is_empty() || part.starts_with('/')).then(|| (number, part.to_owned()))
    })
}

/// A name like one that is none of a step.
fn near(draft: &Draft<MemberDraft>, name: &str) -> String {
    if draft.steps.iter().any(|step| step.name == name) {
        return String::new();
    }
    did_you_mean(name, draft.steps.iter().map(|step| step.name.as_str()))
}

/// The reference of a step which is refused: its place within the step, and the step that it names. It is refused no more then.
fn culprit(draft: &mut Draft<MemberDraft>, number: usize) -> Option<(String, String)> {
    let refers = std::mem::take(&mut draft.steps.get_mut(number)?.refers);
    let mut is_wrong = |reference: &Reference| {
        draft.steps.get_mut(number).into_iter().for_each(|step| step.refers = vec![reference.clone()]);
        draft.check().is_err_and(|error| locate(draft, &error).is_some_and(|(at, _)| at == number))
    };
    let (wrong, right): (Vec<_>, Vec<_>) = {
        let nth = refers.iter().position(&mut is_wrong);
        refers.into_iter().enumerate().partition(|(at, _)| Some(*at) == nth)
    };
    let step = draft.steps.get_mut(number)?;
    step.refers = right.into_iter().map(|(_, reference)| reference).collect();
    let (_, wrong) = wrong.into_iter().next()?;
    let is_meant = |found: &Reference| found.step == wrong.step && found.wanted == wrong.wanted;
    let place = step.members.iter().enumerate().find_map(|(member, made_of)| {
        let found = reference_places(&made_of.args).ok()?.into_iter().find(|(reference, _)| is_meant(reference));
        found.map(|(_, inner)| if step.group { format!("/each/{member}{inner}") } else { format!("/args{inner}") })
    });
    Some((place?, wrong.step.unwrap_or_default()))
}

/// Checks a form against the task types that a client knows.
pub(super) fn against_types(form: &Form, runtime: &Runtime) -> Result<(), FormError> {
    let mut mistakes = Mistakes::default();
    let (registry, most) = (&runtime.registry, runtime.limits.args_bytes);
    for (step, place) in form.draft.steps.iter().zip(&form.places) {
        let Some(kind) = registry.get(&step.kind) else {
            if !form.force && step.kind != NESTED && !step.members.iter().all(|member| member.force) {
                let error = EnqueueError::UnknownTask { name: step.kind.clone(), near: registry.near(&step.kind) };
                mistakes.add(below(&place.at, "task"), error.to_string());
            }
            continue;
        };
        for (member, nth) in step.members.iter().zip(0..) {
            if mistakes.are_enough() {
                break;
            }
            let open = match step.refers.is_empty() {
                true => Vec::new(),
                false => reference_places(&member.args).unwrap_or_default().into_iter().map(|(_, place)| place).collect(),
            };
            let at = if step.group { format!("{}/each/{nth}", place.at) } else { format!("{}/args", place.at) };
            let bytes = member.args.to_string().len();
            if bytes > most {
                mistakes.add(&at, format!("are {bytes} bytes of JSON; at most {most} are allowed"));
            } else if let Err(error) = kind.check_around(&member.args, &open) {
                mistakes.add_args(&at, &error);
            }
        }
    }
    mistakes.none_or_error()
}
