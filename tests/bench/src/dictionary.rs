//! What dictionaries save: bytes of mail records (JSON) and of the parts of mails, by the size of the
//! items, each alone and in frames, without a dictionary and with one.
//!
//! The corpus is captured from an emulator, so items are what a repository has, in the order in which it
//! has them. Sizes and level are the repository's (`src/repo/dictionary.rs`, `frame.rs`, `codec.rs`), also
//! for the kinds that it gives no dictionary. The lines of a class have frames with its items alone.

use std::collections::HashSet;

use anyhow::{Context, Result};
use graph_emulator::Options;
use tenantfs::repo::content::{IdOnly, Sink, read_all};
use tenantfs::repo::{Kind, Location, ObjectId, Repository};
use tenantfs::sync::put_mail;
use tenantfs::tree::{Nodes, view};
use zstd::bulk::Compressor;

use crate::IngestArgs;
use crate::ingest::corpus;
use crate::requests::Bench;

const LEVEL: i32 = 6;
/// What a dictionary is trained from: the beginnings of the first items.
const SAMPLES: usize = 2000;
const SAMPLE_LENGTH: usize = 4 << 10;
const SAMPLE_BYTES: usize = 2 << 20;
/// Classes of items by their size: below so many bytes.
const CLASSES: [(usize, &str); 5] = [
    (1 << 10, "below 1 KiB"),
    (4 << 10, "1 to 4 KiB"),
    (16 << 10, "4 to 16 KiB"),
    (64 << 10, "16 to 64 KiB"),
    (usize::MAX, "64 KiB and more"),
];

/// Items of a kind.
struct Items {
    name: &'static str,
    kind: Kind,
    /// Vec<u8> of a frame, and of a dictionary.
    frame: usize,
    dictionary: usize,
    all: Vec<Vec<u8>>,
}

pub fn run(args: &IngestArgs) -> Result<()> {
    let Some(corpus) = corpus(args) else {
        println!("skipped: dictionary needs a folder with `mail`; name it with --corpus");
        return Ok(());
    };
    let options = Options {
        accounts: 1,
        messages: 0,
        files: 0,
        import_mail: vec![corpus.join("mail")],
        ..Options::default()
    };
    let bench = Bench::start(options, "[protect]\nworkloads = [\"mail\"]\n")?;
    bench.cycle()?;
    let dir = bench.0.dir.path();
    let location = Location::Local(dir.join("repository"));
    let password = std::fs::read_to_string(dir.join("password"))?.into();
    let repository = Repository::open(&location, &password, &dir.join("bench"))?;
    for items in collect(&repository)? {
        show(&items)?;
    }
    Ok(())
}

/// All items of the newest snapshot, each once.
fn collect(repository: &Repository) -> Result<Vec<Items>> {
    let items = |name, kind, frame, dictionary| Items {
        name,
        kind,
        frame,
        dictionary,
        all: Vec::new(),
    };
    let all = vec![
        items("records (JSON)", Kind::Record, 64 << 10, 32 << 10),
        items(
            "mails without attachments",
            Kind::Mail,
            128 << 10,
            112 << 10,
        ),
        items("attachments, decoded", Kind::Chunk, 4 << 20, 112 << 10),
    ];
    let mut collected = Collected {
        repository,
        seen: HashSet::new(),
        all,
    };
    let snapshots = repository.snapshots()?;
    let newest = snapshots.last().context("no snapshot")?;
    let nodes = Nodes::new(repository);
    for found in view::walk(&nodes, newest.manifest.tree) {
        let (_, entry) = found?;
        if let Some(record) = entry.record {
            collected.put(Kind::Record, &repository.get(Kind::Record, &record)?)?;
        }
        if let Some((content, size)) = entry.content() {
            put_mail(&mut collected, &read_all(repository, content, size)?)?;
        }
    }
    Ok(collected.all)
}

