//! Put, get, flush, commit, reopen.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::content::{self, Encoding, Eol, IdOnly, MailParts, Piece, Shape};
use super::*;

fn manifest(time: i64) -> SnapshotManifest {
    SnapshotManifest {
        time,
        host: "test".into(),
        complete: true,
        ..SnapshotManifest::default()
    }
}

#[test]
fn what_was_put_is_read_before_and_after_flush_and_reopening() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mut ids = Vec::new();
    for n in 0..500u64 {
        let kind = Kind::ALL[n as usize % 5];
        let data = noise(n, (n as usize * 37) % 5000);
        let id = stream.put(kind, &data).unwrap();
        assert_eq!(id, repo.id_of(kind, &data));
        assert_eq!(repo.get(kind, &id).unwrap(), data, "before flush");
        ids.push((kind, id, data));
    }
    writer.flush().unwrap();
    let check = |repo: &Repository| {
        for (kind, id, data) in &ids {
            assert!(repo.contains(id));
            assert_eq!(repo.size_of(id).unwrap(), Some(data.len() as u64));
            assert_eq!(repo.get(*kind, id).unwrap(), *data);
        }
    };
    check(&repo);
    drop((stream, writer));
    check(&place.open());
    std::fs::remove_dir_all(place.local()).unwrap();
    check(&place.open());
}

#[test]
fn what_is_put_without_a_flush_does_not_stay_in_memory() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let record = |n: u64| format!("record {n:016x}").into_bytes();
    let count = 400_000;
    for n in 0..count {
        stream.put(Kind::Record, &record(n)).unwrap();
    }
    // Others see what is in full packs; the rest is read here as well.
    let known = place.open().stats().unwrap().objects;
    assert!(known >= 1 << 18, "{known} objects");
    for n in (0..count).step_by(997) {
        let id = repo.id_of(Kind::Record, &record(n));
        assert_eq!(repo.get(Kind::Record, &id).unwrap(), record(n));
    }
    drop(stream);
    writer.flush().unwrap();
    assert_eq!(place.open().stats().unwrap().objects, count);
    assert!(repo.verify(false, &|_, _| {}).unwrap().is_clean());
}

#[test]
fn known_objects_cost_nothing_and_kinds_are_apart() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mail = stream.put(Kind::Mail, b"same").unwrap();
    let chunk = stream.put(Kind::Chunk, b"same").unwrap();
    assert_ne!(mail, chunk);
    writer.flush().unwrap();
    let before = writer.bytes_written();
    assert!(before > 0);
    assert_eq!(writer.stream().put(Kind::Mail, b"same").unwrap(), mail);
    writer.flush().unwrap();
    assert_eq!(writer.bytes_written(), before);
    assert_eq!(writer.stats().objects_known, 1);
    assert!(matches!(
        repo.get(Kind::Chunk, &mail),
        Err(RepoError::WrongKind { .. })
    ));
    assert!(matches!(
        repo.get(Kind::Mail, &ObjectId([9; 20])),
        Err(RepoError::ObjectMissing { .. })
    ));
    let total: u64 = files(&place.root())
        .iter()
        .filter(|f| {
            let folder = f.split('/').next().unwrap_or_default();
            !["config", "inventory", "lock", "keys", "sessions"].contains(&folder)
        })
        .map(|f| std::fs::metadata(place.root().join(f)).unwrap().len())
        .sum();
    assert_eq!(total, before, "the counter says what reached the disk");
}

#[test]
fn many_threads_put_through_their_own_streams() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let writer = writer.clone();
            scope.spawn(move || {
                let mut stream = writer.stream();
                for n in 0..300 {
                    // Half of it is common to all threads.
                    let seed = if n % 2 == 0 {
                        n
                    } else {
                        1000 * (thread + 1) + n
                    };
                    let size = if n % 50 == 0 { 300_000 } else { 2000 };
                    let id = stream.put(Kind::Chunk, &noise(seed, size)).unwrap();
                    assert_eq!(
                        writer.repository().get(Kind::Chunk, &id).unwrap().len(),
                        size
                    );
                    if n % 100 == 99 {
                        writer.flush().unwrap();
                    }
                }
            });
        }
    });
    writer.flush().unwrap();
    drop(writer);
    let repo = place.open();
    for thread in 0..4u64 {
        for n in 0..300 {
            let seed = if n % 2 == 0 {
                n
            } else {
                1000 * (thread + 1) + n
            };
            let size = if n % 50 == 0 { 300_000 } else { 2000 };
            let data = noise(seed, size);
            assert_eq!(
                repo.get(Kind::Chunk, &repo.id_of(Kind::Chunk, &data))
                    .unwrap(),
                data
            );
        }
    }
}

