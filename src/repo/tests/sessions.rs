//! Several writers at once, in one process and in several, and what is left of those that die.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::backend::Backend;
use super::super::beacon::{self, Beacon};
use super::super::lock::MaintenanceLock;
use super::super::session::{Content, FOLDER};
use super::super::watch::Timing;
use super::crash::{Committed, check, commit, put_round};
use super::*;

/// Where the killed process writes; see [`a_process_that_writes_until_it_is_killed`].
const PLACE: &str = "TENANTFS_TEST_PLACE";

/// Nothing is left of any session.
fn assert_tidy(place: &Place) {
    for folder in ["sessions", "tmp"] {
        let left = files(&place.root().join(folder));
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn many_writers_at_once_lose_nothing_of_each_other() {
    let place = Place::new();
    let one = place.init();
    let handles = [one.clone(), one, place.open(), place.open()];
    let mut committed = Committed::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = handles
            .into_iter()
            .zip(1u64..)
            .map(|(repo, number)| {
                scope.spawn(move || {
                    let mut committed = Committed::new();
                    let writer = repo.writer().unwrap();
                    for round in 0..10 {
                        // Every other round they all put the same.
                        let seed = if round % 2 == 0 {
                            round
                        } else {
                            number * 100 + round
                        };
                        let objects = put_round(&writer, seed).unwrap();
                        commit(&writer, objects, &mut committed).unwrap();
                    }
                    committed
                })
            })
            .collect();
        for thread in threads {
            committed.extend(thread.join().unwrap());
        }
    });
    check(&place, &committed);
    let repo = place.open();
    // Who ended while another swept left its file to whoever looks next.
    assert!(repo.inner.sessions().live().unwrap().is_empty());
    assert_tidy(&place);
    assert_eq!(repo.snapshots().unwrap().len(), 40);
    // Each saw its own index files only; the next one merges them all.
    let writer = repo.writer().unwrap();
    let objects = put_round(&writer, 1000).unwrap();
    commit(&writer, objects, &mut committed).unwrap();
    drop(writer);
    let indexes = files(&place.root().join("index"));
    assert!(indexes.len() < 17, "{} index files", indexes.len());
    check(&place, &committed);
    // All of it is missed when it is lost.
    let inventory = repo.inner.read_inventory().unwrap();
    let listed = repo.inner.listed_names().unwrap();
    assert_eq!(inventory, listed);
}

#[test]
fn a_killed_writer_keeps_nobody_from_going_on() {
    let place = Place::new();
    let repo = place.init();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("repo::tests::sessions::a_process_that_writes_until_it_is_killed")
        .env(PLACE, place.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut theirs = lines
        .map_while(Result::ok)
        .filter_map(|line| Some(line.split_once("committed ")?.1.to_owned()));
    let writer = repo.writer().unwrap();
    let mut committed = Committed::new();
    let mut named = Vec::new();
    for round in 0..4 {
        named.push(theirs.next().unwrap());
        let objects = put_round(&writer, round).unwrap();
        commit(&writer, objects, &mut committed).unwrap();
    }
    let live = repo.inner.sessions().live().unwrap();
    assert_eq!(live.len(), 2, "{live:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    for round in 4..8 {
        let objects = put_round(&writer, round).unwrap();
        commit(&writer, objects, &mut committed).unwrap();
    }
    let live = repo.inner.sessions().live().unwrap();
    assert_eq!(live.len(), 1, "the dead one is gone: {live:?}");
    drop(writer);
    drop(repo.writer().unwrap());
    check(&place, &committed);
    assert_tidy(&place);
    let names: Vec<_> = repo.snapshots().unwrap();
    let inventory = repo.inner.read_inventory().unwrap();
    for name in named {
        assert!(names.iter().any(|snapshot| snapshot.name == name));
        assert!(inventory.contains(&format!("snapshots/{name}")));
    }
}

#[test]
#[ignore = "the other process of the test above"]
fn a_process_that_writes_until_it_is_killed() {
    let location = Location::Local(std::env::var_os(PLACE).unwrap().into());
    let local = tempfile::tempdir().unwrap();
    let repo = Repository::open(&location, &password(), local.path()).unwrap();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    for round in 1000.. {
        let objects = put_round(&writer, round).unwrap();
        let mut committed = Committed::new();
        commit(&writer, objects, &mut committed).unwrap();
        // Something that is never finished.
        stream.put(Kind::Chunk, &noise(round, 2_000_000)).unwrap();
        println!("committed {}", committed[0].0);
    }
}

#[test]
fn what_a_session_said_is_taken_in_once() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut committed = Committed::new();
    for round in 0..2 {
        let objects = put_round(&writer, round).unwrap();
        commit(&writer, objects, &mut committed).unwrap();
    }
    let file = format!("sessions/{}", writer.session_id());
    let file = place.root().join(file);
    let said = std::fs::read(&file).unwrap();
    drop(writer);
    let maintenance = repo.maintain().unwrap();
    // Its writer is found dead when one of its snapshots is forgotten, and whoever does that dies as well
    // before the file goes.
    std::fs::write(&file, &said).unwrap();
    maintenance.forget(&[committed[0].0.clone()]).unwrap();
    assert!(!file.exists());
    std::fs::write(&file, &said).unwrap();
    drop(maintenance);
    assert_eq!(repo.all_snapshots().unwrap().len(), 1);
    drop(repo.maintain().unwrap());
    assert!(!file.exists());
    assert_eq!(repo.all_snapshots().unwrap().len(), 1);
    assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
}

