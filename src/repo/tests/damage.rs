//! Every kind of damage to every file is found, and nothing is taken for what it is not.

use std::fs;

use super::*;

/// A small repository with every kind of file.
fn build(place: &crate::repo::tests::Place) -> Vec<(Kind, ObjectId, Vec<u8>)> {
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mut objects = Vec::new();
    for n in 0..1500u64 {
        let text = format!(
            "{{\"subject\":\"number {n}\",\"x\":\"{}\",\"pad\":\"{:02200}\"}}",
            blake3::hash(&n.to_le_bytes()),
            n
        );
        objects.push((
            Kind::Record,
            stream.put(Kind::Record, text.as_bytes()).unwrap(),
            text.into_bytes(),
        ));
    }
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        let data = noise(n as u64, 20_000);
        objects.push((kind, stream.put(kind, &data).unwrap(), data));
    }
    let tree = objects.last().unwrap().1;
    writer
        .commit(SnapshotManifest {
            time: 1_795_312_800,
            tree: Some(tree),
            ..Default::default()
        })
        .unwrap();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        let data = noise(n as u64 + 100, 5000);
        objects.push((kind, stream.put(kind, &data).unwrap(), data));
    }
    writer
        .commit(SnapshotManifest {
            time: 1_795_316_400,
            tree: Some(tree),
            ..Default::default()
        })
        .unwrap();
    objects
}

fn verify(repo: &Repository, read_data: bool) -> VerifyReport {
    repo.verify(read_data, &|done, total| assert!(done <= total))
        .unwrap()
}

/// Changes a file, verifies, puts it back.
fn damage(
    place: &crate::repo::tests::Place,
    repo: &Repository,
    file: &str,
    bytes: Option<&[u8]>,
) -> VerifyReport {
    let path = place.root().join(file);
    let good = fs::read(&path).unwrap();
    match bytes {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    let report = verify(repo, true);
    fs::write(&path, good).unwrap();
    report
}

fn blames(report: &VerifyReport, file: &str) -> bool {
    report.damaged.iter().any(|damaged| damaged.file == file)
}

fn repository_files(place: &crate::repo::tests::Place) -> Vec<String> {
    files(&place.root())
        .into_iter()
        .filter(|file| file != "lock")
        .collect()
}

#[test]
fn any_flipped_bit_in_any_file_is_found_and_named() {
    let place = Place::new();
    build(&place);
    let repo = place.open();
    let report = verify(&repo, true);
    assert!(
        report.is_clean() && report.unindexed.is_empty(),
        "{report:?}"
    );
    assert!(report.objects >= 1510 && report.packs >= 4);
    let all = repository_files(&place);
    for folder in [
        "config",
        "keys/",
        "data/",
        "meta/",
        "index/",
        "dictionaries/",
        "snapshots/",
        "inventory",
    ] {
        assert!(
            all.iter().any(|file| file.starts_with(folder)),
            "{folder} in {all:?}"
        );
    }
    for file in &all {
        let good = fs::read(place.root().join(file)).unwrap();
        // The beginning and the end bit by bit in part, the middle sampled.
        let mut places: Vec<usize> = (0..32).chain(good.len() - 32..good.len()).collect();
        places.extend((0..12).map(|n| n * good.len() / 12));
        for (n, at) in places.into_iter().enumerate() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (n % 8);
            let report = damage(&place, &repo, file, Some(&bad));
            assert!(blames(&report, file), "{file} byte {at}: {report:?}");
            let a_pack = file.starts_with("data/") || file.starts_with("meta/");
            if a_pack && at > 24 && at < good.len() / 4 {
                assert!(!report.lost.is_empty(), "{file} byte {at}");
            }
        }
    }
    assert!(verify(&repo, true).is_clean());
}