#[test]
fn a_dictionary_is_trained_once_and_used_by_all() {
    let place = Place::new();
    let repo = place.init();
    let record = |n: u64| {
        format!(
            "{{\"id\":\"AAMkAG{n:016x}\",\"subject\":\"Quarterly numbers {n}\",\"from\":{{\"emailAddress\":{{\"name\":\"Person {}\",\
             \"address\":\"p{}@contoso.com\"}}}},\"isRead\":true,\"importance\":\"normal\",\"hash\":\"{}\"}}",
            n % 97,
            n % 97,
            blake3::hash(&n.to_le_bytes())
        )
    };
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    for n in 0..3000 {
        stream.put(Kind::Record, record(n).as_bytes()).unwrap();
    }
    writer.flush().unwrap();
    drop((stream, writer));
    let dictionaries: Vec<_> = files(&place.root())
        .into_iter()
        .filter(|f| f.starts_with("dictionaries/"))
        .collect();
    assert_eq!(dictionaries.len(), 1);
    let repo = place.open();
    let writer = repo.writer().unwrap();
    let id = writer
        .stream()
        .put(Kind::Record, record(5000).as_bytes())
        .unwrap();
    writer.flush().unwrap();
    assert!(writer.bytes_written() < 600, "{}", writer.bytes_written());
    assert_eq!(repo.get(Kind::Record, &id).unwrap(), record(5000));
    for n in 0..3000 {
        let id = repo.id_of(Kind::Record, record(n).as_bytes());
        assert_eq!(repo.get(Kind::Record, &id).unwrap(), record(n));
    }
}

#[test]
fn snapshots_are_committed_once_each_and_sorted() {
    let place = Place::new();
    let repo = place.init();
    let other = place.open();
    let writer = repo.writer().unwrap();
    let root = writer.stream().put(Kind::Node, b"root").unwrap();
    let first = writer
        .commit(SnapshotManifest {
            tree: Some(root),
            ..manifest(1_795_312_800)
        })
        .unwrap();
    let second = writer.commit(manifest(1_795_312_800)).unwrap();
    assert_eq!(first.name, "2026-11-22T020000Z");
    assert_eq!(second.name, "2026-11-22T020001Z");
    assert_eq!(second.manifest.time, 1_795_312_801);
    assert_eq!(other.snapshots().unwrap(), [first.clone(), second.clone()]);
    assert_eq!(
        other.get(Kind::Node, &root).unwrap(),
        &b"root"[..],
        "the index of others is noticed"
    );
    writer.delete_snapshot(&first.name).unwrap();
    assert_eq!(other.snapshots().unwrap(), [second]);
}

#[test]
fn a_manifest_tells_what_its_writer_added() {
    let place = Place::new();
    let repo = place.init();
    let added = |size: usize, time: i64| {
        let writer = repo.writer().unwrap();
        let mut stream = writer.stream();
        stream.put(Kind::Chunk, &noise(1, size)).unwrap();
        writer.commit(manifest(time)).unwrap().manifest.totals.added
    };
    let first = added(100_000, 1);
    assert!((100_000..120_000).contains(&first), "{first}");
    let nothing_new = added(100_000, 2);
    assert!(nothing_new < 10_000, "{nothing_new}");
}

