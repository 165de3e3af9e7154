//! A snapshot, or a part of it, as a tar.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tar::{Builder, EntryType, Header};

use super::{ATTRIBUTE, HIDDEN, MANIFEST, Manifest, REPORT, TransferError, VERSION};
use crate::repo::content::{ContentId, Encoding, Reader, Recipe, Shape};
use crate::repo::{Kind, ObjectId, Repository, Snapshot};
use crate::tree::state::Accounts;
use crate::tree::view::{Dir, resolve};
use crate::tree::{Entry, EntryKind, Nodes, TreeError, records, versions};

/// Bytes that are read of a content at a time.
const PIECE: usize = 1 << 20;
/// Names of a folder that are read at a time.
const BATCH: usize = 256;

/// Writes what is at `path` in a snapshot (everything with "") to `out`. `progress` gets files and their
/// bytes so far.
pub fn export(
    repo: &Repository,
    snapshot: &Snapshot,
    path: &str,
    out: impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Manifest, TransferError> {
    let nodes = Nodes::new(repo);
    let manifest = Manifest {
        version: VERSION,
        snapshot: snapshot.name.clone(),
        time: snapshot.manifest.time,
        host: snapshot.manifest.host.clone(),
        accounts: snapshot.manifest.totals.accounts,
        workloads: workloads(&nodes, snapshot)?,
        ..Manifest::default()
    };
    let mut export = Export {
        repo,
        nodes: &nodes,
        tar: Builder::new(out),
        manifest,
        progress,
    };
    let root = snapshot.manifest.tree;
    let missing = || TransferError::NoSuchPath {
        path: path.to_owned(),
        snapshot: snapshot.name.clone(),
    };
    let entry = resolve(&nodes, root, path)?.ok_or_else(missing)?;
    // The folders above come along, so that all has its place.
    for (at, _) in path.match_indices('/') {
        let above = resolve(&nodes, root, &path[..at])?.ok_or_else(missing)?;
        export.entry(&path[..at], &above)?;
    }
    if !path.is_empty() {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = resolve(&nodes, root, above)?.ok_or_else(missing)?;
        let folder = Dir::new(&nodes, folder.dir_root());
        export.whole(&folder, path, name, &entry)?;
    }
    if let Some(folder) = Dir::enter(&nodes, &entry) {
        export.below(folder, path)?;
    }
    if let Some(report) = snapshot.manifest.report {
        let attributes = [("role", "report".to_owned())];
        export.object(REPORT, report, snapshot.manifest.time, &attributes)?;
    }
    export.finish()
}

/// Names of the workloads by their folders.
fn workloads(
    nodes: &Nodes,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, String>, TransferError> {
    let mut names = snapshot.manifest.workloads.clone();
    for account in Accounts::new(nodes, snapshot.manifest.state).iter()? {
        let (_, account) = account?;
        let found = account.workloads.into_iter();
        names.extend(found.map(|(name, workload)| (workload.folder, name)));
    }
    Ok(names)
}

struct Export<'a, W: Write> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    tar: Builder<W>,
    manifest: Manifest,
    progress: &'a mut dyn FnMut(u64, u64),
}

/// Names and values of pax records.
type Attributes<'a> = [(&'a str, String)];

