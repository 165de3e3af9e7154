//! Recognising bytes that came out of a repository with several snapshots.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::catalogue::Catalogue;
use super::recognise::*;
use super::spool::Origin;
use crate::repo::content::{self, ContentId, MailParts};
use crate::repo::{InitOptions, KdfCost, Kind, Location, Repository, SnapshotManifest, Writer};
use crate::tree::state::{AccountState, Accounts, WorkloadState, set_accounts};
use crate::tree::{Editor, Entry, ItemKey, Nodes, versions};

/// A repository to which snapshots are added item by item.
pub(super) struct History {
    pub repo: Repository,
    pub nodes: Nodes,
    writer: Writer,
    account: AccountState,
    last: Option<crate::repo::Snapshot>,
    time: i64,
    pub dir: tempfile::TempDir,
}

pub(super) const MAIL: &str = "From: a@contoso.com\r\nSubject: x\r\n\r\nhello\r\n";

impl History {
    pub fn new() -> History {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("repo"));
        let options = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(dir.path().join("local")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&location, &"password".to_owned().into(), &options).unwrap();
        let nodes = Nodes::new(&repo);
        let workload = |folder: &str| WorkloadState {
            folder: folder.to_owned(),
            ..Default::default()
        };
        let account = AccountState {
            upn: "alice@contoso.com".to_owned(),
            folder: "alice@contoso.com".to_owned(),
            workloads: BTreeMap::from([
                ("mail".to_owned(), workload("Mail")),
                ("drive".to_owned(), workload("OneDrive")),
            ]),
            ..Default::default()
        };
        let writer = repo.writer().unwrap();
        History {
            writer,
            repo,
            nodes,
            account,
            last: None,
            time: 1_790_000_000,
            dir,
        }
    }

    pub fn key(&self, id: &str) -> ItemKey {
        ItemKey::of(&self.repo, id)
    }

    pub fn put(&mut self, workload: &str, id: &str, name: &str, bytes: &[u8]) {
        let mut stream = self.writer.stream();
        let (content, size) = if workload == "mail" {
            content::put_mail(&mut stream, &MailParts::whole(bytes)).unwrap()
        } else {
            let mut writer = content::Writer::new(&mut stream);
            writer.write(bytes).unwrap();
            writer.finish().unwrap()
        };
        self.put_content(workload, id, name, content, size);
    }

    pub fn put_content(
        &mut self,
        workload: &str,
        id: &str,
        name: &str,
        content: ContentId,
        size: u64,
    ) {
        let mut stream = self.writer.stream();
        let record = json!({"id": id, "subject": name, "at": self.time}).to_string();
        let record = stream.put(Kind::Record, record.as_bytes()).unwrap();
        let key = self.key(id);
        let folder = self.key("folder");
        let state = self.account.workloads.get_mut(workload).unwrap();
        let mut editor = Editor::new(&self.nodes, state.collection);
        editor
            .upsert_dir(folder, ItemKey::ROOT, "Inbox", 1, Some(record))
            .unwrap();
        editor
            .upsert_file(
                key,
                folder,
                name,
                Entry::file(content, size, 1, Some(record)),
            )
            .unwrap();
        editor.finish_round().unwrap();
        state.collection = editor.checkpoint(&mut stream).unwrap();
    }

    /// Adds an older version to a file of the drive that is there.
    fn put_version(&mut self, id: &str, number: &str, time: i64, bytes: &[u8]) {
        let mut stream = self.writer.stream();
        let mut writer = content::Writer::new(&mut stream);
        writer.write(bytes).unwrap();
        let (content, size) = writer.finish().unwrap();
        let record =
            json!({ "id": number, "size": size, "lastModifiedDateTime": "2026-11-20T09:15:00Z" });
        let record = stream.put(Kind::Record, record.to_string().as_bytes());
        let version = Entry::file(content, size, time, Some(record.unwrap()));
        let key = self.key(id);
        let add = vec![(self.key(&format!("{id} {number}")), version)];
        let state = self.account.workloads.get_mut("drive").unwrap();
        let mut editor = Editor::new(&self.nodes, state.collection);
        let item = editor.get(&key).unwrap().unwrap();
        let (old, all) = (item.entry.versions, |_| true);
        let versions = versions::change(&self.nodes, old, all, add, &mut stream).unwrap();
        let entry = Entry {
            versions,
            ..item.entry
        };
        editor
            .upsert_file(key, item.parent, &item.name, entry)
            .unwrap();
        state.collection = editor.checkpoint(&mut stream).unwrap();
    }

    pub fn remove(&mut self, workload: &str, id: &str) {
        let key = self.key(id);
        let mut stream = self.writer.stream();
        let state = self.account.workloads.get_mut(workload).unwrap();
        let mut editor = Editor::new(&self.nodes, state.collection);
        editor.remove(key).unwrap();
        editor.finish_round().unwrap();
        state.collection = editor.checkpoint(&mut stream).unwrap();
    }

    pub fn commit(&mut self) -> String {
        let mut stream = self.writer.stream();
        let before = self
            .last
            .as_ref()
            .map(|s| s.manifest.clone())
            .unwrap_or_default();
        let edits = BTreeMap::from([("id-alice".to_owned(), Some(self.account.clone()))]);
        let state = Accounts::new(&self.nodes, before.state)
            .set(&mut stream, &edits)
            .unwrap();
        let old = before.tree.map(|_| self.account.folder.as_str());
        let changes = [(old, Some(&self.account))];
        let tree = set_accounts(&self.nodes, &mut stream, before.tree, &changes).unwrap();
        self.time += 3600;
        let manifest = SnapshotManifest {
            time: self.time,
            complete: true,
            tree,
            state: state.root(),
            ..Default::default()
        };
        let snapshot = self.writer.commit(manifest).unwrap();
        self.last = Some(snapshot.clone());
        snapshot.name
    }

    pub fn recogniser(&self) -> SnapshotRecogniser {
        SnapshotRecogniser::new(self.repo.clone(), self.dir.path().join("state"))
    }
}

