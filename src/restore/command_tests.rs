//! `tenantfs restore` from a repository with two snapshots into a tenant in memory.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::command::*;
use super::recognise_tests::{History, MAIL};
use super::testing::*;
use super::*;

struct Told(Mutex<Vec<(String, String, Outcome)>>);

impl Observer for Told {
    fn item(&self, source: &str, target: &str, _: u64, outcome: &Outcome) {
        self.0
            .lock()
            .push((source.to_owned(), target.to_owned(), outcome.clone()));
    }
}

struct Setup {
    rt: tokio::runtime::Runtime,
    history: History,
    tenant: Arc<Tenant>,
    local: tempfile::TempDir,
}

impl Setup {
    /// Two mails and two files; mail 1 and file `f` are gone from the second snapshot.
    fn new() -> Setup {
        let mut history = History::new();
        for n in 0..2 {
            let id = format!("m{n}");
            let name = format!("2026-11-20 0915 x.{}.eml", history.key(&id).suffix());
            history.put("mail", &id, &name, format!("{MAIL}{n}\r\n").as_bytes());
        }
        history.put("drive", "f", "budget.xlsx", b"budget");
        history.put("drive", "g", "plan.docx", &vec![7; 3 << 20]);
        history.commit();
        history.remove("mail", "m1");
        history.remove("drive", "f");
        history.commit();
        Setup {
            rt: runtime(),
            history,
            tenant: Arc::default(),
            local: tempfile::tempdir().unwrap(),
        }
    }

    fn mail_name(&self, n: usize) -> String {
        format!(
            "2026-11-20 0915 x.{}.eml",
            self.history.key(&format!("m{n}")).suffix()
        )
    }

    fn snapshots(&self) -> Vec<String> {
        self.history
            .repo
            .snapshots()
            .unwrap()
            .into_iter()
            .map(|s| s.name)
            .collect()
    }

    /// Into a folder of this machine.
    fn download(&self, sources: &[&str], target: &std::path::Path, options: &Options) -> Summary {
        let recogniser = Arc::new(self.history.recogniser());
        let dir = tempfile::tempdir_in(self.local.path()).unwrap();
        let service = service_with(&self.tenant, dir.path(), &self.rt, recogniser.clone());
        let live = options.deleted_only.then_some((&service, &*recogniser));
        let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
        let History { repo, nodes, .. } = &self.history;
        let told = Told(Mutex::default());
        download_sources(Repo { repo, nodes }, live, &sources, target, options, &told).unwrap()
    }

    fn run(
        &self,
        sources: &[&str],
        target: &str,
        options: &Options,
    ) -> (
        Result<Summary, RestoreError>,
        Vec<(String, String, Outcome)>,
    ) {
        let recogniser = Arc::new(self.history.recogniser());
        let dir = tempfile::tempdir_in(self.local.path()).unwrap();
        let service = service_with(&self.tenant, dir.path(), &self.rt, recogniser.clone());
        let told = Told(Mutex::default());
        let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
        let History { repo, nodes, .. } = &self.history;
        let result = restore_sources(
            &service,
            Repo { repo, nodes },
            &recogniser,
            &sources,
            target,
            options,
            &told,
        );
        (result, told.0.into_inner())
    }
}

fn counts(s: &Summary) -> (u64, u64, u64, u64) {
    (s.restored, s.folders, s.existing, s.failed)
}