#[test]
fn maintenance_and_writers_go_on_beside_each_other() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut committed = Committed::new();
    let objects = put_round(&writer, 1).unwrap();
    // Half of a pack is in the staging folder while another makes the index again.
    let mut stream = writer.stream();
    stream.put(Kind::Chunk, &noise(1, 3_000_000)).unwrap();
    writer.flush().unwrap();
    stream.put(Kind::Chunk, &noise(2, 3_000_000)).unwrap();
    place.open().rebuild_index(&|_, _| {}).unwrap();
    commit(&writer, objects, &mut committed).unwrap();
    check(&place, &committed);
    // Who has the lock is told to others, but for writers, who do without.
    let lock = MaintenanceLock::acquire(&repo.inner.backend).unwrap();
    let error = place.open().rebuild_index(&|_, _| {}).unwrap_err();
    assert!(
        matches!(&error, RepoError::Locked { holder } if holder.contains(&std::process::id().to_string())),
        "{error}"
    );
    for round in 2..20 {
        let objects = put_round(&writer, round).unwrap();
        commit(&writer, objects, &mut committed).unwrap();
    }
    assert!(files(&place.root().join("index")).len() > 17, "not merged");
    drop((stream, writer));
    check(&place, &committed);
    drop(lock);
    // What it left is folded in by the next one.
    let writer = repo.writer().unwrap();
    let objects = put_round(&writer, 20).unwrap();
    commit(&writer, objects, &mut committed).unwrap();
    drop(writer);
    assert!(files(&place.root().join("index")).len() < 17, "merged");
    check(&place, &committed);
    assert_tidy(&place);
}

#[test]
fn a_snapshot_that_is_deleted_is_not_gone_on_from() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut committed = Committed::new();
    let objects = put_round(&writer, 1).unwrap();
    commit(&writer, objects, &mut committed).unwrap();
    let snapshot = repo.snapshots().unwrap().pop().unwrap();
    assert!(writer.go_on_from(&[&snapshot]).unwrap());
    let roots = || repo.inner.sessions().live().unwrap().remove(0).roots;
    assert_eq!(roots(), [snapshot.manifest.roots()]);
    writer.delete_snapshot(&snapshot.name).unwrap();
    assert!(!writer.go_on_from(&[&snapshot]).unwrap());
    assert!(writer.go_on_from(&[]).unwrap());
    assert!(roots().is_empty());
}

const FAST: Timing = Timing {
    refresh: Duration::from_millis(50),
    dead: Duration::from_millis(1000),
    settle: Duration::from_millis(5),
};

