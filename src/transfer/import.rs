//! A tar that was exported becomes a snapshot.
//!
//! Whatever the tar says is checked first: names, order, sizes, types. Files go into the repository while
//! the tar is read; the snapshot is committed after the last entry said that all of them came. Memory:
//! the names of the folders on the way to the present file, a batch of entries for each, one record
//! or mail.

use std::cell::Cell;
use std::io::{self, Read};

use serde::Serialize;
use tar::{Archive, EntryType, PaxExtensions};

use super::{ATTRIBUTE, HIDDEN, MANIFEST, Manifest, REPORT, TransferError, VERSION};
use crate::repo::content::{ContentId, Writer as ContentWriter};
use crate::repo::{Kind, Repository, Snapshot, SnapshotManifest, Stream, Totals};
use crate::sync::put_mail;
use crate::tree::{Entry, EntryKind, Map, MapRoot, Nodes, Shape, names};

/// No extended header of an export comes near this.
const MAX_PAX: u64 = 64 << 10;
/// Largest record: the repository takes no larger object.
const MAX_RECORD: u64 = 64 << 20;
/// Larger files are never mails: Exchange holds 150 MB, base64 makes that 205.
const MAX_MAIL: u64 = 256 << 20;
/// Deeper than any folder that was captured.
const MAX_DEPTH: usize = 4096;
/// Entries of a folder that are put into its map at a time.
const BATCH: usize = 1024;

/// What an import made.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The new snapshot. Its name is that of the exported one, or the next free second.
    pub snapshot: Snapshot,
    /// Files and folders in it.
    pub entries: u64,
}

/// Makes a snapshot of a tar. `progress` gets files and their bytes so far.
///
/// # Errors
/// The repository's, or that the tar is not what an export writes. No snapshot is made then.
pub fn import(
    repo: &Repository,
    input: impl Read,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Imported, TransferError> {
    let ended = Cell::new(false);
    let watched = Watched {
        input,
        ended: &ended,
    };
    match read(repo, watched, progress) {
        Err(TransferError::Read(_)) if ended.get() => Err(TransferError::Truncated),
        result => result,
    }
}

/// Notes that there is no more to read.
struct Watched<'a, R> {
    input: R,
    ended: &'a Cell<bool>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        if len == 0 && !buffer.is_empty() {
            self.ended.set(true);
        }
        Ok(len)
    }
}

