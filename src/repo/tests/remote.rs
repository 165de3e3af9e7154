//! The same repository on an object store (in memory, reached as a bucket is).

use std::sync::Arc;

use super::super::backend::Backend;
use super::super::watch::Timing;
use super::*;

#[test]
fn a_repository_on_an_object_store() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path();
    let backend = Arc::new(Backend::in_memory(local, Timing::default()).unwrap());
    let location = Location::S3(S3Location {
        bucket: "b".into(),
        ..S3Location::default()
    });
    let init = || {
        Repository::init_on(
            backend.clone(),
            &location,
            &password(),
            &options(),
            local,
            None,
        )
    };
    let repo = init().unwrap();
    assert!(matches!(init(), Err(RepoError::AlreadyExists { .. })));
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mut ids = Vec::new();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        ids.push((kind, stream.put(kind, &noise(n as u64, 700_000)).unwrap()));
    }
    let tree = Some(ids[4].1);
    let snapshot = writer
        .commit(SnapshotManifest {
            time: 1_795_312_800,
            tree,
            ..Default::default()
        })
        .unwrap();
    drop((stream, writer));
    // Another host: another local folder. Also from within async code.
    let other = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let repo = Repository::open_with(
            &location,
            &password(),
            backend.clone(),
            other.path(),
            4 << 30,
            None,
        )
        .unwrap();
        for (n, (kind, id)) in ids.iter().enumerate() {
            assert_eq!(repo.get(*kind, id).unwrap(), noise(n as u64, 700_000));
        }
        assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(&snapshot));
        assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
    });
    assert!(backend.size("lock").unwrap().is_none());
}

#[test]
fn a_host_that_only_adds_changes_nothing_that_is_there() {
    let place = Place::new();
    let commit = |repo: &Repository, n: u64| {
        let writer = repo.writer().unwrap();
        let mut stream = writer.stream();
        let tree = stream.put(Kind::Node, &noise(n, 5_000)).unwrap();
        let manifest = SnapshotManifest {
            time: 1_795_312_800 + n as i64,
            tree: Some(tree),
            ..Default::default()
        };
        (writer.commit(manifest).unwrap(), tree)
    };
    commit(&place.init(), 0);
    let bytes = |name: &String| std::fs::read(place.root().join(name)).unwrap();
    let before: Vec<_> = files(&place.root())
        .into_iter()
        .filter(|name| name != "lock")
        .map(|name| (bytes(&name), name))
        .collect();
    let access = Access {
        append_only: true,
        ..Access::default()
    };
    let repo =
        Repository::open_as(&place.location(), &password(), &place.local(), &access).unwrap();
    // More index files than are merged where that is allowed.
    let made: Vec<_> = (1..20).map(|n| commit(&repo, n)).collect();
    for (snapshot, tree) in &made {
        assert!(repo.get(Kind::Node, tree).is_ok());
        let refused = repo.writer().unwrap().delete_snapshot(&snapshot.name);
        assert!(matches!(refused, Err(RepoError::AppendOnly { .. })));
    }
    assert!(matches!(
        repo.rebuild_index(&|_, _| {}),
        Err(RepoError::AppendOnly { .. })
    ));
    let new = SecretString::from("another");
    assert!(matches!(
        repo.change_password(&new, KdfCost::cheapest()),
        Err(RepoError::AppendOnly { .. })
    ));
    for (content, name) in &before {
        assert_eq!(&bytes(name), content, "{name}");
    }
    drop(repo);
    let repo = place.open();
    commit(&repo, 20);
    assert_eq!(repo.snapshots().unwrap().len(), 21);
    assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
}
