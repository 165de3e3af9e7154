//! Things in other services: in a drive they are the files that the mount shows, in a mailbox messages
//! with the file attached. Single ones, folders, and everything.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::corpus;
use e2e::graph::Graph;
use serde_json::Value;
use tenantfs::format::eml;

use crate::matrix::mailbox::folders;
use crate::matrix::row::{Home, Row, place_below, text};
use crate::matrix::stage::{Cast, Stage};

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// What the snapshot has below a folder, as `folder/...`.
fn captured(stage: &Stage, folder: &str, name: &str) -> Result<Files> {
    let root = stage.captured(folder);
    let mut files = Files::new();
    for file in corpus::files(&root) {
        let below = file.strip_prefix(&root)?.to_str().context("not UTF-8")?;
        files.insert(format!("{name}/{below}"), fs::read(&file)?);
    }
    ensure!(!files.is_empty(), "nothing in {folder}");
    Ok(files)
}

/// Place and name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Fails with the names of what differs.
fn same(expected: &Files, found: &Files) -> Result<()> {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(expected) == names(found),
        "{:#?} are not {:#?}",
        names(found),
        names(expected)
    );
    for (path, bytes) in expected {
        ensure!(found[path] == *bytes, "{path} arrived as another file");
    }
    Ok(())
}

/// What is in a mail folder and below it, none of it a draft: of a message with the file that it is
/// named after the file, of any other mail nothing but its subject.
fn received(home: &Home, below: &str) -> Result<Files> {
    let graph = home.graph();
    let mut all = Files::new();
    for (folder, id) in folders(home)? {
        let Some(place) = place_below(&folder, below) else {
            continue;
        };
        for message in graph.list(&home.at(&format!("mailFolders/{id}/messages?$top=100")))? {
            ensure!(message["isDraft"] == false, "{message:#}");
            let attachments = home.at(&format!("messages/{}/attachments", text(&message, "id")));
            let files = graph.list(&attachments)?;
            let bytes = match files.as_slice() {
                [file] if file["name"] == message["subject"] => {
                    ensure!(
                        message["isRead"] == true
                            && message["from"]["emailAddress"]["address"] == home.upn,
                        "{message:#}"
                    );
                    graph.bytes(&format!("{attachments}/{}/$value", text(file, "id")))?
                }
                _ => Vec::new(),
            };
            let subject = text(&message, "subject");
            let path = format!("{place}/{subject}");
            let path = path.trim_start_matches('/').to_owned();
            ensure!(all.insert(path, bytes).is_none(), "two of {subject}");
        }
    }
    Ok(all)
}

/// What files become in a mailbox, as [`received`] tells it: a `.eml` is the mail that it is.
fn attached(files: Files) -> Files {
    let in_mailbox = |(path, bytes): (String, Vec<u8>)| match path.ends_with(".eml") {
        false => (path, bytes),
        true => {
            let subject = eml::to_graph(&bytes).json["subject"].clone();
            let subject = subject.as_str().unwrap_or_default();
            (format!("{}/{subject}", split(&path).0), Vec::new())
        }
    };
    files.into_iter().map(in_mailbox).collect()
}

/// Copies two files of the snapshot (paths below it) into a mailbox, one through the mount and one by
/// the command, and repeats both: once is enough. Then a folder, and everything of that kind, both ways.
pub fn to_mailbox(stage: &Stage, row: &dyn Row, files: [&str; 2], folder: &str) -> Result<()> {
    let home = stage.home(Cast::Services);
    to_mailbox_of(stage, &home, row, files, folder)
}

/// The same, from the cast to the mailbox of somebody.
pub fn to_mailbox_of(
    stage: &Stage,
    home: &Home,
    row: &dyn Row,
    files: [&str; 2],
    folder: &str,
) -> Result<()> {
    let target = format!("{}/Mail/Received", home.upn);
    stage.mkdir(&target)?;
    let listed = |place: &str| -> Result<String> {
        let there = received(home, place)?;
        Ok(there.into_keys().collect::<Vec<_>>().join("\n"))
    };
    let live = || listed("Received");
    let (mounted, commanded) = (stage.captured(files[0]), format!("latest/{}", files[1]));
    stage.copy("cp", &mounted, &stage.target(&target))?;
    let (ok, said) = stage.try_copy("cp", &mounted, &stage.target(&target))?;
    ensure!(!ok && said.contains("exists"), "it is there, but: {said}");
    ensure!(stage.restored(&live, &[&commanded, &target])? == 1);
    let again = stage.restore(&live, &[&commanded, &target])?;
    ensure!(again["existing"] == 1, "{again:#}");
    let mut expected = Files::new();
    for file in files {
        expected.insert(split(file).1.to_owned(), fs::read(stage.captured(file))?);
    }
    same(&expected, &received(home, "Received")?)?;

    let whole = format!("{}/{}", stage.home(Cast::Services).upn, row.folder());
    let mut expected = attached(captured(stage, folder, "folder")?);
    expected.extend(attached(captured(stage, &whole, "whole")?));
    let sources = [(folder, "folder"), (&whole[..], "whole")];
    let service = format!("{}/Mail", home.upn);
    all_ways(stage, &service, "Received", &sources, &listed)?;
    for way in WAYS {
        let there = received(home, &format!("Received by {way}"))?;
        same(&expected, &there).with_context(|| format!("by {way}"))?;
    }
    stage.tenant.nothing_was_sent()
}