#[test]
fn wrong_password_newer_version_and_no_repository_are_told_apart() {
    let place = Place::new();
    assert!(matches!(
        place.try_open(),
        Err(RepoError::NotARepository { .. })
    ));
    place.init();
    let wrong = Repository::open(
        &place.location(),
        &SecretString::from("wrong"),
        &place.local(),
    );
    assert!(matches!(wrong, Err(RepoError::WrongPassword { keys: 1 })));
    assert!(matches!(
        Repository::init(&place.location(), &password(), &options()),
        Err(RepoError::AlreadyExists { .. })
    ));
    let config = place.root().join("config");
    let mut bytes = std::fs::read(&config).unwrap();
    bytes[4] = 2;
    std::fs::write(&config, bytes).unwrap();
    let error = place.try_open().err().unwrap();
    assert!(matches!(
        error,
        RepoError::NewerVersion {
            found: 2,
            supported: 1
        }
    ));
    assert!(error.to_string().contains("install a newer tenantfs"));
}

#[test]
fn content_comes_back_at_any_offset() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let data = noise(1, 9_000_000);
    let mut file = content::Writer::new(&mut stream);
    for piece in data.chunks(100_000) {
        file.write(piece).unwrap();
    }
    let (id, size) = file.finish().unwrap();
    assert_eq!((id.shape, size), (Shape::Recipe, 9_000_000));
    let mut same = IdOnly(&repo);
    let mut again = content::Writer::new(&mut same);
    again.write(&data).unwrap();
    assert_eq!(again.finish().unwrap().0, id, "recognised without storing");
    let reader = content::Reader::open(&repo, id).unwrap();
    assert_eq!(reader.size(), size);
    for (offset, len) in [
        (0, 10),
        (0, 9_000_000),
        (1 << 20, 1 << 20),
        (8_999_999, 100),
        (9_000_000, 1),
        (3_333_333, 77),
    ] {
        let end = (offset + len).min(data.len());
        assert_eq!(
            reader.read_at(offset as u64, len).unwrap(),
            data[offset.min(end)..end]
        );
    }
    let mut empty = content::Writer::new(&mut stream);
    empty.write(b"").unwrap();
    assert_eq!(empty.finish().unwrap(), (content::ContentId::EMPTY, 0));
    assert_eq!(
        content::Reader::open(&repo, content::ContentId::EMPTY)
            .unwrap()
            .read_at(0, 5)
            .unwrap(),
        &b""[..]
    );
}

