//! `tenantfs diff`: what differs between two snapshots, at the cost of what differs.

use anyhow::{Result, bail};
use serde::Serialize;
use tenantfs::tree::diff::{Change, diff};
use tenantfs::tree::{EntryKind, MapRoot, Nodes, view};

use super::Context;
use crate::exit::Outcome;
use crate::{app, snapshots};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The older snapshot
    pub a: String,
    /// The newer snapshot
    pub b: String,
    /// Only below this path
    pub path: Option<String>,
}

#[derive(Serialize)]
struct Line {
    change: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let nodes = Nodes::new(&repository);
    let below = args.path.as_deref().unwrap_or("").trim_matches('/');
    let root = |name: &str| -> Result<MapRoot> {
        let snapshot = snapshots::find(&repository, name)?;
        match view::resolve(&nodes, snapshot.manifest.tree, below)?.map(|entry| entry.kind) {
            Some(EntryKind::Dir { root }) => Ok(root),
            Some(EntryKind::File { .. }) => bail!("{below:?} is a file in {}", snapshot.name),
            None => Ok(None),
        }
    };
    let lines = diff(&nodes, root(&args.a)?, root(&args.b)?)?
        .map(|change| change.map(|(path, change)| line(path, &change)))
        .collect::<Result<Vec<_>, _>>()?;
    context.style.report(&lines, |out| {
        for line in &lines {
            match &line.from {
                Some(from) => writeln!(out, "{:<8} {from} -> {}", line.change, line.path)?,
                None => writeln!(out, "{:<8} {}", line.change, line.path)?,
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

fn line(path: String, change: &Change) -> Line {
    let (change, from) = match change {
        Change::Added(_) => ("added", None),
        Change::Removed(_) => ("removed", None),
        Change::Modified { .. } => ("changed", None),
        Change::Moved { from, .. } => ("moved", Some(from.clone())),
    };
    Line { change, path, from }
}
