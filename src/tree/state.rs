//! What a snapshot carries besides its tree, and how both are put together.
//!
//! The state is a map from an account's Graph id to its [`AccountState`] as JSON: which collections
//! it has, the cursors that belong to exactly these collections, and what could not be captured. It
//! is committed in the same step as the tree, so a cursor is never ahead of its data.

use super::TreeError;
use super::collection::CollectionRoot;
use super::entry::Entry;
use super::map::{Map, MapRoot, Shape};
use super::names;
use super::nodes::{NodeSink, Nodes};
use super::view::{Dir, resolve};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The folder in an account's own that holds the folders of the accounts below it.
const SUBSITES: &str = "Subsites";

/// One protected account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// User principal name, or path of the site, when last seen.
    pub upn: String,
    /// Display name when last seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Its folder in the snapshot: a name, or names with slashes between them. It is kept while the account keeps its name.
    pub folder: String,
    /// When it was first found missing in the tenant, Unix seconds. Its data stays in snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed: Option<i64>,
    /// Workload name (`mail`, `drive`) to its state.
    #[serde(default)]
    pub workloads: BTreeMap<String, WorkloadState>,
}

/// One workload of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadState {
    /// Its folder below the account's, such as `Mail`.
    pub folder: String,
    /// Its items.
    #[serde(default)]
    pub collection: CollectionRoot,
    /// Feed id to JSON: where each delta feed goes on. Shape [`Shape::Hashed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursors: MapRoot,
    /// Item id to JSON [`FailedItem`]: what is tried again. Shape [`Shape::Hashed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: MapRoot,
    /// Item ids, each with `true`: what something is still to be asked of that may wait for another
    /// cycle (permissions). Shape [`Shape::Hashed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: MapRoot,
    /// When its collection last changed, Unix seconds: the folder's mtime.
    #[serde(default)]
    pub changed: i64,
    /// Counts up with each snapshot that changes it: of two states the one with more is newer.
    #[serde(default)]
    pub revision: u64,
}

/// An item that could not be captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedItem {
    /// What went wrong, for people.
    pub reason: String,
    /// Class of the error, for programs.
    pub class: String,
    /// What the item is called, as far as known.
    #[serde(default)]
    pub name: String,
    /// Graph id of its folder, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// Last try, Unix seconds.
    pub last: i64,
}

