//! What a page says of a command's options, against the help of that command.

use super::page::Block;
use crate::sandbox::Sandbox;

/// The commands of a block such as `gristmill worker [--drain]`, and the options that are named with each.
pub(super) fn check(block: &Block, sandbox: &Sandbox) -> Result<(), String> {
    let mut usages: Vec<String> = Vec::new();
    for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
        match (line.starts_with("gristmill "), usages.last_mut()) {
            (true, _) => usages.push(line.to_owned()),
            (false, Some(usage)) => usage.push_str(line),
            (false, None) => return Err(format!("not the usage of a command: {line}")),
        }
    }
    usages.iter().try_for_each(|usage| options_exist(usage, sandbox))
}

fn options_exist(usage: &str, sandbox: &Sandbox) -> Result<(), String> {
    let (mut command, mut help) = (vec![vec!["help"]], vec![sandbox.ok(&["--help"])]);
    for word in usage.split_whitespace().skip(1).take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
        // `pause|resume`: each of them.
        let names: Vec<&str> = word.split('|').collect();
        let next: Vec<Vec<&str>> =
            command.iter().flat_map(|command| names.iter().map(|name| [command.as_slice(), &[name]].concat())).collect();
        let helps: Vec<_> = next.iter().map(|command| sandbox.run(command)).collect();
        if helps.iter().any(|help| help.code != Some(0)) {
            // No command: values of an argument, which the help names.
            if let Some(name) = names.iter().find(|name| !help[0].contains(*name)) {
                return Err(format!("`{}` knows nothing of `{name}`", command[0].join(" ")));
            }
            break;
        }
        (command, help) = (next, helps.into_iter().map(|help| help.stdout).collect());
    }
    let options =
        usage.split(|c: char| !c.is_ascii_lowercase() && c != '-').filter(|word| word.starts_with("--") && word.len() > 2);
    for option in options {
        // One of `pause|resume` may have what the other has not.
        if !help.iter().any(|help| help.split(|c: char| !c.is_ascii_lowercase() && c != '-').any(|word| word == option)) {
            return Err(format!("`{}` has no option {option}", command[0].join(" ")));
        }
    }
    Ok(())
}