fn ask(recogniser: &SnapshotRecogniser, name: &str, bytes: &[u8]) -> Option<Origin> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("spooled");
    std::fs::write(&file, bytes).unwrap();
    recogniser.recognise(&file, name).unwrap()
}

fn mail(n: usize) -> Vec<u8> {
    format!("{MAIL}{n}\r\n").into_bytes()
}

fn name_of(history: &History, id: &str) -> String {
    format!("2026-11-20 0915 x.{}.eml", history.key(id).suffix())
}

#[test]
fn mails_are_known_by_name_and_content_also_when_deleted() {
    let mut h = History::new();
    for n in 0..5 {
        let id = format!("m{n}");
        let name = name_of(&h, &id);
        h.put("mail", &id, &name, &mail(n));
    }
    let first = h.commit();
    h.remove("mail", "m1");
    let second = h.commit();
    let recogniser = h.recogniser();

    let name = name_of(&h, "m0");
    let origin = ask(&recogniser, &name, &mail(0)).unwrap();
    assert_eq!(origin.key, h.key("m0").to_string());
    assert_eq!(origin.workload, "mail");
    assert_eq!(
        origin.path,
        format!("{second}/alice@contoso.com/Mail/Inbox/{name}")
    );
    assert_eq!(recogniser.record(&origin).unwrap()["id"], "m0");

    let name = name_of(&h, "m1");
    let origin = ask(&recogniser, &name, &mail(1)).unwrap();
    assert_eq!(
        origin.path,
        format!("{first}/alice@contoso.com/Mail/Inbox/{name}")
    );

    // Under another name, and deleted.
    assert_eq!(
        ask(&recogniser, "renamed.eml", &mail(1)).unwrap().key,
        h.key("m1").to_string()
    );
    assert_eq!(
        ask(&recogniser, "no ending", &mail(2)).unwrap().key,
        h.key("m2").to_string()
    );
    // The suffix of another item does not deceive.
    assert_eq!(
        ask(&recogniser, &name, &mail(2)).unwrap().key,
        h.key("m2").to_string()
    );
    // Not ours.
    assert_eq!(ask(&recogniser, &name, &mail(77)), None);
    assert_eq!(ask(&recogniser, &name, b""), None);
    let mut changed = mail(1);
    changed[3] ^= 1;
    assert_eq!(ask(&recogniser, &name, &changed), None);
}

