mod cloud;
mod hosts;
mod random;
mod sweep;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use self::cloud::Cloud;
use super::*;
use crate::repo::content::read_all;
use crate::repo::{InitOptions, KdfCost, Location};
use crate::tree::{EntryKind, ItemKey, view};

pub(super) struct Rig {
    pub cloud: Cloud,
    pub cx: SyncContext,
    pub dir: tempfile::TempDir,
    /// Only goes forward.
    pub clock: Arc<AtomicI64>,
}

fn password() -> SecretString {
    "secret".into()
}

impl Rig {
    pub fn new(cloud: Cloud) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("repo"));
        let options = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(dir.path().join("index")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&location, &password(), &options).unwrap();
        let local = LocalState::open(&dir.path().join("state")).unwrap();
        let clock = Arc::new(AtomicI64::new(1_790_000_000));
        let cx = Self::context(&cloud, &clock, repo, Some(local));
        Rig {
            cloud,
            cx,
            dir,
            clock,
        }
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    fn context(
        cloud: &Cloud,
        clock: &Arc<AtomicI64>,
        repo: Repository,
        local: Option<LocalState>,
    ) -> SyncContext {
        let clock = clock.clone();
        let options = Options {
            checkpoint: Duration::from_millis(20),
            clock: Arc::new(move || clock.fetch_add(1, Ordering::Relaxed)),
            ..Options::default()
        };
        let workload: Arc<dyn Workload> = Arc::new(cloud.clone());
        SyncContext::new(
            repo,
            Arc::new(cloud.clone()),
            vec![workload],
            local,
            options,
        )
    }

    /// As after a crash: everything is read from the disk again, and local state may be lost.
    pub fn reopen(&mut self, keep_local: bool) {
        let location = Location::Local(self.dir.path().join("repo"));
        let repo =
            Repository::open(&location, &password(), &self.dir.path().join("index")).unwrap();
        let local = keep_local.then(|| self.cx.local.clone());
        self.cx = Self::context(&self.cloud, &self.clock, repo, None);
        if let Some(local) = local {
            self.cx.local = local;
        }
    }

    pub async fn cycle(&self) -> Result<CycleOutcome, SyncError> {
        run(&self.cx, &Scope::default(), &Arc::default()).await
    }

    pub fn key(&self, id: &str) -> ItemKey {
        ItemKey::of(&self.cx.repo, id)
    }

    /// Files of the newest snapshot below a folder: path to bytes and record.
    pub fn files(&self, folder: &str) -> BTreeMap<String, (Vec<u8>, serde_json::Value)> {
        let snapshot = self.cx.repo.snapshots().unwrap().pop().unwrap();
        assert!(snapshot.manifest.complete);
        let nodes = Nodes::new(&self.cx.repo);
        let all = view::walk(&nodes, snapshot.manifest.tree).map(|found| found.unwrap().1);
        let sizes: Vec<u64> = all.filter_map(|entry| Some(entry.content()?.1)).collect();
        let totals = snapshot.manifest.totals;
        assert_eq!(totals.files, sizes.len() as u64);
        assert_eq!(totals.bytes, sizes.iter().sum::<u64>());
        let mut files = BTreeMap::new();
        let Some(entry) = view::resolve(&nodes, snapshot.manifest.tree, folder).unwrap() else {
            return files;
        };
        for found in view::walk(&nodes, entry.dir_root()) {
            let (path, entry) = found.unwrap();
            if let EntryKind::File { content, size } = entry.kind {
                let bytes = read_all(&self.cx.repo, content, 1 << 20).unwrap();
                assert_eq!(bytes.len() as u64, size);
                let record = self
                    .cx
                    .repo
                    .get(crate::repo::Kind::Record, &entry.record.unwrap());
                let record = serde_json::from_slice(&record.unwrap()).unwrap();
                files.insert(path, (bytes.to_vec(), record));
            }
        }
        files
    }

    pub fn assert_same(&self, user: &str) {
        let upn = self.cloud.inner.lock().users[user].clone();
        let workload = Workload::folder(&self.cloud);
        let expected = self.cloud.expected(user, |id| self.key(id));
        assert_eq!(self.files(&format!("{upn}/{workload}")), expected);
    }

    fn repo_size(&self) -> u64 {
        fn size(dir: &Path) -> u64 {
            let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
            entries
                .map(|e| {
                    if e.path().is_dir() {
                        size(&e.path())
                    } else {
                        e.metadata().unwrap().len()
                    }
                })
                .sum()
        }
        size(&self.dir.path().join("repo"))
    }
}

