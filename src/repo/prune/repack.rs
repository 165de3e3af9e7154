//! Storing what is in use of some packs again.

use std::collections::HashSet;

use super::super::Inner;
use super::super::check::place_of;
use super::super::error::{RepoError, Result};
use super::super::stream::Stream;
use super::super::writer::Writer;
use super::mark::{Mark, PackUse};
use super::{Prune, PrunePhase};

/// Objects after which what was stored is flushed: until then the writer keeps their places in memory.
const FLUSH: u64 = 100_000;

impl Prune<'_> {
    /// Stores what is in use of these packs again, durable and indexed. Returns the packs that are not
    /// needed any more: those that could be read as a whole.
    pub(super) fn repack(
        &mut self,
        writer: &Writer,
        mark: &Mark,
        packs: Vec<PackUse>,
    ) -> Result<Vec<PackUse>> {
        let inner = self.maintenance.inner();
        let mut stream = writer.stream();
        let mut waiting = 0;
        let mut done = Vec::with_capacity(packs.len());
        let total = packs.len() as u64;
        for (count, pack) in (0..).zip(packs) {
            (self.progress)(PrunePhase::Repacking, count, total);
            self.maintenance.lock().check()?;
            match inner.store_again(mark, &pack, &mut stream) {
                Ok(()) => {
                    self.report.repacked.add(&pack);
                    waiting += pack.live_objects;
                    done.push(pack);
                }
                Err(e @ (RepoError::Damaged { .. } | RepoError::FileMissing { .. })) => {
                    tracing::error!("{e}; the pack stays as it is");
                    self.report.damaged.push(pack.id.file(pack.class));
                }
                Err(e) => return Err(e),
            }
            if waiting >= FLUSH {
                writer.flush()?;
                waiting = 0;
            }
        }
        writer.flush()?;
        (self.progress)(PrunePhase::Repacking, total, total);
        Ok(done)
    }
}

impl Inner {
    /// Puts what is in use of a pack into a stream, in the pack's order.
    fn store_again(&self, mark: &Mark, from: &PackUse, stream: &mut Stream) -> Result<()> {
        let table = self.ends(from.class, from.id, from.size)?.table;
        let mut stored = HashSet::new();
        for (number, frame) in (0..).zip(&table.frames) {
            let objects = frame.objects.iter();
            let live: Vec<bool> = objects.map(|(id, _)| mark.keeps(id, from.id)).collect();
            if !live.contains(&true) {
                continue;
            }
            let bytes = self.read_frame(&place_of(&table, number, frame))?;
            let mut at = 0;
            for ((id, len), live) in frame.objects.iter().zip(live) {
                let end = at + *len as usize;
                // The table says that objects fill their frame.
                let object = bytes.get(at..end).unwrap_or_default();
                at = end;
                if !live || !stored.insert(*id) {
                    continue;
                }
                if self.id_of(frame.kind, object) != *id {
                    return Err(RepoError::damaged(
                        from.id.file(from.class),
                        format!("object {id} in frame {number} has another content"),
                    ));
                }
                stream.put(frame.kind, object)?;
            }
        }
        Ok(())
    }
}