#[test]
fn in_an_object_store_the_silent_are_dead_and_find_out() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(Backend::in_memory(folder.path(), FAST).unwrap());
    let location = Location::S3(S3Location::default());
    let repo = Repository::init_on(
        backend.clone(),
        &location,
        &password(),
        &options(),
        folder.path(),
        None,
    )
    .unwrap();
    let sessions = repo.inner.sessions();
    let writer = repo.writer().unwrap();
    let own = sessions.live().unwrap().remove(0).id;
    let silent = Content {
        added: ["snapshots/2026-11-22T020000Z".to_owned()].into(),
        ..Content::default()
    };
    let silent = Beacon::light(&repo.inner, FOLDER, silent).unwrap();
    let other = silent.id().to_owned();
    silent.leave();
    let begin = Instant::now();
    loop {
        let live: Vec<_> = sessions.live().unwrap().into_iter().map(|s| s.id).collect();
        assert!(live.contains(&own), "one that beats is alive");
        if !live.contains(&other) {
            break;
        }
        assert!(begin.elapsed() < 20 * FAST.dead);
        std::thread::sleep(FAST.refresh);
    }
    assert!(begin.elapsed() >= FAST.dead);
    assert!(backend.size(&FOLDER.file(&other)).unwrap().is_none());
    let inventory = repo.inner.read_inventory().unwrap();
    assert!(
        inventory.contains("snapshots/2026-11-22T020000Z"),
        "what it did is kept"
    );
    // Who was taken for dead itself commits nothing, and does not come back.
    let objects = put_round(&writer, 1).unwrap();
    beacon::remove(&repo.inner, FOLDER, &own).unwrap();
    std::thread::sleep(3 * FAST.refresh);
    let error = commit(&writer, objects, &mut Committed::new()).unwrap_err();
    assert!(matches!(error, RepoError::SessionLost { .. }), "{error}");
    assert!(repo.snapshots().unwrap().is_empty());
    assert!(sessions.live().unwrap().is_empty());
}

#[test]
fn who_takes_too_long_to_change_its_file_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let timing = Timing {
        refresh: Duration::from_secs(3600),
        // Every moment is too long.
        dead: Duration::ZERO,
        settle: Duration::ZERO,
    };
    let backend = Arc::new(Backend::in_memory(folder.path(), timing).unwrap());
    let location = Location::S3(S3Location::default());
    let (key, local) = (password(), folder.path());
    let repo =
        Repository::init_on(backend.clone(), &location, &key, &options(), local, None).unwrap();
    let beacon = Beacon::light(&repo.inner, FOLDER, Content::default()).unwrap();
    let file = FOLDER.file(beacon.id());
    assert!(beacon.check().is_ok() && backend.size(&file).unwrap().is_some());
    let changed = beacon.change(|content| content.generation = 7);
    assert!(matches!(changed, Err(RepoError::SessionLost { .. })));
    assert!(backend.size(&file).unwrap().is_none());
    assert!(beacon.check().is_err());
    // On a directory nobody takes a life for over while its lock is held.
    let place = Place::new();
    let repo = place.init();
    let beacon = Beacon::light(&repo.inner, FOLDER, Content::default()).unwrap();
    assert!(beacon.change(|content| content.generation = 7).is_ok());
}

#[test]
fn an_account_is_claimed_by_one_at_a_time() {
    let place = Place::new();
    let repo = place.init();
    let ids = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let first = repo.claim(ids(&["a", "b"])).unwrap();
    assert!(first.refused().is_empty());
    let second = place.open().claim(ids(&["b", "c"])).unwrap();
    let refused: Vec<_> = second.refused().iter().collect();
    let [(account, holder)] = refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(account, "b");
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    drop(first);
    // The second does not hold what it was refused.
    assert!(repo.claim(ids(&["a", "b"])).unwrap().refused().is_empty());
    drop(second);
    assert!(files(&place.root().join("claims")).is_empty());
    // Many at the same moment: each account has one holder.
    let claims: Vec<_> = std::thread::scope(|scope| {
        let claim = || scope.spawn(|| repo.claim(ids(&["a"])).unwrap());
        let threads: Vec<_> = (0..6).map(|_| claim()).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let holders = claims.iter().filter(|claim| claim.refused().is_empty());
    assert_eq!(holders.count(), 1);
}

#[test]
fn claims_of_one_process_that_are_given_up_are_waited_for() {
    let place = Place::new();
    let repo = place.init();
    // Each wants what the others want at the same moment, and lets go of it at once.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let claim = repo.claim(["a".to_owned()].into()).unwrap();
                    assert!(claim.refused().is_empty(), "{:?}", claim.refused());
                }
            });
        }
    });
}

#[test]
fn a_claim_in_an_object_store_goes_with_its_silent_owner() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(Backend::in_memory(folder.path(), FAST).unwrap());
    let location = Location::S3(S3Location::default());
    let (key, local) = (password(), folder.path());
    let repo = Repository::init_on(backend, &location, &key, &options(), local, None).unwrap();
    let alive = repo.claim(["a".to_owned()].into()).unwrap();
    let begin = Instant::now();
    let second = repo.claim(["a".to_owned()].into()).unwrap();
    assert_eq!(second.refused().len(), 1);
    drop(second);
    alive.fall_silent();
    let heir = repo.claim(["a".to_owned()].into()).unwrap();
    assert!(heir.refused().is_empty() && begin.elapsed() >= FAST.dead);
}
