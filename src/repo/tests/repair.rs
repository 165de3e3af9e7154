//! Repair: what it mends, what it keeps, and that dying on the way loses nothing.

use std::collections::HashSet;
use std::fs;

use super::*;

type Objects = Vec<(Kind, ObjectId, Vec<u8>)>;

/// Two snapshots over packs of both classes with several frames each, a dictionary among them.
fn build(place: &Place, parity: Parity) -> Objects {
    let repo = place.init();
    repo.set_parity(parity);
    let writer = repo.writer().unwrap();
    let mut objects = Vec::new();
    for round in 0..2u64 {
        let mut stream = writer.stream();
        for n in 0..1300u64 {
            let seed = blake3::hash(&(round * 10_000 + n).to_le_bytes());
            let text =
                format!("{{\"subject\":\"number {n}\",\"x\":\"{seed}\",\"pad\":\"{n:02200}\"}}");
            let id = stream.put(Kind::Record, text.as_bytes()).unwrap();
            objects.push((Kind::Record, id, text.into_bytes()));
        }
        for n in 0..25u64 {
            let kind = Kind::ALL[n as usize % 5];
            let data = noise(round * 1000 + n, 60_000);
            objects.push((kind, stream.put(kind, &data).unwrap(), data));
        }
        let manifest = SnapshotManifest {
            time: 1_795_312_800 + round as i64 * 3600,
            tree: Some(objects.last().unwrap().1),
            ..Default::default()
        };
        writer.commit(manifest).unwrap();
    }
    objects
}

/// The same repository in another place.
fn copy(of: &Place) -> Place {
    let place = Place::new();
    for file in files(&of.root()) {
        let to = place.root().join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(of.root().join(file), to).unwrap();
    }
    place
}

fn repair(repo: &Repository) -> RepairReport {
    repo.repair(false, &|done, total| assert!(done <= total))
        .unwrap()
}

/// Every object can be read and is right, or is among the lost ones. Returns how many are lost.
fn check(repo: &Repository, objects: &Objects, lost: &[(Kind, ObjectId)]) -> usize {
    let lost: HashSet<_> = lost.iter().map(|(_, id)| *id).collect();
    let mut missing = 0;
    for (kind, id, data) in objects {
        if lost.contains(id) {
            missing += 1;
            let error = repo.get(*kind, id).unwrap_err();
            assert!(matches!(error, RepoError::ObjectMissing { .. }), "{error}");
        } else {
            assert_eq!(repo.get(*kind, id).unwrap(), *data);
        }
    }
    missing
}

fn flip(place: &Place, file: &str, at: usize) {
    let path = place.root().join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 4;
    fs::write(&path, bytes).unwrap();
}

fn is_clean(place: &Place) -> bool {
    let report = place.open().verify(true, &|_, _| {}).unwrap();
    report.damaged.is_empty()
}

#[test]
fn a_sound_repository_stays_as_it_is() {
    let place = Place::new();
    build(&place, Parity::OFF);
    let before = files(&place.root());
    let report = repair(&place.open());
    assert!(report.found.is_empty() && !report.index_made && report.lost.is_empty());
    assert_eq!(files(&place.root()), before);
}

#[test]
fn good_frames_of_damaged_packs_are_saved_and_the_packs_kept() {
    let place = Place::new();
    let objects = build(&place, Parity::OFF);
    let packs = place.open().packs();
    for pack in &packs {
        flip(&place, pack, 100);
    }
    let before = files(&place.root());
    let dry = place.open().repair(true, &|_, _| {}).unwrap();
    assert_eq!(files(&place.root()), before);
    let repo = place.open();
    let report = repair(&repo);
    assert_eq!(report.found.len(), packs.len());
    assert_eq!(report.put_aside, packs);
    assert_eq!(
        (dry.put_aside, dry.lost),
        (packs.clone(), report.lost.clone())
    );
    assert!(
        report.objects_saved > 1000 && !report.lost.is_empty(),
        "{report:?}"
    );
    let lost = check(&repo, &objects, &report.lost);
    assert!(lost > 0 && lost < objects.len() / 4, "{lost}");
    for pack in &packs {
        assert!(!place.root().join(pack).exists());
        assert!(place.root().join("damaged").join(pack).is_file());
    }
    assert!(is_clean(&place));
    check(&place.open(), &objects, &report.lost);
    // What is put again has a place again.
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    for (kind, _, data) in &objects {
        stream.put(*kind, data).unwrap();
    }
    writer.flush().unwrap();
    drop((stream, writer));
    check(&place.open(), &objects, &[]);
    assert!(is_clean(&place));
    assert!(repair(&place.open()).found.is_empty());
}