fn read(
    repo: &Repository,
    input: impl Read,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Imported, TransferError> {
    let writer = repo.writer()?;
    let mut import = Import {
        tree: Tree::new(Nodes::new(repo), writer.stream()),
        seen: Manifest::default(),
        report: None,
        manifest: None,
    };
    let mut archive = Archive::new(input);
    let mut pax = None;
    for entry in archive.entries().map_err(TransferError::Read)?.raw(true) {
        let mut entry = entry.map_err(TransferError::Read)?;
        match entry.header().entry_type() {
            EntryType::XHeader if pax.is_none() => pax = Some(read_pax(&mut entry)?),
            kind => {
                let member = Member::new(kind, &entry, pax.take().as_deref())?;
                import.member(member, &mut entry)?;
                progress(import.seen.files, import.seen.bytes);
            }
        }
    }
    let manifest = import.manifest.take().ok_or(TransferError::Truncated)?;
    let tree = import.tree.finish()?;
    let snapshot = writer.commit(SnapshotManifest {
        time: manifest.time,
        host: manifest.host,
        complete: true,
        tree,
        report: import.report,
        workloads: manifest.workloads,
        totals: Totals {
            accounts: manifest.accounts,
            files: manifest.files,
            bytes: manifest.bytes,
            ..Totals::default()
        },
        ..SnapshotManifest::default()
    })?;
    Ok(Imported {
        snapshot,
        entries: manifest.entries,
    })
}

fn read_pax(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, TransferError> {
    let size = entry.header().entry_size().map_err(TransferError::Read)?;
    if size > MAX_PAX {
        return Err(TransferError::Refused {
            path: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            reason: format!("has an extended header of {size} bytes"),
        });
    }
    read_all(entry, size)
}

/// Exactly `size` bytes.
fn read_all(data: &mut impl Read, size: u64) -> Result<Vec<u8>, TransferError> {
    let mut bytes = Vec::new();
    data.take(size)
        .read_to_end(&mut bytes)
        .map_err(TransferError::Read)?;
    if bytes.len() as u64 != size {
        return Err(TransferError::Truncated);
    }
    Ok(bytes)
}

/// What a member of the tar says about itself.
#[derive(Default)]
struct Member {
    path: String,
    is_dir: bool,
    size: u64,
    mtime: i64,
    tag: u64,
    is_mail: bool,
    role: Option<String>,
    of: String,
    version: Option<String>,
}

impl Member {
    fn new(
        kind: EntryType,
        entry: &tar::Entry<'_, impl Read>,
        pax: Option<&[u8]>,
    ) -> Result<Self, TransferError> {
        let header = entry.header();
        let path = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let mtime = header.mtime().map_err(TransferError::Read)?;
        let mut member = Member {
            is_dir: kind.is_dir(),
            size: header.entry_size().map_err(TransferError::Read)?,
            mtime: i64::try_from(mtime).unwrap_or(i64::MAX),
            path,
            ..Member::default()
        };
        if !kind.is_dir() && !kind.is_file() {
            return Err(member.refused(format!("is neither a file nor a folder but {kind:?}")));
        }
        for record in PaxExtensions::new(pax.unwrap_or_default()) {
            let record = record.map_err(|e| member.refused(e.to_string()))?;
            let (Ok(name), Ok(value)) = (record.key(), record.value()) else {
                return Err(member.refused("has an extended header that is not UTF-8"));
            };
            let wrong = || member.refused(format!("has an impossible {name}"));
            match name.strip_prefix(ATTRIBUTE).unwrap_or(name) {
                "path" => member.path = value.to_owned(),
                "mtime" => member.mtime = value.parse().map_err(|_| wrong())?,
                "size" if value.parse() != Ok(member.size) => return Err(wrong()),
                "tag" => {
                    let tag = u64::from_str_radix(value, 16).ok();
                    member.tag = tag.filter(|tag| tag >> 50 == 0).ok_or_else(wrong)?;
                }
                "content" => member.is_mail = value == "mail",
                "role" => member.role = Some(value.to_owned()),
                "of" => member.of = value.to_owned(),
                "version" => member.version = Some(value.to_owned()),
                _ => {}
            }
        }
        if member.is_dir {
            member
                .path
                .truncate(member.path.trim_end_matches('/').len());
        }
        let good = |name: &str| names::is_good(name) || name == HIDDEN;
        if !member.path.split('/').all(good) || member.path.split('/').count() > MAX_DEPTH {
            return Err(member.refused("is no path that a snapshot can have"));
        }
        if member.is_hidden() != member.role.is_some() {
            return Err(member.refused("is not marked as what it is"));
        }
        Ok(member)
    }

    fn is_hidden(&self) -> bool {
        self.path.split('/').next() == Some(HIDDEN)
    }

    fn refused(&self, reason: impl Into<String>) -> TransferError {
        TransferError::Refused {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }
}

struct Import {
    tree: Tree,
    /// What came so far.
    seen: Manifest,
    report: Option<crate::repo::ObjectId>,
    manifest: Option<Manifest>,
}

impl Import {
    fn member(&mut self, member: Member, data: &mut impl Read) -> Result<(), TransferError> {
        if self.manifest.is_some() {
            return Err(member.refused("comes after the end"));
        }
        match member.role.as_deref() {
            None => self.entry(&member, data),
            Some("record") => {
                let record = self.record(&member, data)?;
                self.tree.owner(&member)?.record = Some(record);
                Ok(())
            }
            Some("original") => {
                let original = self.content(&member, data)?;
                self.tree.owner(&member)?.original = Some(original);
                Ok(())
            }
            Some("version") => {
                let content = self.content(&member, data)?;
                self.tree.add_version(&member, content)
            }
            Some("report") if member.path == REPORT => {
                self.report = Some(self.record(&member, data)?);
                Ok(())
            }
            Some("manifest") if member.path == MANIFEST => self.end(&member, data),
            Some(_) => Err(member.refused("is not marked as what it is")),
        }
    }

    fn entry(&mut self, member: &Member, data: &mut impl Read) -> Result<(), TransferError> {
        self.tree.go_to(member)?;
        self.seen.entries += 1;
        let entry = if member.is_dir {
            Entry::dir(None, member.mtime)
        } else {
            let content = self.content(member, data)?;
            self.seen.files += 1;
            self.seen.bytes = self.seen.bytes.saturating_add(member.size);
            Entry::file(content, member.size, member.mtime, None)
        };
        let tag = member.tag;
        self.tree.open(member, Entry { tag, ..entry });
        Ok(())
    }

    fn record(
        &mut self,
        member: &Member,
        data: &mut impl Read,
    ) -> Result<crate::repo::ObjectId, TransferError> {
        if member.size > MAX_RECORD {
            return Err(member.refused("is too large for what it is"));
        }
        let bytes = read_all(data, member.size)?;
        Ok(self.tree.stream.put(Kind::Record, &bytes)?)
    }

    fn content(
        &mut self,
        member: &Member,
        data: &mut impl Read,
    ) -> Result<ContentId, TransferError> {
        if member.is_mail && member.size <= MAX_MAIL {
            let bytes = read_all(data, member.size)?;
            return Ok(put_mail(&mut self.tree.stream, &bytes)?.0);
        }
        let mut writer = ContentWriter::new(&mut self.tree.stream);
        let mut buffer = vec![0; 64 << 10];
        let mut left = member.size;
        while left > 0 {
            let want = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let got = data
                .read(&mut buffer[..want])
                .map_err(TransferError::Read)?;
            if got == 0 {
                return Err(TransferError::Truncated);
            }
            writer.write(&buffer[..got])?;
            left -= got as u64;
        }
        Ok(writer.finish()?.0)
    }

    fn end(&mut self, member: &Member, data: &mut impl Read) -> Result<(), TransferError> {
        let bytes = read_all(data, member.size.min(MAX_PAX))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| member.refused(e.to_string()))?;
        if manifest.version != VERSION {
            let version = manifest.version;
            return Err(member.refused(format!("says the tar has version {version}")));
        }
        let count = |manifest: &Manifest| (manifest.entries, manifest.files, manifest.bytes);
        if count(&manifest) != count(&self.seen) {
            return Err(member.refused(format!(
                "says {:?} entries, files and bytes came, and it was {:?}",
                count(&manifest),
                count(&self.seen)
            )));
        }
        self.manifest = Some(manifest);
        Ok(())
    }
}

/// The tree as far as it came: the folders on the way to the present file.
struct Tree {
    nodes: Nodes,
    stream: Stream,
    levels: Vec<Level>,
    /// The file that came last: what belongs to it may follow.
    file: Option<File>,
}

/// A folder that is being filled.
struct Level {
    path: String,
    entry: Entry,
    map: Map,
    /// Entries that are not in the map yet.
    batch: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Name of the last entry.
    last: String,
    /// Older versions; folders have none.
    versions: Vec<(String, Entry)>,
}

struct File {
    path: String,
    name: String,
    entry: Entry,
    versions: Vec<(String, Entry)>,
}

impl Tree {
    fn new(nodes: Nodes, stream: Stream) -> Self {
        let mut tree = Tree {
            nodes,
            stream,
            levels: Vec::new(),
            file: None,
        };
        let root = tree.level(String::new(), Entry::dir(None, 0));
        tree.levels.push(root);
        tree
    }

    fn level(&self, path: String, entry: Entry) -> Level {
        Level {
            path,
            entry,
            map: Map::new(&self.nodes, None, Shape::Directory),
            batch: Vec::new(),
            last: String::new(),
            versions: Vec::new(),
        }
    }

    /// Closes what ended before this member, which must be the next in order.
    fn go_to(&mut self, member: &Member) -> Result<(), TransferError> {
        self.close_file()?;
        let (above, name) = member.path.rsplit_once('/').unwrap_or(("", &member.path));
        while self.levels.len() > 1 && self.levels.last().is_some_and(|last| last.path != above) {
            self.close_folder()?;
        }
        let out_of_order = || member.refused("is out of order, or is there twice");
        let level = self.levels.last_mut().ok_or_else(out_of_order)?;
        if level.path != above || level.last.as_str() >= name {
            return Err(out_of_order());
        }
        level.last = name.to_owned();
        Ok(())
    }

    /// A file or folder, to which [`Tree::go_to`] went.
    fn open(&mut self, member: &Member, entry: Entry) {
        if member.is_dir {
            let level = self.level(member.path.clone(), entry);
            self.levels.push(level);
        } else {
            self.file = Some(File {
                path: member.path.clone(),
                name: name_of(&member.path).to_owned(),
                entry,
                versions: Vec::new(),
            });
        }
    }

    /// The file or folder, or version of it, that this member belongs to: the one that came last.
    fn owner(&mut self, member: &Member) -> Result<&mut Entry, TransferError> {
        let wrong = || member.refused("does not come behind what it belongs to");
        let (path, entry, versions) = self.last().ok_or_else(wrong)?;
        if path != member.of {
            return Err(wrong());
        }
        match &member.version {
            None => Ok(entry),
            Some(version) => match versions.last_mut() {
                Some((name, entry)) if name == version => Ok(entry),
                _ => Err(wrong()),
            },
        }
    }

    fn last(&mut self) -> Option<(&str, &mut Entry, &mut Vec<(String, Entry)>)> {
        if let Some(file) = &mut self.file {
            return Some((&file.path, &mut file.entry, &mut file.versions));
        }
        let level = self.levels.last_mut()?;
        Some((&level.path, &mut level.entry, &mut level.versions))
    }

    fn add_version(&mut self, member: &Member, content: ContentId) -> Result<(), TransferError> {
        let wrong = || member.refused("is no version of the file that came last");
        let name = member.version.clone().filter(|name| names::is_good(name));
        let name = name.ok_or_else(wrong)?;
        let file = self.file.as_mut().filter(|file| file.path == member.of);
        let versions = &mut file.ok_or_else(wrong)?.versions;
        if versions.last().is_some_and(|(last, _)| *last >= name) {
            return Err(wrong());
        }
        let mut entry = Entry::file(content, member.size, member.mtime, None);
        entry.tag = member.tag;
        versions.push((name, entry));
        Ok(())
    }

    fn close_file(&mut self) -> Result<(), TransferError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let versions = file
            .versions
            .iter()
            .map(|(name, entry)| (name.as_bytes().to_vec(), Some(entry.encode(name))));
        let map = Map::new(&self.nodes, None, Shape::Directory);
        file.entry.versions = map.apply(&mut self.stream, versions)?.root();
        self.add(&file.name, &file.entry)
    }

    fn close_folder(&mut self) -> Result<(), TransferError> {
        let Some(mut level) = self.levels.pop() else {
            return Ok(());
        };
        level.flush(&mut self.stream)?;
        let root = level.map.root();
        level.entry.kind = EntryKind::Dir { root };
        self.add(name_of(&level.path), &level.entry)
    }

    /// An entry of the present folder.
    fn add(&mut self, name: &str, entry: &Entry) -> Result<(), TransferError> {
        if let Some(level) = self.levels.last_mut() {
            let encoded = Some(entry.encode(name));
            level.batch.push((name.as_bytes().to_vec(), encoded));
            if level.batch.len() >= BATCH {
                level.flush(&mut self.stream)?;
            }
        }
        Ok(())
    }

    /// Closes all; the root of the tree.
    fn finish(mut self) -> Result<MapRoot, TransferError> {
        self.close_file()?;
        while self.levels.len() > 1 {
            self.close_folder()?;
        }
        let Some(mut root) = self.levels.pop() else {
            return Ok(None);
        };
        root.flush(&mut self.stream)?;
        Ok(root.map.root())
    }
}

impl Level {
    fn flush(&mut self, stream: &mut Stream) -> Result<(), TransferError> {
        let batch = std::mem::take(&mut self.batch);
        self.map = self.map.apply(stream, batch)?;
        Ok(())
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
