//! The libraries of a site that are there now, and the way from a path to a drive.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::discover::{Kind, kind};
use super::{Libraries, created};
use crate::graph::GraphError;
use crate::tree::names::exact_name;
use crate::workload::drive::target::Root;
use crate::workload::sites::collection_id;
use crate::workload::{Account, LiveEntry, PushError};

/// How long the libraries of a site are believed without asking.
const FRESH: Duration = Duration::from_secs(60);

/// A live library.
#[derive(Clone, Debug)]
pub(super) struct Library {
    /// As the mount names it.
    pub name: String,
    /// Its drive's id.
    pub drive: String,
    pub record: Value,
}

impl Libraries {
    /// The live libraries of a site, those too that are not captured.
    pub(super) async fn live(&self, site: &str) -> Result<Vec<Library>, GraphError> {
        if let Some((at, known)) = self.known.lock().get(site)
            && at.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let libraries: Vec<Library> = self
            .all(site)
            .await?
            .into_iter()
            .filter_map(|record| self.library(record))
            .collect();
        let mut known = self.known.lock();
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(site.to_owned(), (Instant::now(), libraries.clone()));
        Ok(libraries)
    }

    pub(super) fn library(&self, record: Value) -> Option<Library> {
        let drive = record["id"].as_str()?.to_owned();
        let name = record["name"].as_str().unwrap_or_default();
        Some(Library {
            name: exact_name(name, &(self.keyer)(&drive)),
            drive,
            record,
        })
    }

    /// The drive of the library that a path begins with, and the rest of the path.
    pub(super) async fn find<'a>(
        &self,
        account: &Account,
        path: &'a [String],
    ) -> Result<(Root, &'a [String]), PushError> {
        let Some((name, rest)) = path.split_first() else {
            let what = "a file goes into a library, as in Libraries/Documents/".to_owned();
            return Err(PushError::Invalid(what));
        };
        let libraries = self.live(&account.id).await?;
        let lower = name.to_lowercase();
        let Some(library) = libraries.iter().find(|l| l.name.to_lowercase() == lower) else {
            return Err(PushError::NoFolder { path: name.clone() });
        };
        let root = self.drive.library_root(&library.drive).await;
        if root.is_err() {
            self.known.lock().remove(&account.id);
        }
        let site = collection_id(&account.id).map(str::to_owned);
        Ok((Root { site, ..root? }, rest))
    }

    /// The same for what is to be written.
    pub(super) async fn find_writable<'a>(
        &self,
        account: &Account,
        path: &'a [String],
    ) -> Result<(Root, &'a [String]), PushError> {
        let libraries = self.live(&account.id).await?;
        let held = libraries
            .iter()
            .any(|l| Some(&l.name) == path.first() && kind(&l.record) == Kind::Preservation);
        match held {
            true => Err(PushError::Invalid(
                "SharePoint keeps the Preservation Hold Library by itself: restore to another one"
                    .into(),
            )),
            false => self.find(account, path).await,
        }
    }
}

/// A library as a listing has it.
pub(super) fn entry(library: Library) -> LiveEntry {
    LiveEntry {
        mtime: created(&library.record),
        id: library.drive,
        name: library.name,
        is_dir: true,
        size: 0,
        record: library.record,
    }
}
