//! The list of what a restore does not bring back, as the documentation has it, with the reasons.
//!
//! A part of it is a heading that is a [`Kind`]'s title, and a table: properties (in backticks, several
//! where one reason does for all), what becomes of them, why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::{Findings, Kind};

/// What the list says of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub what: String,
    pub why: String,
}

pub type List = BTreeMap<Kind, BTreeMap<String, Entry>>;

/// Where the list is.
pub fn path() -> PathBuf {
    crate::program::root().join("src/restore/FIDELITY.md")
}

/// Reads it.
pub fn documented() -> Result<List> {
    let path = path();
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<List> {
    let mut list = List::new();
    let mut at: Option<Kind> = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            at = Kind::ALL
                .into_iter()
                .find(|kind| kind.title() == title.trim());
            continue;
        }
        let (Some(kind), true) = (at, line.starts_with("| `")) else {
            continue;
        };
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [properties, what, why] = cells[..] else {
            bail!("not three cells: {line}");
        };
        ensure!(!what.is_empty() && !why.is_empty(), "no reason: {line}");
        let entry = Entry {
            what: what.to_owned(),
            why: why.to_owned(),
        };
        // What stands in backticks is every second piece.
        for property in properties.split('`').skip(1).step_by(2) {
            let entries = list.entry(kind).or_default();
            let before = entries.insert(property.to_owned(), entry.clone());
            ensure!(
                before.is_none(),
                "{property} stands twice below {}",
                kind.title()
            );
        }
    }
    for kind in Kind::ALL {
        ensure!(
            list.contains_key(&kind),
            "there is no table of {}",
            kind.title()
        );
    }
    Ok(list)
}

/// What is wrong: differences that are not in the list, entries for what is the same, items that are not
/// there. Only of the kinds that were compared.
pub fn problems(findings: &Findings, list: &List) -> Vec<String> {
    let mut problems = Vec::new();
    for (kind, found) in findings {
        let none = BTreeMap::new();
        let listed = list.get(kind).unwrap_or(&none);
        let title = kind.title();
        for (path, count) in &found.differing {
            if !listed.contains_key(path) {
                let (was, is) = &found.examples[path];
                problems.push(format!(
                    "{title}: `{path}` differs in {count} of {} and is not in the list: {was} became {is}",
                    found.items
                ));
            }
        }
        let same = listed
            .keys()
            .filter(|path| !found.differing.contains_key(*path));
        problems
            .extend(same.map(|path| format!("{title}: `{path}` is in the list and never differs")));
        problems.extend(found.lost.iter().map(|name| format!("{title}: {name}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fidelity::Found;

    fn table() -> String {
        let rows = |kind: Kind| {
            format!(
                "## {}\n\ntext\n\n| property | what | why |\n| --- | --- | --- |\n| `id`, `a[].b` | new | because |\n\n",
                kind.title()
            )
        };
        Kind::ALL.into_iter().map(rows).collect()
    }

    #[test]
    fn a_table_is_read() {
        let list = parse(&table()).unwrap();
        let events = &list[&Kind::Event];
        assert_eq!(events.keys().collect::<Vec<_>>(), ["a[].b", "id"]);
        assert_eq!(events["id"].why, "because");
        assert!(parse("## Events\n").is_err());
        assert!(parse(&table().replace("because", "")).is_err());
        assert!(parse(&table().replace("`a[].b`", "`id`")).is_err());
    }

    #[test]
    fn the_list_is_exact() {
        let list = parse(&table()).unwrap();
        let mut found = Found {
            items: 3,
            ..Found::default()
        };
        for path in ["id", "a[].b"] {
            found.differing.insert(path.to_owned(), 1);
            found
                .examples
                .insert(path.to_owned(), (String::new(), String::new()));
        }
        let judged = |found: &Found| problems(&[(Kind::Event, found.clone())].into(), &list);
        assert_eq!(judged(&found), Vec::<String>::new());
        let mut more = found.clone();
        more.differing.insert("new".into(), 2);
        more.examples.insert("new".into(), ("1".into(), "2".into()));
        assert_eq!(judged(&more).len(), 1);
        found.differing.remove("id");
        assert!(judged(&found)[0].contains("never differs"));
        found.differing.insert("id".into(), 1);
        found.lost.push("x".into());
        assert_eq!(judged(&found).len(), 1);
    }
}
