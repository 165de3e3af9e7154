//! A kind of thing, as Graph shows it: made, found, changed and removed as other applications would.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::Tenant;
use e2e::graph::Graph;
use serde_json::Value;

/// The richest of its kind: files, flags, categories, a photo, a series with exceptions.
pub const ALPHA: &str = "Alpha";
/// Beside it, plain ones.
pub const BETA: &str = "Beta";
pub const GAMMA: &str = "Gamma";
/// In the first folder, below it, and in the second.
pub const DELTA: &str = "Delta";
pub const EPSILON: &str = "Epsilon";
pub const ZETA: &str = "Zeta";

/// One live thing.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub title: String,
    /// Folders above it, as the mount names them.
    pub place: String,
    /// What must be the same of it when it comes back.
    pub meaning: Value,
}

/// An account (`alice@contoso.com`) or a site (`Sites/Finance`), for who looks at it through Graph.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    pub tenant: &'a Tenant,
    pub upn: &'a str,
}

impl<'a> Home<'a> {
    pub fn new(tenant: &'a Tenant, upn: &'a str) -> Self {
        Self { tenant, upn }
    }

    pub fn graph(&self) -> &'a Graph {
        &self.tenant.graph
    }

    /// A path below the user.
    pub fn at(&self, path: &str) -> String {
        format!("/users/{}/{path}", self.upn)
    }

    /// The id of the site.
    pub fn site(&self) -> Result<String> {
        let name = self.upn.strip_prefix("Sites/");
        let name = name.with_context(|| format!("{} is no site", self.upn))?;
        let site = self
            .graph()
            .get(&format!("/sites/{SITE_HOST}:/sites/{name}"))?;
        Ok(text(&site, "id"))
    }
}

/// Where the sites are.
pub const SITE_HOST: &str = "contoso.sharepoint.com";

/// See the module.
pub trait Row: Sync {
    /// As the configuration names it.
    fn workload(&self) -> &'static str;
    /// As the mount names its folder.
    fn folder(&self) -> &'static str;
    /// The folder that Alpha, Beta and Gamma are in.
    fn home(&self) -> &'static str;
    /// A folder that people make, as the mount names it.
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
    /// Whether folders hold folders.
    fn nests(&self) -> bool {
        true
    }
    /// Makes the thing of that title, and the folder that it is in.
    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()>;
    /// Everything.
    fn live(&self, home: &Home) -> Result<Vec<Item>>;
    fn remove(&self, home: &Home, item: &Item) -> Result<()>;
    /// Removes a folder that [`Row::place`] named, with all that is in it.
    fn remove_folder(&self, home: &Home, place: &str) -> Result<()>;
    /// Removes all folders that people made.
    fn remove_folders(&self, home: &Home) -> Result<()>;
    /// Changes something that an overwrite must put right. What its service can't change is left.
    fn change(&self, home: &Home, item: &Item) -> Result<()>;
    /// Whether what is replaced stays the same thing with another content.
    fn keeps_id(&self) -> bool {
        false
    }
    /// Whether a file of the snapshot (a path below the folder of all) is one of the things.
    fn is_thing(&self, _path: &str) -> bool {
        true
    }
    /// How many files are restored with these things and the folders that they are in.
    fn restores(&self, items: &[&Item]) -> u64 {
        items.len() as u64
    }
    /// How everything is copied through the mount onto what may be there.
    fn copies_all(&self) -> &'static str {
        "cp -r"
    }
    /// What is the same of a copy beside it.
    fn of_copy(&self, meaning: &Value) -> Value {
        meaning.clone()
    }
}

/// What every account has: places and titles.
pub fn content(row: &dyn Row) -> Vec<(String, &'static str)> {
    let mut all = vec![
        (row.home().to_owned(), ALPHA),
        (row.home().to_owned(), BETA),
        (row.home().to_owned(), GAMMA),
        (row.place("First"), DELTA),
        (row.place("Second"), ZETA),
    ];
    if row.nests() {
        all.push((row.place("First/Deeper"), EPSILON));
    }
    all
}

