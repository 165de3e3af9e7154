//! `tenantfs ls`: a folder of a snapshot, without a mount.

use anyhow::{Result, bail};
use serde::Serialize;
use tenantfs::tree::view::{self, Dir};
use tenantfs::tree::{Entry, EntryKind, Nodes};

use super::Context;
use crate::exit::Outcome;
use crate::output::{Style, time};
use crate::{app, snapshots};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// SNAPSHOT[/PATH]; SNAPSHOT may be `latest` or a day
    pub path: String,
    /// Everything below as well
    #[arg(long, short)]
    pub recursive: bool,
}

#[derive(Serialize)]
struct Line {
    path: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mtime: i64,
}

impl Line {
    fn new(path: String, entry: &Entry) -> Self {
        let (kind, size) = match entry.kind {
            EntryKind::Dir { .. } => ("folder", None),
            EntryKind::File { size, .. } => ("file", Some(size)),
        };
        Self {
            path,
            kind,
            size,
            mtime: entry.mtime,
        }
    }

    fn text(&self) -> String {
        let size = self
            .size
            .map_or_else(|| "-".into(), |size| size.to_string());
        let slash = if self.size.is_none() { "/" } else { "" };
        format!("{size:>12}  {}  {}{slash}", time(self.mtime), self.path)
    }
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let nodes = Nodes::new(&repository);
    let (snapshot, path) = snapshots::split(&repository, &args.path)?;
    let Some(entry) = view::resolve(&nodes, snapshot.manifest.tree, path)? else {
        bail!("there is no {path:?} in the snapshot {}", snapshot.name);
    };
    let lines = lines(&nodes, &entry, path, args.recursive)?;
    match context.style {
        Style::Json => {
            let lines = lines.collect::<Result<Vec<_>>>()?;
            context.style.report(&lines, |_| Ok(()))?;
        }
        // Not collected: a mailbox may have millions of lines.
        Style::Text => {
            for line in lines {
                let line = line?;
                if !print_line(&line.text())? {
                    break;
                }
            }
        }
    }
    Ok(Outcome::Done)
}

type Lines<'a> = Box<dyn Iterator<Item = Result<Line>> + 'a>;

fn lines<'a>(nodes: &'a Nodes, entry: &Entry, path: &'a str, recursive: bool) -> Result<Lines<'a>> {
    let EntryKind::Dir { root } = entry.kind else {
        return Ok(Box::new(std::iter::once(Ok(Line::new(
            path.to_owned(),
            entry,
        )))));
    };
    if recursive {
        let walk = view::walk(nodes, root);
        return Ok(Box::new(walk.map(|found| {
            let (path, entry) = found?;
            Ok(Line::new(path, &entry))
        })));
    }
    let listed = Dir::new(nodes, root).list(0, usize::MAX)?;
    Ok(Box::new(
        listed
            .into_iter()
            .map(|(name, entry)| Ok(Line::new(name.into(), &entry))),
    ))
}

/// False when the reader has enough.
fn print_line(text: &str) -> Result<bool> {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}