#[test]
fn truncation_zeroes_growth_and_loss_are_found() {
    let place = Place::new();
    build(&place);
    let repo = place.open();
    for file in &repository_files(&place) {
        let good = fs::read(place.root().join(file)).unwrap();
        let mut zero_tail = good.clone();
        let half = good.len() / 2;
        zero_tail[half..].fill(0);
        let longer = [good.as_slice(), b"x"].concat();
        for bad in [
            &good[..0],
            &good[..1],
            &good[..good.len() - 1],
            &good[..half],
            &zero_tail,
            &longer,
        ] {
            assert!(
                blames(&damage(&place, &repo, file, Some(bad)), file),
                "{file} with {} bytes",
                bad.len()
            );
        }
        let report = damage(&place, &repo, file, None);
        match file.split('/').next().unwrap() {
            "keys" => assert!(blames(&report, "keys")),
            "config" => {}
            _ => assert!(blames(&report, file), "{file} is missing: {report:?}"),
        }
    }
}

#[test]
fn swapped_and_foreign_files_are_found() {
    let place = Place::new();
    build(&place);
    let other = Place::new();
    build(&other);
    let repo = place.open();
    let all = repository_files(&place);
    let foreign = repository_files(&other);
    let folder = |file: &str| file.split('/').next().unwrap().to_owned();
    for file in &all {
        // Another file of the same kind under this name.
        if let Some(twin) = all
            .iter()
            .find(|twin| *twin != file && folder(twin) == folder(file))
        {
            let bytes = fs::read(place.root().join(twin)).unwrap();
            assert!(
                blames(&damage(&place, &repo, file, Some(&bytes)), file),
                "{twin} as {file}"
            );
        }
        let alien = foreign
            .iter()
            .find(|alien| folder(alien) == folder(file))
            .unwrap();
        let bytes = fs::read(other.root().join(alien)).unwrap();
        assert!(
            blames(&damage(&place, &repo, file, Some(&bytes)), file),
            "foreign {alien} as {file}"
        );
        // A foreign file under its own name.
        let path = place.root().join(alien);
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(other.root().join(alien), &path).unwrap();
            let found = blames(&verify(&repo, true), alien);
            fs::remove_file(&path).unwrap();
            assert!(found, "{alien} came from elsewhere");
        }
    }
    fs::write(place.root().join("data/notes.txt"), "x").unwrap();
    assert!(blames(&verify(&repo, false), "data/notes.txt"));
}