#[test]
fn an_attachment_is_the_file_on_the_drive() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let document = noise(2, 6_000_001);
    let mut file = content::Writer::new(&mut stream);
    file.write(&document).unwrap();
    file.finish().unwrap();
    writer.flush().unwrap();
    let before = writer.bytes_written();
    let encoding = Encoding::Base64 {
        line: 76,
        eol: Eol::CrLf,
    };
    let mail = MailParts {
        skeleton: b"Subject: x\r\n\r\n--b\r\n\r\n--b--\r\n".as_slice().into(),
        pieces: vec![
            Piece::Skeleton { len: 21 },
            Piece::Part {
                decoded: document.as_slice().into(),
                encoding,
            },
            Piece::Skeleton { len: 7 },
        ],
    };
    let (id, size) = content::put_mail(&mut stream, &mail).unwrap();
    assert_eq!(content::mail_id(&repo, &mail).unwrap(), id);
    writer.flush().unwrap();
    assert!(writer.bytes_written() - before < 2000);
    let text = {
        use ::base64::Engine;
        let text = ::base64::engine::general_purpose::STANDARD.encode(&document);
        let lines: Vec<_> = text.as_bytes().chunks(76).collect();
        [
            &mail.skeleton[..21],
            &lines.join(&b"\r\n"[..]),
            &mail.skeleton[21..],
        ]
        .concat()
    };
    assert_eq!(size, text.len() as u64);
    assert_eq!(content::read_all(&repo, id, 1 << 30).unwrap(), text);
    let reader = content::Reader::open(&repo, id).unwrap();
    for offset in (0..text.len()).step_by(77_777) {
        let end = (offset + 4097).min(text.len());
        assert_eq!(
            reader.read_at(offset as u64, 4097).unwrap(),
            text[offset..end]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any order of puts, flushes and reopenings against a map.
    #[test]
    fn behaves_as_a_map(ops in prop::collection::vec((0u8..12, 0u64..60, 0usize..200_000), 1..60)) {
        let place = Place::new();
        let mut repo = place.init();
        let mut model: BTreeMap<(Kind, ObjectId), Vec<u8>> = BTreeMap::new();
        let mut durable = 0;
        let mut writer = Some(repo.writer().unwrap());
        let mut streams: Vec<_> = (0..2).map(|_| writer.as_ref().unwrap().stream()).collect();
        let mut order = Vec::new();
        for (op, seed, len) in ops {
            match op {
                0..8 => {
                    let kind = Kind::ALL[(seed % 5) as usize];
                    let data = noise(seed, if seed % 3 == 0 { len } else { len % 3000 });
                    let id = streams[usize::from(op % 2)].put(kind, &data).unwrap();
                    if model.insert((kind, id), data).is_none() {
                        order.push((kind, id));
                    }
                }
                8 | 9 => {
                    writer.as_ref().unwrap().flush().unwrap();
                    durable = order.len();
                }
                10 => {
                    // A crash: what was not flushed may be gone, what was is there.
                    streams.clear();
                    drop(writer.take());
                    repo = place.open();
                    for lost in order.drain(durable..) {
                        if !repo.contains(&lost.1) {
                            model.remove(&lost);
                        }
                    }
                    let keys: Vec<_> = model.keys().copied().collect();
                    order = keys;
                    durable = order.len();
                    writer = Some(repo.writer().unwrap());
                    streams = (0..2).map(|_| writer.as_ref().unwrap().stream()).collect();
                }
                _ => streams[usize::from(seed % 2 == 0)] = writer.as_ref().unwrap().stream(),
            }
            if let Some(((kind, id), data)) = model.iter().next() {
                prop_assert_eq!(&repo.get(*kind, id).unwrap(), data);
            }
        }
        writer.as_ref().unwrap().flush().unwrap();
        let fresh = place.open();
        for ((kind, id), data) in &model {
            prop_assert_eq!(&repo.get(*kind, id).unwrap(), data);
            prop_assert_eq!(&fresh.get(*kind, id).unwrap(), data);
        }
    }
}

/// An export holds its attachments in pieces, between the headers of its frames.
#[test]
fn a_part_that_lies_in_pieces_is_the_same_file() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let document = noise(3, 3_000_001);
    let mut file = content::Writer::new(&mut stream);
    file.write(&document).unwrap();
    file.finish().unwrap();
    writer.flush().unwrap();
    let before = writer.bytes_written();
    let (mut bytes, mut pieces) = (b"what stands before it".to_vec(), Vec::new());
    for piece in document.chunks(31_680) {
        bytes.extend_from_slice(b"\x02\0\0\0head");
        pieces.push(bytes.len()..bytes.len() + piece.len());
        bytes.extend_from_slice(piece);
    }
    bytes.extend_from_slice(b"and behind");
    let parts = [pieces];
    let (id, size) = content::put_spliced(&mut stream, &bytes, &parts).unwrap();
    writer.flush().unwrap();
    assert_eq!(size, bytes.len() as u64);
    assert!(writer.bytes_written() - before < 8_000);
    assert!(content::read_all(&repo, id, 1 << 30).unwrap() == bytes);
    let reader = content::Reader::open(&repo, id).unwrap();
    assert!(reader.read_at(31_600, 40_000).unwrap() == bytes[31_600..71_600]);
    // Computed without storing, it is the same; without parts it is as any small file.
    let computed = content::put_spliced(&mut IdOnly(&repo), &bytes, &parts);
    assert_eq!(computed.unwrap().0, id);
    let (small, _) = content::put_spliced(&mut stream, b"note", &[]).unwrap();
    assert_eq!(small.shape, Shape::Mail);
    let range = |start, end| std::ops::Range { start, end };
    for wrong in [
        vec![range(3, 2)],
        vec![range(0, 5)],
        vec![range(0, 2), range(1, 3)],
    ] {
        assert!(content::put_spliced(&mut stream, b"note", &[wrong]).is_err());
    }
}
