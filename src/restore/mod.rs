//! Puts items back into Microsoft 365: what is written below `restore/`, and `tenantfs restore`.
//!
//! A file is written into a private [`SpoolFile`], handed over with [`Service::push`], recognised by its
//! content, journaled, pushed through its [`crate::workload::Workload`], and confirmed or refused. The
//! path says where ([`TargetPath`]) and how ([`Policy`]).
//!
//! Invariants:
//! - **Journaled first**: before the first request goes out, bytes and ticket are durable. A crash at
//!   any moment leads to each item restored exactly once ([`recover`] tells how).
//! - **Nothing is deleted** by a restore, except the item that an overwrite has just replaced.
//! - **Every refusal has a reason**, whole, in the log; the error number is made from it in one place
//!   ([`errno`]).
//! - **No call waits for ever**: silence beyond the deadline is EIO.

mod catalogue;
pub mod command;
mod contents;
pub mod errno;
pub mod journal;
pub mod listing;
mod live;
pub mod log;
mod made;
pub mod place;
mod plan;
pub mod policy;
pub mod push;
mod queue;
pub mod recognise;
pub mod recover;
pub mod service;
pub mod sources;
pub mod spool;
mod table;
pub mod target;

pub use command::{
    Repo, command_folder, commands_folder, download_sources, local_target, restore_sources,
};
pub use errno::{Code, RestoreError};
pub use journal::{QueueItem, QueueStatus};
pub use place::Directory;
pub use policy::{Conflict, Policy};
pub use recognise::{Recognise, SnapshotRecogniser};
pub use service::{Receipt, Service, ServiceConfig};
pub use spool::SpoolFile;
pub use target::TargetPath;

pub use crate::workload::{LiveEntry, Pushed};

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod recognise_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