const ANN: &str = "ann-id";
const BOB: &str = "bob-id";

fn mailboxes() -> Cloud {
    let cloud = Cloud::new(
        false,
        &[(ANN, "ann@contoso.test"), (BOB, "bob@contoso.test")],
    );
    for user in [ANN, BOB] {
        let id = |name: &str| format!("{user}/{name}");
        cloud.folder(user, &id("inbox"), None, "Inbox");
        cloud.folder(user, &id("deep"), Some(&id("inbox")), "Deep");
        for n in 0..10 {
            let folder = id(if n % 2 == 0 { "inbox" } else { "deep" });
            cloud.item(
                user,
                &id(&format!("m{n}")),
                Some(&folder),
                &format!("mail {n}"),
            );
        }
    }
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_then_nothing_then_small_changes() {
    let rig = Rig::new(mailboxes());
    let first = rig.cycle().await.unwrap();
    assert!(first.snapshot.is_some() && !first.report.has_failures());
    assert_eq!(first.report.totals.added, 24); // 20 mails, 4 folders
    assert_eq!(rig.cloud.calls("fetch"), 20);
    rig.assert_same(ANN);
    rig.assert_same(BOB);

    for keep_local in [true, false] {
        rig.cloud.reset_calls();
        let mut rig2 = Rig {
            cloud: rig.cloud.clone(),
            cx: rig.cx.clone(),
            dir: tempfile::tempdir().unwrap(),
            clock: rig.clock.clone(),
        };
        if !keep_local {
            rig2.cx.local = Local::new(None);
        }
        let idle = rig2.cycle().await.unwrap();
        assert_eq!(idle.snapshot, None);
        assert_eq!(
            (
                rig.cloud.calls("fetch"),
                rig.cloud.calls("verify"),
                rig.cloud.calls("probe")
            ),
            (0, 0, 0)
        );
        assert_eq!(rig.cloud.calls("page"), 6);
        assert_eq!(idle.written, 0);
    }

    rig.cloud.reset_calls();
    rig.cloud
        .change(ANN, "ann-id/m1", |item, _| item.read = true);
    let light = rig.cycle().await.unwrap();
    assert!(light.snapshot.is_some());
    assert_eq!(
        (light.report.totals.updated, rig.cloud.calls("fetch")),
        (1, 0)
    );
    rig.cloud
        .change(ANN, "ann-id/m1", |item, now| item.version = now);
    rig.cloud.change(ANN, "ann-id/m2", |item, _| {
        item.folder = Some("ann-id/deep".into())
    });
    rig.cloud.delete(BOB, "bob-id/m3");
    rig.cloud.bounce(BOB, "bob-id/m4");
    let changes = rig.cycle().await.unwrap();
    assert_eq!(changes.report.totals.removed, 1);
    assert_eq!(
        (rig.cloud.calls("fetch"), rig.cloud.calls("verify")),
        (1, 1)
    );
    rig.assert_same(ANN);
    rig.assert_same(BOB);
    assert_eq!(rig.cx.repo.snapshots().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_refetches_nothing_that_is_there() {
    for drive in [false, true] {
        let mut cloud = mailboxes();
        cloud.drive = drive;
        let rig = Rig::new(cloud);
        rig.cycle().await.unwrap();
        rig.cloud.reset_calls();
        rig.cloud.delete(ANN, "ann-id/m1");
        rig.cloud.delete_folder(ANN, "ann-id/deep");
        rig.cloud.item(ANN, "new", Some("ann-id/inbox"), "new");
        rig.cloud.expire_tokens(ANN);
        rig.cloud.expire_tokens(BOB);
        rig.cycle().await.unwrap();
        assert_eq!(rig.cloud.calls("fetch"), 1);
        rig.assert_same(ANN);
        rig.assert_same(BOB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_leave_return_and_change_names() {
    let rig = Rig::new(mailboxes());
    rig.cycle().await.unwrap();
    let ann = rig.files("ann@contoso.test/Mail");
    assert_eq!(ann.len(), 10);

    // Ann leaves, and Bob gets her name.
    let users = |pairs: &[(&str, &str)]| {
        rig.cloud.inner.lock().users = pairs
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect();
    };
    users(&[(BOB, "ann@contoso.test")]);
    let left = rig.cycle().await.unwrap();
    assert_eq!(left.report.accounts.departed, 1);
    assert!(
        left.report
            .changed
            .iter()
            .any(|a| a.id == ANN && a.status == Status::Departed)
    );
    rig.assert_same(BOB);
    assert!(rig.files("bob@contoso.test/Mail").is_empty());
    let kept = names_with(&rig, ANN, "ann@contoso.test");
    assert_eq!(rig.files(&format!("{kept}/Mail")), ann);
    assert_eq!(rig.cycle().await.unwrap().snapshot, None);

    users(&[(BOB, "bob@contoso.test"), (ANN, "ann@contoso.test")]);
    rig.cloud.item(ANN, "back", Some("ann-id/inbox"), "back");
    let back = rig.cycle().await.unwrap();
    assert_eq!(back.report.accounts.departed, 0);
    rig.assert_same(ANN);
    rig.assert_same(BOB);
    assert!(rig.files(&format!("{kept}/Mail")).is_empty());
}

fn names_with(rig: &Rig, id: &str, upn: &str) -> String {
    crate::tree::names::with_suffix(upn, &rig.key(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_and_then_called_gone_does_not_vanish() {
    let rig = Rig::new(mailboxes());
    let id = "ann-id/m2";
    let bad = |class: Option<ErrorClass>| {
        let bad = &mut rig.cloud.inner.lock().faults.bad;
        bad.clear();
        bad.extend(class.map(|class| (id.to_owned(), class)));
    };
    bad(Some(ErrorClass::NotFound));
    let first = rig.cycle().await.unwrap();
    let failed: Vec<&str> = first.report.failed.iter().map(|l| l.id.as_str()).collect();
    assert_eq!(failed, [id], "it lives, and nothing says what it is");
    assert_eq!(rig.cycle().await.unwrap().snapshot, None);
    bad(None);
    assert!(!rig.cycle().await.unwrap().report.has_failures());
    rig.assert_same(ANN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_reported_and_tried_again() {
    let rig = Rig::new(mailboxes());
    {
        let faults = &mut rig.cloud.inner.lock().faults;
        faults.bad.insert("ann-id/m1".into(), ErrorClass::Corrupt);
        faults.bad.insert("ann-id/m2".into(), ErrorClass::Transient);
        faults.denied.insert(BOB.into());
    }
    let first = rig.cycle().await.unwrap();
    assert!(first.snapshot.is_some() && first.report.has_failures());
    assert_eq!(
        (first.report.failed.len(), first.report.accounts.failed),
        (2, 1)
    );
    let line = &first.report.failed[0];
    assert_eq!(
        (line.id.as_str(), line.account.as_str()),
        ("ann-id/m1", "ann@contoso.test")
    );
    assert!(line.path.starts_with("Inbox/Deep/mail 1."), "{}", line.path);
    assert_eq!(
        (line.class, line.older_version),
        (Some(ErrorClass::Corrupt), false)
    );
    assert_eq!(rig.files("ann@contoso.test/Mail").len(), 8);

    // The corrupt one waits a day, the other doesn't; failing again is no news.
    rig.cloud.reset_calls();
    assert_eq!(rig.cycle().await.unwrap().snapshot, None);
    assert_eq!(
        (rig.cloud.calls("fetch"), rig.cloud.calls("verify")),
        (1, 1)
    );
    {
        let faults = &mut rig.cloud.inner.lock().faults;
        faults.bad.clear();
        faults.denied.clear();
    }
    let next = rig.cycle().await.unwrap();
    assert_eq!(next.report.failed.len(), 1);
    rig.advance(2 * 86_400);
    let last = rig.cycle().await.unwrap();
    assert!(!last.report.has_failures());
    rig.assert_same(ANN);
    rig.assert_same(BOB);

    // A new version that can't be had: the old one stays, where the item is now.
    let old = rig
        .files("ann@contoso.test/Mail")
        .into_iter()
        .find(|(p, _)| p.contains("mail 1."))
        .unwrap();
    rig.cloud
        .inner
        .lock()
        .faults
        .bad
        .insert("ann-id/m1".into(), ErrorClass::Corrupt);
    rig.cloud.change(ANN, "ann-id/m1", |item, now| {
        item.version = now;
        item.folder = Some("ann-id/inbox".into());
    });
    let failed = rig.cycle().await.unwrap();
    assert!(failed.report.failed[0].older_version);
    let now = rig
        .files("ann@contoso.test/Mail")
        .into_iter()
        .find(|(p, _)| p.contains("mail 1."))
        .unwrap();
    assert!(now.0.starts_with("Inbox/mail 1.") && now.1 == old.1);
    // Gone for good: gone from the list, too.
    rig.cloud.delete(ANN, "ann-id/m1");
    assert!(!rig.cycle().await.unwrap().report.has_failures());
    rig.assert_same(ANN);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_without_a_mailbox_are_asked_once_a_day() {
    let rig = Rig::new(mailboxes());
    rig.cloud.inner.lock().faults.no_mailbox.insert(BOB.into());
    let first = rig.cycle().await.unwrap();
    assert_eq!(
        (first.report.accounts.absent, first.report.accounts.failed),
        (1, 0)
    );
    rig.cloud.inner.lock().faults.no_mailbox.clear();
    rig.cloud.reset_calls();
    assert_eq!(rig.cycle().await.unwrap().snapshot, None);
    assert_eq!(rig.cloud.calls("probe"), 0);
    rig.advance(2 * 86_400);
    rig.cycle().await.unwrap();
    rig.assert_same(BOB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_first_sync_goes_on() {
    let mut rig = Rig::new(mailboxes());
    let progress = Arc::new(Progress::default());
    let cancel = Box::new({
        let progress = Arc::clone(&progress);
        move || progress.cancel()
    });
    // Ten mails have each account, five of them each folder: one folder is complete by then.
    rig.cloud.inner.lock().faults.then = Some(("fetch", 12, cancel));
    let outcome = run(&rig.cx, &Scope::default(), &progress).await.unwrap();
    assert!(outcome.cancelled && outcome.snapshot.is_none());
    let snapshots = rig.cx.repo.snapshots().unwrap();
    assert!(snapshots.iter().all(|s| !s.manifest.complete));
    let before = rig.cloud.calls("fetch");
    rig.reopen(false);
    rig.cycle().await.unwrap();
    rig.assert_same(ANN);
    rig.assert_same(BOB);
    assert!(rig.cloud.calls("fetch") - before < 20);
    // Only the complete one is left.
    assert_eq!(rig.cx.repo.snapshots().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_and_an_unreachable_service_fail_the_cycle() {
    let rig = Rig::new(mailboxes());
    rig.cycle().await.unwrap();
    rig.cloud.item(ANN, "x", Some("ann-id/inbox"), "x");
    rig.cloud
        .inner
        .lock()
        .faults
        .bad
        .insert("x".into(), ErrorClass::Auth);
    assert!(matches!(rig.cycle().await, Err(SyncError::SignIn(_))));
    rig.cloud.inner.lock().faults.bad.clear();
    rig.cycle().await.unwrap();
    rig.assert_same(ANN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_change_in_a_large_mailbox_writes_little() {
    let mut cloud = Cloud::new(true, &[(ANN, "ann@contoso.test")]);
    cloud.page = 500;
    cloud.folder(ANN, "f", None, "Files");
    for n in 0..3000 {
        cloud.item(ANN, &format!("item {n}"), Some("f"), &format!("a file {n}"));
    }
    let rig = Rig::new(cloud);
    rig.cycle().await.unwrap();
    let before = rig.repo_size();
    for n in 0..10 {
        rig.cloud
            .change(ANN, &format!("item {}", n * 290), |item, now| {
                item.version = now
            });
    }
    let outcome = rig.cycle().await.unwrap();
    assert_eq!(outcome.report.totals.updated, 10);
    let written = rig.repo_size() - before;
    assert!(written < 100_000, "{written} bytes");
    rig.assert_same(ANN);
}
