//! Mail from folders of `.eml` files.
//!
//! Every folder of `--import-mail DIR` becomes a mail folder of the same name below the visible root,
//! with its own folders below it; the accounts take turns folder by folder. Files directly in DIR go to
//! a folder named like DIR. `--import-archive DIR` does the same for archives. Bytes are kept as they are, but for an mbox `From ` line at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::mail::deliver;
use crate::mail::ids::No;
use crate::mail::mime::without_from_line;
use crate::mail::store::Mailbox;
use crate::rng::Rng;
use crate::users::{Purpose, User};
use crate::world::World;

pub fn mail(world: &World) -> anyhow::Result<()> {
    let users: Vec<Arc<User>> = world
        .users()
        .into_iter()
        .filter(|u| u.mailbox == Some(Purpose::User))
        .collect();
    if users.is_empty() && !world.options.import_mail.is_empty() {
        anyhow::bail!("--import-mail needs at least one account");
    }
    folders(&world.options.import_mail, |turn| {
        world
            .mail
            .get(&users[turn % users.len()].id)
            .context("the account has no mailbox")
    })
}

/// Imports folders into the mailboxes whose turn it is.
pub fn folders(
    roots: &[PathBuf],
    mailbox_of: impl Fn(usize) -> anyhow::Result<Arc<Mutex<Mailbox>>>,
) -> anyhow::Result<()> {
    let mut turn = 0;
    for root in roots {
        let (files, folders) = entries(root)?;
        let mut jobs: Vec<(PathBuf, Vec<PathBuf>)> =
            folders.into_iter().map(|f| (f, Vec::new())).collect();
        if !files.is_empty() {
            jobs.insert(0, (root.clone(), files));
        }
        for (folder, files) in jobs {
            let mailbox = mailbox_of(turn)?;
            turn += 1;
            let mut mailbox = mailbox.lock();
            let parent = mailbox.well_known("msgfolderroot");
            if files.is_empty() {
                tree(&mut mailbox, &folder, parent)?;
            } else {
                let no = folder_named(&mut mailbox, &folder, parent);
                store(&mut mailbox, no, &files)?;
            }
        }
    }
    Ok(())
}

/// Files and folders in `folder`, each sorted by name; hidden ones and notes about the collection are
/// passed over.
fn entries(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let listing = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in listing {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with('.') || name.ends_with(".md") {
            continue;
        }
        if path.is_dir() {
            folders.push(path)
        } else {
            files.push(path)
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

fn folder_named(mailbox: &mut Mailbox, path: &Path, parent: No) -> No {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_else(|| "Imported".to_owned());
    let lower = name.to_lowercase();
    let there = mailbox
        .children(parent)
        .find(|f| f.name.to_lowercase() == lower)
        .map(|f| f.no);
    there.unwrap_or_else(|| mailbox.add_folder(&name, parent, None))
}

fn tree(mailbox: &mut Mailbox, path: &Path, parent: No) -> anyhow::Result<()> {
    let no = folder_named(mailbox, path, parent);
    let (files, folders) = entries(path)?;
    store(mailbox, no, &files)?;
    for folder in folders {
        tree(mailbox, &folder, no)?;
    }
    Ok(())
}

fn store(mailbox: &mut Mailbox, folder: No, files: &[PathBuf]) -> anyhow::Result<()> {
    for (index, path) in files.iter().enumerate() {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the mail {}", path.display()))?;
        let read = Rng::at(mailbox.seed, index as u64).chance(80);
        let bytes = Bytes::from(bytes);
        let message = bytes.slice_ref(without_from_line(&bytes));
        deliver(mailbox, folder, message, read);
    }
    Ok(())
}