/// Where items go instead of into a repository.
struct Collected<'a> {
    repository: &'a Repository,
    seen: HashSet<ObjectId>,
    all: Vec<Items>,
}

impl Sink for Collected<'_> {
    fn put(&mut self, kind: Kind, data: &[u8]) -> tenantfs::repo::Result<ObjectId> {
        let id = IdOnly(self.repository).put(kind, data)?;
        let items = self.all.iter_mut().find(|items| items.kind == kind);
        if let Some(items) = items.filter(|_| self.seen.insert(id)) {
            items.all.push(data.to_vec());
        }
        Ok(id)
    }
}

fn show(items: &Items) -> Result<()> {
    println!(
        "\n{:<32} {:>6} {:>9} | {:>9} {:>9} {:>6} | {:>9} {:>9} {:>6}",
        items.name, "items", "MB", "alone", "with", "saved", "frames", "with", "saved"
    );
    let dictionary = train(items)?;
    let mut least = 0;
    for (below, name) in CLASSES {
        let is_in = |item: &&Vec<u8>| (least..below).contains(&item.len());
        let class: Vec<&Vec<u8>> = items.all.iter().filter(is_in).collect();
        least = below;
        if !class.is_empty() {
            row(name, items, &class, &dictionary)?;
        }
    }
    row(
        "all",
        items,
        &items.all.iter().collect::<Vec<_>>(),
        &dictionary,
    )
}

fn row(name: &str, items: &Items, class: &[&Vec<u8>], dictionary: &[u8]) -> Result<()> {
    let raw: usize = class.iter().map(|item| item.len()).sum();
    let alone = class.iter().map(|item| item.to_vec());
    let alone = packed(alone, dictionary)?;
    let framed = packed(frames(class, items.frame).into_iter(), dictionary)?;
    let mb = |bytes: usize| bytes as f64 / 1e6;
    let saved = |(without, with): (usize, usize)| 100.0 * (1.0 - with as f64 / without as f64);
    println!(
        "  {name:<30} {:>6} {:>9.3} | {:>9.3} {:>9.3} {:>4.0} % | {:>9.3} {:>9.3} {:>4.0} %",
        class.len(),
        mb(raw),
        mb(alone.0),
        mb(alone.1),
        saved(alone),
        mb(framed.0),
        mb(framed.1),
        saved(framed)
    );
    Ok(())
}

/// Vec<u8> of all these, each compressed without and with the dictionary.
fn packed(pieces: impl Iterator<Item = Vec<u8>>, dictionary: &[u8]) -> Result<(usize, usize)> {
    let mut plain = Compressor::new(LEVEL)?;
    let mut trained = Compressor::with_dictionary(LEVEL, dictionary)?;
    let mut sum = (0, 0);
    for piece in pieces {
        // What does not compress is stored as it is.
        sum.0 += plain.compress(&piece)?.len().min(piece.len());
        sum.1 += trained.compress(&piece)?.len().min(piece.len());
    }
    Ok(sum)
}

/// Neighbours together, until a frame is full.
fn frames(items: &[&Vec<u8>], target: usize) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for item in items {
        match frames.last_mut() {
            Some(open) if open.len() + item.len() <= target => open.extend_from_slice(item),
            _ => frames.push(item.to_vec()),
        }
    }
    frames
}

fn train(items: &Items) -> Result<Vec<u8>> {
    let first = items
        .all
        .iter()
        .take(SAMPLES)
        .filter(|item| item.len() >= 8);
    let samples: Vec<&[u8]> = first
        .map(|item| &item[..item.len().min(SAMPLE_LENGTH)])
        .collect();
    let bytes: usize = samples.iter().map(|sample| sample.len()).sum();
    let step = bytes.div_ceil(SAMPLE_BYTES).max(1);
    let samples: Vec<&[u8]> = samples.into_iter().step_by(step).collect();
    zstd::dict::from_samples(&samples, items.dictionary).context("no dictionary can be trained")
}
