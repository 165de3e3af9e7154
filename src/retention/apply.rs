//! Doing what a plan says.
//!
//! First the manifests that get smaller are replaced, then the others deleted: whoever is killed in between
//! leaves snapshots that are whole, and the same plan does the rest.

use std::collections::BTreeMap;

use super::RetentionError;
use super::plan::{Action, Line, accounts};
use crate::repo::{
    Kind, Maintenance, RepoError, Snapshot, SnapshotManifest, Stream, Totals, check_tag,
};
use crate::sync::{Report, totals};
use crate::tree::Nodes;
use crate::tree::state::{AccountState, Accounts, set_accounts};

/// Forgets what the plan says. The plan must have been made since the maintenance lock was taken.
pub fn apply(maintenance: &Maintenance, plan: &[Line]) -> Result<(), RetentionError> {
    let repo = maintenance.repository();
    let trimmed = plan.iter().filter_map(|line| match &line.action {
        Action::Trim(goes) => Some((&line.snapshot, goes)),
        Action::Keep | Action::Forget => None,
    });
    let trimmed: Vec<_> = trimmed.collect();
    if !trimmed.is_empty() {
        let nodes = Nodes::new(repo);
        let writer = repo.writer()?;
        let mut stream = writer.stream();
        for (snapshot, goes) in trimmed {
            let snapshots = [snapshot];
            if !writer.go_on_from(&snapshots)? {
                continue;
            }
            let manifest = without(maintenance, &nodes, &mut stream, snapshot, goes)?;
            writer.flush()?;
            maintenance.replace(&Snapshot {
                name: snapshot.name.clone(),
                manifest,
            })?;
        }
    }
    let goes = plan.iter().filter(|line| line.action == Action::Forget);
    let goes: Vec<String> = goes.map(|line| line.snapshot.name.clone()).collect();
    maintenance.forget(&goes)?;
    Ok(())
}

/// The manifest of a snapshot without some accounts. What it needs is put, and not flushed.
fn without(
    maintenance: &Maintenance,
    nodes: &Nodes,
    stream: &mut Stream,
    snapshot: &Snapshot,
    goes: &[(String, String)],
) -> Result<SnapshotManifest, RetentionError> {
    let manifest = &snapshot.manifest;
    let mut edits: BTreeMap<String, Option<AccountState>> = BTreeMap::new();
    let state = Accounts::new(nodes, manifest.state);
    let mut folders = Vec::with_capacity(goes.len());
    for (id, _) in goes {
        folders.extend(state.get(id)?.map(|account| account.folder));
        edits.insert(id.clone(), None);
    }
    let changes: Vec<_> = folders
        .iter()
        .map(|folder| (Some(folder.as_str()), None))
        .collect();
    let tree = set_accounts(nodes, stream, manifest.tree, &changes)?;
    let state = state.set(stream, &edits)?.root();
    let mut kept = Vec::new();
    for account in accounts(nodes, state)? {
        kept.push(account?.1.upn);
    }
    // Counting costs what is looked at: what goes, or what stays.
    let counted = match goes.len() < kept.len() {
        true => totals::advance(nodes, &manifest.totals, manifest.tree, tree)?,
        false => totals::advance(nodes, &Totals::default(), None, tree)?,
    };
    let report = report(maintenance, manifest, &kept)?;
    let failed = report.as_ref().map_or(0, |report| report.totals.failed);
    let report = match report.map(|report| serde_json::to_vec(&report)) {
        Some(Ok(json)) => Some(stream.put(Kind::Record, &json)?),
        Some(Err(_)) | None => None,
    };
    Ok(SnapshotManifest {
        tree,
        state,
        report,
        forgotten: manifest.forgotten + goes.len() as u64,
        totals: Totals {
            accounts: kept.len() as u64,
            failed,
            added: manifest.totals.added,
            ..counted
        },
        ..manifest.clone()
    })
}

/// The report about these accounts alone. `None`: there is none, or it was lost, or it is of a form that is
/// not known, and then it is not kept: it may name others.
fn report(
    maintenance: &Maintenance,
    manifest: &SnapshotManifest,
    kept: &[String],
) -> Result<Option<Report>, RetentionError> {
    let Some(id) = manifest.report else {
        return Ok(None);
    };
    let json = match maintenance.repository().get(Kind::Record, &id) {
        // That is no reason to keep whom it was about.
        Err(RepoError::ObjectMissing { .. }) => return Ok(None),
        json => json?,
    };
    let report: Option<Report> = serde_json::from_slice(&json).ok();
    Ok(report.map(|report| report.about(kept)))
}

/// Gives a snapshot a tag, or takes it away. False: it had it already, or never had it.
pub fn tag(
    maintenance: &Maintenance,
    snapshot: &Snapshot,
    tag: &str,
    add: bool,
) -> Result<bool, RetentionError> {
    check_tag(tag)?;
    let mut snapshot = snapshot.clone();
    let tags = &mut snapshot.manifest.tags;
    let changed = match add {
        true => tags.insert(tag.to_owned()),
        false => tags.remove(tag),
    };
    if changed {
        maintenance.replace(&snapshot)?;
    }
    Ok(changed)
}
