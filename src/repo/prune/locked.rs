//! Packs that the store itself keeps: nobody tries to delete them.

use jiff::Timestamp;

use super::super::error::{RepoError, Result};
use super::super::parity;
use super::Prune;
use super::mark::PackUse;

/// Packs that are asked about before the next ones are.
const AT_ONCE: usize = 1000;

impl Prune<'_> {
    /// Those of `packs` that the store does not keep, as far as it says; tells of the others in the report.
    pub(super) fn without_locked(&mut self, packs: Vec<PackUse>) -> Result<Vec<PackUse>> {
        let backend = &self.maintenance.inner().backend;
        if packs.is_empty() || backend.locking()?.is_none() {
            return Ok(packs);
        }
        let now = Timestamp::now();
        let mut free = Vec::with_capacity(packs.len());
        for packs in packs.chunks(AT_ONCE) {
            let files = packs
                .iter()
                .flat_map(|pack| [pack.id.file(pack.class), parity::file(pack.id)]);
            let kept = backend.kept(files.collect());
            for (pack, kept) in packs.iter().zip(kept.chunks(2)) {
                let mut locked = false;
                let mut until = None;
                for kept in kept {
                    match kept {
                        Ok(kept) if kept.is_locked(now) => {
                            locked = true;
                            until = until.max(kept.retained.map(|(until, _)| until));
                        }
                        Ok(_) | Err(RepoError::FileMissing { .. }) => {}
                        // Deleting it tells.
                        Err(error) => tracing::warn!("{error}"),
                    }
                }
                match locked {
                    true => self.add_locked(pack, until),
                    false => free.push(pack.clone()),
                }
            }
        }
        Ok(free)
    }

    /// Tells of a pack that stays since the store keeps it.
    pub(super) fn add_locked(&mut self, pack: &PackUse, until: Option<Timestamp>) {
        self.report.locked.add(pack);
        self.report.locked_until = self.report.locked_until.max(until);
    }
}
