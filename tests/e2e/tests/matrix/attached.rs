//! A file in a mailbox: a message with the file attached.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::row::{Home, text};
use crate::stage::{Cast, Stage};

/// What is in Mail/Received of an account, and is no draft: subjects with the bytes of the attachment.
fn received(home: &Home) -> Result<Vec<(String, Vec<u8>)>> {
    let graph = home.graph();
    let folders = graph.list(&home.at("mailFolders"))?;
    let Some(folder) = folders.iter().find(|f| f["displayName"] == "Received") else {
        return Ok(Vec::new());
    };
    let messages = home.at(&format!("mailFolders/{}/messages", text(folder, "id")));
    let mut all = Vec::new();
    for message in graph.list(&messages)? {
        ensure!(
            message["isDraft"] == false && message["isRead"] == true,
            "{message:#}"
        );
        ensure!(
            message["from"]["emailAddress"]["address"] == home.upn,
            "{message:#}"
        );
        let attachments = home.at(&format!("messages/{}/attachments", text(&message, "id")));
        let files = graph.list(&attachments)?;
        let [file] = files.as_slice() else {
            anyhow::bail!("{} attachments", files.len())
        };
        ensure!(file["name"] == message["subject"], "{file:#}");
        let bytes = graph.bytes(&format!("{attachments}/{}/$value", text(file, "id")))?;
        all.push((text(&message, "subject"), bytes));
    }
    all.sort();
    Ok(all)
}

/// Copies two files of the snapshot (paths below it) into a mailbox, one through the mount and one by
/// the command, and repeats both: once is enough.
pub fn to_mailbox(stage: &Stage, files: [&str; 2]) -> Result<()> {
    let home = stage.home(Cast::Services);
    let target = format!("{}/Mail/Received", home.upn);
    stage.mkdir(&target)?;
    let live = || {
        let subjects = received(&home)?.into_iter().map(|(subject, _)| subject);
        Ok(subjects.collect::<Vec<_>>().join("\n"))
    };
    let before = received(&home)?.len();
    let (mounted, commanded) = (stage.captured(files[0]), format!("latest/{}", files[1]));
    stage.copy("cp", &mounted, &stage.target(&target))?;
    let (ok, said) = stage.try_copy("cp", &mounted, &stage.target(&target))?;
    ensure!(!ok && said.contains("exists"), "it is there, but: {said}");
    ensure!(stage.restored(&live, &[&commanded, &target])? == 1);
    let again = stage.restore(&live, &[&commanded, &target])?;
    ensure!(again["existing"] == 1, "{again:#}");

    let there = received(&home)?;
    let subjects = live()?;
    ensure!(there.len() == before + 2, "{subjects}");
    for file in files {
        let name = Path::new(file).file_name().context("no name")?;
        let bytes = fs::read(stage.captured(file))?;
        let name = name.to_string_lossy();
        let found = there.iter().find(|(subject, _)| *subject == name);
        let (_, attached) = found.with_context(|| format!("no {name}: {subjects}"))?;
        ensure!(*attached == bytes, "{name} arrived as another file");
    }
    stage.tenant.nothing_was_sent()
}

/// A name as OneDrive takes it.
fn fitting(name: &str) -> String {
    name.replace(':', "_")
}

/// Copies a file and a folder of the snapshot into a drive: they are the files that the mount shows.
pub fn to_onedrive(stage: &Stage, file: &str, folder: &str) -> Result<()> {
    let home = stage.home(Cast::Services);
    let graph = home.graph();
    let name = Path::new(file).file_name().context("no name")?;
    let name = fitting(&name.to_string_lossy());
    let bytes = fs::read(stage.captured(file))?;
    let listed = |folder: &str| -> Result<Vec<String>> {
        let children = graph.list(&home.at(&format!("drive/root:/{folder}:/children")));
        let mut names: Vec<String> = children
            .unwrap_or_default()
            .iter()
            .map(|c| text(c, "name"))
            .collect();
        names.sort();
        Ok(names)
    };
    for way in ["mount", "command"] {
        let place = format!("Saved by {way}");
        let target = format!("{}/OneDrive/{place}", home.upn);
        let live = || Ok(listed(&place)?.join("\n"));
        match way {
            "mount" => {
                stage.mkdir(&target)?;
                stage.copy("cp", &stage.captured(file), &stage.target(&target))?;
                let whole = stage.target(&format!("{target}/whole"));
                stage.copy("cp -r", &stage.captured(folder), &whole)?;
            }
            _ => {
                let (file, folder) = (format!("latest/{file}"), format!("latest/{folder}"));
                ensure!(stage.restored(&live, &[&file, &target])? == 1);
                stage.restored(&live, &[&folder, &format!("{target}/whole")])?;
            }
        }
        ensure!(listed(&place)?.len() == 2, "{}", live()?);
        let encoded = name
            .replace('%', "%25")
            .replace('#', "%23")
            .replace(' ', "%20");
        let content = home.at(&format!("drive/root:/{place}/{encoded}:/content"));
        ensure!(graph.bytes(&content)? == bytes, "{name} differs");
        let mut expected: Vec<String> = fs::read_dir(stage.captured(folder))?
            .map(|e| Ok(fitting(&e?.file_name().to_string_lossy())))
            .collect::<Result<_>>()?;
        expected.sort();
        let there = listed(&format!("{place}/whole"))?;
        ensure!(there == expected, "{there:?} are not {expected:?}");
    }
    stage.tenant.nothing_was_sent()
}