/// A map of ids to JSON values: the state itself, cursors, failed items.
#[derive(Clone)]
pub struct JsonMap<T> {
    map: Map,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> JsonMap<T> {
    /// The map at `root`.
    pub fn new(nodes: &Nodes, root: MapRoot) -> Self {
        JsonMap {
            map: Map::new(nodes, root, Shape::Hashed),
            of: std::marker::PhantomData,
        }
    }

    /// The root to store.
    pub fn root(&self) -> MapRoot {
        self.map.root()
    }

    /// Number of entries.
    pub fn len(&self) -> Result<u64, TreeError> {
        self.map.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The value of an id.
    pub fn get(&self, id: &str) -> Result<Option<T>, TreeError> {
        self.map
            .get(id.as_bytes())?
            .map(|json| parse(&json))
            .transpose()
    }

    /// All ids with their values, sorted by id.
    pub fn iter(
        &self,
    ) -> Result<impl Iterator<Item = Result<(String, T), TreeError>> + use<T>, TreeError> {
        Ok(self.map.iter()?.map(|entry| {
            let (id, json) = entry?;
            Ok((id_of(id)?, parse(&json)?))
        }))
    }

    /// The ids whose values differ in `newer`, with the values here and there. Costs what differs.
    pub fn diff(
        &self,
        newer: &Self,
    ) -> Result<impl Iterator<Item = Result<Difference<T>, TreeError>> + use<T>, TreeError> {
        Ok(self.map.diff(&newer.map)?.map(|change| {
            let change = change?;
            let value = |json: Option<bytes::Bytes>| json.map(|json| parse(&json)).transpose();
            Ok((id_of(change.key)?, value(change.old)?, value(change.new)?))
        }))
    }

    /// The map with these values set, or taken out where `None`.
    pub fn set(
        &self,
        out: &mut dyn NodeSink,
        edits: &BTreeMap<String, Option<T>>,
    ) -> Result<Self, TreeError> {
        let mut encoded = Vec::with_capacity(edits.len());
        for (id, value) in edits {
            let json = value.as_ref().map(serde_json::to_vec).transpose();
            let json = json.map_err(|_| TreeError::Corrupt {
                what: "state",
                why: "it is no JSON",
            })?;
            encoded.push((id.clone().into_bytes(), json));
        }
        Ok(JsonMap {
            map: self.map.apply(out, encoded)?,
            of: self.of,
        })
    }
}

/// An id with its values in an older and in a newer map.
pub type Difference<T> = (String, Option<T>, Option<T>);

fn id_of(key: Vec<u8>) -> Result<String, TreeError> {
    String::from_utf8(key).map_err(|_| TreeError::Corrupt {
        what: "state",
        why: "an id is not UTF-8",
    })
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, TreeError> {
    serde_json::from_slice(json).map_err(|_| TreeError::Corrupt {
        what: "state",
        why: "it is not the JSON it should be; a newer tenantfs may have written it",
    })
}

/// All accounts of a snapshot by Graph id.
pub type Accounts = JsonMap<AccountState>;

/// The directory of a snapshot, made from the one before by setting the folders of the accounts that
/// changed: `old_folder` is what the account's folder was called before (`None`: it had none), and
/// `account` what it is now (`None`: it goes). A folder may lie below others, and below that of another
/// account, next to what this one has (`Sites/Finance`, `Sites/Finance/Subsites/Payroll`).
pub fn set_accounts(
    nodes: &Nodes,
    out: &mut dyn NodeSink,
    tree: MapRoot,
    changes: &[(Option<&str>, Option<&AccountState>)],
) -> Result<MapRoot, TreeError> {
    let mut edit = Edit::default();
    for old in changes.iter().filter_map(|(old, _)| *old) {
        edit.at(old).goes = true;
    }
    for account in changes.iter().filter_map(|(_, account)| *account) {
        if !account.folder.split('/').all(names::is_good) {
            return Err(bad_name());
        }
        edit.at(&account.folder).account = Some(account);
    }
    Ok(edit.apply(nodes, out, Entry::dir(tree, 0))?.dir_root())
}

/// What changes in one folder of a snapshot above the collections.
#[derive(Default)]
struct Edit<'a> {
    /// What an account had here goes.
    goes: bool,
    /// The account whose folder it is.
    account: Option<&'a AccountState>,
    below: BTreeMap<&'a str, Edit<'a>>,
}

impl<'a> Edit<'a> {
    fn at(&mut self, folder: &'a str) -> &mut Edit<'a> {
        let names = folder.split('/');
        names.fold(self, |edit, name| edit.below.entry(name).or_default())
    }

    fn apply(
        &self,
        nodes: &Nodes,
        out: &mut dyn NodeSink,
        before: Entry,
    ) -> Result<Entry, TreeError> {
        let map = Map::new(nodes, before.dir_root(), Shape::Directory);
        let mut edits: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut changed = before.mtime;
        if self.goes || self.account.is_some() {
            // The folders of other accounts lie in one that no workload has.
            for entry in map.iter()? {
                let (name, _) = entry?;
                if name != SUBSITES.as_bytes() {
                    edits.insert(name, None);
                }
            }
        }
        if let Some(account) = self.account {
            let workloads = account.workloads.values();
            changed = workloads
                .map(|workload| workload.changed)
                .max()
                .unwrap_or(0);
            for workload in account.workloads.values() {
                if !names::is_good(&workload.folder) {
                    return Err(bad_name());
                }
                let entry = Entry::dir(workload.collection.dir, workload.changed);
                edits.insert(
                    workload.folder.as_bytes().to_vec(),
                    Some(entry.encode(&workload.folder)),
                );
            }
        }
        for (name, edit) in &self.below {
            let there = Dir::new(nodes, before.dir_root()).lookup(name)?;
            let there = there.filter(Entry::is_dir).unwrap_or(Entry::dir(None, 0));
            let entry = edit.apply(nodes, out, there)?;
            // An account without anything has a folder; a folder of accounts has accounts.
            let stays = edit.account.is_some() || entry.dir_root().is_some();
            if self.account.is_none() {
                changed = changed.max(entry.mtime);
            }
            let encoded = stays.then(|| entry.encode(name));
            edits.insert(name.as_bytes().to_vec(), encoded);
        }
        Ok(Entry::dir(map.apply(out, edits)?.root(), changed))
    }
}

fn bad_name() -> TreeError {
    TreeError::Corrupt {
        what: "state",
        why: "a folder's name is not one a file can have",
    }
}

/// The folder of an account in a snapshot's tree.
pub fn account_folder(
    nodes: &Nodes,
    tree: MapRoot,
    folder: &str,
) -> Result<Option<Dir>, TreeError> {
    Ok(resolve(nodes, tree, folder)?.and_then(|entry| Dir::enter(nodes, &entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::TestRepository;
    use crate::tree::view::walk;

    fn account(upn: &str, dir: MapRoot, changed: i64) -> AccountState {
        let workload = WorkloadState {
            folder: "Mail".to_owned(),
            collection: CollectionRoot {
                dir,
                ids: dir,
                detached: None,
            },
            changed,
            ..WorkloadState::default()
        };
        AccountState {
            upn: upn.to_owned(),
            folder: upn.to_owned(),
            workloads: BTreeMap::from([("mail".to_owned(), workload)]),
            ..AccountState::default()
        }
    }

    #[test]
    fn a_snapshot_is_put_together_and_read_again() {
        let test = TestRepository::new();
        let mut stream = test.writer.stream();
        let nodes = Nodes::new(&test.repo);
        let folder = Entry::dir(None, 5);
        let inbox = Map::new(&nodes, None, Shape::Directory)
            .apply(
                &mut stream,
                [(b"Inbox".to_vec(), Some(folder.encode("Inbox")))],
            )
            .unwrap();
        let alice = account("alice@contoso.com", inbox.root(), 100);
        let bob = account("bob@contoso.com", None, 200);

        let state = Accounts::new(&nodes, None)
            .set(
                &mut stream,
                &BTreeMap::from([
                    ("1".to_owned(), Some(alice.clone())),
                    ("2".to_owned(), Some(bob.clone())),
                ]),
            )
            .unwrap();
        let first = set_accounts(
            &nodes,
            &mut stream,
            None,
            &[(None, Some(&alice)), (None, Some(&bob))],
        )
        .unwrap();
        // Bob is called Rob now; Alice's folder is not touched.
        let rob = account("rob@contoso.com", None, 300);
        let second = set_accounts(
            &nodes,
            &mut stream,
            first,
            &[(Some("bob@contoso.com"), Some(&rob))],
        )
        .unwrap();
        test.writer.flush().unwrap();

        let repo = test.reopen();
        let nodes = Nodes::new(&repo);
        let state: Vec<_> = Accounts::new(&nodes, state.root())
            .iter()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(state, [("1".to_owned(), alice), ("2".to_owned(), bob)]);
        let paths = |root| {
            walk(&nodes, root)
                .map(|entry| entry.unwrap().0)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths(first),
            [
                "alice@contoso.com",
                "alice@contoso.com/Mail",
                "alice@contoso.com/Mail/Inbox",
                "bob@contoso.com",
                "bob@contoso.com/Mail"
            ]
        );
        assert_eq!(
            paths(second)[3..],
            ["rob@contoso.com", "rob@contoso.com/Mail"]
        );
        let found = resolve(&nodes, second, "rob@contoso.com/Mail")
            .unwrap()
            .unwrap();
        assert_eq!((found.is_dir(), found.mtime), (true, 300));
        assert_eq!(
            resolve(&nodes, second, "rob@contoso.com/Mail/none/x").unwrap(),
            None
        );
        assert_eq!(
            resolve(&nodes, second, "").unwrap().unwrap().dir_root(),
            second
        );
        assert!(
            account_folder(&nodes, second, "alice@contoso.com")
                .unwrap()
                .is_some()
        );
    }
    #[test]
    fn sites_lie_in_folders_of_their_own_and_in_each_other() {
        let test = TestRepository::new();
        let mut stream = test.writer.stream();
        let nodes = Nodes::new(&test.repo);
        let site = |folder: &str, changed| AccountState {
            folder: folder.to_owned(),
            ..account(folder, None, changed)
        };
        let bob = account("bob@contoso.com", None, 50);
        let finance = site("Sites/Finance", 100);
        let payroll = site("Sites/Finance/Subsites/Payroll", 200);
        let first = set_accounts(
            &nodes,
            &mut stream,
            None,
            &[
                (None, Some(&bob)),
                (None, Some(&payroll)),
                (None, Some(&finance)),
            ],
        )
        .unwrap();
        let paths = |root| {
            walk(&nodes, root)
                .map(|entry| entry.unwrap().0)
                .collect::<Vec<_>>()
        };
        let all = [
            "Sites",
            "Sites/Finance",
            "Sites/Finance/Mail",
            "Sites/Finance/Subsites",
            "Sites/Finance/Subsites/Payroll",
            "Sites/Finance/Subsites/Payroll/Mail",
            "bob@contoso.com",
            "bob@contoso.com/Mail",
        ];
        assert_eq!(paths(first), all);
        // The parent alone changes: what lies in it stays.
        let later = site("Sites/Finance", 300);
        let second = set_accounts(
            &nodes,
            &mut stream,
            first,
            &[(Some("Sites/Finance"), Some(&later))],
        )
        .unwrap();
        assert_eq!(paths(second), all);
        let sites = resolve(&nodes, second, "Sites").unwrap().unwrap();
        assert_eq!(sites.mtime, 300);
        // It is renamed, and its subsite with it.
        let money = site("Sites/Money", 300);
        let moved = site("Sites/Money/Subsites/Payroll", 200);
        let third = set_accounts(
            &nodes,
            &mut stream,
            second,
            &[
                (Some("Sites/Finance"), Some(&money)),
                (Some("Sites/Finance/Subsites/Payroll"), Some(&moved)),
            ],
        )
        .unwrap();
        let renamed: Vec<_> = all.iter().map(|p| p.replace("Finance", "Money")).collect();
        assert_eq!(paths(third), renamed);
        let inside = account_folder(&nodes, third, "Sites/Money/Subsites/Payroll");
        assert!(inside.unwrap().is_some());
        let none = set_accounts(
            &nodes,
            &mut stream,
            third,
            &[
                (Some("Sites/Money"), None),
                (Some("Sites/Money/Subsites/Payroll"), None),
            ],
        )
        .unwrap();
        assert_eq!(paths(none), all[6..]);
    }
}
