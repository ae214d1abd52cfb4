//! Completions: what the argument parser knows, with the names that the store has at that moment.

use clap_complete::Shell;

use super::names::Of;
use crate::cli::Cli;
use crate::exit::CliError;
use crate::output::Out;

/// Options whose values are names of the store.
const OPTIONS: [(&str, Of); 6] = [
    ("queue", Of::Queues),
    ("queues", Of::Queues),
    ("kind", Of::Kinds),
    ("task", Of::Kinds),
    ("schedule", Of::Schedules),
    ("worker", Of::Workers),
];

/// Commands whose arguments are.
const ARGUMENTS: [(&[&str], Of); 21] = [
    (&["enqueue"], Of::Kinds),
    (&["queues", "pause"], Of::Queues),
    (&["queues", "resume"], Of::Queues),
    (&["workers", "drain"], Of::Workers),
    (&["workers", "forget"], Of::Workers),
    (&["schedules", "show"], Of::Schedules),
    (&["schedules", "next"], Of::Schedules),
    (&["schedules", "history"], Of::Schedules),
    (&["schedules", "edit"], Of::Schedules),
    (&["schedules", "pause"], Of::Schedules),
    (&["schedules", "resume"], Of::Schedules),
    (&["schedules", "reset"], Of::Schedules),
    (&["schedules", "run-now"], Of::Schedules),
    (&["schedules", "delete"], Of::Schedules),
    (&["workflows", "show"], Of::Workflows),
    (&["workflows", "members"], Of::Workflows),
    (&["workflows", "cancel"], Of::Workflows),
    (&["workflows", "pause"], Of::Workflows),
    (&["workflows", "resume"], Of::Workflows),
    (&["workflows", "retry"], Of::Workflows),
    (&["workflows", "tolerate"], Of::Workflows),
];

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &Out) -> Result<(), CliError> {
    let mut command = Cli::named();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name.clone(), &mut script);
    let script = String::from_utf8_lossy(&script);
    out.raw(&match args.shell {
        Shell::Bash => bash(&script, &name),
        Shell::Zsh => zsh(&script, &name),
        Shell::Fish => fish(&script, &name),
        _ => script.into_owned(),
    })
}

/// What a shell runs for the names. `line` is what it calls the line that is being typed, which may name another store.
fn names(name: &str, of: Of, line: &str) -> String {
    format!("{name} names {} --line {line} 2>/dev/null", of.word())
}

const BASH_LINE: &str = "\"${COMP_LINE}\"";
const ZSH_LINE: &str = "\"${LBUFFER}\"";
const FISH_LINE: &str = "(commandline -cp | string collect)";

fn bash(script: &str, name: &str) -> String {
    const FILES: &str = "COMPREPLY=($(compgen -f \"${cur}\"))";
    let function = name.replace('-', "__");
    // In half of its labels the generator takes a dash of the program's name for one between commands, which no word matches then.
    let mut live = script.replace(&name.replace('-', "__subcmd__"), &function);
    for (option, of) in OPTIONS {
        let head = format!("                --{option})\n                    ");
        let words = format!("COMPREPLY=($(compgen -W \"$({})\" -- \"${{cur}}\"))", names(name, of, BASH_LINE));
        live = live.replace(&format!("{head}{FILES}"), &format!("{head}{words}"));
    }
    for (command, of) in ARGUMENTS {
        let label: String = command.iter().map(|word| format!("__subcmd__{}", word.replace('-', "__"))).collect();
        let head = format!("        {function}{label})\n            opts=\"");
        live = live.replace(&head, &format!("{head}$({}) ", names(name, of, BASH_LINE)));
    }
    live
}

fn zsh(script: &str, name: &str) -> String {
    let mut lines = Vec::new();
    // The commands in whose part of the script a line is.
    let mut within: Vec<&str> = Vec::new();
    for line in script.lines() {
        let part = line.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        match part.filter(|part| part.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')) {
            Some(part) => within.push(part),
            None if line.trim() == ";;" => drop(within.pop()),
            None => {}
        }
        let spec = line.trim_start_matches(['\'', '*']);
        let option = OPTIONS.iter().find(|(option, _)| spec.starts_with(&format!("--{option}=["))).map(|(_, of)| *of);
        // Each part of commands is in one for its parent's state, which has the parent's name once more.
        let is_here = |command: &[&str]| within.iter().skip(1).step_by(2).eq(command);
        let argument = || ARGUMENTS.iter().find(|(command, _)| spec.starts_with(':') && is_here(command)).map(|(_, of)| *of);
        let live = option.or_else(argument).and_then(|of| {
            let head = line.strip_suffix(":_default' \\")?;
            Some(format!("{head}:{{compadd -- $({})}}' \\", names(name, of, ZSH_LINE)))
        });
        lines.push(live.unwrap_or_else(|| line.to_owned()));
    }
    lines.join("\n") + "\n"
}

fn fish(script: &str, name: &str) -> String {
    let mut lines = Vec::new();
    for line in script.lines() {
        let option = OPTIONS.iter().find(|(option, _)| line.contains(&format!(" -l {option} ")));
        let live = option.map(|(_, of)| format!("{line} -f -a \"({})\"", names(name, *of, FISH_LINE)));
        lines.push(live.unwrap_or_else(|| line.to_owned()));
    }
    let function = name.replace('-', "_");
    for (command, of) in ARGUMENTS {
        let condition = match command {
            [parent, child] => format!("__fish_{function}_using_subcommand {parent}; and __fish_seen_subcommand_from {child}"),
            other => format!("__fish_{function}_using_subcommand {}", other.join(" ")),
        };
        lines.push(format!("complete -c {name} -n \"{condition}\" -f -a \"({})\"", names(name, of, FISH_LINE)));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator is somebody else's: what is replaced in its scripts has to be there.
    #[test]
    fn each_option_and_argument_has_its_names() {
        for (shell, live) in [(Shell::Bash, bash as fn(&str, &str) -> String), (Shell::Zsh, zsh), (Shell::Fish, fish)] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::named().name("my-app").bin_name("my-app"), "my-app", &mut script);
            let live = live(&String::from_utf8(script).unwrap(), "my-app");
            for of in [Of::Queues, Of::Kinds, Of::Schedules, Of::Workers] {
                let arguments = ARGUMENTS.iter().filter(|(_, other)| *other == of).count();
                let found = live.matches(&format!("my-app names {} --line ", of.word())).count();
                assert!(found > arguments, "{shell} has {found} times {}", of.word());
            }
            // No option has one.
            let arguments = ARGUMENTS.iter().filter(|(_, of)| *of == Of::Workflows).count();
            assert!(live.matches("my-app names workflows --line ").count() >= arguments, "{shell}");
        }
    }
}
