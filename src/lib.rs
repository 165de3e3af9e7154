//! tenantfs, the library: everything that is neither FUSE nor scheduling.
//!
//! Arrows go one way: `transfer -> (sync, repo, tree)`, `retention -> (sync, tree, repo)`,
//! `sync -> (workload, repo, tree)`, `restore -> (workload, repo, tree)`, `workload -> (graph, format)`,
//! `tree -> repo`. `graph`, `format` and `repo` know nothing of
//! each other.

#![warn(missing_docs)]

pub mod format;
pub mod graph;
pub mod local;
mod lockfile;
pub mod repo;
pub mod restore;
pub mod retention;
pub mod sync;
pub mod transfer;
pub mod tree;
pub mod workload;
