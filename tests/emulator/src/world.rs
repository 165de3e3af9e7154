//! The tenant and all that is known about it: what every handler works on.
//!
//! There is no lock around the whole. The directory, each mailbox and each drive has a lock of its
//! own; a handler takes at most one of them at a time (mailbox or drive, never while holding the
//! directory), so no order of locks can go wrong.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::clock::Clock;
use crate::delta::Tokens;
use crate::options::Options;
use crate::rng::Rng;
use crate::users::{Directory, User};
use crate::{auth, drive, faults, mail, throttle};

pub struct World {
    pub options: Options,
    pub clock: Clock,
    pub directory: RwLock<Directory>,
    /// Seals and opens delta and paging tokens; knows which have expired.
    pub tokens: Tokens,
    /// Mailboxes, by user id.
    pub mail: mail::Mailboxes,
    /// Drives: all state of [`crate::drive`].
    pub drive: drive::Drives,
    /// What Exchange would have sent to people.
    pub outbox: Mutex<Vec<Value>>,
    pub auth: auth::Issuer,
    pub faults: faults::Script,
    pub throttle: throttle::Limits,
    pub counts: crate::counts::Counts,
    pub log: crate::log::Log,
}

impl World {
    /// A user by id or user principal name (any letter case).
    pub fn user(&self, id_or_upn: &str) -> Option<Arc<User>> {
        self.directory.read().find(id_or_upn)
    }

    /// All users that exist now, in the order they were made.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.directory.read().all()
    }

    /// A generator that depends on the tenant's seed and on `label` alone.
    pub fn rng(&self, label: &str) -> Rng {
        Rng::new(self.options.seed, label)
    }
}
