//! tenantfs, the library: everything that is neither FUSE nor scheduling.
//!
//! Arrows go one way: `sync -> (workload, repo, tree)`, `restore -> (workload, repo, tree)`,
//! `workload -> (graph, format)`, `retention -> (sync, tree, repo)`,
//! `tree -> repo`. `graph`, `format` and `repo` know nothing of
//! each other.

pub mod format;
pub mod graph;
pub mod local;
mod lockfile;
pub mod repo;
pub mod restore;
pub mod retention;
pub mod sync;
pub mod tree;
pub mod workload;
