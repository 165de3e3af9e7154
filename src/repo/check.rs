//! One pack against what is known of it: its ends, its frames, its parity. Verification, repair, the scrub and
//! whoever takes in a pack that no index names begin here.

use super::Inner;
use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::index::FramePlace;
use super::pack::{self, Ends};
use super::parity::{self, PackParity};
use super::table::{FrameEntry, PackTable};

impl Inner {
    /// What a pack says of itself.
    pub(crate) fn ends(&self, class: PackClass, id: PackId, size: u64) -> Result<Ends> {
        pack::read_ends(&self.backend, &self.keys, &self.config.id, class, id, size)
    }

    /// Reads a frame, and each object in it, against the table.
    pub(crate) fn check_frame(&self, table: &PackTable, number: u32) -> Result<()> {
        let damaged = |reason: String| Err(RepoError::damaged(table.file(), reason));
        let Some(frame) = table.frames.get(number as usize) else {
            return damaged(format!("it has no frame {number}"));
        };
        let bytes = self.read_stored_frame(&place_of(table, number, frame))?;
        let mut rest = &bytes[..];
        for (id, len) in &frame.objects {
            let Some((object, after)) = rest.split_at_checked(*len as usize) else {
                return damaged(format!("frame {number} is shorter than its objects"));
            };
            if self.id_of(frame.kind, object) != *id {
                return damaged(format!("object {id} in frame {number} has another content"));
            }
            rest = after;
        }
        Ok(())
    }

    /// Checks the parity file of a pack, of `len` bytes: its head, or all of it.
    pub(crate) fn check_parity(&self, table: &PackTable, len: u64, whole: bool) -> Result<()> {
        let file = parity::file(table.id);
        let maker = PackParity::new(&self.keys.ids(), &self.config.id, table.class, table.id);
        let checked = if whole {
            maker.check(&self.backend.get(&file)?, table.size)
        } else {
            let begin = self
                .backend
                .get_range(&file, 0, len.min(parity::LONGEST_HEAD))?;
            maker.check_head(&begin, len, table.size)
        };
        checked
            .map_err(|reason| RepoError::damaged(&file, format!("{reason}; repair makes it again")))
    }
}

/// Where a frame of a pack is.
pub(crate) fn place_of(table: &PackTable, number: u32, frame: &FrameEntry) -> FramePlace {
    FramePlace {
        pack: table.id,
        class: table.class,
        key: table.key,
        number,
        kind: frame.kind,
        offset: frame.offset,
        stored: frame.stored,
        raw: frame.raw,
    }
}
