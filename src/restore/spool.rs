//! What is to be restored, on this machine's disk: the bytes, and a ticket that says all about them.
//!
//! `<id>.data` has the bytes, `<id>.json` the [`Ticket`]. Together they are self-describing: whatever
//! else is lost, the push can be done, or found out about, from these two alone.
//!
//! Invariants:
//! - A ticket appears whole or not at all (written aside, made durable, renamed), and after its data
//!   is durable. It goes away before its data.
//! - Data without a ticket was never closed by its writer, or is done: [`Spool::open`] removes it.
//! - Nobody but the daemon's user can read the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::policy::Conflict;
use super::target::TargetPath;
use crate::local::now;
use crate::repo::content::ContentId;
use crate::tree::Entry;

/// A ticket is small; a larger file is none.
const MAX_TICKET: u64 = 64 << 10;
/// mtime was not set.
const UNSET: i64 = i64::MIN;

/// How far a push is, as its ticket tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The bytes are safe; no request went out yet.
    Waiting,
    /// A request may have gone out: what became of it must be asked before it is repeated.
    Pushing,
    /// Refused for good, and nobody was waiting to be told.
    Failed {
        /// What `close()` would have returned.
        errno: i32,
        /// Why.
        reason: String,
        /// Unix seconds.
        at: i64,
    },
}

/// Which item of a snapshot the bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Object id of the Graph record, hex.
    pub record: String,
    /// The item's key, hex.
    pub key: String,
    /// Name of the workload it came from (`mail`).
    pub workload: String,
    /// Where it was: snapshot and path, for people.
    pub path: String,
    /// Content id of what restores it exactly, if the snapshot has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<ContentId>,
    /// It is an older version of the file: object id of what Graph says of that, hex. `record` is the
    /// file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Origin {
    /// The version of that time, of the file that this is.
    pub fn as_version(self, time: &str, version: &Entry) -> Origin {
        Origin {
            path: format!("{}, the version of {time}", self.path),
            original: None,
            version: version.record.map(|record| record.to_string()),
            ..self
        }
    }
}

/// Everything about one push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Layout of this file.
    pub version: u32,
    /// The push: also the marker on the item.
    #[serde(with = "as_text")]
    pub id: Uuid,
    /// Where to, with its policy, as below `restore/`.
    pub target: String,
    /// Graph id of the account: the name in `target` can change.
    pub account: String,
    /// Name of the workload.
    pub workload: String,
    /// What to do with what is there: the target's policy, or the configured one.
    pub conflict: Conflict,
    /// Nobody waits for the result.
    pub queued: bool,
    /// Unix seconds.
    pub created: i64,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the bytes, hex.
    pub hash: String,
    /// Unix seconds.
    pub mtime: i64,
    /// What it is, if a snapshot has it.
    pub origin: Option<Origin>,
    /// How far it is.
    #[serde(flatten)]
    pub state: State,
}

impl Ticket {
    /// The layout written now.
    pub const VERSION: u32 = 1;
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(d)?;
        Uuid::parse_str(&text).map_err(serde::de::Error::custom)
    }
}

