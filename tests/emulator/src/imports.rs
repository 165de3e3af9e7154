//! What the imports read, and what they could not read and why: `GET /_emulator/imports`.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
struct Tally {
    files: u64,
    items: u64,
    /// Path and reason.
    failed: Vec<(String, String)>,
}

/// Counts by kind of file (`vcf`, `ics`).
#[derive(Default)]
pub struct Imports {
    kinds: Mutex<BTreeMap<&'static str, Tally>>,
    /// What became of each folder of calendar files.
    folders: Mutex<Vec<Value>>,
}

impl Imports {
    pub fn file(&self, kind: &'static str) {
        self.kinds.lock().entry(kind).or_default().files += 1;
    }

    /// One card, event or task is there now.
    pub fn item(&self, kind: &'static str) {
        self.kinds.lock().entry(kind).or_default().items += 1;
    }

    /// Something of a file is not; told on stderr too.
    pub fn failed(&self, kind: &'static str, path: &Path, reason: &str) {
        eprintln!("graph-emulator: {}: not imported: {reason}", path.display());
        let entry = (path.display().to_string(), reason.to_owned());
        self.kinds
            .lock()
            .entry(kind)
            .or_default()
            .failed
            .push(entry);
    }

    /// What became of one folder of calendar files.
    pub fn folder(&self, report: Value) {
        self.folders.lock().push(report);
    }

    /// Counts by kind, and below `value` the folders of calendars.
    pub fn report(&self) -> Value {
        let all = self.kinds.lock();
        let show = |tally: &Tally| {
            let failed: Vec<Value> = tally
                .failed
                .iter()
                .map(|(path, reason)| json!({"path": path, "reason": reason}))
                .collect();
            json!({"files": tally.files, "items": tally.items, "failed": failed})
        };
        all.iter()
            .map(|(kind, tally)| ((*kind).to_owned(), show(tally)))
            .chain([("value".to_owned(), json!(*self.folders.lock()))])
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}
