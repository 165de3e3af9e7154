//! SharePoint sites: what an [`Account`](super::Account) of kind site owns.
//!
//! Each site and each subsite is an account of its own (see [`crate::graph::sites`]); its workloads are
//! folders in it:
//!
//! ```text
//! Sites/Finance/
//!   Libraries/Documents/...     files, exactly as a OneDrive has them
//!   Lists/Assets/...            definitions, items, a table of all
//!   Pages/Home.html             pages, to be read in a browser
//!   Subsites/Payroll/...        another account
//! ```

pub mod libraries;
mod listed;
pub mod lists;
pub mod pages;
mod rest;

use super::{Account, Presence};
use crate::graph::{Call, Client, GraphError, Scope};

pub use libraries::{Libraries, LibrariesOptions};
pub use lists::{Lists, ListsOptions};
pub use pages::Pages;

/// Name of the workload of document libraries.
pub const LIBRARIES: &str = "libraries";
/// Name of the workload of lists.
pub const LISTS: &str = "lists";
/// Name of the workload of pages.
pub const PAGES: &str = "pages";

/// Resource units of a listing or a write (SharePoint).
const MANY: u64 = 2;

/// The site collection of a site, from its id: `host,collection,web`.
fn collection_id(site: &str) -> Option<&str> {
    site.split(',').nth(1)
}

/// Whether a site has what a route lists (`what`, in words).
async fn has(
    client: &Client,
    account: &Account,
    route: &'static str,
    what: &str,
) -> Result<Presence, GraphError> {
    let call = Call::get(route, &[&account.id])
        .query("$select", "id")
        .query("$top", "1")
        .scope(Scope::Drives, MANY);
    match client.json(&call).await {
        Ok(_) => Ok(Presence::Present),
        Err(e) if e.class.is_gone() => Ok(Presence::Absent {
            reason: format!("the site has no {what}"),
        }),
        Err(e) => Err(e),
    }
}
