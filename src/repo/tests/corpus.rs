//! Size and speed on the corpus. Not run by default: `cargo test --release repo::tests::corpus -- --ignored --nocapture`.

use std::path::PathBuf;
use std::time::Instant;

use super::super::content::{self, Encoding, Eol, MailParts, Piece};
use super::*;
use crate::format::mime;

/// The files of a folder of the corpus.
fn corpus(folder: &str) -> Option<Vec<PathBuf>> {
    fixtures::corpus::folder(folder).map(|folder| fixtures::corpus::files(&folder))
}

fn parts(split: mime::Split) -> MailParts<'static> {
    let piece = |piece| match piece {
        mime::Piece::Skeleton { len } => Piece::Skeleton { len },
        mime::Piece::Part { decoded, encoding } => {
            let eol = if encoding.eol == mime::Eol::Lf {
                Eol::Lf
            } else {
                Eol::CrLf
            };
            let encoding = Encoding::Base64 {
                line: encoding.line,
                eol,
            };
            Piece::Part {
                decoded: decoded.into(),
                encoding,
            }
        }
    };
    MailParts {
        skeleton: split.skeleton.into(),
        pieces: split.pieces.into_iter().map(piece).collect(),
    }
}

fn ingest(name: &str, paths: &[PathBuf], threads: usize, put: impl Fn(&mut Stream, &[u8]) + Sync) {
    let place = Place::new();
    let repo = place.init();
    let (begin, cpu_before) = (Instant::now(), cpu());
    let writer = repo.writer().unwrap();
    let raw = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for share in paths.chunks(paths.len().div_ceil(threads)) {
            let (writer, put, raw) = (&writer, &put, &raw);
            scope.spawn(move || {
                let mut stream = writer.stream();
                for path in share {
                    let bytes = std::fs::read(path).unwrap();
                    raw.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
                    put(&mut stream, &bytes);
                }
            });
        }
    });
    let put_done = begin.elapsed();
    writer.flush().unwrap();
    let took = begin.elapsed();
    let mut by_folder = std::collections::BTreeMap::<String, u64>::new();
    for file in files(&place.root()) {
        let size = std::fs::metadata(place.root().join(&file)).unwrap().len();
        *by_folder
            .entry(file.split('/').next().unwrap().to_owned())
            .or_default() += size;
    }
    let raw = raw.into_inner();
    println!(
        "{name}, {threads} threads: {raw} bytes -> {} in {:.3} s (puts {:.3}), {:.2} s of processor; {by_folder:?}",
        writer.bytes_written(),
        took.as_secs_f64(),
        put_done.as_secs_f64(),
        cpu() - cpu_before
    );
}

#[test]
#[ignore = "a measurement"]
fn mail() {
    let Some(paths) = corpus("mail") else {
        return;
    };
    for threads in [1, 2] {
        ingest("mail, split", &paths, threads, |stream, bytes| {
            content::put_mail(stream, &parts(mime::split(bytes))).unwrap();
        });
    }
    ingest("mail, whole", &paths, 2, |stream, bytes| {
        content::put_mail(stream, &MailParts::whole(bytes)).unwrap();
    });
}

#[test]
#[ignore = "a measurement"]
fn drive() {
    let Some(paths) = corpus("files") else {
        return;
    };
    for threads in [1, 2] {
        ingest("files", &paths, threads, |stream, bytes| {
            let mut writer = content::Writer::new(stream);
            writer.write(bytes).unwrap();
            writer.finish().unwrap();
        });
    }
}

#[test]
#[ignore = "a measurement"]
fn one_gibibyte() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let (begin, before) = (Instant::now(), cpu());
    let mut file = content::Writer::new(&mut stream);
    for n in 0..128 {
        file.write(&noise(n, 8 << 20)).unwrap();
    }
    let (id, size) = file.finish().unwrap();
    writer.flush().unwrap();
    println!(
        "written in {:.2} s, {:.2} of processor",
        begin.elapsed().as_secs_f64(),
        cpu() - before
    );
    for step in [128 << 10, 1 << 20] {
        let (begin, before) = (Instant::now(), cpu());
        let repo = place.open();
        let reader = content::Reader::open(&repo, id).unwrap();
        let mut at = 0;
        while at < size {
            at += reader.read_at(at, step).unwrap().len() as u64;
        }
        let (wall, spent) = (begin.elapsed().as_secs_f64(), cpu() - before);
        let giga = size as f64 / 1e9;
        println!(
            "read by {step}: {:.2} GB/s, {:.2} GB per processor second",
            giga / wall,
            giga / spent
        );
    }
}

/// Processor seconds of this process so far: what other load does not distort.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
}