/// The folder of spooled files.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// Opens the folder, made if it is not there, and reads the tickets in it, oldest first. Files that
    /// belong to none are removed. The caller must be the only one who uses the folder.
    ///
    /// A ticket that cannot be read (a disk error, a newer layout) is left alone, with a warning.
    pub fn open(dir: &Path) -> io::Result<(Arc<Spool>, Vec<Ticket>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let spool = Spool {
            dir: dir.to_owned(),
        };
        let mut tickets = Vec::new();
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some((stem, kind)) = name.split_once('.') else {
                continue;
            };
            let Ok(id) = Uuid::parse_str(stem) else {
                continue;
            };
            match kind {
                "json" => match spool.read(id) {
                    Ok(ticket) => tickets.push(ticket),
                    Err(e) => tracing::warn!(
                        file = %spool.ticket_path(id).display(), reason = %e,
                        "a spooled restore cannot be read; it is left where it is"
                    ),
                },
                _ => files.push((id, name.to_owned())),
            }
        }
        for (id, name) in files {
            // Data without a ticket, tickets half written.
            if !name.ends_with(".data") || !spool.ticket_path(id).exists() {
                fs::remove_file(dir.join(name))?;
            }
        }
        tickets.sort_by_key(|ticket| (ticket.created, ticket.id));
        Ok((Arc::new(spool), tickets))
    }

    /// A new, empty file for what goes to `target`.
    pub fn create(self: &Arc<Self>, target: TargetPath) -> io::Result<SpoolFile> {
        let id = Uuid::new_v4();
        let path = self.data_path(id);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(SpoolFile {
            id,
            target,
            origin: None,
            file,
            mtime: AtomicI64::new(UNSET),
            spool: Arc::clone(self),
            keep: false,
        })
    }

    /// Where a push's bytes are.
    pub fn data_path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.data"))
    }

    fn ticket_path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// The ticket of a push.
    pub fn read(&self, id: Uuid) -> io::Result<Ticket> {
        let mut bytes = Vec::new();
        File::open(self.ticket_path(id))?
            .take(MAX_TICKET)
            .read_to_end(&mut bytes)?;
        let ticket: Ticket = serde_json::from_slice(&bytes)?;
        if ticket.version != Ticket::VERSION {
            return Err(io::Error::other(format!(
                "layout {} is newer than this version of tenantfs knows",
                ticket.version
            )));
        }
        if ticket.id != id {
            return Err(io::Error::other(
                "the name of the file is not that of the ticket",
            ));
        }
        Ok(ticket)
    }

    /// Writes a ticket; it is durable on return.
    pub fn write(&self, ticket: &Ticket) -> io::Result<()> {
        let aside = self.dir.join(format!("{}.new", ticket.id));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        io::Write::write_all(&mut file, &serde_json::to_vec_pretty(ticket)?)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&aside, self.ticket_path(ticket.id))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes ticket and bytes of a push that is over.
    ///
    /// Not made durable: after a power cut the ticket may be back, and the push is then found out about
    /// like any other.
    pub fn remove(&self, id: Uuid) -> io::Result<()> {
        gone_is_fine(fs::remove_file(self.ticket_path(id)))?;
        gone_is_fine(fs::remove_file(self.data_path(id)))
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file that is being written below `restore/`: private, on this machine's disk. Dropping it without
/// a push discards it.
#[derive(Debug)]
pub struct SpoolFile {
    id: Uuid,
    target: TargetPath,
    origin: Option<Origin>,
    file: File,
    mtime: AtomicI64,
    spool: Arc<Spool>,
    keep: bool,
}

impl SpoolFile {
    /// The id its push will have.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Where it goes.
    pub fn target(&self) -> &TargetPath {
        &self.target
    }

    /// Sends it somewhere else: a rename before the push.
    pub fn set_target(&mut self, target: TargetPath) {
        self.target = target;
    }

    /// What a snapshot knows about it, if the caller knows.
    pub(super) fn set_origin(&mut self, origin: Option<Origin>) {
        self.origin = origin;
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Reads at most `len` bytes; fewer only at the end.
    pub fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let left = self.len()?.saturating_sub(offset);
        let mut buf = vec![0; len.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        buf.truncate(done);
        Ok(buf)
    }

    /// Writes all of `bytes`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Cuts or extends it.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Bytes.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the time of last modification, Unix seconds.
    pub fn set_mtime(&self, mtime: i64) {
        self.mtime.store(mtime, Ordering::Relaxed);
    }

    /// The time that was set, Unix seconds, or when it was last written.
    pub fn mtime(&self) -> i64 {
        match self.mtime.load(Ordering::Relaxed) {
            UNSET => self
                .file
                .metadata()
                .and_then(|m| m.modified())
                .ok()
                .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
                .map_or_else(now, |d| d.as_secs() as i64),
            set => set,
        }
    }

    /// Where its bytes are.
    pub(super) fn path(&self) -> PathBuf {
        self.spool.data_path(self.id)
    }

    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// From now on the ticket owns the bytes.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = gone_is_fine(fs::remove_file(self.path()))
        {
            tracing::warn!(file = %self.path().display(), reason = %e, "cannot remove a spooled file");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn ticket(target: &str) -> Ticket {
        Ticket {
            version: Ticket::VERSION,
            id: Uuid::new_v4(),
            target: target.to_owned(),
            account: "id-bob".to_owned(),
            workload: "mail".to_owned(),
            conflict: Conflict::Skip,
            queued: true,
            created: 1,
            size: 3,
            hash: "00".to_owned(),
            mtime: 2,
            origin: None,
            state: State::Waiting,
        }
    }

    #[test]
    fn tickets_survive_and_orphans_go() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, found) = Spool::open(dir.path()).unwrap();
        assert!(found.is_empty());
        let target = TargetPath::parse("bob/Mail/x.eml").unwrap();

        let closed = spool.create(target.clone()).unwrap();
        closed.write_at(0, b"abc").unwrap();
        let mut t = ticket("bob/Mail/x.eml");
        t.id = closed.id();
        t.state = State::Failed {
            errno: 5,
            reason: "because".to_owned(),
            at: 9,
        };
        spool.write(&t).unwrap();
        closed.keep();

        let discarded = spool.create(target.clone()).unwrap();
        let gone = discarded.path();
        drop(discarded);
        assert!(!gone.exists());

        let killed = spool.create(target).unwrap();
        let killed_path = killed.path();
        killed.keep();
        fs::write(dir.path().join(format!("{}.new", Uuid::new_v4())), b"{").unwrap();
        fs::write(
            dir.path().join(format!("{}.json", Uuid::new_v4())),
            b"not json",
        )
        .unwrap();

        let (spool, found) = Spool::open(dir.path()).unwrap();
        assert_eq!(found, [t.clone()]);
        assert_eq!(fs::read(spool.data_path(t.id)).unwrap(), b"abc");
        assert!(!killed_path.exists());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            3,
            "an unreadable ticket stays"
        );
        spool.remove(t.id).unwrap();
        spool.remove(t.id).unwrap();
        assert!(Spool::open(dir.path()).unwrap().1.is_empty());
    }

    #[test]
    fn files_behave_as_files() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path()).unwrap();
        let file = spool
            .create(TargetPath::parse("bob/OneDrive/a").unwrap())
            .unwrap();
        file.write_at(5, b"world").unwrap();
        file.write_at(0, b"hello").unwrap();
        assert_eq!(file.read_at(3, 100).unwrap(), b"loworld");
        assert_eq!(file.read_at(100, 5).unwrap(), b"");
        file.truncate(4).unwrap();
        assert_eq!(file.len().unwrap(), 4);
        assert!(file.mtime() > 1_600_000_000);
        file.set_mtime(-5);
        assert_eq!(file.mtime(), -5);
    }
}
