//! The graph of a workflow in the language of Graphviz.

use gristmill::core::json::{RoleWord, StepJson, WorkflowJson};
use gristmill::core::workflow::{Needs, StepWord, WorkflowRecord};

use crate::output::escape;

pub(super) fn text(workflow: &WorkflowRecord) -> String {
    let form = WorkflowJson::with_steps(workflow.clone());
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&form.name));
    let steps = form.steps.unwrap_or_default();
    for step in &steps {
        let tasks = if step.tasks == 1 { String::new() } else { format!(" {}/{}", step.succeeded, step.tasks) };
        let label = format!("{}\\n{}{tasks}", inner(&step.name), step.state.as_str());
        let style = if step.role == RoleWord::Work { "" } else { ", style=rounded" };
        text.push_str(&format!("  {} [label=\"{label}\", color={}{style}];\n", quoted(&step.name), colour(step)));
    }
    for step in &steps {
        for (from, needs) in &step.after {
            let label = match needs {
                Needs::Success => "",
                Needs::Failure => " [label=\"failure\"]",
                Needs::End => " [label=\"end\"]",
            };
            text.push_str(&format!("  {} -> {}{label};\n", quoted(from), quoted(&step.name)));
        }
        if let Some(of) = &step.undoes {
            text.push_str(&format!("  {} -> {} [label=\"undo\", style=dashed];\n", quoted(of), quoted(&step.name)));
        }
    }
    text.push_str("}\n");
    text
}

fn colour(step: &StepJson) -> &'static str {
    match step.state {
        StepWord::Waiting => "gray",
        StepWord::Running => "blue",
        StepWord::Succeeded => "green",
        StepWord::Failed => "red",
        StepWord::Cancelled => "orange",
        StepWord::Skipped => "lightgray",
    }
}

/// A name as an identifier of the language.
fn quoted(name: &str) -> String {
    format!("\"{}\"", inner(name))
}

/// A name within quotes, with nothing in it that Graphviz or a terminal would obey.
fn inner(name: &str) -> String {
    escape(name).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_no_text_and_begins_no_command() {
        assert_eq!(quoted("a\"]; b\\\n\u{1b}[2J"), r#""a\"]; b\\\\n\\u{1b}[2J""#);
    }
}
