//! A page of documentation, and the blocks of code on it.

use std::path::{Path, PathBuf};

/// The folder of the repository, which paths of pages are relative to.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A file of the repository.
pub(super) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder of the repository whose names end so, in order.
pub(super) fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, extension));
        } else if path.ends_with(extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a reader of the documentation may copy from.
pub(super) fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(files("docs", ".md"));
    pages
}

#[derive(Debug)]
pub(super) struct Block {
    /// Where its first line stands: file and number.
    pub(super) place: String,
    /// `rust`, `sh`, ...; empty for one that is indented instead of fenced.
    pub(super) language: String,
    /// What stands in parentheses behind the language: who else checks the block, or why nobody can.
    pub(super) remark: Option<String>,
    pub(super) text: String,
}

/// The blocks of a page, in their order.
pub(super) fn blocks(path: &str) -> Vec<Block> {
    blocks_of(path, &read(path))
}

fn blocks_of(path: &str, page: &str) -> Vec<Block> {
    let (mut blocks, mut fence) = (Vec::<Block>::new(), None::<usize>);
    let (mut was_blank, mut is_indented) = (true, false);
    for (number, line) in (1..).zip(page.lines()) {
        let rest = line.trim_start();
        let indent = line.len() - rest.len();
        match (fence, rest.strip_prefix("```")) {
            (None, Some(info)) => {
                let (language, remark) = info.split_once(' ').unwrap_or((info, ""));
                let remark = (!remark.is_empty()).then(|| remark.trim_matches(['(', ')']).to_owned());
                let (place, language) = (format!("{path}:{number}"), language.to_owned());
                blocks.push(Block { place, language, remark, text: String::new() });
                (fence, is_indented) = (Some(indent), false);
            }
            (Some(_), Some("")) => fence = None,
            // As deep as its fence, which may stand in a list.
            (Some(deep), _) => push(&mut blocks, line.get(deep.min(indent)..).unwrap()),
            (None, None) if indent >= 4 && (was_blank || is_indented) => {
                if !is_indented {
                    blocks.push(Block {
                        place: format!("{path}:{number}"),
                        language: String::new(),
                        remark: None,
                        text: String::new(),
                    });
                }
                is_indented = true;
                push(&mut blocks, &line[4..]);
            }
            (None, None) => is_indented = false,
        }
        was_blank = rest.is_empty();
    }
    assert!(fence.is_none(), "{path}: a block has no end");
    blocks
}

fn push(blocks: &mut [Block], line: &str) {
    let text = &mut blocks.last_mut().unwrap().text;
    text.push_str(line);
    text.push('\n');
}

#[test]
fn blocks_are_fenced_or_indented() {
    let page = "# A\n\n    gristmill dev\n      more\n\ntext\n    no code\n\n- in a list\n\n  ```json (unchecked: why)\n  {\n    \"a\": 1\n  }\n  ```\n\
                \n```\n# B\n```\n";
    let seen: Vec<_> = blocks_of("p", page)
        .into_iter()
        .map(|block| (block.place, block.language, block.remark.unwrap_or_default(), block.text))
        .collect();
    let expected = [
        ("p:3", "", "", "gristmill dev\n  more\n"),
        ("p:11", "json", "unchecked: why", "{\n  \"a\": 1\n}\n"),
        ("p:17", "", "", "# B\n"),
    ];
    assert_eq!(seen, expected.map(|(place, language, remark, text)| (place.into(), language.into(), remark.into(), text.into())));
}
