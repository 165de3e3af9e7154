//! What a new writer does first: clean up after those that died.
//!
//! Half-written packs of dead sessions are removed. Packs that are whole but that no index file names
//! (their writer died between the two) are taken into the index from their own footers, so that their
//! objects need not be stored again; but only when nobody else writes who may be about to do that. And packs that the index names must be in the listing: a listing that shrank
//! is not believed, and nothing is written on top of it.

use std::collections::{HashMap, HashSet};

use super::Inner;
use super::dictionary::{self, Samples};
use super::error::{RepoError, Result};
use super::id::{Kind, PackClass, PackId};
use super::session::Session;

impl Inner {
    /// Cleans up, if this session is the only one.
    pub(crate) fn adopt(&self, session: &Session) -> Result<()> {
        let sessions = self.sessions();
        let others = sessions.live()?;
        sessions.clear_staging()?;
        let listed = self.checked_listing()?;
        if others.iter().any(|other| other.id != session.id()) {
            return Ok(());
        }
        let indexed: HashSet<PackId> = self.index.packs().into_iter().map(|p| p.1).collect();
        let mut tables = Vec::new();
        for (id, (class, size)) in listed {
            if indexed.contains(&id) || self.condemned.read().contains(&id) {
                continue;
            }
            // What a repair that died put aside is not taken back.
            if self.is_aside(&id.file(class))? {
                continue;
            }
            match self.ends(class, id, size) {
                Ok(ends) => tables.push(ends.table),
                // It was deleted, and is listed all the same for a while.
                Err(RepoError::FileMissing { .. }) => {}
                // Nothing committed needs it: its writer died before anything named it. Verify reports it.
                Err(e @ RepoError::Damaged { .. }) => tracing::warn!("not adopted: {e}"),
                Err(e) => return Err(e),
            }
        }
        if !tables.is_empty() {
            tracing::info!(
                "taking {} packs into the index that their writer left behind",
                tables.len()
            );
            let (name, _) = self.index.add(&tables)?;
            session.take_stock([name], [])?;
        }
        Ok(())
    }

    /// All packs in the listing, which has all that the index names.
    fn checked_listing(&self) -> Result<HashMap<PackId, (PackClass, u64)>> {
        let look = || -> Result<_> {
            self.refresh_index()?;
            let listed = self.listed_packs()?;
            // Read last: a list is there before its packs go.
            let excused = self.excused_packs()?;
            let mut known = self.index.packs();
            known.retain(|(_, id, _)| !excused.contains(id));
            check_listing(&known, &listed)?;
            Ok(listed)
        };
        match look() {
            // Packs may have been deleted on purpose between the two: then the index does not name
            // them any more.
            Err(RepoError::ListingShrank { .. }) => look(),
            looked => looked,
        }
    }

    /// Samples of what is stored of a kind, when there is enough for a dictionary: a repository
    /// that grew slowly gets one too. None when there is not, or they cannot be read.
    pub(crate) fn samples(&self, kind: Kind) -> Samples {
        let mut samples = Samples::default();
        if !dictionary::is_trained(kind) {
            return samples;
        }
        let mut files = self.index.files();
        files.retain(|(_, file)| file.has_kind(kind));
        let count = || {
            files
                .iter()
                .flat_map(|(_, file)| file.objects())
                .filter(|(_, place)| place.frame.kind == kind)
        };
        let step = count().count() / dictionary::SAMPLED_OBJECTS;
        if step == 0 {
            return samples;
        }
        for (_, place) in count().step_by(step) {
            let Ok(frame) = self.frame(&place.frame) else {
                return Samples::default();
            };
            let start = place.offset as usize;
            samples.add(
                frame
                    .get(start..start + place.len as usize)
                    .unwrap_or_default(),
            );
        }
        samples
    }

    /// All packs in the listing.
    pub(crate) fn listed_packs(&self) -> Result<HashMap<PackId, (PackClass, u64)>> {
        let mut packs = HashMap::new();
        for class in PackClass::ALL {
            for info in self.backend.list(class.folder())? {
                if let Some((class, id)) = PackId::parse(&info.name) {
                    packs.insert(id, (class, info.size));
                }
            }
        }
        Ok(packs)
    }
}

/// Every pack that is known must be listed.
pub(crate) fn check_listing(
    known: &[(PackClass, PackId, u64)],
    listed: &HashMap<PackId, (PackClass, u64)>,
) -> Result<()> {
    let mut missing = known
        .iter()
        .filter(|(class, id, _)| listed.get(id).is_none_or(|(found, _)| found != class));
    match missing.next() {
        None => Ok(()),
        Some((class, id, _)) => Err(RepoError::ListingShrank {
            missing: missing.count() + 1,
            known: known.len(),
            first: id.file(*class),
        }),
    }
}
