//! File formats: from what Graph and MIME say to the bytes of a file, and back.
//!
//! Pure functions: no clock, no randomness, no network, no repository. The same input gives the
//! same bytes in every version of every run, because a file's bytes are its identity.

pub mod eml;
pub mod fasttransfer;
pub mod ics;
pub mod lines;
pub mod mime;
mod rfc2047;
pub mod vcf;
pub mod zones;

/// The mails of the test corpus, if it is here.
#[cfg(test)]
mod corpus {
    use std::path::{Path, PathBuf};

    pub fn root() -> Option<PathBuf> {
        if let Some(dir) = std::env::var_os("TENANTFS_CORPUS") {
            return Some(dir.into());
        }
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|dir| dir.join("../shared/corpus"))
            .find(|dir| dir.is_dir())
    }

    /// Name and bytes of each mail.
    pub fn mails() -> impl Iterator<Item = (String, Vec<u8>)> {
        files("mail")
    }

    /// Name and bytes of each file of a kind. Without the corpus: none, and a failure under `CI=true`.
    pub fn files(kind: &str) -> impl Iterator<Item = (String, Vec<u8>)> + use<> {
        let mut files = Vec::new();
        match root() {
            Some(root) => walk(&root.join(kind), &mut files),
            None if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("no corpus"),
            None => println!("skipped: corpus not here"),
        }
        files.sort();
        files.into_iter().map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path.display().to_string(), bytes)
        })
    }

    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push(path);
            }
        }
    }
}