#[test]
fn drive_files_are_known_by_content_in_every_version() {
    let mut h = History::new();
    let version = |n: u8| -> Vec<u8> {
        let mut seed = u32::from(n) + 1;
        let next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        std::iter::repeat_with(next).take(3 << 20).collect()
    };
    h.put("drive", "f", "budget.xlsx", &version(0));
    h.put("drive", "g", "same.bin", &version(0));
    let first = h.commit();
    let recogniser = h.recogniser();
    assert_eq!(
        ask(&recogniser, "same.bin", &version(0)).unwrap().key,
        h.key("g").to_string()
    );
    h.put("drive", "f", "budget.xlsx", &version(1));
    let second = h.commit();
    h.remove("drive", "f");
    h.commit();
    for (bytes, snapshot) in [(version(0), &first), (version(1), &second)] {
        let origin = ask(&recogniser, "budget.xlsx", &bytes).unwrap();
        assert_eq!(origin.workload, "drive");
        assert_eq!(
            origin.path,
            format!("{snapshot}/alice@contoso.com/OneDrive/Inbox/budget.xlsx")
        );
    }
    // A mail that was saved to a drive is a file of the drive.
    h.put("drive", "e", "x.eml", &mail(0));
    h.commit();
    assert_eq!(
        ask(&recogniser, "x.eml", &mail(0)).unwrap().workload,
        "drive"
    );
}

#[test]
fn older_versions_of_the_service_are_known_as_their_file_with_their_own_time() {
    let mut h = History::new();
    h.put("drive", "f", "plan.docx", b"the newest");
    h.put_version("f", "1.0", 1_795_166_100, b"the first");
    h.commit();
    let recogniser = h.recogniser();
    let time = "2026-11-20T091500Z";
    let origin = ask(&recogniser, "plan.docx", b"the first").unwrap();
    assert_eq!(origin.key, h.key("f").to_string());
    assert_eq!(origin.workload, "drive");
    assert!(origin.path.contains("/OneDrive/Inbox/plan.docx"));
    assert!(origin.path.contains(time), "{}", origin.path);
    let record = recogniser.record(&origin).unwrap();
    assert_eq!(record["id"], "f");
    assert_eq!(record["lastModifiedDateTime"], "2026-11-20T09:15:00Z");
    assert_eq!(record["size"], 9);
    // What the file is now is no version of it.
    let now = ask(&recogniser, "plan.docx", b"the newest").unwrap();
    assert_eq!(now.version, None);
    // One more in a later snapshot, and the file under another name.
    h.put_version("f", "2.0", 1_795_166_200, b"the second");
    h.commit();
    let origin = ask(&recogniser, "other.docx", b"the second").unwrap();
    assert!(origin.version.is_some() && origin.key == h.key("f").to_string());
    // A file that is that content itself comes before a version of another.
    h.put("drive", "g", "copy.docx", b"the first");
    h.commit();
    let origin = ask(&recogniser, "some.docx", b"the first").unwrap();
    assert_eq!((origin.key, origin.version), (h.key("g").to_string(), None));
    let origin = ask(&recogniser, "plan.docx", b"the first").unwrap();
    assert_eq!(origin.key, h.key("f").to_string());
    // Known also by a catalogue that is made anew.
    std::fs::remove_dir_all(h.dir.path().join("state")).unwrap();
    let origin = ask(&h.recogniser(), "plan.docx", b"the second").unwrap();
    assert!(origin.version.is_some());
}

#[test]
fn the_catalogue_grows_merges_and_heals() {
    let mut h = History::new();
    let dir = h.dir.path().join("catalogue");
    let open = |h: &History| Catalogue::of(&h.repo, &h.nodes, &dir).unwrap();
    let object = |h: &History, n: usize| h.repo.id_of(Kind::Mail, &mail(n));
    for n in 0..14 {
        let id = format!("m{n}");
        let name = name_of(&h, &id);
        h.put("mail", &id, &name, &mail(n));
        h.commit();
        let catalogue = open(&h);
        for known in 0..=n {
            let hits = catalogue.find(&object(&h, known)).unwrap();
            assert_eq!(hits.len(), 1, "{known} of {n}");
            assert_eq!(hits[0].tag, h.key(&format!("m{known}")).tag());
        }
        assert!(catalogue.find(&object(&h, n + 1)).unwrap().is_empty());
    }
    let files = || std::fs::read_dir(&dir).unwrap().count();
    assert!(files() <= 10, "merged: {}", files());
    // Damage of any kind: it is made anew.
    for entry in std::fs::read_dir(&dir).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damaged").unwrap();
    }
    assert_eq!(open(&h).find(&object(&h, 3)).unwrap().len(), 1);
    assert_eq!(files(), 2, "a table and what its numbers mean");
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(open(&h).find(&object(&h, 13)).unwrap().len(), 1);
    assert!(Path::new(&dir).exists());
}
