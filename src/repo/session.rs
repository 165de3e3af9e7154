//! Sessions: everybody who writes at present, in sealed files `sessions/<32 hex>`.
//!
//! Any number of sessions write at once: packs and index files have random names, and nothing is
//! replaced. A session's file tells the others what it needs and what it did: the roots it goes on
//! from, the newest generation of deletions that it knows of, and the names it added to and took off the
//! [`inventory`](super::inventory). It exists before the session relies on anything in the repository, and
//! goes when the session ends.
//!
//! Invariants: a session that others took for dead has no file, and commits nothing
//! ([`Session::check`]). What a session did to the inventory is in its file until somebody with the
//! maintenance lock has it in the inventory itself: so only they remove files of sessions that ended
//! or died.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Inner;
use super::backend;
use super::beacon::{self, Beacon, Folder, Found};
use super::error::{RepoError, Result};
use super::inventory::Names;
use super::lock::MaintenanceLock;
use super::seal::FileType;
use super::snapshot::Roots;

/// Where the files of sessions are.
pub(crate) const FOLDER: Folder = Folder {
    name: "sessions",
    kind: FileType::Session,
};

/// What a session's file says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    pub generation: u64,
    /// Names of condemned packs that it relies on all the same.
    #[serde(default)]
    pub needs: Names,
    pub roots: Vec<Roots>,
    pub added: Names,
    pub removed: Names,
    /// Its owner is done; what it added and removed is still to be folded into the inventory.
    pub ended: bool,
}

/// A session as others see it.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    /// 32 hex digits.
    pub id: String,
    /// Process and host.
    pub holder: String,
    /// The newest generation of deletions it has seen.
    pub generation: u64,
    /// Condemned packs that it relied on before it knew.
    pub needs: Names,
    /// What it goes on from: these and all they need stay.
    pub roots: Vec<Roots>,
    /// It writes no more.
    pub ended: bool,
}

impl SessionInfo {
    fn new(found: Found<Content>) -> Result<Self> {
        let content = found.content?;
        Ok(SessionInfo {
            id: found.id,
            holder: found.holder,
            generation: content.generation,
            needs: content.needs,
            roots: content.roots,
            ended: content.ended,
        })
    }
}

/// This process's own session. It ends when it is dropped.
pub(crate) struct Session {
    repo: Arc<Inner>,
    /// There until it is dropped.
    beacon: Option<Beacon<Content>>,
    staging: PathBuf,
}

impl Session {
    pub(crate) fn begin(repo: &Arc<Inner>) -> Result<Self> {
        let beacon = Beacon::light(repo, FOLDER, Content::default())?;
        Ok(Session {
            staging: repo.backend.staging().join(beacon.id()),
            repo: repo.clone(),
            beacon: Some(beacon),
        })
    }

    fn beacon(&self) -> Result<&Beacon<Content>> {
        let ended = || RepoError::Invalid("the session has ended".into());
        self.beacon.as_ref().ok_or_else(ended)
    }

    pub(crate) fn id(&self) -> &str {
        self.beacon.as_ref().map_or("", |beacon| beacon.id())
    }

    /// Where its packs grow.
    pub(crate) fn staging(&self) -> &std::path::Path {
        &self.staging
    }

    /// Fails when somebody took this process for dead. To be asked before and after everything that
    /// others may rely on.
    pub(crate) fn check(&self) -> Result<()> {
        self.beacon()?.check()
    }

    /// Says, durably, that of the packs condemned up to this generation this session relies on these
    /// at most.
    pub(crate) fn saw_generation(&self, generation: u64, needs: Names) -> Result<()> {
        let beacon = self.beacon()?;
        if beacon.with(|own| own.generation == generation && own.needs.is_superset(&needs)) {
            return Ok(());
        }
        beacon.change(|own| {
            own.generation = generation;
            own.needs.extend(needs);
        })?;
        Ok(())
    }

    /// Says, durably, what it goes on from, in place of what it said before.
    pub(crate) fn set_roots(&self, roots: Vec<Roots>) -> Result<()> {
        let beacon = self.beacon()?;
        if beacon.with(|own| own.roots != roots) {
            beacon.change(|own| own.roots = roots)?;
        }
        Ok(())
    }

    /// Takes files into the inventory and off it, durably. Returns the bytes it took.
    pub(crate) fn take_stock(
        &self,
        added: impl IntoIterator<Item = String>,
        removed: impl IntoIterator<Item = String>,
    ) -> Result<u64> {
        self.beacon()?.change(|own| {
            for name in removed {
                own.added.remove(&name);
                own.removed.insert(name);
            }
            for name in added {
                own.removed.remove(&name);
                own.added.insert(name);
            }
        })
    }

