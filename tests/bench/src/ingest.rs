//! Bytes stored and time taken for mail and files, against restic, borg and rustic.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::IngestArgs;
use crate::peers::{Peer, Setting};
use crate::store;
use crate::table::{Bar, heading, line, timed};

pub fn run(args: &IngestArgs) -> Result<()> {
    let Some(corpus) = corpus(args) else {
        println!("skipped: ingest needs a folder with `mail` and `files`; name it with --corpus");
        return Ok(());
    };
    let home = tempfile::tempdir()?;
    let mail = home.path().join("mail");
    copy_mail(&corpus.join("mail"), &mail)?;
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|peer| peer.is_here())
        .collect();
    compare("mail", &mail, &peers, Some(0.60), 0.75)?;
    compare("files", &corpus.join("files"), &peers, None, 0.95)
}

/// Where the corpus is; `None` when it is not here.
pub fn corpus(args: &IngestArgs) -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let named = args
        .corpus
        .clone()
        .or_else(|| std::env::var_os("TENANTFS_CORPUS").map(Into::into));
    Some(named.unwrap_or(usual)).filter(|dir| dir.join("mail").is_dir())
}

/// Copies mails as a mailbox has them: with the ending that says what they are, without mbox lines.
pub fn copy_mail(from: &Path, to: &Path) -> Result<()> {
    for (number, file) in store::files(from).iter().enumerate() {
        let bytes = std::fs::read(file)?;
        let mail = match bytes.starts_with(b"From ") {
            true => {
                let line = bytes
                    .iter()
                    .position(|&b| b == b'\n')
                    .map_or(0, |at| at + 1);
                &bytes[line..]
            }
            false => &bytes[..],
        };
        let folder = to.join(file.parent().context("no folder")?.strip_prefix(from)?);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{number}.eml")), mail)?;
    }
    Ok(())
}

fn compare(
    what: &str,
    source: &Path,
    peers: &[Peer],
    content_bar: Option<f64>,
    all_bar: f64,
) -> Result<()> {
    let raw = store::bytes_below(source)?;
    heading(&format!("{what}: {:.1} MB stored", raw as f64 / 1e6));
    // The first run of anything reads the source from the disk; let that be nobody's.
    for file in store::files(source) {
        std::fs::read(file)?;
    }
    let home = tempfile::tempdir()?;
    let repository = store::repository(home.path())?;
    let ((), time) = timed(|| store::ingest(&repository, source))?;
    let stats = repository.stats()?;
    let mut best: Option<u64> = None;
    let mut fastest: Option<f64> = None;
    for peer in peers {
        let (smallest, _) = peer.backup(home.path(), source, Setting::Smallest)?;
        let (bytes, seconds) = peer.backup(home.path(), source, Setting::Default)?;
        let smallest = smallest.min(bytes);
        println!(
            "  {:<8} {:>6.2} MB smallest, {:>6.2} MB by default in {:.2} s",
            peer.name(),
            smallest as f64 / 1e6,
            bytes as f64 / 1e6,
            seconds.as_secs_f64()
        );
        best = Some(best.map_or(smallest, |best| best.min(smallest)));
        let seconds = seconds.as_secs_f64();
        fastest = Some(fastest.map_or(seconds, |fastest| fastest.min(seconds)));
    }
    let (Some(best), Some(fastest)) = (best, fastest) else {
        return Ok(());
    };
    let mb = |bytes: u64| bytes as f64 / 1e6;
    if let Some(bar) = content_bar {
        let content = stats.data_bytes;
        let ratio = content as f64 / best as f64;
        line(
            "content, against the smallest",
            mb(content),
            mb(best),
            "MB",
            ratio,
            Bar::AtMost(bar),
        );
    }
    let ratio = stats.bytes as f64 / best as f64;
    line(
        "everything, against the smallest",
        mb(stats.bytes),
        mb(best),
        "MB",
        ratio,
        Bar::AtMost(all_bar),
    );
    let seconds = time.as_secs_f64();
    line(
        "ingest, against the fastest",
        seconds,
        fastest,
        "s",
        seconds / fastest,
        Bar::AtMost(1.0),
    );
    Ok(())
}
