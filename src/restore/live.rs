//! What is in a place now: accounts, workloads, and what is live below them, from the listings that are
//! believed for a while.

use std::sync::Arc;
use std::time::Instant;

use super::errno::{Code, RestoreError};
use super::listing::FolderKey;
use super::place::Place;
use super::policy::Conflict;
use super::push::Pusher;
use super::target::TargetPath;
use crate::graph::sites::{SITES, SUBSITES};
use crate::local::now;
use crate::workload::{AccountKind, LiveEntry};

/// Makes a folder where nothing is.
pub(super) async fn make(pusher: &Pusher, target: &TargetPath) -> Result<LiveEntry, RestoreError> {
    if lookup(pusher, target).await?.is_some() {
        return Err(RestoreError::new(
            Code::Exists,
            format!("{target} is there already"),
        ));
    }
    pusher.make_folder(target).await
}

/// What is in a place now.
pub(super) async fn list(
    pusher: &Pusher,
    target: &TargetPath,
) -> Result<Arc<Vec<LiveEntry>>, RestoreError> {
    if target.is_site_folder() {
        let sites = pusher.places.sites_in(target).await?;
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let folders = sites.iter().map(|a| folder(&name(&a.upn), &a.id));
        return Ok(Arc::new(folders.collect()));
    }
    let Some(name) = target.account() else {
        let accounts = pusher.places.accounts().await?;
        let mut folders: Vec<_> = accounts.iter().map(|a| folder(&a.upn, &a.id)).collect();
        if pusher
            .places
            .workloads_of(AccountKind::Site)
            .next()
            .is_some()
        {
            folders.push(folder(SITES, SITES));
        }
        return Ok(Arc::new(folders));
    };
    if target.workload().is_none() {
        let account = pusher.places.account(&name).await?;
        let workloads = pusher.places.workloads_of(account.kind);
        let mut folders: Vec<_> = workloads.map(|w| folder(w.folder(), w.name())).collect();
        if account.kind == AccountKind::Site {
            folders.push(folder(SUBSITES, SUBSITES));
        }
        return Ok(Arc::new(folders));
    }
    let place = pusher.places.resolve(target).await?;
    list_place(pusher, &place)
        .await
        .map_err(|e| e.about(target))
}

pub(super) async fn list_place(
    pusher: &Pusher,
    place: &Place,
) -> Result<Arc<Vec<LiveEntry>>, RestoreError> {
    let key = folder_key(place, &place.path);
    if let Some(known) = pusher.listings.get(&key) {
        return Ok(known);
    }
    let asked = Instant::now();
    let entries = place.workload.list(&place.account, &place.path).await?;
    Ok(pusher.listings.put(key, entries, asked))
}

/// What is at a place now.
pub(super) async fn lookup(
    pusher: &Pusher,
    target: &TargetPath,
) -> Result<Option<LiveEntry>, RestoreError> {
    let Some(account) = target.account() else {
        return match target.top() {
            None => Ok(Some(folder("restore", ""))),
            Some(top) => {
                let any = pusher.places.workloads_of(AccountKind::Site).next();
                Ok(any.map(|_| folder(top, top)))
            }
        };
    };
    let Some(workload) = target.workload() else {
        return match pusher.places.account(&account).await {
            // As it was written: a shell that asks for Bob@contoso.com gets it.
            Ok(a) => {
                let name = account.rsplit('/').next().unwrap_or(&account);
                Ok(Some(folder(name, &a.id)))
            }
            Err(e) if e.code == Code::NotFound => Ok(None),
            Err(e) => Err(e),
        };
    };
    if target.path().is_empty() {
        let account = pusher.places.account(&account).await?;
        if target.is_site_folder() {
            return Ok(Some(folder(SUBSITES, SUBSITES)));
        }
        return match pusher.places.workload(account.kind, workload) {
            Ok(w) => Ok(Some(folder(w.folder(), w.name()))),
            Err(_) => Ok(None),
        };
    }
    let mut place = pusher.places.resolve(target).await?;
    let Some(name) = place.path.pop() else {
        return Ok(None);
    };
    let key = folder_key(&place, &place.path);
    if let Some(known) = pusher.listings.lookup(&key, &name) {
        return Ok(known);
    }
    list_place(pusher, &place)
        .await
        .map_err(|e| e.about(target))?;
    Ok(pusher.listings.lookup(&key, &name).flatten())
}

/// Whether something may be written to `target`, as far as can be known before.
pub(super) async fn check_target(pusher: &Pusher, target: &TargetPath) -> Result<(), RestoreError> {
    if target.path().is_empty() {
        return Err(RestoreError::new(
            Code::NotPermitted,
            format!(
                "{target} is no place for a file: restore to ACCOUNT/Mail/..., ACCOUNT/OneDrive/... or \
                 Sites/SITE/Libraries/..."
            ),
        ));
    }
    let conflict = target.policy().conflict.unwrap_or(pusher.conflict);
    match lookup(pusher, target).await? {
        Some(live) if live.is_dir => Err(RestoreError::new(
            Code::IsFolder,
            format!("{target} is a folder"),
        )),
        Some(_) if conflict == Conflict::Skip => Err(exists(target)),
        _ => Ok(()),
    }
}

pub(super) fn exists(target: &TargetPath) -> RestoreError {
    RestoreError::new(
        Code::Exists,
        format!(
            "{target} is there already (write below @overwrite/ or @keep-both/ to restore it nevertheless)"
        ),
    )
}

pub(super) fn folder_key(place: &Place, path: &[String]) -> FolderKey {
    FolderKey {
        account: place.account.id.clone(),
        workload: place.workload.name(),
        path: path.to_vec(),
    }
}

fn folder(name: &str, id: &str) -> LiveEntry {
    LiveEntry {
        id: id.to_owned(),
        name: name.to_owned(),
        is_dir: true,
        size: 0,
        mtime: now(),
        record: serde_json::Value::Null,
    }
}
