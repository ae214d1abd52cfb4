//! Links between the pages: where they lead, and that each page is led to.

use std::collections::HashSet;

use super::page::{pages, read, root};

/// Files that readers come from besides the pages.
const DOORS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in DOORS.map(str::to_owned).into_iter().chain(pages()) {
        for link in links(&read(&page)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = resolve(&page, path);
            if !root().join(&target).exists() {
                wrong.push(format!("{page}: there is no {target}"));
            } else if !anchor.is_empty() && !anchors(&read(&target)).contains(anchor) {
                wrong.push(format!("{page}: {target} has no heading #{anchor}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_reached_from_the_first_one() {
    let (mut reached, mut open) = (HashSet::new(), vec!["README.md".to_owned()]);
    while let Some(page) = open.pop() {
        if page.ends_with(".md") && reached.insert(page.clone()) {
            open.extend(links(&read(&page)).iter().map(|link| resolve(&page, link.split('#').next().unwrap())));
        }
    }
    let missed: Vec<String> = pages().into_iter().filter(|page| !reached.contains(page)).collect();
    assert!(missed.is_empty(), "no link leads to {missed:?}; docs/README.md is the place for one");
}

/// Where the links of a page lead within the repository.
fn links(page: &str) -> Vec<String> {
    let mut is_code = false;
    let prose = page.lines().filter(|line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code
    });
    // A text in brackets may go on in the next line.
    let prose: String = prose.flat_map(|line| [line, "\n"]).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
    targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace)).collect()
}

/// A path as a page means it, from the root.
fn resolve(page: &str, path: &str) -> String {
    if path.is_empty() {
        return page.to_owned();
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> HashSet<String> {
    let headings =
        page.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_and_headings_are_read_as_github_does() {
    assert_eq!(links("a [b](c.md) [d\ne](../f.md#g)\n```\n[h](i)\n```\n[j](https://k)"), ["c.md", "../f.md#g"]);
    assert_eq!(resolve("docs/decisions/0001.md", "../sql.md"), "docs/sql.md");
    let anchors = anchors("# `tasks list`, `queues`\n## `[tasks.NAME]`\n");
    assert_eq!(anchors, ["tasks-list-queues", "tasksname"].map(str::to_owned).into());
}