#[test]
fn whole_trees_go_back_with_their_records() {
    let s = Setup::new();
    let first = format!("{}/alice@contoso.com", s.snapshots()[0]);
    let options = Options::default();
    // To its own place in another account; with nothing there yet.
    let dry = Options {
        dry_run: true,
        ..options.clone()
    };
    let (result, told) = s.run(&[&first], "bob@contoso.com", &dry);
    assert_eq!(counts(&result.unwrap()), (4, 2, 0, 0));
    assert!(s.tenant.items.lock().is_empty(), "a dry run does nothing");
    assert!(
        told.iter()
            .all(|(_, target, _)| target.starts_with("bob@contoso.com/")),
        "{told:?}"
    );

    let (result, _) = s.run(&[&first], "bob@contoso.com", &options);
    let summary = result.unwrap();
    assert_eq!(counts(&summary), (4, 1, 0, 0), "{summary:?}");
    assert_eq!(summary.bytes, (3 << 20) + 6 + 2 * (MAIL.len() as u64 + 3));
    // Mail and drive lie in one tree here: `Inbox` is made once.
    let mail = &s.tenant.at("id-bob", &["Inbox", &s.mail_name(1)])[0];
    assert_eq!(mail.bytes, format!("{MAIL}1\r\n").as_bytes());
    assert_eq!(mail.record.as_ref().unwrap()["id"], "m1");
    let file = &s.tenant.at("id-bob", &["Inbox", "plan.docx"])[0];
    assert_eq!((file.bytes.len(), file.mtime), (3 << 20, 1));
    assert_eq!(file.record.as_ref().unwrap()["id"], "g");

    // Repeated: everything is there, and that is no failure.
    let (result, told) = s.run(&[&first], "bob@contoso.com", &options);
    assert_eq!(counts(&result.unwrap()), (0, 0, 4, 0), "{told:?}");
    let over = Options {
        conflict: Some(Conflict::Overwrite),
        ..options
    };
    let (result, _) = s.run(&[&first], "bob@contoso.com", &over);
    assert_eq!(counts(&result.unwrap()), (4, 0, 0, 0));
    assert_eq!(s.tenant.at("id-bob", &["Inbox", "plan.docx"]).len(), 1);
}

#[test]
fn single_files_several_sources_and_local_files() {
    let s = Setup::new();
    let first = s.snapshots()[0].clone();
    let mail = format!("{first}/alice@contoso.com/Mail/Inbox/{}", s.mail_name(1));
    let options = Options::default();
    let (result, _) = s.run(&[&mail], "bob@contoso.com/Mail/From Alice/Deep", &options);
    assert_eq!(counts(&result.unwrap()), (1, 2, 0, 0));
    assert!(
        s.tenant
            .at("id-bob", &["From Alice", "Deep", &s.mail_name(1)])[0]
            .record
            .is_some()
    );
    // A mail below OneDrive is a file.
    let (result, _) = s.run(&[&mail], "bob@contoso.com/OneDrive/saved", &options);
    assert_eq!(counts(&result.unwrap()), (1, 1, 0, 0));
    assert_eq!(
        s.tenant.at("id-bob", &["saved", &s.mail_name(1)])[0].record,
        None
    );
    // A file to its own place.
    let (result, _) = s.run(&[&mail], "bob@contoso.com", &options);
    assert_eq!(counts(&result.unwrap()), (1, 1, 0, 0));
    assert_eq!(s.tenant.at("id-bob", &["Inbox", &s.mail_name(1)]).len(), 1);

    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(here.path().join("a/b")).unwrap();
    std::fs::write(here.path().join("a/b/x.txt"), b"x").unwrap();
    std::fs::write(here.path().join("y.txt"), b"y").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", here.path().join("a/link")).unwrap();
    let (a, y) = (here.path().join("a"), here.path().join("y.txt"));
    let sources = [a.to_str().unwrap(), y.to_str().unwrap()];
    let (result, _) = s.run(&sources, "bob@contoso.com/OneDrive/local", &options);
    let summary = result.unwrap();
    assert_eq!(counts(&summary), (2, 3, 0, 1), "{summary:?}");
    assert!(
        summary.failures[0]
            .1
            .reason
            .contains("links are not followed")
    );
    assert_eq!(
        s.tenant.at("id-bob", &["local", "a", "b", "x.txt"])[0].bytes,
        b"x"
    );
    assert_eq!(s.tenant.at("id-bob", &["local", "y.txt"])[0].bytes, b"y");
}