impl<W: Write> Export<'_, W> {
    /// Everything in a folder.
    fn below(&mut self, folder: Dir, path: &str) -> Result<(), TransferError> {
        struct Level {
            folder: Dir,
            path: String,
            position: u64,
            batch: std::vec::IntoIter<(Box<str>, Entry)>,
        }
        let level = |folder, path: &str| Level {
            folder,
            path: path.to_owned(),
            position: 0,
            batch: Vec::new().into_iter(),
        };
        let mut levels = vec![level(folder, path)];
        while let Some(last) = levels.last_mut() {
            if last.batch.len() == 0 {
                let batch = last.folder.list(last.position, BATCH)?;
                last.position += batch.len() as u64;
                last.batch = batch.into_iter();
            }
            let Some((name, entry)) = last.batch.next() else {
                levels.pop();
                continue;
            };
            let path = match last.path.as_str() {
                "" => name.to_string(),
                above => format!("{above}/{name}"),
            };
            self.whole(&last.folder, &path, &name, &entry)?;
            if let Some(folder) = Dir::enter(self.nodes, &entry) {
                levels.push(level(folder, &path));
            }
        }
        Ok(())
    }

    /// A file or folder with all that belongs to it, but for what is in a folder.
    fn whole(
        &mut self,
        folder: &Dir,
        path: &str,
        name: &str,
        entry: &Entry,
    ) -> Result<(), TransferError> {
        self.entry(path, entry)?;
        let above = path.strip_suffix(name).unwrap_or_default();
        let shown = records::record_name(folder, name)?;
        let of = ("of", path.to_owned());
        let place = format!("{HIDDEN}/graph/{above}{shown}");
        self.belongings(&place, entry, std::slice::from_ref(&of))?;
        for (version, old) in versions::list(self.nodes, entry.versions)? {
            let Some((content, size)) = old.content() else {
                continue;
            };
            let base = format!("{HIDDEN}/versions/{path}/{version}");
            let of_version = [of.clone(), ("version", version.to_string())];
            let mut attributes = self.content_attributes(content, &old)?;
            attributes.push(("role", "version".to_owned()));
            attributes.extend(of_version.clone());
            let place = format!("{base}/{name}");
            self.content(&place, content, size, old.mtime, &attributes)?;
            self.belongings(&format!("{base}/{name}.json"), &old, &of_version)?;
        }
        Ok(())
    }

    /// Record and original of an entry. The original is beside the record.
    fn belongings(
        &mut self,
        place: &str,
        entry: &Entry,
        of: &Attributes<'_>,
    ) -> Result<(), TransferError> {
        let with_role = |role: &str| [&[("role", role.to_owned())], of].concat();
        if let Some(record) = entry.record {
            self.object(place, record, entry.mtime, &with_role("record"))?;
        }
        if let Some(original) = entry.original {
            let size = Reader::open(self.repo, original)?.size();
            let place = place.strip_suffix(".json").unwrap_or(place);
            let place = format!("{place}.original");
            self.content(&place, original, size, entry.mtime, &with_role("original"))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, entry: &Entry) -> Result<(), TransferError> {
        self.manifest.entries += 1;
        match entry.kind {
            EntryKind::Dir { .. } => {
                let attributes = [("tag", format!("{:x}", entry.tag))];
                self.append(
                    &format!("{path}/"),
                    EntryType::Directory,
                    0,
                    entry.mtime,
                    &attributes,
                    io::empty(),
                )
            }
            EntryKind::File { content, size } => {
                let attributes = self.content_attributes(content, entry)?;
                self.content(path, content, size, entry.mtime, &attributes)?;
                self.manifest.files += 1;
                self.manifest.bytes += size;
                (self.progress)(self.manifest.files, self.manifest.bytes);
                Ok(())
            }
        }
    }

    fn content_attributes(
        &self,
        content: ContentId,
        entry: &Entry,
    ) -> Result<Vec<(&'static str, String)>, TransferError> {
        let mut attributes = vec![("tag", format!("{:x}", entry.tag))];
        if self.is_mail(content)? {
            attributes.push(("content", "mail".to_owned()));
        }
        Ok(attributes)
    }

    /// True when a content is stored as mails are: whoever stores it again should do so as well.
    fn is_mail(&self, content: ContentId) -> Result<bool, TransferError> {
        match content.shape {
            Shape::Mail => Ok(true),
            Shape::Empty | Shape::Chunk => Ok(false),
            Shape::Recipe => {
                let recipe = self.repo.get(Kind::Recipe, &content.object)?;
                let recipe = Recipe::decode(&recipe).map_err(|_| TreeError::Corrupt {
                    what: "recipe",
                    why: "it is not what it should be; a newer tenantfs may have written it",
                })?;
                let encoded = |encoding| encoding != Encoding::Raw;
                Ok(recipe.objects().any(|(kind, _)| kind == Kind::Mail)
                    || recipe.segments.iter().any(|s| encoded(s.encoding)))
            }
        }
    }

    fn content(
        &mut self,
        path: &str,
        content: ContentId,
        size: u64,
        mtime: i64,
        attributes: &Attributes<'_>,
    ) -> Result<(), TransferError> {
        let reader = Reader::open(self.repo, content)?;
        if reader.size() != size {
            return Err(TransferError::Tree(TreeError::Corrupt {
                what: "file",
                why: "its content has another size than its entry says",
            }));
        }
        let data = Pieces {
            reader,
            offset: 0,
            piece: Bytes::new(),
        };
        self.append(path, EntryType::Regular, size, mtime, attributes, data)
    }

    fn object(
        &mut self,
        path: &str,
        record: ObjectId,
        mtime: i64,
        attributes: &Attributes<'_>,
    ) -> Result<(), TransferError> {
        let record = self.repo.get(Kind::Record, &record)?;
        let size = record.len() as u64;
        self.append(
            path,
            EntryType::Regular,
            size,
            mtime,
            attributes,
            &record[..],
        )
    }

    fn append(
        &mut self,
        path: &str,
        kind: EntryType,
        size: u64,
        mtime: i64,
        attributes: &Attributes<'_>,
        data: impl Read,
    ) -> Result<(), TransferError> {
        let mut pax = vec![("path".to_owned(), path.to_owned())];
        let mut header = Header::new_ustar();
        // The whole path is in the pax record; programs that do not read those get its beginning.
        let name = &mut header.as_old_mut().name;
        let head = path.floor_char_boundary(name.len());
        name[..head].copy_from_slice(&path.as_bytes()[..head]);
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        match u64::try_from(mtime) {
            Ok(mtime) => header.set_mtime(mtime),
            Err(_) => {
                header.set_mtime(0);
                pax.push(("mtime".to_owned(), mtime.to_string()));
            }
        }
        header.set_cksum();
        pax.extend(
            attributes
                .iter()
                .map(|(name, value)| (format!("{ATTRIBUTE}{name}"), value.clone())),
        );
        let records = pax
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.tar
            .append_pax_extensions(records)
            .and_then(|()| self.tar.append(&header, data))
            .map_err(TransferError::Write)
    }

    fn finish(mut self) -> Result<Manifest, TransferError> {
        let json = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|e| TransferError::Write(e.into()))?;
        let (size, time) = (json.len() as u64, self.manifest.time);
        let attributes = [("role", "manifest".to_owned())];
        self.append(
            MANIFEST,
            EntryType::Regular,
            size,
            time,
            &attributes,
            &json[..],
        )?;
        self.tar
            .into_inner()
            .and_then(|mut out| out.flush())
            .map_err(TransferError::Write)?;
        Ok(self.manifest)
    }
}

/// A content as a stream of bytes.
struct Pieces {
    reader: Reader,
    offset: u64,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let piece = self.reader.read_at(self.offset, PIECE);
            self.piece = piece.map_err(io::Error::other)?;
            self.offset += self.piece.len() as u64;
        }
        let len = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}
