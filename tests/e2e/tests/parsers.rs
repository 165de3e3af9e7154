//! Every `.ics` and `.vcf` that a mount shows, whatever it was made of, is read by three parsers that
//! nobody here wrote; and what they make of a series is what Exchange lists of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::{Mounted, Tenant, calendars, corpus};
use graph_emulator::Options;

/// Calendars, contacts, tasks and archives, made up; and everybody's cards and calendars among them.
fn tenant() -> Result<Tenant> {
    Tenant::with_config(
        Options {
            accounts: 2,
            messages: 10,
            files: 0,
            events: 300,
            contacts: 200,
            archives: 2,
            archive_messages: 40,
            import_ics: corpus::folder("ics").into_iter().collect(),
            import_vcf: corpus::folder("vcf").into_iter().collect(),
            ..Options::default()
        },
        "[protect]\nworkloads = [\"calendar\", \"contacts\", \"todo\", \"archive\"]\n",
    )
}

/// The `.ics` and `.vcf` files below a folder.
fn readable(below: &Path) -> Vec<PathBuf> {
    let mut files = corpus::files(below);
    files.retain(|file| file.extension().is_some_and(|e| e == "ics" || e == "vcf"));
    files
}

fn account(mount: &Mounted, upn: &str) -> Result<PathBuf> {
    Ok(mount.path("snapshots/latest").canonicalize()?.join(upn))
}

#[test]
fn three_parsers_read_every_file() -> Result<()> {
    if !calendars::ready() {
        return Ok(());
    }
    let tenant = tenant()?;
    tenant.backup()?;
    let mount = tenant.mount()?;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for upn in tenant.graph.mailboxes()? {
        let top = account(&mount, &upn)?;
        for file in readable(&top) {
            let workload = file
                .strip_prefix(&top)?
                .iter()
                .next()
                .context("no folder")?;
            let ending = file.extension().unwrap_or_default();
            let kind = format!("{} {}", workload.display(), ending.display());
            *kinds.entry(kind).or_default() += 1;
            all.push(file);
        }
    }
    println!("{kinds:?}");
    let imported = corpus::folder("ics").is_some();
    for (kind, least) in [
        ("Calendar ics", if imported { 1000 } else { 250 }),
        ("Contacts vcf", if imported { 300 } else { 180 }),
        ("Tasks ics", 20),
        ("Archive ics", 7),
        ("Archive vcf", 3),
    ] {
        let found = kinds.get(kind).copied().unwrap_or_default();
        ensure!(found >= least, "only {found} {kind}");
    }
    calendars::accept(&all)
}

/// Calendars that every tenant has, and the one that archived events are put into. Imported ones come on top.
const EVERYBODYS: [&str; 3] = ["Calendar", "Projects", "Archived"];

#[test]
fn another_library_finds_the_occurrences_that_exchange_lists() -> Result<()> {
    if !calendars::ready() {
        return Ok(());
    }
    let tenant = tenant()?;
    let upns = tenant.graph.mailboxes()?;
    tenant.backup()?;
    // What was archived is listed by nobody; as events of a calendar it is.
    for upn in &upns {
        let (from, to) = (
            format!("latest/{upn}/Archive/Calendar"),
            format!("{upn}/Calendar/Archived"),
        );
        if account(&tenant.mount()?, upn)?
            .join("Archive/Calendar")
            .is_dir()
        {
            tenant.json(&["restore", &from, &to])?;
        }
    }
    let mount = tenant.mount()?;
    let mut compared = BTreeMap::new();
    for upn in &upns {
        let top = account(&mount, upn)?;
        for calendar in tenant
            .graph
            .list(&format!("/users/{upn}/calendars?$top=100"))?
        {
            let name = calendar["name"].as_str().context("no name")?;
            // A calendar may be shown in its group.
            let (below, folder) = match name {
                "Archived" => ("Archive", "Archive/Calendar"),
                name => ("Calendar", name),
            };
            let mut files = readable(&top.join(below));
            files.retain(|file| file.parent().is_some_and(|dir| dir.ends_with(folder)));
            if calendar["owner"]["address"] != *upn.as_str() || files.is_empty() {
                continue;
            }
            let window = ("1990-01-01T00:00:00", "2030-01-01T00:00:00");
            let count = calendars::agree(&tenant.graph, upn, name, &files, window)?;
            *compared.entry(name.to_owned()).or_insert(0) += count;
        }
    }
    println!("{compared:?}");
    for name in EVERYBODYS {
        ensure!(
            compared.get(name).is_some_and(|count| *count > 3),
            "{compared:?}"
        );
    }
    tenant.nothing_was_sent()
}
