//! Retention on repositories that have everything a capture makes: folders, versions, originals,
//! recipes, items without a place, all maps of the state.

mod concurrent;
mod crash;
mod forget;
mod prune;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;

use crate::repo::content::{self, ContentId};
use crate::repo::{
    InitOptions, KdfCost, Kind, Location, PruneOptions, PruneReport, Repository, Snapshot,
    SnapshotManifest, Stream, Totals, Unused, Writer,
};
use crate::sync::merge::heads;
use crate::tree::collection::CollectionRoot;
use crate::tree::damage::find_hits;
use crate::tree::state::{
    AccountState, Accounts, FailedItem, JsonMap, WorkloadState, set_accounts,
};
use crate::tree::{Editor, Entry, ItemKey, MapRoot, Nodes, versions, view};

use super::{Choice, Line, Policy, RetentionError, Rules, apply, plan};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;
/// After all that is made here.
const NOW: i64 = START + 365 * DAY;

/// A repository in a folder.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> (Place, Repository) {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        let options = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(place.folder.path().join("local")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&place.location(), &password(), &options).unwrap();
        (place, repo)
    }

    fn location(&self) -> Location {
        Location::Local(self.folder.path().join("repo"))
    }

    /// As another process sees it, with local state of its own.
    fn open(&self, local: &str) -> Repository {
        let local = self.folder.path().join(local);
        Repository::open(&self.location(), &password(), &local).unwrap()
    }
}

fn password() -> secrecy::SecretString {
    secrecy::SecretString::from("secret")
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let stream = hasher
        .finalize_xof()
        .take(len as u64)
        .read_to_end(&mut bytes);
    assert_eq!(stream.unwrap(), len);
    bytes
}

