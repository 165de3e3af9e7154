//! Keys: adding, removing, changing, rotating, dying at any step of it, and who can read what then.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::super::backend::Backend;
use super::super::key::{self, Ring};
use super::super::watch::Timing;
use super::*;

fn secret(n: u64) -> SecretString {
    SecretString::from(format!("secret {n}"))
}

fn open_with(place: &Place, secret: &SecretString) -> Result<Repository> {
    Repository::open(&place.location(), secret, &place.local())
}

/// Commits one object and says which.
fn put(repo: &Repository, n: u64) -> ObjectId {
    let writer = repo.writer().unwrap();
    let node = writer.stream().put(Kind::Node, &n.to_le_bytes()).unwrap();
    let manifest = SnapshotManifest {
        time: 1_795_312_800 + n as i64 * 60,
        tree: Some(node),
        ..SnapshotManifest::default()
    };
    writer.commit(manifest).unwrap();
    node
}

fn check(repo: &Repository, objects: &[ObjectId]) {
    for id in objects {
        repo.get(Kind::Node, id).unwrap();
    }
    assert_eq!(repo.snapshots().unwrap().len(), objects.len());
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn several_passwords_and_key_files_open_until_they_are_removed() {
    let place = Place::new();
    let repo = place.init();
    let node = put(&repo, 1);
    let file = key_file_secret(&noise(3, 32)).unwrap();
    let labelled = NewKey {
        label: "vault".into(),
        ..cheap(KeyKind::KeyFile)
    };
    let of_file = repo.add_key(&file, &labelled).unwrap();
    let other = repo.add_key(&secret(1), &cheap(KeyKind::Password)).unwrap();
    for secret in [&password(), &file, &secret(1)] {
        check(&open_with(&place, secret).unwrap(), &[node]);
    }
    let list = open_with(&place, &file).unwrap().keys().unwrap();
    assert_eq!((list.keys.len(), list.master_keys.len()), (3, 1));
    let vault = list.keys.iter().find(|key| key.id == of_file).unwrap();
    assert!(vault.in_use && vault.label == "vault" && vault.kind == KeyKind::KeyFile);
    assert!(list.master_keys[0].packs == 1 && list.master_keys[0].bytes > 0);

    let own = list
        .keys
        .iter()
        .find(|key| key.id != of_file && key.id != other);
    let own = own.unwrap().id.clone();
    let refused = |result: Result<String>, why: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(repo.remove_key(&own, None), "in use");
    refused(repo.remove_key(&own, Some(&password())), "opens none");
    refused(repo.remove_key("", None), "beginning of one");
    refused(repo.remove_key("zz", None), "beginning of one");
    assert_eq!(repo.remove_key(&other[..12], None).unwrap(), other);
    assert!(matches!(
        open_with(&place, &secret(1)),
        Err(RepoError::WrongPassword { keys: 2 })
    ));
    repo.remove_key(&own, Some(&file)).unwrap();
    refused(repo.remove_key(&of_file, None), "last key");
    assert!(place.try_open().is_err());
    check(&open_with(&place, &file).unwrap(), &[node]);
}

#[test]
fn a_rotation_seals_the_new_and_leaves_the_old_readable() {
    let place = Place::new();
    let repo = place.init();
    let mut nodes = vec![put(&repo, 1)];
    repo.add_key(&secret(1), &cheap(KeyKind::Password)).unwrap();
    // Two that were opened before: one only reads, one writes too.
    let reader = open_with(&place, &secret(1)).unwrap();
    let writer = place.open();
    let rotation = repo.rotate_keys().unwrap();
    assert_eq!(
        (rotation.number, rotation.keys, rotation.resumed),
        (1, 2, false)
    );
    nodes.push(put(&repo, 2));
    check(&reader, &nodes);
    nodes.push(put(&writer, 3));
    let list = writer.keys().unwrap();
    assert_eq!(
        list.master_keys
            .iter()
            .map(|key| (key.current, key.packs))
            .collect::<Vec<_>>(),
        [(false, 1), (true, 2)]
    );
    assert!(!list.rotation_interrupted && list.damaged.is_empty());
    // Ids are the same under all master keys.
    assert_eq!(put(&open_with(&place, &secret(1)).unwrap(), 3), nodes[2]);
    nodes.push(nodes[2]);
    for secret in [password(), secret(1)] {
        check(&open_with(&place, &secret).unwrap(), &nodes);
    }
    assert_eq!(writer.rotate_keys().unwrap().number, 2);
    check(&reader, &nodes);
}

#[test]
fn a_key_file_from_before_a_rotation_is_found() {
    let place = Place::new();
    let repo = place.init();
    let id = repo.add_key(&secret(1), &cheap(KeyKind::Password)).unwrap();
    let file = place.root().join("keys").join(&id);
    let old = std::fs::read(&file).unwrap();
    repo.rotate_keys().unwrap();
    let node = put(&repo, 1);
    std::fs::write(&file, old).unwrap();
    let report = repo.verify(false, &|_, _| {}).unwrap();
    assert_eq!(report.damaged.len(), 1);
    assert!(report.damaged[0].reason.contains("last rotation"));
    // It cannot be rewrapped, so nothing is done before it is gone.
    assert!(repo.rotate_keys().is_err());
    let late = open_with(&place, &secret(1)).unwrap();
    assert!(late.get(Kind::Node, &node).is_err());
    repo.remove_key(&id, None).unwrap();
    repo.rotate_keys().unwrap();
    check(&repo, &[node]);
}

#[test]
fn key_files_that_are_lost_or_put_back_are_found() {
    let place = Place::new();
    let repo = place.init();
    let added = |n| repo.add_key(&secret(n), &cheap(KeyKind::Password)).unwrap();
    let (changed, removed, lost) = (added(1), added(2), added(3));
    let file = |id: &str| place.root().join("keys").join(id);
    let old = [&changed, &removed].map(|id| std::fs::read(file(id)).unwrap());
    let new = cheap(KeyKind::Password);
    let owner = open_with(&place, &secret(1)).unwrap();
    owner.change_key(&secret(9), &new).unwrap();
    repo.remove_key(&removed, None).unwrap();
    check(&repo, &[]);

    std::fs::write(file(&changed), &old[0]).unwrap();
    std::fs::write(file(&removed), &old[1]).unwrap();
    std::fs::remove_file(file(&lost)).unwrap();
    let mut expected = [
        (&changed, "an older one was put back"),
        (&removed, "it was removed and put back"),
        (&lost, "nobody removed it on purpose"),
    ];
    expected.sort();
    let report = repo.verify(false, &|_, _| {}).unwrap();
    let listed = repo.keys().unwrap().damaged;
    for mut damaged in [report.damaged, listed] {
        damaged.sort_by(|a, b| a.file.cmp(&b.file));
        assert_eq!(damaged.len(), 3, "{damaged:?}");
        for (found, (id, reason)) in damaged.iter().zip(expected) {
            assert_eq!(found.file, format!("keys/{id}"));
            assert!(found.reason.contains(reason), "{found:?}");
        }
    }
    // What each message says helps.
    let owner = open_with(&place, &secret(1)).unwrap();
    owner.change_key(&secret(9), &new).unwrap();
    repo.remove_key(&removed, None).unwrap();
    repo.remove_key(&lost, None).unwrap();
    check(&repo, &[]);
}

#[test]
fn dying_at_any_step_of_a_change_of_keys_locks_nobody_out() {
    // Each file takes two steps: six key files of a rotation, the inventory before and after each; one that
    // is changed; one that is added, and the inventory after it.
    for (action, steps) in [(0, 36), (1, 6), (2, 4)] {
        for step in 0..steps + 2 {
            let place = Place::new();
            let repo = place.init();
            let mut nodes = vec![put(&repo, 1)];
            for n in 1..3 {
                repo.add_key(&secret(n), &cheap(KeyKind::Password)).unwrap();
            }
            let running = open_with(&place, &secret(2)).unwrap();
            repo.inner.backend.faults.die_after(step);
            let new = cheap(KeyKind::Password);
            let done = match action {
                0 => repo.rotate_keys().map(drop),
                1 => repo.change_key(&secret(9), &new),
                _ => repo.add_key(&secret(9), &new).map(drop),
            };
            assert_eq!(done.is_ok(), step >= steps);
            drop(repo);
            let own = if action == 1 && open_with(&place, &secret(9)).is_ok() {
                secret(9)
            } else {
                password()
            };
            // An addition that was cut short says so, and is taken off.
            for damaged in running.keys().unwrap().damaged {
                assert!(action == 2 && damaged.reason.contains("interrupted"));
                let id = damaged.file.trim_start_matches("keys/");
                running.remove_key(id, None).unwrap();
            }
            // Each goes on writing, and all read what each wrote.
            let all = [own, secret(1), secret(2)];
            for (n, secret) in all.iter().enumerate() {
                nodes.push(put(&open_with(&place, secret).unwrap(), 2 + n as u64));
            }
            for secret in &all {
                check(&open_with(&place, secret).unwrap(), &nodes);
            }
            check(&running, &nodes);
            // Whoever rotates next brings all to the same state.
            let next = open_with(&place, &all[(step % 3) as usize]).unwrap();
            next.rotate_keys().unwrap();
            assert!(!next.keys().unwrap().rotation_interrupted);
            nodes.push(put(&next, 5));
            for secret in &all {
                check(&open_with(&place, secret).unwrap(), &nodes);
            }
            nodes.push(put(&running, 6));
            check(&running, &nodes);
        }
    }
}

#[test]
fn copies_share_object_ids_and_no_key_that_seals() {
    let (place, other) = (Place::new(), Place::new());
    let repo = place.init();
    let node = put(&repo, 1);
    let options = InitOptions {
        copies_of: Some(repo.clone()),
        local: Some(other.local()),
        ..options()
    };
    let copy = Repository::init(&other.location(), &secret(1), &options).unwrap();
    assert_ne!(copy.id(), repo.id());
    assert_eq!(copy.id_of(Kind::Node, &1u64.to_le_bytes()), node);
    assert_eq!(copy.keyed_hash("x", b"y"), repo.keyed_hash("x", b"y"));
    // A pack of one is nothing in the other.
    for file in files(&place.root()) {
        if file.starts_with("meta/") {
            let to = other.root().join(&file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(place.root().join(&file), to).unwrap();
        }
    }
    assert!(!copy.verify(false, &|_, _| {}).unwrap().is_clean());
}

#[test]
fn an_init_that_comes_second_takes_no_key_from_the_first() {
    let place = Place::new();
    let repo = place.init();
    // It saw no repository, and then waited for the lock of the first.
    let (backend, location) = (&repo.inner.backend, place.location());
    let second = Repository::write_new(backend, &location, &secret(2), &options());
    assert!(matches!(second, Err(RepoError::AlreadyExists { .. })));
    check(&place.open(), &[]);

    // A key file of one that was interrupted goes.
    let place = Place::new();
    fs::create_dir_all(place.root()).unwrap();
    let backend = Backend::connect(&place.location(), &place.local(), &Access::default()).unwrap();
    let ring = Ring::generate(1).unwrap();
    key::create(&backend, &secret(2), &cheap(KeyKind::Password), &ring).unwrap();
    check(&place.init(), &[]);
    assert_eq!(files(&place.root().join("keys")).len(), 1);

    // An object store has no lock for that.
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path();
        let timing = Timing {
            settle: Duration::ZERO,
            ..Timing::default()
        };
        let backend = Arc::new(Backend::in_memory(local, timing).unwrap());
        let location = Location::S3(S3Location::default());
        let init = || {
            let backend = backend.clone();
            Repository::init_on(backend, &location, &password(), &options(), local, None)
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(init)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let refused =
            |made: &&Result<Repository>| matches!(made, Err(RepoError::AlreadyExists { .. }));
        assert_eq!(made.iter().filter(refused).count(), 2);
        assert_eq!(backend.list("keys").unwrap().len(), 1);
        let open =
            Repository::open_with(&location, &password(), backend, local, 1 << 20, None).unwrap();
        put(&open, 1);
    }
}