    /// Folds what it did into the inventory if nobody has the maintenance lock, else leaves its file to
    /// whoever has it next.
    fn end(&mut self) -> Result<()> {
        let Some(beacon) = self.beacon.take() else {
            return Ok(());
        };
        if beacon.with(|own| own.added.is_empty() && own.removed.is_empty()) {
            return Ok(());
        }
        let said = beacon.change(|own| own.ended = true);
        beacon.leave();
        said?;
        match MaintenanceLock::try_acquire(&self.repo.backend)? {
            Some(lock) => self.repo.sessions().sweep(&lock),
            None => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let ended = self.end().and_then(|()| remove_staging(&self.staging));
        if let Err(e) = ended {
            tracing::warn!("{e}; the next writer cleans up");
        }
    }
}

/// Everybody who writes.
pub(crate) struct Sessions<'a> {
    repo: &'a Inner,
}

impl Inner {
    pub(crate) fn sessions(&self) -> Sessions<'_> {
        Sessions { repo: self }
    }
}

impl Sessions<'_> {
    /// All that may still write. Those that are dead are removed first if nobody has the maintenance
    /// lock; as long as their file is there they count as alive. So whoever has the lock calls
    /// [`Sessions::sweep`] first.
    ///
    /// # Errors
    /// [`RepoError::Damaged`] when it cannot be read what a session needs.
    pub(crate) fn live(&self) -> Result<Vec<SessionInfo>> {
        let mut found = self.find()?;
        if found.iter().any(is_over)
            && let Some(lock) = MaintenanceLock::try_acquire(&self.repo.backend)?
        {
            self.sweep(&lock)?;
            found = self.find()?;
        }
        let all = found.into_iter().map(SessionInfo::new);
        let live = all.filter(|info| !info.as_ref().is_ok_and(|info| info.ended));
        live.collect()
    }

    /// Removes the files of sessions that ended or died, when the inventory has what they did.
    pub(crate) fn sweep(&self, lock: &MaintenanceLock) -> Result<()> {
        self.repo.change_inventory(lock, [], &[])?;
        beacon::remove_stale_locks(self.repo, FOLDER)
    }

    /// Sweeps when it is known of each session that is there now whether its owner lives. On a directory it
    /// always is. In an object store the living are seen to beat; a process that does not live for long
    /// would otherwise never see that another one died.
    pub(crate) fn settle(&self, lock: &MaintenanceLock) -> Result<()> {
        let timing = self.repo.backend.watch.timing;
        let mut silent: HashMap<String, u64> = match self.repo.backend.is_local() {
            true => HashMap::new(),
            false => self.find()?.into_iter().map(|s| (s.id, s.beat)).collect(),
        };
        while !silent.is_empty() {
            let found = self.find()?;
            silent.retain(|id, first| {
                let now = found.iter().find(|session| session.id == *id);
                now.is_some_and(|now| now.beat == *first && !is_over(now))
            });
            if !silent.is_empty() {
                lock.check()?;
                std::thread::sleep(timing.refresh / 4);
            }
        }
        self.sweep(lock)
    }

    pub(super) fn find(&self) -> Result<Vec<Found<Content>>> {
        beacon::find(self.repo, FOLDER)
    }

    /// Removes what sessions that are not there any more left in the staging folder, and files that nobody
    /// finished writing.
    pub(crate) fn clear_staging(&self) -> Result<()> {
        if let Some(root) = self.repo.backend.root() {
            backend::remove_abandoned(root);
        }
        let staging = self.repo.backend.staging();
        let failed = |e| RepoError::io(format!("cannot list {}", staging.display()), e);
        let entries = match fs::read_dir(staging) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed(e)),
        };
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed)?;
        // Looked for afterwards: a session has its file before it has a folder here.
        let there: HashSet<String> = self.find()?.into_iter().map(|found| found.id).collect();
        for entry in entries {
            if !there.contains(&*entry.file_name().to_string_lossy()) {
                remove_staging(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// It ended, or its owner is dead.
pub(super) fn is_over(found: &Found<Content>) -> bool {
    !found.alive || found.content.as_ref().is_ok_and(|content| content.ended)
}

fn remove_staging(path: &std::path::Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(RepoError::io(
            format!("cannot remove {}", path.display()),
            e,
        )),
        _ => Ok(()),
    }
}
