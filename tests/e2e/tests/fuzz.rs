//! The parser of exported items against damaged ones: exports of every kind of item that the emulator
//! has, mutated for as long as `TENANTFS_FUZZ_SECONDS` says (two seconds otherwise).
//!
//! An input that makes it panic is written to `tests/fuzz/regressions` and replayed from then on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::graph::Graph;
use graph_emulator::{Emulator, Options};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tenantfs::format::fasttransfer::survive;

/// Where the frames of an export end and its first buffer's payload begins.
const HEAD: usize = 70;
/// Larger seeds are cut: most of their bytes are attachments.
const MAX_SEED: usize = 64 << 10;

fn regressions() -> PathBuf {
    e2e::program::root().join("tests/fuzz/regressions")
}

/// Exports of every item in an archive.
fn seeds() -> Result<Vec<Vec<u8>>> {
    let emulator = Emulator::start(Options {
        accounts: 1,
        messages: 10,
        files: 0,
        archives: 1,
        archive_messages: 40,
        ..Options::default()
    })?;
    let graph = Graph::sign_in(&emulator, None)?;
    let upn = graph.mailboxes()?.remove(0);
    let beta = format!("{}/beta", emulator.url);
    let settings = graph.get(&format!("{beta}/users/{upn}/settings/exchange"))?;
    let id = settings["inPlaceArchiveMailboxId"]
        .as_str()
        .context("no archive")?;
    let mailbox = format!("{beta}/admin/exchange/mailboxes/{id}");
    let mut seeds = Vec::new();
    for folder in graph.list(&format!("{mailbox}/folders?$top=100"))? {
        let folder = folder["id"].as_str().context("no id")?;
        let items = graph.list(&format!("{mailbox}/folders/{folder}/items?$top=100"))?;
        let ids: Vec<_> = items.iter().map(|item| item["id"].clone()).collect();
        for ids in ids.chunks(20) {
            let body = json!({ "itemIds": ids });
            let answer = graph.post(&format!("{mailbox}/exportItems"), &body)?;
            for item in answer["value"].as_array().into_iter().flatten() {
                let mut stream = STANDARD.decode(item["data"].as_str().context("no data")?)?;
                stream.truncate(MAX_SEED);
                seeds.push(stream);
            }
        }
    }
    Ok(seeds)
}

/// Values that parsers trip over.
const ODD: [u32; 12] = [
    0,
    1,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0xFFFF_FFFE,
    0x4000_0003,
    0x4001_0003,
    0x4002_0003,
    0x400E_0003,
    0x0E13_000D,
    0x3701_0102,
];

fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..8) {
        // The frames at the front are soon told; what is in them is what matters.
        let from = if rng.random_ratio(1, 20) {
            0
        } else {
            HEAD.min(bytes.len())
        };
        if bytes.len() <= from + 4 {
            return;
        }
        let at = rng.random_range(from..bytes.len() - 4);
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => {
                let odd = ODD[rng.random_range(0..ODD.len())];
                bytes[at..at + 4].copy_from_slice(&odd.to_le_bytes());
            }
            3 => {
                let len = rng.random_range(1..64).min(bytes.len() - at);
                bytes.drain(at..at + len);
            }
            4 => {
                let len = rng.random_range(1..64).min(bytes.len() - at);
                let copy = bytes[at..at + len].to_vec();
                let to = rng.random_range(from..bytes.len());
                bytes.splice(to..to, copy);
            }
            5 if other.len() > HEAD + 1 => {
                let start = rng.random_range(HEAD..other.len());
                let end = (start + rng.random_range(1..256)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            _ => {
                let len = bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
                let step = rng.random_range(0..5u32).wrapping_sub(2);
                bytes[at..at + 4].copy_from_slice(&len.wrapping_add(step).to_le_bytes());
            }
        }
    }
}

/// The outer frame's length is put right, so that damage is met inside.
fn mend(bytes: &mut [u8]) {
    let Some(rest) = bytes.len().checked_sub(HEAD) else {
        return;
    };
    if rest <= 31_680 && bytes[HEAD - 8..HEAD - 4] == [2, 0, 0, 0] {
        bytes[HEAD - 4..HEAD].copy_from_slice(&(rest as u32).to_le_bytes());
    }
}

fn panics(bytes: &[u8]) -> bool {
    let bytes = bytes.to_vec();
    std::panic::catch_unwind(move || survive(&bytes)).is_err()
}

#[test]
fn damaged_exports_are_survived() -> Result<()> {
    let seconds = std::env::var("TENANTFS_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|s| s.parse().ok()).unwrap_or(2);
    let seeds = seeds()?;
    ensure!(seeds.len() > 30, "only {} seeds", seeds.len());
    for seed in &seeds {
        survive(seed);
    }
    let start: u64 = rand::random();
    println!("seed {start}, {} exports, {seconds} s", seeds.len());
    let mut rng = StdRng::seed_from_u64(start);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut runs, mut found) = (0u64, 0);
    let mut slowest = Duration::ZERO;
    while Instant::now() < until && found < 20 {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        let other = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut rng, &mut bytes, other);
        if rng.random_ratio(9, 10) {
            mend(&mut bytes);
        }
        let begun = Instant::now();
        if panics(&bytes) {
            found += 1;
            let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            std::fs::write(regressions().join(format!("{hash:016x}.fts")), &bytes)?;
        }
        slowest = slowest.max(begun.elapsed());
        runs += 1;
    }
    println!("{runs} runs, {found} panics, slowest {slowest:?}");
    ensure!(
        found == 0,
        "{found} inputs panicked: see {}",
        regressions().display()
    );
    Ok(())
}

#[test]
fn what_once_panicked_does_not_any_more() -> Result<()> {
    for entry in std::fs::read_dir(regressions())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "fts") {
            ensure!(!panics(&std::fs::read(&path)?), "{}", path.display());
        }
    }
    Ok(())
}
