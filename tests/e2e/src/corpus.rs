//! The corpus of real mail and files, which is not part of the project.

use std::path::{Path, PathBuf};

/// A folder of the corpus. `None`, with a line that says so, where it is not to be had; in CI that
/// is a failure.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TENANTFS_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "the corpus is not at {}",
        folder.display()
    );
    println!("skipped: the corpus is not here ({})", folder.display());
    None
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