#[test]
fn a_writer_that_took_lost_objects_for_stored_commits_nothing() {
    let place = Place::new();
    let objects = build(&place, Parity::OFF);
    let (repo, other) = (place.open(), place.open());
    let last = objects.last().unwrap();
    let commit = |writer: &Writer| {
        let mut stream = writer.stream();
        for (kind, id, data) in &objects {
            assert_eq!(stream.put(*kind, data).unwrap(), *id);
        }
        drop(stream);
        writer.commit(SnapshotManifest {
            time: 1_795_400_000,
            tree: Some(last.1),
            ..Default::default()
        })
    };
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    for (kind, _, data) in &objects {
        stream.put(*kind, data).unwrap();
    }
    drop(stream);
    let lost = other.packs().swap_remove(0);
    fs::remove_file(place.root().join(&lost)).unwrap();
    assert_eq!(repair(&other).given_up, std::slice::from_ref(&lost));
    for _ in 0..2 {
        let error = commit(&writer).unwrap_err();
        assert!(
            matches!(&error, RepoError::PackGone { pack } if *pack == lost),
            "{error}"
        );
    }
    assert_eq!(place.open().snapshots().unwrap().len(), 2);
    drop(writer);
    // The next one knows better.
    commit(&repo.writer().unwrap()).unwrap();
    let repo = place.open();
    check(&repo, &objects, &[]);
    assert!(is_clean(&place));
}