#[test]
fn deleted_only_leaves_what_lives_elsewhere() {
    let s = Setup::new();
    // What the newest snapshot has is live; the plan was moved since.
    s.tenant.put("id-alice", &["Inbox"], true, b"");
    s.tenant
        .put("id-alice", &["Inbox", &s.mail_name(0)], false, b"");
    s.tenant
        .put("id-alice", &["Inbox", "plan.docx"], false, b"");
    let first = format!("{}/alice@contoso.com", s.snapshots()[0]);
    let options = Options {
        deleted_only: true,
        ..Options::default()
    };
    let (result, told) = s.run(&[&first], "bob@contoso.com", &options);
    assert_eq!(counts(&result.unwrap()), (2, 2, 2, 0), "{told:?}");
    assert_eq!(s.tenant.at("id-bob", &["Inbox", "budget.xlsx"]).len(), 1);
    assert!(s.tenant.at("id-bob", &["Inbox", "plan.docx"]).is_empty());
    let live: Vec<_> = told.iter().filter(|t| t.2 == Outcome::Live).collect();
    assert_eq!(live.len(), 2);
}

#[test]
fn a_dry_run_says_what_would_be_refused_and_what_is_there_by_another_name() {
    let s = Setup::new();
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("bad.txt"), b"no good at all").unwrap();
    std::fs::write(here.path().join("new.txt"), b"new").unwrap();
    std::fs::write(here.path().join("same.txt"), b"same").unwrap();
    s.tenant.put("id-bob", &["local"], true, b"");
    s.tenant
        .put("id-bob", &["local", "other.txt"], false, b"same");
    let said = |conflict| {
        let options = Options {
            dry_run: true,
            conflict: Some(conflict),
            ..Options::default()
        };
        let (result, mut told) = s.run(
            &[here.path().to_str().unwrap()],
            "bob@contoso.com/OneDrive/local",
            &options,
        );
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let outcomes: Vec<Outcome> = told.into_iter().map(|t| t.2).collect();
        (counts(&result.unwrap()), outcomes)
    };
    let refused = |o: &Outcome| matches!(o, Outcome::Failed(e) if e.code == Code::Invalid);
    let (sums, told) = said(Conflict::Skip);
    assert_eq!(sums, (1, 0, 1, 1));
    assert!(refused(&told[0]), "{told:?}");
    assert_eq!(told[1..], [Outcome::WouldRestore(None), Outcome::Exists]);
    let (_, told) = said(Conflict::Overwrite);
    let over = Outcome::WouldRestore(Some(Conflict::Overwrite));
    assert_eq!(told[1..], [Outcome::WouldRestore(None), over]);
    assert_eq!(s.tenant.calls("push"), 0);
}

#[test]
fn downloads_are_files_with_their_times() {
    use std::os::unix::fs::MetadataExt;
    let s = Setup::new();
    let out = tempfile::tempdir().unwrap();
    let at = out.path().join("deep/out");
    let first = format!("{}/alice@contoso.com", s.snapshots()[0]);
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    // `deep` and `out` too.
    assert_eq!(counts(&s.download(&[&first], &at, &dry)), (4, 6, 0, 0));
    assert!(!at.exists(), "a dry run makes nothing");
    let options = Options::default();
    assert_eq!(counts(&s.download(&[&first], &at, &options)), (4, 6, 0, 0));
    let plan = at.join("OneDrive/Inbox/plan.docx");
    assert_eq!(std::fs::read(&plan).unwrap(), vec![7; 3 << 20]);
    let meta = plan.metadata().unwrap();
    assert_eq!((meta.mtime(), meta.mode() & 0o777), (1, 0o600));

    // Again: all is there. Over it, and beside it.
    std::fs::write(&plan, b"changed").unwrap();
    assert_eq!(counts(&s.download(&[&first], &at, &options)), (0, 0, 4, 0));
    assert_eq!(std::fs::read(&plan).unwrap(), b"changed");
    let with = |conflict| Options {
        conflict: Some(conflict),
        ..Options::default()
    };
    let over = s.download(&[&first], &at, &with(Conflict::Overwrite));
    assert_eq!(counts(&over), (4, 0, 0, 0));
    assert_eq!(plan.metadata().unwrap().len(), 3 << 20);
    let file = format!("{first}/OneDrive/Inbox/budget.xlsx");
    for name in ["budget.xlsx", "budget (2).xlsx", "budget (3).xlsx"] {
        let beside = s.download(&[&file], out.path(), &with(Conflict::KeepBoth));
        assert_eq!(counts(&beside), (1, 0, 0, 0));
        assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"budget");
    }

    // What was deleted only; nothing else is made.
    s.tenant.put("id-alice", &["Inbox"], true, b"");
    s.tenant
        .put("id-alice", &["Inbox", &s.mail_name(0)], false, b"");
    s.tenant
        .put("id-alice", &["Inbox", "plan.docx"], false, b"");
    let deleted = Options {
        deleted_only: true,
        ..Options::default()
    };
    let lost = out.path().join("lost");
    let inbox = format!("{first}/OneDrive/Inbox");
    assert_eq!(counts(&s.download(&[&inbox], &lost, &deleted)).2, 1);
    let there: Vec<_> = std::fs::read_dir(&lost).unwrap().collect();
    assert_eq!(there.len(), 1, "{there:?}");
}