#[test]
fn damaged_objects_fail_to_read_and_their_neighbours_do_not() {
    let place = Place::new();
    let objects = build(&place);
    let pack = repository_files(&place)
        .into_iter()
        .find(|file| file.starts_with("data/"))
        .unwrap();
    let path = place.root().join(&pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let repo = place.open();
    let report = verify(&repo, true);
    assert!(blames(&report, &pack) && !report.lost.is_empty());
    for (kind, id, data) in &objects {
        match repo.get(*kind, id) {
            Ok(bytes) => {
                assert_eq!(bytes, *data);
                assert!(!report.lost.contains(&(*kind, *id)));
            }
            Err(e) => {
                assert!(
                    matches!(&e, RepoError::Damaged { file, .. } if *file == pack),
                    "{e}"
                );
                assert!(report.lost.contains(&(*kind, *id)));
            }
        }
    }
}

#[test]
fn the_index_is_rebuilt_from_packs_alone() {
    let place = Place::new();
    let objects = build(&place);
    fs::remove_dir_all(place.root().join("index")).unwrap();
    fs::remove_dir_all(place.local()).unwrap();
    let repo = place.open();
    let report = repo.rebuild_index(&|_, _| {}).unwrap();
    assert!(report.damaged.is_empty() && report.objects >= 1510);
    for repo in [repo, place.open()] {
        for (kind, id, data) in &objects {
            assert_eq!(repo.get(*kind, id).unwrap(), *data);
        }
        assert!(verify(&repo, true).is_clean());
    }
}

#[test]
fn a_rebuild_replaces_damaged_index_files_and_keeps_packs_without_footer() {
    let place = Place::new();
    let objects = build(&place);
    let all = repository_files(&place);
    let pack = all.iter().find(|file| file.starts_with("data/")).unwrap();
    let bytes = fs::read(place.root().join(pack)).unwrap();
    fs::write(place.root().join(pack), &bytes[..bytes.len() - 1]).unwrap();
    let repo = place.open();
    let report = repo.rebuild_index(&|_, _| {}).unwrap();
    assert!(report.damaged.iter().any(|damaged| damaged.file == *pack));
    for (kind, id, data) in &objects {
        assert_eq!(
            repo.get(*kind, id).unwrap(),
            *data,
            "only the footer is gone"
        );
    }
    fs::write(place.root().join(pack), &bytes).unwrap();
    let index = repository_files(&place)
        .into_iter()
        .find(|file| file.starts_with("index/"))
        .unwrap();
    fs::write(place.root().join(&index), b"garbage").unwrap();
    fs::remove_dir_all(place.local()).unwrap();
    let repo = place.open();
    assert!(blames(&verify(&repo, false), &index));
    let report = repo.rebuild_index(&|_, _| {}).unwrap();
    assert_eq!(report.damaged.len(), 1);
    assert!(verify(&repo, true).is_clean());
    assert_eq!(repo.get(objects[0].0, &objects[0].1).unwrap(), objects[0].2);
}

#[test]
fn a_listing_that_shrank_is_not_believed() {
    let place = Place::new();
    build(&place);
    let pack = repository_files(&place)
        .into_iter()
        .find(|file| file.starts_with("meta/"))
        .unwrap();
    fs::remove_file(place.root().join(&pack)).unwrap();
    let repo = place.open();
    assert!(matches!(
        repo.writer(),
        Err(RepoError::ListingShrank { missing: 1, .. })
    ));
    assert!(matches!(
        repo.rebuild_index(&|_, _| {}),
        Err(RepoError::ListingShrank { .. })
    ));
    fs::remove_dir_all(place.root().join("index")).unwrap();
    repo.rebuild_index(&|_, _| {}).unwrap();
    repo.writer().unwrap();
}

/// Deletes a file, and looks without reading data, as a process that never saw it would.
fn lose(place: &crate::repo::tests::Place, file: &str) -> VerifyReport {
    fs::remove_file(place.root().join(file)).unwrap();
    let _ = fs::remove_dir_all(place.local());
    verify(&place.open(), false)
}

#[test]
fn every_lost_file_is_missed_until_it_is_back_or_given_up() {
    for folder in [
        "snapshots/",
        "index/",
        "dictionaries/",
        "data/",
        "meta/",
        "inventory",
    ] {
        let place = Place::new();
        build(&place);
        let of_folder = |file: &String| file.starts_with(folder);
        for file in repository_files(&place).into_iter().filter(of_folder) {
            let good = fs::read(place.root().join(&file)).unwrap();
            let report = lose(&place, &file);
            assert!(blames(&report, &file), "{file}: {report:?}");
            // A writer that comes along changes nothing about that.
            if let Ok(writer) = place.open().writer() {
                let mut stream = writer.stream();
                stream.put(Kind::Record, file.as_bytes()).unwrap();
                let manifest = SnapshotManifest {
                    time: 1_795_320_000,
                    ..Default::default()
                };
                writer.commit(manifest).unwrap();
            }
            let report = verify(&place.open(), false);
            assert!(blames(&report, &file), "{file}: {report:?}");
            fs::write(place.root().join(&file), good).unwrap();
            let report = verify(&place.open(), true);
            // This one is older than the writer's snapshot by now.
            assert_eq!(
                report.is_clean(),
                file != "inventory",
                "{file} is back: {report:?}"
            );
        }
    }
}

#[test]
fn what_is_deleted_on_purpose_is_not_missed() {
    let place = Place::new();
    build(&place);
    let writer = place.open().writer().unwrap();
    writer.delete_snapshot("2026-11-22T020000Z").unwrap();
    drop(writer);
    let repo = place.open();
    assert_eq!(repo.snapshots().unwrap().len(), 1);
    assert!(verify(&repo, true).is_clean());
    // An index file that was lost is given up with the whole index.
    let all = repository_files(&place);
    let index = all.iter().find(|file| file.starts_with("index/")).unwrap();
    assert!(blames(&lose(&place, index), index));
    place.open().rebuild_index(&|_, _| {}).unwrap();
    assert!(verify(&place.open(), true).is_clean());
    // So is an inventory that was lost.
    assert!(blames(&lose(&place, "inventory"), "inventory"));
    place.open().rebuild_index(&|_, _| {}).unwrap();
    assert!(verify(&place.open(), true).is_clean());
    // A snapshot that was lost is not: its manifest cannot be made again.
    let snapshot = "snapshots/2026-11-22T030000Z";
    assert!(blames(&lose(&place, snapshot), snapshot));
    place.open().rebuild_index(&|_, _| {}).unwrap();
    assert!(blames(&verify(&place.open(), false), snapshot));
}

#[test]
fn the_password_changes_and_only_the_key_file_and_its_register_with_it() {
    let place = Place::new();
    build(&place);
    let read_all = || -> Vec<_> {
        let all = repository_files(&place);
        all.into_iter()
            .filter(|f| !f.starts_with("keys/") && f != "inventory")
            .map(|f| fs::read(place.root().join(f)).unwrap())
            .collect()
    };
    let before = read_all();
    let new = SecretString::from("another one");
    place
        .open()
        .change_key(&new, &cheap(KeyKind::Password))
        .unwrap();
    assert!(read_all() == before);
    assert!(matches!(
        place.try_open(),
        Err(RepoError::WrongPassword { .. })
    ));
    let repo = Repository::open(&place.location(), &new, &place.local()).unwrap();
    assert!(verify(&repo, true).is_clean());
    assert_eq!(repo.stats().unwrap().snapshots, 2);
}

#[test]
fn a_share_of_the_packs_is_read_and_all_of_the_structure() {
    let place = Place::new();
    build(&place);
    let repo = place.open();
    let share = |percent, seed| {
        let read = ReadData::Share { percent, seed };
        repo.verify(read, &|done, total| assert!(done <= total))
            .unwrap()
    };
    let packs = verify(&repo, false).packs;
    let some = share(30.0, 1);
    assert!(some.is_clean() && some.packs == packs);
    assert!(some.packs_read > 0 && some.packs_read < packs && some.bytes_read > 0);
    assert_eq!(verify(&repo, true).packs_read, packs);
    assert_eq!(verify(&repo, false).bytes_read, 0);
    // A flipped bit of a frame is found by those seeds that read its pack; the same ones every time.
    let pack = &repo.packs()[0];
    let path = place.root().join(pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = |seed| blames(&share(30.0, seed), pack);
    let first: Vec<bool> = (0..40).map(found).collect();
    assert!(first.contains(&true) && first.contains(&false));
    assert_eq!((0..40).map(found).collect::<Vec<_>>(), first);
    assert!(blames(&share(100.0, 1), pack));
}

#[test]
fn an_older_inventory_is_found() {
    let place = Place::new();
    build(&place);
    let inventory = place.root().join("inventory");
    let old = fs::read(&inventory).unwrap();
    let newer = |time| {
        let writer = place.open().writer().unwrap();
        let mut stream = writer.stream();
        stream.put(Kind::Record, &noise(time as u64, 999)).unwrap();
        let manifest = SnapshotManifest {
            time,
            ..Default::default()
        };
        writer.commit(manifest).unwrap().name
    };
    let name = newer(1_795_320_000);
    assert!(verify(&place.open(), true).is_clean());
    fs::write(&inventory, &old).unwrap();
    assert!(blames(&verify(&place.open(), false), "inventory"));
    // The snapshot that it does not name goes, too: what was made with it tells.
    let manifest = place.root().join("snapshots").join(name);
    let kept = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert!(blames(&verify(&place.open(), false), "inventory"));
    fs::write(&manifest, kept).unwrap();
    place.open().rebuild_index(&|_, _| {}).unwrap();
    assert!(verify(&place.open(), true).is_clean());
    // Who writes meanwhile need not have named everything yet.
    let repo = place.open();
    let writer = repo.writer().unwrap();
    writer.stream().put(Kind::Record, b"flushed").unwrap();
    writer.flush().unwrap();
    assert!(verify(&place.open(), true).is_clean());
    drop(writer);
    assert!(verify(&place.open(), true).is_clean());
}