#[test]
fn every_kind_of_file_is_mended_or_named() {
    let original = Place::new();
    let objects = build(&original, Parity::OFF);
    let mut all = files(&original.root());
    all.retain(|file| file != "lock");
    let mut seen = HashSet::new();
    for file in &all {
        for lose in [false, true] {
            let place = copy(&original);
            let folder = file.split('/').next().unwrap();
            let repo = place.open();
            if lose {
                fs::remove_file(place.root().join(file)).unwrap();
            } else {
                flip(
                    &place,
                    file,
                    fs::read(place.root().join(file)).unwrap().len() / 2,
                );
            }
            if matches!(folder, "config" | "keys") {
                if !lose {
                    let report = repair(&repo);
                    assert_eq!(report.left.len(), 1, "{file}");
                    assert_eq!(&report.left[0].file, file);
                }
                continue;
            }
            seen.insert((folder.to_owned(), lose));
            fs::remove_dir_all(place.local()).unwrap();
            let repo = place.open();
            let report = repair(&repo);
            assert!(
                report.found.iter().any(|found| found.file == *file),
                "{file}"
            );
            check(&repo, &objects, &report.lost);
            let keeps = !matches!(folder, "index" | "inventory");
            assert_eq!(
                report.given_up.contains(file),
                lose && keeps,
                "{file} {report:?}"
            );
            assert_eq!(
                report.put_aside.contains(file),
                !lose && keeps,
                "{file} {report:?}"
            );
            let needed = matches!(folder, "data" | "meta" | "dictionaries");
            assert!(needed || report.lost.is_empty(), "{file}");
            drop(repo);
            // Writers work again, and nothing is missed any more but roots of snapshots.
            place.open().writer().unwrap();
            let left = place.open().verify(true, &|_, _| {}).unwrap().damaged;
            assert!(
                left.iter().all(|d| d.reason.contains("not in the index")),
                "{file} {left:?}"
            );
        }
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

#[test]
fn dying_in_a_repair_loses_nothing() {
    let damaged = |parity| {
        let place = Place::new();
        let objects = build(&place, parity);
        let packs = place.open().packs();
        for (n, pack) in packs.iter().enumerate() {
            match n % 3 {
                0 => flip(&place, pack, 100),
                1 => {
                    let path = place.root().join(pack);
                    let len = fs::metadata(&path).unwrap().len();
                    fs::File::options()
                        .write(true)
                        .open(path)
                        .unwrap()
                        .set_len(len - 40)
                        .unwrap();
                }
                _ => {}
            }
        }
        flip(&place, "snapshots/2026-11-22T020000Z", 60);
        (place, objects)
    };
    for parity in [Parity::OFF, Parity::percent(5.0).unwrap()] {
        let (original, objects) = damaged(parity);
        let place = copy(&original);
        let repo = place.open();
        let taken = |repo: &Repository| repo.inner.backend.faults.taken.load(Ordering::SeqCst);
        let before = taken(&repo);
        let whole = repair(&repo);
        let steps = taken(&repo) - before;
        assert!(steps > 10, "{steps}");
        let lost = check(&repo, &objects, &whole.lost);
        assert_eq!(lost == 0, !parity.is_off());
        for step in (0..steps).step_by(2) {
            let place = copy(&original);
            let repo = place.open();
            repo.inner.backend.faults.die_after(step);
            // Ending the session is all that is left at last, and nobody waits for that.
            let died = repo.repair(false, &|_, _| {}).is_err();
            assert!(died || step + 12 > steps, "step {step} of {steps}");
            drop(repo);
            if step % 4 == 0 {
                fs::remove_dir_all(place.local()).unwrap();
            }
            // A writer that comes in between neither fails for long nor makes it worse.
            if step % 3 == 0 {
                drop(place.open().writer());
            }
            let repo = place.open();
            let report = repair(&repo);
            // What had left the index by then is not told again.
            let missing = check(&repo, &objects, &whole.lost);
            let gone = objects
                .iter()
                .filter(|(_, id, _)| repo.inner.index.find(id).is_none());
            assert_eq!(
                (missing, gone.count()),
                (missing, lost),
                "step {step}: {report:?}"
            );
            assert!(is_clean(&place), "step {step}");
        }
    }
}

#[test]
fn parity_heals_flipped_bits_bursts_and_torn_ends() {
    let place = Place::new();
    let objects = build(&place, Parity::percent(5.0).unwrap());
    let repo = place.open();
    let packs = repo.packs();
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert!(report.is_clean());
    assert_eq!(
        (report.parity, report.without_parity),
        (packs.len() as u64, 0)
    );
    for (n, pack) in packs.iter().enumerate() {
        let path = place.root().join(pack);
        let good = fs::read(&path).unwrap();
        let burst = good.len() / 20;
        let damage: [&dyn Fn(&mut Vec<u8>); 6] = [
            &|bytes| bytes[0] ^= 1,
            &|bytes| bytes[good.len() / 2] ^= 128,
            &|bytes| *bytes.last_mut().unwrap() ^= 16,
            &|bytes| bytes[good.len() / 3..][..burst].fill(0xee),
            &|bytes| bytes.truncate(good.len() - burst),
            &|bytes| bytes[good.len() - burst..].fill(0),
        ];
        for (kind, damage) in damage.iter().enumerate() {
            let mut bad = good.clone();
            damage(&mut bad);
            fs::write(&path, bad).unwrap();
            let report = repair(&repo);
            assert_eq!(
                report.healed,
                std::slice::from_ref(pack),
                "pack {n}, damage {kind}"
            );
            assert!(report.lost.is_empty() && report.put_aside.is_empty() && !report.index_made);
            assert!(fs::read(&path).unwrap() == good, "pack {n}, damage {kind}");
        }
    }
    // More than it heals: what is good is saved as without parity, and has parity again.
    repo.set_parity(Parity::percent(5.0).unwrap());
    let path = place.root().join(&packs[0]);
    let mut bytes = fs::read(&path).unwrap();
    let third = bytes.len() / 3;
    bytes[third..2 * third].fill(0);
    fs::write(&path, bytes).unwrap();
    let report = repair(&repo);
    assert_eq!(report.put_aside, packs[..1]);
    assert!(!report.lost.is_empty());
    check(&repo, &objects, &report.lost);
    let report = place.open().verify(true, &|_, _| {}).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.without_parity, 0);
}

#[test]
fn lost_and_damaged_parity_is_found_and_made_again_and_old_packs_get_theirs() {
    let place = Place::new();
    build(&place, Parity::percent(5.0).unwrap());
    let parity: Vec<_> = files(&place.root())
        .into_iter()
        .filter(|f| f.starts_with("parity/"))
        .collect();
    let repo = place.open();
    for (file, lose) in parity.iter().zip([true, false].into_iter().cycle()) {
        let path = place.root().join(file);
        let good = fs::read(&path).unwrap();
        if lose {
            fs::remove_file(&path).unwrap();
        } else {
            flip(&place, file, good.len() / 2);
        }
        let found = repo.verify(true, &|_, _| {}).unwrap();
        assert_eq!(found.damaged.len(), 1, "{found:?}");
        assert_eq!(found.damaged[0].file, *file);
        assert!(found.lost.is_empty());
        assert_eq!(repair(&repo).parity_made, std::slice::from_ref(file));
        assert!(fs::read(&path).unwrap() == good);
    }
    // A pack that was written without parity gets some when it is switched on.
    let place = Place::new();
    build(&place, Parity::OFF);
    let repo = place.open();
    let packs = repo.packs().len();
    assert!(repair(&repo).parity_made.is_empty());
    assert_eq!(
        repo.verify(false, &|_, _| {}).unwrap().without_parity,
        packs as u64
    );
    repo.set_parity(Parity::percent(10.0).unwrap());
    assert_eq!(repair(&repo).parity_made.len(), packs);
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert_eq!((report.parity, report.without_parity), (packs as u64, 0));
    assert!(report.is_clean());
    flip(&place, &repo.packs()[0], 1000);
    assert_eq!(repair(&repo).healed.len(), 1);
}

#[test]
fn one_pack_at_a_time_is_checked() {
    let place = Place::new();
    build(&place, Parity::percent(5.0).unwrap());
    let repo = place.open();
    let packs = repo.packs();
    for pack in &packs {
        let check = repo.check_pack(pack).unwrap();
        assert!(check.damaged.is_empty() && check.bytes > 0);
    }
    let files_of = |pack: &str| {
        let damaged = repo.check_pack(pack).unwrap().damaged;
        damaged.into_iter().map(|d| d.file).collect::<Vec<_>>()
    };
    let parity = format!("parity/{}", packs[0].split_once('/').unwrap().1);
    flip(&place, &parity, 50);
    assert_eq!(files_of(&packs[0]), [parity]);
    flip(&place, &packs[1], 100);
    assert_eq!(files_of(&packs[1]), [packs[1].clone()]);
    fs::remove_file(place.root().join(&packs[2])).unwrap();
    assert_eq!(files_of(&packs[2]), [packs[2].clone()]);
    // What no index names was deleted on purpose.
    assert_eq!(files_of(&format!("data/00/{}", "00".repeat(16))), [""; 0]);
    assert!(repo.check_pack("data/notes.txt").is_err());
}