/// Makes it, in an account that was emptied.
pub fn furnish(row: &dyn Row, home: &Home, empty: bool) -> Result<()> {
    wipe(row, home)?;
    if !empty {
        for (place, title) in content(row) {
            row.put(home, &place, title)?;
        }
        let there = row.live(home)?;
        ensure!(there.len() == content(row).len(), "{there:#?}");
    }
    Ok(())
}

/// Leaves nothing but the folders that are always there.
pub fn wipe(row: &dyn Row, home: &Home) -> Result<()> {
    row.remove_folders(home)?;
    for item in row.live(home)? {
        row.remove(home, &item)?;
    }
    let left = row.live(home)?;
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

/// The one of that title.
pub fn find(row: &dyn Row, home: &Home, title: &str) -> Result<Item> {
    let all = row.live(home)?;
    let found = all.into_iter().find(|item| item.title.starts_with(title));
    found.with_context(|| format!("{} has no {title}", home.upn))
}

/// Everything live, to the last id: what a dry run must leave as it is.
pub fn fingerprint(row: &dyn Row, home: &Home) -> Result<String> {
    let mut all: Vec<String> = row
        .live(home)?
        .iter()
        .map(|item| format!("{} {} {} {}", item.place, item.title, item.id, item.meaning))
        .collect();
    all.sort();
    Ok(all.join("\n"))
}

/// How often there is something of that meaning at a place.
pub type Census = BTreeMap<(String, String), usize>;

/// Counts what is at `below` or deeper, by its place from there.
pub fn census<'a>(items: impl IntoIterator<Item = &'a Item>, below: &str) -> Census {
    let mut counts = Census::new();
    for item in items {
        if let Some(place) = place_below(&item.place, below) {
            let key = (place.to_owned(), item.meaning.to_string());
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

/// A place as seen from one above it, if it is one.
pub fn place_below<'a>(place: &'a str, above: &str) -> Option<&'a str> {
    match place.strip_prefix(above)? {
        "" => Some(""),
        rest if above.is_empty() => Some(rest),
        rest => rest.strip_prefix('/'),
    }
}

/// Fails with what was lost and what is too much.
#[track_caller]
pub fn same(expected: &Census, found: &Census) -> Result<()> {
    let without = |a: &Census, b: &Census| -> Vec<(String, String)> {
        let more = |(key, n): (&(String, String), &usize)| {
            (b.get(key).unwrap_or(&0) < n).then(|| key.clone())
        };
        a.iter().filter_map(more).collect()
    };
    let (lost, extra) = (without(expected, found), without(found, expected));
    ensure!(
        lost.is_empty() && extra.is_empty(),
        "{}: lost {lost:#?}\nmore {extra:#?}",
        std::panic::Location::caller()
    );
    Ok(())
}

/// These properties of a record.
pub fn chosen(record: &Value, names: &str) -> Value {
    let chosen = names
        .split_whitespace()
        .map(|name| (name.to_owned(), record[name].clone()));
    Value::Object(chosen.collect())
}

/// Text of a property.
pub fn text(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or_default().to_owned()
}

/// Name and size of the attachments below a path, sorted.
pub fn attachments(graph: &Graph, path: &str) -> Result<Vec<(String, u64)>> {
    let all = graph.list(&format!("{path}/attachments"))?;
    let mut all: Vec<(String, u64)> = all
        .iter()
        .map(|a| (text(a, "name"), a["size"].as_u64().unwrap_or_default()))
        .collect();
    all.sort();
    Ok(all)
}

/// A small file for what has attachments.
pub fn attachment(name: &str, bytes: &[u8]) -> Value {
    use base64::Engine;
    serde_json::json!({
        "@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentType": "text/plain",
        "contentBytes": base64::engine::general_purpose::STANDARD.encode(bytes),
    })
}
