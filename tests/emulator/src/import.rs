//! Mail from folders of `.eml` files, contacts from folders of `.vcf` files, tasks from folders of
//! `.ics` files.
//!
//! Every folder of `--import-mail DIR` becomes a mail folder of the same name below the visible root,
//! with its own folders below it; the accounts take turns folder by folder. Files directly in DIR go to
//! a folder named like DIR; `--import-archive DIR` does the same for archives. Bytes are kept as they
//! are, but for an mbox `From ` line at the start. Contact folders come out of `--import-vcf DIR` in
//! the same way, below the default folder, task lists out of `--import-ics DIR`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::contacts::{self, Book};
use crate::mail::deliver;
use crate::mail::ids::No;
use crate::mail::mime::without_from_line;
use crate::mail::store::Mailbox;
use crate::rng::Rng;
use crate::seed::ANCHOR;
use crate::todo::{self, Board};
use crate::users::{Purpose, User};
use crate::world::World;

pub fn mail(world: &World) -> anyhow::Result<()> {
    for (user, folder, files) in turns(world, &world.options.import_mail)? {
        let mailbox = world
            .mail
            .get(&user.id)
            .context("the account has no mailbox")?;
        mail_folder(&mut mailbox.lock(), &folder, files)?;
    }
    Ok(())
}

/// Imports folders of mail into the mailboxes whose turn it is.
pub fn folders(
    roots: &[PathBuf],
    mailbox_of: impl Fn(usize) -> anyhow::Result<Arc<Mutex<Mailbox>>>,
) -> anyhow::Result<()> {
    for (turn, (folder, files)) in jobs(roots)?.into_iter().enumerate() {
        mail_folder(&mut mailbox_of(turn)?.lock(), &folder, files)?;
    }
    Ok(())
}

fn mail_folder(
    mailbox: &mut Mailbox,
    folder: &Path,
    files: Option<Vec<PathBuf>>,
) -> anyhow::Result<()> {
    let parent = mailbox.well_known("msgfolderroot");
    match files {
        None => tree(mailbox, folder, parent),
        Some(files) => {
            let no = folder_named(mailbox, folder, parent);
            store(mailbox, no, &files)
        }
    }
}

pub fn contacts(world: &World) -> anyhow::Result<()> {
    for (user, folder, files) in turns(world, &world.options.import_vcf)? {
        let book = world.contacts.get(&user, world.options.seed);
        let mut book = book.lock();
        match files {
            None => cards(world, &mut book, &folder, contacts::DEFAULT)?,
            Some(files) => {
                let no = contact_folder(&mut book, &folder, contacts::DEFAULT);
                store_cards(world, &mut book, no, &files)?;
            }
        }
    }
    Ok(())
}

/// The VTODOs of calendar files: each folder with tasks becomes a list of its name.
pub fn tasks(world: &World) -> anyhow::Result<()> {
    for (user, folder, files) in turns(world, &world.options.import_ics)? {
        let board = world.todo.get(&user, world.options.seed);
        let mut board = board.lock();
        match files {
            None => task_lists(world, &mut board, &folder)?,
            Some(files) => store_tasks(world, &mut board, &folder, &files)?,
        }
    }
    Ok(())
}

/// A folder to import; with files, when its own folders are somebody else's.
type Job = (PathBuf, Option<Vec<PathBuf>>);

/// Folder by folder, who gets it.
fn turns(
    world: &World,
    roots: &[PathBuf],
) -> anyhow::Result<Vec<(Arc<User>, PathBuf, Option<Vec<PathBuf>>)>> {
    let users: Vec<Arc<User>> = world
        .users()
        .into_iter()
        .filter(|u| u.mailbox == Some(Purpose::User) && u.generated)
        .collect();
    if users.is_empty() && !roots.is_empty() {
        anyhow::bail!("importing needs at least one account");
    }
    let jobs = jobs(roots)?.into_iter();
    let whose = users.iter().cycle().cloned();
    Ok(jobs
        .zip(whose)
        .map(|((folder, files), user)| (user, folder, files))
        .collect())
}

fn jobs(roots: &[PathBuf]) -> anyhow::Result<Vec<Job>> {
    let mut out = Vec::new();
    for root in roots {
        let (files, folders) = entries(root)?;
        if !files.is_empty() {
            out.push((root.clone(), Some(files)));
        }
        out.extend(folders.into_iter().map(|folder| (folder, None)));
    }
    Ok(out)
}

/// Files and folders in `folder`, each sorted by name; hidden ones and notes about the collection are
/// passed over.
pub fn entries(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
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

/// The name of a folder made from `path`.
fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_else(|| "Imported".to_owned())
}

fn folder_named(mailbox: &mut Mailbox, path: &Path, parent: No) -> No {
    let name = name_of(path);
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

fn contact_folder(book: &mut Book, path: &Path, parent: No) -> No {
    let name = name_of(path);
    let lower = name.to_lowercase();
    let there = book
        .children(parent)
        .find(|f| f.name.to_lowercase() == lower)
        .map(|f| f.no);
    there.unwrap_or_else(|| book.add_folder(&name, parent))
}

fn cards(world: &World, book: &mut Book, path: &Path, parent: No) -> anyhow::Result<()> {
    let no = contact_folder(book, path, parent);
    let (files, folders) = entries(path)?;
    store_cards(world, book, no, &files)?;
    for folder in folders {
        cards(world, book, &folder, no)?;
    }
    Ok(())
}

fn store_cards(
    world: &World,
    book: &mut Book,
    folder: No,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    for path in files {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the card {}", path.display()))?;
        world.imports.file("vcf");
        let (cards, reasons) = contacts::import::read(&decoded(&bytes), ANCHOR);
        for card in cards {
            book.add(folder, card);
            world.imports.item("vcf");
        }
        for reason in reasons {
            world.imports.failed("vcf", path, &reason);
        }
    }
    Ok(())
}

fn task_lists(world: &World, board: &mut Board, path: &Path) -> anyhow::Result<()> {
    let (files, folders) = entries(path)?;
    store_tasks(world, board, path, &files)?;
    for folder in folders {
        task_lists(world, board, &folder)?;
    }
    Ok(())
}

fn store_tasks(
    world: &World,
    board: &mut Board,
    folder: &Path,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let mut list = None;
    for path in files {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the calendar {}", path.display()))?;
        let tasks = todo::import::read(&decoded(&bytes), ANCHOR * 1000);
        if !tasks.is_empty() {
            world.imports.file("vtodo");
        }
        for task in tasks {
            match task {
                Ok(task) => {
                    let no = *list.get_or_insert_with(|| board.add_list(&name_of(folder), "none"));
                    board.add(no, task);
                    world.imports.item("vtodo");
                }
                Err(reason) => world.imports.failed("vtodo", path, reason),
            }
        }
    }
    Ok(())
}

/// Text of a file that may begin with a byte order mark, or be of the time before UTF-8.
fn decoded(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], word: fn([u8; 2]) -> u16| {
        let (pairs, _) = bytes.as_chunks::<2>();
        let words: Vec<u16> = pairs.iter().map(|pair| word(*pair)).collect();
        String::from_utf16_lossy(&words)
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
        },
    }
}
