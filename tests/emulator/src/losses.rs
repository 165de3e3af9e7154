//! What delta never tells, by quirk. The service is known to lose changes now and then; here it loses the
//! same ones every time.
//!
//! Only rounds that follow another one lose anything: an enumeration tells all that is there.

use crate::options::{Options, Quirk};

/// A change that a round is about to tell.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Its number.
    pub seq: u64,
    /// The item left.
    pub gone: bool,
    /// It left for another folder, or came from one.
    pub moved: bool,
    /// The round follows another one.
    pub follows: bool,
}

/// Whether the change is lost: no later round tells it either.
pub fn lost(options: &Options, told: Told) -> bool {
    let by = |quirk| options.has(quirk);
    told.follows
        && (by(Quirk::DeltaLosesChanges) && told.seq.is_multiple_of(3)
            || told.moved && by(Quirk::DeltaLosesMoves)
            || told.moved && !told.gone && by(Quirk::DeltaLosesArrivals))
}
