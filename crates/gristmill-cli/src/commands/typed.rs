//! A command line that is being typed, as far as it can be read without the shell.

/// What of it says which store is meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) store: Option<String>,
    pub(super) config: Option<String>,
}

impl Typed {
    /// `None` if only the shell could say what one of them is, as it holds a variable or a command.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut typed = Self::default();
        let words = words(line);
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let (option, value) = match word.text.split_once('=') {
                Some((option, value)) => (option, Some(Word { text: value.to_owned(), ..*word })),
                None => (word.text.as_str(), None),
            };
            let told = match option {
                "--store" => &mut typed.store,
                "--config" => &mut typed.config,
                _ => continue,
            };
            let Some(value) = value.or_else(|| words.next().cloned()) else { break };
            if value.is_open {
                return None;
            }
            *told = Some(value.text);
        }
        Some(typed)
    }
}

#[derive(Clone, Debug, Default)]
struct Word {
    text: String,
    /// Whether the shell would put something else in its place.
    is_open: bool,
}

/// The words of the last command of a line, without quotes.
fn words(line: &str) -> Vec<Word> {
    let (mut words, mut word): (Vec<Word>, Option<Word>) = (Vec::new(), None);
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().text.extend(chars.next()),
            ('$' | '`', None | Some('"')) => word.get_or_insert_default().is_open = true,
            ('~', None) if word.is_none() => word = Some(home()),
            ('*' | '?' | '[' | '{', None) => {
                let word = word.get_or_insert_default();
                word.is_open = true;
                word.text.push(c);
            }
            (';' | '|' | '&' | '(' | '\n', None) => {
                words.clear();
                word = None;
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().text.push(c),
        }
    }
    words.extend(word);
    words
}

/// What a tilde stands for.
fn home() -> Word {
    let home = std::env::var("HOME");
    Word { is_open: home.is_err(), text: home.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_and_configuration_are_found_wherever_they_stand() {
        let typed = |store: Option<&str>, config: Option<&str>| {
            Some(Typed { store: store.map(str::to_owned), config: config.map(str::to_owned) })
        };
        for (line, read) in [
            ("", typed(None, None)),
            ("gristmill queues pause m", typed(None, None)),
            ("gristmill --store sqlite:a.db queues pause m", typed(Some("sqlite:a.db"), None)),
            (
                "gristmill queues pause --store=sqlite:a.db --config 'my file.toml' m",
                typed(Some("sqlite:a.db"), Some("my file.toml")),
            ),
            ("gristmill --store \"sqlite:a b.db\" --store sqlite:c\\ d.db ", typed(Some("sqlite:c d.db"), None)),
            ("gristmill --store sqlite:a.db kinds | gristmill queues pause ", typed(None, None)),
            (
                "gristmill --store 'postgres://me@h/db?pool=1&reads=1' kinds",
                typed(Some("postgres://me@h/db?pool=1&reads=1"), None),
            ),
            ("gristmill --store", typed(None, None)),
            ("gristmill --title '$x' --store 'a$b", typed(Some("a$b"), None)),
            ("gristmill --store $STORE kinds", None),
            ("gristmill --config \"$(ls)\" kinds", None),
            ("gristmill --store=sqlite:*.db", None),
        ] {
            assert_eq!(Typed::read(line), read, "{line}");
        }
        if let Ok(home) = std::env::var("HOME") {
            assert_eq!(Typed::read("x --config ~/g.toml"), typed(None, Some(&format!("{home}/g.toml"))));
        }
    }
}