fn key(n: u64) -> ItemKey {
    ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn content(stream: &mut Stream, bytes: &[u8]) -> (ContentId, u64) {
    let mut writer = content::Writer::new(stream);
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

/// A file of this seed: content, record, an original and a version of their own.
fn file(nodes: &Nodes, stream: &mut Stream, seed: u64, size: usize) -> Entry {
    let record = |stream: &mut Stream, n: u64| {
        let json = format!("{{\"id\": {n}, \"of\": {seed}}}");
        Some(stream.put(Kind::Record, json.as_bytes()).unwrap())
    };
    let (shown, len) = content(stream, &noise(seed, size));
    let (older, older_len) = content(stream, &noise(seed + 1_000_000, 700));
    let mut old = Entry::file(older, older_len, START - DAY, None);
    old.record = record(stream, 1);
    let add = vec![(key(seed + 7), old)];
    let versions = versions::change(nodes, None, |_| true, add, stream).unwrap();
    let (original, _) = content(stream, &noise(seed + 2_000_000, 900));
    let own = record(stream, 0);
    Entry {
        original: Some(original),
        versions,
        ..Entry::file(shown, len, START, own)
    }
}

/// An account with these files; `seeds` decides about their content.
fn account(
    nodes: &Nodes,
    stream: &mut Stream,
    name: &str,
    seeds: impl Iterator<Item = u64>,
) -> AccountState {
    let mut editor = Editor::new(nodes, CollectionRoot::default());
    editor
        .upsert_dir(key(1), ItemKey::ROOT, "docs", START, None)
        .unwrap();
    let mut last = 0;
    for seed in seeds {
        last = seed;
        // Now and then one of several chunks: a recipe.
        let size = if seed % 40 == 0 { 5 << 20 } else { 3000 };
        let entry = file(nodes, stream, seed, size);
        let name = format!("{seed}.bin");
        editor
            .upsert_file(key(100 + seed), key(1), &name, entry)
            .unwrap();
    }
    // Its folder never comes: it stays without a place.
    let lost = file(nodes, stream, last + 500_000, 2000);
    editor
        .upsert_file(key(9), key(8), "lost.bin", lost)
        .unwrap();
    let collection = editor.checkpoint(stream).unwrap();
    let mut json = |name: &str| {
        let failed = FailedItem {
            reason: format!("{name} {last}"),
            ..FailedItem::default()
        };
        let edits = BTreeMap::from([(format!("{name}-{last}"), Some(failed))]);
        JsonMap::new(nodes, None)
            .set(stream, &edits)
            .unwrap()
            .root()
    };
    let workload = WorkloadState {
        folder: "OneDrive".to_owned(),
        collection,
        cursors: json("cursor"),
        failed: json("failed"),
        waiting: json("waiting"),
        changed: START,
        revision: last,
    };
    AccountState {
        upn: name.to_owned(),
        folder: name.to_owned(),
        workloads: BTreeMap::from([("drive".to_owned(), workload)]),
        ..AccountState::default()
    }
}

/// What a snapshot is to be.
#[derive(Clone, Default)]
struct Wanted {
    day: i64,
    /// Accounts, each with the seeds of its files.
    accounts: Vec<(&'static str, std::ops::Range<u64>)>,
    tags: Vec<&'static str>,
    incomplete: bool,
}

/// Makes a snapshot.
fn commit(writer: &Writer, wanted: &Wanted) -> Result<Snapshot, RetentionError> {
    let nodes = Nodes::new(&writer.repository());
    let mut stream = writer.stream();
    let mut states: BTreeMap<String, Option<AccountState>> = BTreeMap::new();
    let mut files = 0;
    for (name, seeds) in &wanted.accounts {
        files += seeds.end - seeds.start;
        let state = account(&nodes, &mut stream, name, seeds.clone());
        states.insert(format!("id of {name}"), Some(state));
    }
    let changes: Vec<_> = states
        .values()
        .map(|state| (None, state.as_ref()))
        .collect();
    let tree = set_accounts(&nodes, &mut stream, None, &changes)?;
    let state = Accounts::new(&nodes, None)
        .set(&mut stream, &states)?
        .root();
    let report = crate::sync::Report {
        host: format!("day {}", wanted.day),
        ..crate::sync::Report::default()
    };
    let report = serde_json::to_vec(&report).unwrap();
    let newest = heads(&writer.repository().snapshots()?);
    Ok(writer.commit(SnapshotManifest {
        time: START + wanted.day * DAY,
        complete: !wanted.incomplete,
        tree,
        state,
        report: Some(stream.put(Kind::Record, &report)?),
        parents: newest.into_iter().map(|head| head.name).collect(),
        tags: wanted.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        totals: Totals {
            accounts: wanted.accounts.len() as u64,
            files,
            ..Totals::default()
        },
        ..SnapshotManifest::default()
    })?)
}

/// Every byte is what it was, and every path of every snapshot can be reached.
fn check(repo: &Repository) {
    let snapshots = repo.snapshots().unwrap();
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let roots = snapshots.iter();
    let roots = roots.map(|s| (s.name.as_str(), s.manifest.tree, s.manifest.state));
    let mut hits = Vec::new();
    let nodes = Nodes::new(repo);
    find_hits(repo, &nodes, &HashSet::new(), roots, |hit| hits.push(hit));
    assert!(hits.is_empty(), "{hits:?}");
    for snapshot in &snapshots {
        let report = snapshot.manifest.report.unwrap();
        repo.get(Kind::Record, &report).unwrap();
    }
}

/// Accounts of a snapshot, by their folders in its tree.
fn folders(repo: &Repository, tree: MapRoot) -> Vec<String> {
    let nodes = Nodes::new(repo);
    let all = view::Dir::new(&nodes, tree).list(0, usize::MAX).unwrap();
    all.into_iter().map(|(name, _)| name.into()).collect()
}

fn names(repo: &Repository) -> Vec<String> {
    let snapshots = repo.snapshots().unwrap();
    snapshots
        .into_iter()
        .map(|snapshot| snapshot.name)
        .collect()
}

fn keep_last(last: u32) -> Policy {
    Policy {
        general: Rules {
            keep_last: last,
            ..Rules::default()
        },
        accounts: Vec::new(),
    }
}

/// Plans and applies.
fn forget(repo: &Repository, choice: &Choice) -> Result<Vec<Line>, RetentionError> {
    let maintenance = repo.maintain()?;
    let lines = plan(repo, &Nodes::new(repo), choice, NOW)?;
    apply(&maintenance, &lines)?;
    Ok(lines)
}

fn prune(repo: &Repository, options: &PruneOptions) -> Result<PruneReport, RetentionError> {
    super::prune(&repo.maintain()?, options, &|_, _, _| {})
}

/// All that can be freed is.
fn thorough() -> PruneOptions {
    PruneOptions {
        max_unused: Unused::Bytes(0),
        ..PruneOptions::default()
    }
}

fn named(names: &[&str]) -> Choice {
    Choice::Names(
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>(),
    )
}
