//! File formats: from what Graph and MIME say to the bytes of a file, and back.
//!
//! Pure functions: no clock, no randomness, no network, no repository. The same input gives the
//! same bytes in every version of every run, because a file's bytes are its identity.

pub mod eml;
pub mod fasttransfer;
pub mod html;
pub mod ics;
pub mod lines;
pub mod mime;
mod rfc2047;
pub mod vcf;
pub mod zones;

/// Text of no known encoding that is not UTF-8: what Windows wrote in western Europe.
fn western(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
    text
}

/// The test corpus, if it is here.
#[cfg(test)]
mod corpus {
    use std::path::PathBuf;

    use fixtures::corpus;

    /// The folder of all of it.
    pub fn root() -> Option<PathBuf> {
        let mail = corpus::folder("mail")?;
        mail.parent().map(Into::into)
    }

    /// Name and bytes of each mail.
    pub fn mails() -> impl Iterator<Item = (String, Vec<u8>)> {
        files("mail")
    }

    /// Name and bytes of each file of a kind; none without the corpus.
    pub fn files(kind: &str) -> impl Iterator<Item = (String, Vec<u8>)> + use<> {
        let files = corpus::folder(kind).map(|folder| corpus::files(&folder));
        files.into_iter().flatten().map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path.display().to_string(), bytes)
        })
    }
}
