//! How much of an item a restore brings back: an account that has one of everything is captured, restored
//! into an empty one, and captured there; then every property of both records of each item is compared.
//!
//! The tests hold what differs against the list in the documentation ([`list`]), the benchmark prints it.

mod account;
mod compare;
pub mod list;
mod records;
mod samples;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use graph_emulator::Options;
use serde_json::Value;

use crate::{Recorded, Tenant};
use compare::{Paths, compare};
use records::Record;

/// The way that mail is captured by, and so the one that it is restored by. Everything else goes one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As MIME, and through Graph's messages. With all other workloads.
    Mime,
    /// By the import/export API. Mail alone.
    Export,
}

/// What is compared, as the list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    MailByMime,
    MailByImport,
    Event,
    Contact,
    Task,
    Settings,
    Archived,
    File,
    Folder,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::MailByMime,
        Self::MailByImport,
        Self::Event,
        Self::Contact,
        Self::Task,
        Self::Settings,
        Self::Archived,
        Self::File,
        Self::Folder,
    ];

    /// The heading of its part of the list.
    pub fn title(self) -> &'static str {
        match self {
            Self::MailByMime => "Mail through Graph's messages",
            Self::MailByImport => "Mail by import",
            Self::Event => "Events",
            Self::Contact => "Contacts",
            Self::Task => "Tasks",
            Self::Settings => "Settings",
            Self::Archived => "Archived items",
            Self::File => "Files",
            Self::Folder => "Folders",
        }
    }

    fn of(record: &Record, route: Route) -> Result<Self> {
        if record.is_folder {
            return Ok(Self::Folder);
        }
        Ok(match (record.workload.as_str(), route) {
            ("Mail", Route::Mime) => Self::MailByMime,
            ("Mail", Route::Export) => Self::MailByImport,
            ("Calendar", _) => Self::Event,
            ("Contacts", _) => Self::Contact,
            ("Tasks", _) => Self::Task,
            ("Settings", _) => Self::Settings,
            ("Archive", _) => Self::Archived,
            ("OneDrive", _) => Self::File,
            (other, _) => anyhow::bail!("nobody knows how to compare what is in {other}"),
        })
    }
}

/// What no application can make: events of a calendar that the service fills, a shortcut to another drive.
const REFUSED: [&str; 2] = [
    "Calendar/Other Calendars/Birthdays/",
    "OneDrive/Projects of a colleague",
];

/// What came of one kind.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Pairs that were compared.
    pub items: usize,
    /// Values in the records before the restore.
    pub values: usize,
    /// Properties that differ, each with the number of items that it differs in.
    pub differing: BTreeMap<String, usize>,
    /// For each of them two values, to look at.
    pub examples: BTreeMap<String, (String, String)>,
    /// Not restored because nobody can.
    pub refused: usize,
    /// Items without a counterpart, and no reason for it.
    pub lost: Vec<String>,
}

/// What came of all kinds of one round.
pub type Findings = BTreeMap<Kind, Found>;

/// A whole round. `watched`: every exchange is held against Microsoft's schema. `None`: the corpus is not
/// here.
pub fn round(route: Route, watched: bool) -> Result<Option<Findings>> {
    let Some(samples) = samples::Samples::collect()? else {
        return Ok(None);
    };
    let options = Options {
        accounts: 2,
        empty_accounts: 1,
        messages: 240,
        events: 90,
        contacts: 90,
        files: 90,
        archives: 1,
        archive_messages: 30,
        import_mail: vec![samples.mail()],
        import_ics: vec![samples.ics()],
        import_vcf: vec![samples.vcf()],
        ..Options::default()
    };
    let emulator = match watched {
        true => Recorded::start(options)?,
        false => Recorded::unwatched(options)?,
    };
    let extra = match route {
        Route::Mime => "",
        Route::Export => "[protect]\nworkloads = [\"mail\"]\n[protect.mail]\nroute = \"export\"\n",
    };
    let tenant = Tenant::of(emulator, None, extra)?;
    let (users, empty) = accounts(&tenant)?;
    let [alice, bob, ..] = &users[..] else {
        anyhow::bail!("two accounts, not {users:?}");
    };
    account::furnish(&tenant.graph, alice, bob)?;

    let first = tenant.backup()?;
    ensure!(first["snapshot"].is_string(), "{first:#}");
    let sent = outbox(&tenant)?;
    restore(&tenant, alice, &empty, route)?;
    ensure!(outbox(&tenant)? == sent, "a restore sent mail");
    let second = tenant.backup()?;
    ensure!(second["snapshot"].is_string(), "{second:#}");

    let mount = tenant.mount()?;
    let mut before = records::all(&mount, alice)?;
    let mut after = records::all(&mount, &empty)?;
    drop(mount);
    records::complete(&tenant.graph, alice, &mut before)?;
    records::complete(&tenant.graph, &empty, &mut after)?;
    judge(before, after, route).map(Some)
}

