//! Retention: which snapshots, and which accounts in them, stay; and what goes then.
//!
//! - [`policy`]: what rules keep, and why.
//! - [`plan`]: rules, names and holds together: what becomes of each snapshot.
//! - [`apply`]: forgetting, and taking accounts out of snapshots that stay.
//! - [`prune`]: deleting what no snapshot needs.
//!
//! It knows the repository, trees, and the report of a cycle, and nothing of Graph.
//!
//! Invariants: the newest complete snapshots stay as they are, because the next cycle goes on from them. What a
//! hold covers stays, whatever is asked. When a hold, a manifest or a state cannot be read, nothing is
//! forgotten, and nothing by rules that count periods while a snapshot is from the future.

pub mod apply;
pub mod plan;
pub mod policy;
mod prune;
#[cfg(test)]
mod tests;

pub use apply::{apply, tag};
pub use plan::{Action, Choice, Line, Policy, plan};
pub use policy::{Age, Reason, Rules};
pub use prune::prune;

use crate::repo::RepoError;
use crate::tree::TreeError;

/// Why nothing, or nothing more, was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A snapshot's trees cannot be read or written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A pattern of a rule or hold is no glob.
    #[error("{pattern:?} is not a pattern for accounts: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A snapshot that was named is not there.
    #[error("there is no snapshot {0:?}; `tenantfs snapshots` lists them")]
    NoSnapshot(String),
    /// A snapshot is from the future, so rules that count periods would forget what they should keep.
    #[error(
        "the snapshot {name}, made on the host {host:?}, is more than an hour ahead of this host's clock, and \
         rules that count hours, days, weeks, months or years would forget too much, so nothing was forgotten. \
         Set right the clock that is wrong. Until that time is over, name snapshots to forget, or let \
         keep_last be the only rule"
    )]
    Ahead {
        /// The first of them.
        name: String,
        /// Where it was made.
        host: String,
    },
}

/// Matches accounts by the name they have in a snapshot, without regard to case.
fn glob(pattern: &str) -> Result<globset::GlobMatcher, RetentionError> {
    let built = globset::GlobBuilder::new(pattern)
        .case_insensitive(true)
        .build();
    let glob = built.map_err(|source| RetentionError::Pattern {
        pattern: pattern.to_owned(),
        source,
    })?;
    Ok(glob.compile_matcher())
}
