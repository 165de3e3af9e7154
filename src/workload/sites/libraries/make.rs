//! Libraries that are made, and what a new one would be refused for.

use serde_json::{Value, json};

use super::live::entry;
use super::{Libraries, MAX_LIBRARIES, SELECT};
use crate::graph::{Call, ErrorClass, Scope};
use crate::workload::drive::names;
use crate::workload::sites::MANY;
use crate::workload::{Account, LiveEntry, PushError};

const LISTS: &str = "/sites/{site}/lists";
const LIST_DRIVE: &str = "/sites/{site}/lists/{list}/drive";

impl Libraries {
    /// Makes a library of this name, or finds the one that an earlier attempt made.
    pub(super) async fn make_library(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<LiveEntry, PushError> {
        names::check("SharePoint", &[name.to_owned()]).map_err(PushError::Invalid)?;
        let body = json!({ "displayName": name, "list": { "template": "documentLibrary" } });
        // Made twice, it fails the second time, and is found.
        let call = Call::post(LISTS, &[&account.id], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        let made = match self.client.json(&call).await {
            Ok(list) => {
                let list = list["id"].as_str().unwrap_or_default();
                let call = Call::get(LIST_DRIVE, &[&account.id, list])
                    .query("$select", SELECT)
                    .scope(Scope::Drives, 1)
                    .patient_404(5);
                self.library(self.client.json(&call).await?)
            }
            Err(e) if e.class == ErrorClass::Conflict => None,
            Err(e) => return Err(e.into()),
        };
        self.known.lock().remove(&account.id);
        let made = match made {
            Some(library) => Some(library),
            None => {
                let all = self.live(&account.id).await?;
                all.into_iter().find(|library| library.name == name)
            }
        };
        match made {
            Some(library) => Ok(entry(library)),
            None => Err(taken(name)),
        }
    }

    /// What a library of this name would be refused for.
    pub(super) async fn check_new(&self, account: &Account, name: &str) -> Result<(), PushError> {
        names::check("SharePoint", &[name.to_owned()]).map_err(PushError::Invalid)?;
        let call = Call::get(LISTS, &[&account.id])
            .query("$select", "id,displayName")
            .scope(Scope::Drives, MANY);
        let lists = self.client.pages(call, MAX_LIBRARIES).await?;
        let lower = name.to_lowercase();
        let called = |list: &Value| {
            let title = list["displayName"].as_str().unwrap_or_default();
            title.to_lowercase() == lower
        };
        match lists.iter().any(called) {
            true => Err(taken(name)),
            false => Ok(()),
        }
    }
}

/// What a path in a library that is not there yet would be refused for, but for the library itself.
pub(super) fn check_below(path: &[String]) -> Result<(), PushError> {
    let below = path.get(1..).unwrap_or_default();
    names::check("SharePoint", below).map_err(PushError::Invalid)
}

fn taken(name: &str) -> PushError {
    PushError::Invalid(format!(
        "a list of this site is called {name}: a library needs another name"
    ))
}
