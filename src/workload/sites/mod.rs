//! SharePoint sites: what an [`Account`](super::Account) of kind site owns.
//!
//! Each site and each subsite is an account of its own (see [`crate::graph::sites`]); its workloads are
//! folders in it:
//!
//! ```text
//! Sites/Finance/
//!   Libraries/Documents/...     files, exactly as a OneDrive has them
//!   Lists/Assets/...            definitions, items, a table of all
//!   Subsites/Payroll/...        another account
//! ```

pub mod libraries;
pub mod lists;

pub use libraries::{Libraries, LibrariesOptions};
pub use lists::{Lists, ListsOptions};

/// Name of the workload of document libraries.
pub const LIBRARIES: &str = "libraries";
/// Name of the workload of lists.
pub const LISTS: &str = "lists";
