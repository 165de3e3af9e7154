//! README's table is held to the tests: every cell names tests that there are, and every test of the
//! matrix is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::program;

/// Its rows, in order: the ways.
const WAYS: [&str; 12] = [
    "single item, same account",
    "folder, same account",
    "whole account, same account",
    "other account: single item, folder, whole account",
    "other path",
    "other service",
    "skip",
    "overwrite",
    "keep-both",
    "deleted items only",
    "download",
    "what is refused",
];

/// Its columns, in order: the kinds, each with the module that has its tests. Pages lie in no folders, and
/// have tests of their own kind among those of sites.
const KINDS: [(&str, &str); 9] = [
    ("Mailbox", "matrix/mailbox"),
    ("Calendar", "matrix/calendar"),
    ("Contacts", "matrix/contacts"),
    ("Archive", "matrix/archive"),
    ("Tasks", "matrix/tasks"),
    ("OneDrive", "matrix/onedrive"),
    ("Libraries", "matrix/libraries"),
    ("Lists", "matrix/lists"),
    ("Pages", "sites/pages"),
];

/// The table: its head, and the cells of each row.
fn table(readme: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let section = readme
        .split("\n## ")
        .find(|s| s.starts_with("The restore matrix"));
    let section = section.context("README has no section \"The restore matrix\"")?;
    let rows = section.lines().filter_map(|line| {
        let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(
            inside
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect(),
        )
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    ensure!(rows.len() > 2, "no table");
    let head = rows.remove(0);
    rows.remove(0); // ---
    Ok((head, rows))
}

/// What is between backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The tests in a module.
fn tests(module: &str) -> Result<BTreeSet<String>> {
    let file = format!("tests/e2e/tests/{module}.rs");
    let source = fs::read_to_string(program::root().join(&file)).context(file)?;
    let named = source.split("#[test]\nfn ").skip(1);
    Ok(named
        .filter_map(|rest| Some(rest.split_once('(')?.0.to_owned()))
        .collect())
}

#[test]
fn every_cell_names_its_tests() -> Result<()> {
    let readme = fs::read_to_string(program::root().join("README.md"))?;
    let (head, rows) = table(&readme)?;
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    ensure!(head[1..] == kinds, "{head:?}");
    let ways: Vec<&str> = rows.iter().map(|row| &row[0][..]).collect();
    ensure!(ways == WAYS, "{ways:?}");
    let account = tests("matrix/account")?;
    for (at, (kind, module)) in KINDS.iter().enumerate() {
        let there = tests(module)?;
        let mut named = BTreeSet::new();
        for row in &rows {
            let cell = row.get(at + 1).map(String::as_str).unwrap_or_default();
            let way = &row[0];
            let found = names(cell);
            ensure!(!found.is_empty(), "{kind}, {way}: {cell:?} names no test");
            for name in found {
                match name.strip_prefix("account::") {
                    Some(name) => ensure!(account.contains(name), "{kind}, {way}: no {name}"),
                    None => {
                        ensure!(there.contains(name), "{kind}, {way}: no {module}::{name}");
                        named.insert(name.to_owned());
                    }
                }
            }
        }
        let unnamed: Vec<_> = there.difference(&named).collect();
        let whole = module.starts_with("matrix/");
        ensure!(
            !whole || unnamed.is_empty(),
            "{kind}: the table lacks {unnamed:?}"
        );
    }
    ensure!(
        readme.contains("cargo test --workspace --test end_to_end matrix::"),
        "README does not say how to run it"
    );
    ensure!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/matrix")
            .is_dir()
    );
    Ok(())
}
