//! Which contents of a repository the bytes of a file can be: split and hashed as a capture would, without
//! storing anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::errno::RestoreError;
use super::recognise::failed;
use crate::repo::Repository;
use crate::repo::content::{self, ContentId, IdOnly};
use crate::sync::put_mail;
use crate::tree::TreeError;

/// Larger files are never mails: Exchange holds 150 MB, base64 makes that 205.
const MAX_MAIL: u64 = 256 << 20;

/// The contents that these bytes can have in the repository; nothing is stored.
pub(super) fn contents(
    repo: &Repository,
    file: &Path,
    name: &str,
) -> Result<Vec<ContentId>, RestoreError> {
    let local = |e: io::Error| RestoreError::local("the spooled file", &e);
    let size = file.metadata().map_err(local)?.len();
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let named_mail = name.to_ascii_lowercase().ends_with(".eml");
    let mail = || -> Result<Option<ContentId>, RestoreError> {
        if size > MAX_MAIL {
            return Ok(None);
        }
        let bytes = std::fs::read(file).map_err(local)?;
        let content = put_mail(&mut IdOnly(repo), &bytes);
        let content = content.map_err(TreeError::from).map_err(failed)?.0;
        Ok(known(repo, content))
    };
    if named_mail {
        found.extend(mail()?);
    }
    if found.is_empty() {
        found.extend(known(repo, file_id(repo, file).map_err(local)?));
    }
    if !named_mail && found.is_empty() && looks_like_mail(file).map_err(local)? {
        found.extend(mail()?);
    }
    Ok(found)
}

fn known(repo: &Repository, content: ContentId) -> Option<ContentId> {
    repo.contains(&content.object).then_some(content)
}

fn file_id(repo: &Repository, path: &Path) -> io::Result<ContentId> {
    let mut sink = IdOnly(repo);
    let mut writer = content::Writer::new(&mut sink);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => writer.write(&buffer[..n]).map_err(io::Error::other)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    writer
        .finish()
        .map(|(content, _)| content)
        .map_err(io::Error::other)
}

/// Whether the file begins with a header field (RFC 5322): a word and a colon.
fn looks_like_mail(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(80).read_to_end(&mut head)?;
    let name = head.iter().position(|b| *b == b':').unwrap_or(0);
    Ok(name > 0 && head[..name].iter().all(|b| b.is_ascii_graphic()))
}
