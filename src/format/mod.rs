//! File formats: from what Graph and MIME say to the bytes of a file, and back.
//!
//! Pure functions: no clock, no randomness, no network, no repository. The same input gives the
//! same bytes in every version of every run, because a file's bytes are its identity.

pub mod eml;
pub mod ics;
pub mod lines;
pub mod mime;
mod rfc2047;
pub mod zones;

/// The mails of the test corpus, if it is here.
#[cfg(test)]
mod corpus {
    use fixtures::corpus;

    /// Name and bytes of each mail; none without the corpus.
    pub fn mails() -> impl Iterator<Item = (String, Vec<u8>)> {
        let files = corpus::folder("mail").map(|folder| corpus::files(&folder));
        files.into_iter().flatten().map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path.display().to_string(), bytes)
        })
    }
}
