//! How much memory this process has at its peak.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::table::value;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// Looks at the memory of this process while a step runs.
///
/// Its own memory is what counts: pages of mapped index files are the kernel's cache, which it takes back
/// when it needs them. They are told beside it.
pub struct Peak {
    ended: Arc<AtomicBool>,
    watching: JoinHandle<Result<Memory>>,
}

#[derive(Clone, Copy, Default)]
struct Memory {
    own_mb: f64,
    files_mb: f64,
}

impl Peak {
    pub fn start() -> Peak {
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let watching = std::thread::spawn(move || {
            let mut peak = Memory::default();
            while !end.load(Ordering::Relaxed) {
                let now = now()?;
                peak.own_mb = peak.own_mb.max(now.own_mb);
                peak.files_mb = peak.files_mb.max(now.files_mb);
                std::thread::sleep(EVERY);
            }
            Ok(peak)
        });
        Peak { ended, watching }
    }

    /// Prints what a step took, against what it may take (MB).
    pub fn show(self, limit_mb: f64) -> Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        let watched = self.watching.join();
        let peak = watched.map_err(|_| anyhow::anyhow!("the watcher of memory panicked"))??;
        value("  memory at its peak", peak.own_mb, "MB", limit_mb);
        println!(
            "{:<44} {:>9.3} MB",
            "  mapped files beside it", peak.files_mb
        );
        Ok(())
    }
}

fn now() -> Result<Memory> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mb = |name: &str| -> Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = number.context("no such value")?.parse()?;
        Ok(kib * 1024.0 / 1e6)
    };
    Ok(Memory {
        own_mb: mb("RssAnon:")?,
        files_mb: mb("RssFile:")?,
    })
}