const WAYS: [&str; 2] = ["mount", "command"];

/// Copies folders of the snapshot to `SERVICE/PLACE by WAY/NAME`, the service with its account.
fn all_ways(
    stage: &Stage,
    service: &str,
    place: &str,
    sources: &[(&str, &str)],
    listed: &dyn Fn(&str) -> Result<String>,
) -> Result<()> {
    for way in WAYS {
        let place = format!("{place} by {way}");
        let target = format!("{service}/{place}");
        if way == "mount" {
            stage.mkdir(&target)?;
        }
        for (source, name) in sources {
            let target = format!("{target}/{name}");
            let live = || listed(&place);
            match way {
                "mount" => stage.copy("cp -r", &stage.captured(source), &stage.target(&target))?,
                _ => drop(stage.restored(&live, &[&format!("latest/{source}"), &target])?),
            }
        }
    }
    Ok(())
}

/// A name as OneDrive takes it.
fn fitting(name: &str) -> String {
    name.replace(':', "_")
}

/// A drive as a target.
pub struct Drive<'a> {
    pub graph: &'a Graph,
    /// Its path below Graph.
    pub path: String,
    /// Where `restore/` has it.
    pub target: String,
}

impl<'a> Drive<'a> {
    /// Somebody's OneDrive.
    pub fn of(home: &Home<'a>) -> Self {
        Self {
            graph: home.graph(),
            path: home.at("drive"),
            target: format!("{}/OneDrive", home.upn),
        }
    }

    /// The documents of a site.
    pub fn documents(home: &Home<'a>) -> Result<Self> {
        Ok(Self {
            graph: home.graph(),
            path: format!("/sites/{}/drive", home.site()?),
            target: format!("{}/Libraries/Documents", home.upn),
        })
    }

    /// All files below a folder.
    fn stored(&self, folder: &str) -> Result<Files> {
        let (graph, drive) = (self.graph, &self.path);
        let root = graph.list(&format!("{drive}/root/children"))?;
        let root = root.into_iter().find(|child| child["name"] == folder);
        let mut below: Vec<(String, Value)> =
            root.into_iter().map(|r| (String::new(), r)).collect();
        let mut files = Files::new();
        while let Some((place, folder)) = below.pop() {
            let path = format!("{drive}/items/{}", text(&folder, "id"));
            for child in graph.list(&format!("{path}/children?$top=200"))? {
                let name = format!("{place}{}", text(&child, "name"));
                if child["folder"].is_object() {
                    below.push((format!("{name}/"), child));
                    continue;
                }
                let content = format!("{drive}/items/{}/content", text(&child, "id"));
                files.insert(name, graph.bytes(&content)?);
            }
        }
        Ok(files)
    }
}

/// Copies a file of the snapshot, a folder, and everything of that kind into the OneDrive of the same
/// account: they are the files that the mount shows.
pub fn to_onedrive(stage: &Stage, row: &dyn Row, file: &str, folder: &str) -> Result<()> {
    let home = stage.home(Cast::Services);
    to_drive(stage, row, file, folder, &Drive::of(&home))
}

/// The same into the documents of a site.
pub fn to_library(stage: &Stage, row: &dyn Row, file: &str, folder: &str) -> Result<()> {
    let site = Home::new(&stage.tenant, "Sites/Finance");
    to_drive(stage, row, file, folder, &Drive::documents(&site)?)
}

/// The same into any drive.
pub fn to_drive(
    stage: &Stage,
    row: &dyn Row,
    file: &str,
    folder: &str,
    drive: &Drive,
) -> Result<()> {
    let home = stage.home(Cast::Services);
    let whole = format!("{}/{}", home.upn, row.folder());
    let listed = |place: &str| -> Result<String> {
        let there = drive.stored(place)?;
        Ok(there.into_keys().collect::<Vec<_>>().join("\n"))
    };
    let sources = [(folder, "folder"), (&whole[..], "whole")];
    all_ways(stage, &drive.target, "Saved", &sources, &listed)?;

    let target = |way: &str| format!("{}/Saved by {way}", drive.target);
    let mounted = stage.target(&target("mount"));
    stage.copy("cp", &stage.captured(file), &mounted)?;
    let live = || listed("Saved by command");
    let arguments = [&format!("latest/{file}")[..], &target("command")];
    ensure!(stage.restored(&live, &arguments)? == 1);

    let mut expected = captured(stage, folder, "folder")?;
    expected.extend(captured(stage, &whole, "whole")?);
    expected.insert(split(file).1.to_owned(), fs::read(stage.captured(file))?);
    let expected = expected
        .into_iter()
        .map(|(path, bytes)| (fitting(&path), bytes))
        .collect();
    for way in WAYS {
        let there = drive.stored(&format!("Saved by {way}"))?;
        same(&expected, &there).with_context(|| format!("by {way}"))?;
    }
    stage.tenant.nothing_was_sent()
}