#[test]
fn failures_are_counted_and_hopeless_ones_stop() {
    let s = Setup::new();
    let first = format!("{}/alice@contoso.com", s.snapshots()[0]);
    s.tenant.fault(
        "plan.docx",
        Step::Begin,
        Fault::Fail(crate::graph::ErrorClass::TooLarge),
        1,
    );
    let (result, _) = s.run(&[&first], "bob@contoso.com", &Options::default());
    let summary = result.unwrap();
    assert_eq!(counts(&summary), (3, 1, 0, 1));
    assert!(summary.failures[0].0.ends_with("OneDrive/Inbox/plan.docx"));

    for (sources, target, word) in [
        (
            vec!["latest/nobody@contoso.com"],
            "bob@contoso.com",
            "there is no nobody",
        ),
        (vec!["latest"], "bob@contoso.com", "name an account"),
        (
            vec!["2020-01-01/x"],
            "bob@contoso.com",
            "the newest snapshots are",
        ),
        (
            vec!["latest/alice@contoso.com"],
            "eve@contoso.com",
            "alice@contoso.com",
        ),
        (
            vec!["latest/alice@contoso.com"],
            "bob@contoso.com/Calendar",
            "OneDrive",
        ),
        (vec!["latest/alice@contoso.com"], "", "ACCOUNT"),
        (
            vec!["latest/alice@contoso.com"],
            "@queued/bob@contoso.com",
            "waits for every item",
        ),
        (
            vec!["/etc/hostname"],
            "bob@contoso.com",
            "needs a target with a service",
        ),
    ] {
        let (result, _) = s.run(&sources, target, &Options::default());
        let reason = result.unwrap_err().reason;
        assert!(reason.contains(word), "{sources:?} {target}: {reason}");
    }
}

#[test]
fn a_killed_command_is_taken_up_by_the_daemon() {
    let s = Setup::new();
    s.tenant.put("id-bob", &["Inbox"], true, b"");
    let (dir, state) = command_folder(s.local.path()).unwrap();
    assert!(dir.ends_with("restore-commands/0"));
    let (other, _) = command_folder(s.local.path()).unwrap();
    assert!(other.ends_with("restore-commands/1"), "the first is in use");
    drop(state);
    let svc = service(&s.tenant, &dir, &s.rt);
    s.tenant.fault("x.eml", Step::Made, Fault::Hang, 1);
    let at = TargetPath::parse("bob@contoso.com/Mail/Inbox/x.eml").unwrap();
    let file = svc.spool_file(&at).unwrap();
    file.write_at(0, b"x").unwrap();
    assert!(svc.push(file, Duration::from_millis(200)).is_err());
    let left = killed(s.local.path());
    // The daemon's own folder, with the commands' beside it.
    let daemon = left.path().join("restore");
    let svc = service_in(
        &s.tenant,
        &daemon,
        Some(commands_folder(left.path())),
        &s.rt,
    );
    let start = std::time::Instant::now();
    while std::fs::read_dir(daemon.join("spool")).unwrap().count() > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{}",
            svc.log_text()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let items = s.tenant.at("id-bob", &["Inbox", "x.eml"]);
    assert_eq!(items.len(), 1);
    assert!(items[0].complete);
}