/// Those who have something, and the one that nothing was put into.
pub fn accounts(tenant: &Tenant) -> Result<(Vec<String>, String)> {
    let mut users = tenant.graph.mailboxes()?;
    let empty = users.iter().position(|upn| upn.starts_with("empty@"));
    let empty = users.remove(empty.context("there is no empty account")?);
    Ok((users, empty))
}

/// Everything goes to the same place of the other account, also what is like something else that goes
/// there. What there is one of is replaced.
fn restore(tenant: &Tenant, from: &str, to: &str, route: Route) -> Result<()> {
    let workloads = match route {
        Route::Mime => &[
            "Mail", "Calendar", "Contacts", "Tasks", "Archive", "OneDrive",
        ][..],
        Route::Export => &["Mail"],
    };
    for workload in workloads {
        put(tenant, from, to, workload, "keep-both")?;
    }
    match route {
        Route::Mime => put(tenant, from, to, "Settings", "overwrite"),
        Route::Export => Ok(()),
    }
}

fn put(tenant: &Tenant, from: &str, to: &str, workload: &str, conflict: &str) -> Result<()> {
    let (source, target) = (
        format!("latest/{from}/{workload}"),
        format!("{to}/{workload}"),
    );
    let done = tenant.json(&["restore", &source, &target, "--conflict", conflict])?;
    for item in done["items"].as_array().context("no items")? {
        let (outcome, source) = (item["outcome"].as_str(), item["source"].as_str());
        let failed = outcome.is_some_and(|o| o.starts_with("failed"));
        let refused = REFUSED
            .iter()
            .any(|r| source.is_some_and(|s| s.contains(r)));
        ensure!(!failed || refused, "{item:#}");
    }
    Ok(())
}

fn outbox(tenant: &Tenant) -> Result<usize> {
    let outbox = tenant.graph.outbox()?;
    let sent = outbox.as_array().or(outbox["value"].as_array());
    Ok(sent.context("no outbox")?.len())
}

/// Pairs what is the same, and compares it.
fn judge(before: Vec<Record>, after: Vec<Record>, route: Route) -> Result<Findings> {
    let mut there: BTreeMap<(Kind, String), Vec<Record>> = BTreeMap::new();
    for record in after {
        let kind = Kind::of(&record, route)?;
        there
            .entry((kind, record.facts()))
            .or_default()
            .push(record);
    }
    let mut findings = Findings::new();
    for record in before {
        let key = (Kind::of(&record, route)?, record.facts());
        let found = findings.entry(key.0).or_default();
        let candidates = there.get_mut(&key).map(std::mem::take).unwrap_or_default();
        let Some((paths, rest)) = closest(&record.json, candidates) else {
            match REFUSED.iter().any(|r| record.name().contains(r)) {
                true => found.refused += 1,
                false => found.lost.push(record.name()),
            }
            continue;
        };
        there.insert(key, rest);
        found.items += 1;
        found.values += paths.values;
        for (path, (was, is)) in paths.differing {
            *found.differing.entry(path.clone()).or_default() += 1;
            found.examples.entry(path).or_insert((was, is));
        }
    }
    for ((kind, _), more) in there {
        // Folders are there from the beginning.
        if kind != Kind::Folder && kind != Kind::Settings {
            let found = findings.entry(kind).or_default();
            let names = more.iter().map(|r| format!("{} too many", r.name()));
            found.lost.extend(names);
        }
    }
    Ok(findings)
}

/// The candidate that differs least, and the others.
fn closest(record: &Value, candidates: Vec<Record>) -> Option<(Paths, Vec<Record>)> {
    let each = candidates.iter().map(|other| compare(record, &other.json));
    let (at, paths) = each
        .enumerate()
        .min_by_key(|(_, paths)| paths.differing.len())?;
    let mut rest = candidates;
    rest.remove(at);
    Some((paths, rest))
}
