//! Puts a contact into an address book: created as JSON, then its photo.
//!
//! Invariants: exactly once, by a marker that is part of the creating request: before anything is
//! created again, the folder is asked for it; an old contact is deleted only when the new one is
//! complete.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Contacts;
use super::compose::{self, Composed};
use super::contact::{filter, like, same};
use crate::format::vcf::Photo;
use crate::graph::{Call, ErrorClass, GraphError, odata_quote};
use crate::workload::expand_marker;
use crate::workload::known::Fact;
use crate::workload::{Account, ItemKey, Journal, Policy, Push, PushError, Pushed, Source};
use crate::workload::{MARKER_ID, Marker};

const LIST: &str = "/users/{user}/contactFolders/{folder}/contacts";
const CONTACT: &str = "/users/{user}/contacts/{contact}";
const PHOTO: &str = "/users/{user}/contacts/{contact}/photo/$value";

/// Attempts at a creation whose answer got lost.
const ATTEMPTS: u32 = 4;
/// Contacts that may be alike in a folder.
const MAX_TWINS: usize = 1_000;

/// How far a push is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Id of the created contact.
    contact: Option<String>,
    /// Id of the contact to be removed when the new one is complete.
    replaces: Option<String>,
}

impl Contacts {
    pub(super) async fn push_contact(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let composed = compose::compose(push).await?;
        let folder = self.target(account, push).await?;
        let mut progress: Progress = journal
            .load()
            .and_then(|s| serde_json::from_str(&s).ok())
            .unwrap_or_default();
        // The request that makes a contact may be the last thing a process did.
        let made = match journal.repeated() {
            true => self.by_marker(account, &folder, &composed.marker).await?,
            false => None,
        };
        let made = match made {
            Some(contact) => {
                if progress.contact.is_none() && push.policy == Policy::Overwrite {
                    progress.replaces = self.existing(account, &folder, push, &composed).await?;
                }
                contact
            }
            None => {
                progress = Progress::default();
                if push.policy != Policy::KeepBoth
                    && let Some(old) = self.existing(account, &folder, push, &composed).await?
                {
                    if push.policy == Policy::Skip {
                        return Err(PushError::Exists {
                            name: push.name.clone(),
                        });
                    }
                    progress.replaces = Some(old);
                    save(journal, &progress)?;
                }
                self.create(account, &folder, &composed).await?
            }
        };
        let id = id_of(&made)?;
        progress.contact = Some(id.clone());
        save(journal, &progress)?;
        let mut notes = composed.notes.clone();
        if let Some(photo) = &composed.photo {
            notes.extend(self.put_photo(account, &id, photo).await?);
        }
        if let Some(old) = &progress.replaces {
            self.delete(account, old).await?;
        }
        self.pushed(account, &folder, made, &composed, progress.replaces, notes)
    }

    pub(super) async fn find_pushed_contact(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let composed = compose::compose(push).await?;
        let folder = match self.target(account, push).await {
            Ok(folder) => folder,
            // What is in no folder did not arrive.
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(contact) = self.by_marker(account, &folder, &composed.marker).await? else {
            return Ok(None);
        };
        let id = id_of(&contact)?;
        if composed.photo.is_some() && !self.has_photo(account, &id).await? {
            return Ok(None);
        }
        let mut replaced = None;
        if push.policy == Policy::Overwrite
            && let Some(old) = self.existing(account, &folder, push, &composed).await?
        {
            self.delete(account, &old).await?;
            replaced = Some(old);
        }
        let notes = composed.notes.clone();
        self.pushed(account, &folder, contact, &composed, replaced, notes)
            .map(Some)
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<String, PushError> {
        let no_folder = || PushError::NoFolder {
            path: push.folder.join("/"),
        };
        let folder = self.folder_at(account, &push.folder).await?;
        folder.ok_or_else(no_folder)
    }

    /// The contact of this push, if it is there.
    async fn by_marker(
        &self,
        account: &Account,
        folder: &str,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let filter = format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{MARKER_ID}' and ep/value eq '{}')",
            odata_quote(&marker.value())
        );
        let found = self.find(account, folder, Some(&filter)).await?;
        // A service that does not know the filter ignores it: believe only what carries the marker.
        Ok(found
            .into_iter()
            .find(|c| Marker::of(c).is_some_and(|m| m.push == marker.push)))
    }

    async fn find(
        &self,
        account: &Account,
        folder: &str,
        filter: Option<&str>,
    ) -> Result<Vec<Value>, GraphError> {
        let mut call = Call::get(LIST, &[&account.id, folder])
            .query("$expand", &expand_marker())
            .query("$top", "100");
        if let Some(filter) = filter {
            call = call.query("$filter", filter);
        }
        let most = filter.map_or(usize::MAX, |_| MAX_TWINS);
        self.client.pages(Self::of(account, call), most).await
    }

    /// The contact that is to be restored, or the same person, in the folder.
    async fn existing(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Option<String>, GraphError> {
        let origin: Option<ItemKey> = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        let facts = Fact::all_of_push(origin, Some(like(&composed.json)));
        if self.known.lacks(account, folder, &facts) {
            return Ok(None);
        }
        let mut candidates = Vec::new();
        if let Source::Record { record, .. } = &push.source {
            // The original may have another name and other addresses meanwhile.
            candidates.extend(self.original(account, folder, record).await?);
        }
        let narrow = filter(&composed.json);
        let found = match &narrow {
            Some(filter) => match self.find(account, folder, Some(filter)).await {
                // Not every property can be filtered by everywhere.
                Err(e) if e.status == Some(400) || e.status == Some(501) => {
                    self.find(account, folder, None).await
                }
                other => other,
            },
            None => self.find(account, folder, None).await,
        };
        candidates.extend(found?);
        candidates.retain(|c| Marker::of(c).is_none_or(|m| m.push != push.id));
        let is_original = |c: &Value| {
            let id: Option<ItemKey> = c["id"].as_str().map(|id| (self.keyer)(id));
            origin.is_some() && (id == origin || Marker::of(c).and_then(|m| m.origin) == origin)
        };
        let found = candidates
            .iter()
            .find(|c| is_original(c))
            .or_else(|| candidates.iter().find(|c| same(c, &composed.json)));
        Ok(found.and_then(|c| c["id"].as_str().map(str::to_owned)))
    }

    /// The contact with the record's id, if it is in the folder.
    async fn original(
        &self,
        account: &Account,
        folder: &str,
        record: &Value,
    ) -> Result<Option<Value>, GraphError> {
        let Some(id) = record["id"].as_str() else {
            return Ok(None);
        };
        let call = Call::get(CONTACT, &[&account.id, id])
            .query("$expand", &expand_marker())
            .patient_404(1);
        match self.client.json(&Self::of(account, call)).await {
            Ok(contact) if contact["parentFolderId"].as_str() == Some(folder) => Ok(Some(contact)),
            Ok(_) => Ok(None),
            // Gone, or an id of another mailbox.
            Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Creates the contact. When an answer is lost, the marker tells whether it was created.
    async fn create(
        &self,
        account: &Account,
        folder: &str,
        composed: &Composed,
    ) -> Result<Value, GraphError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let call = Call::post(LIST, &[&account.id, folder], composed.json.clone());
            let error = match self.client.json(&Self::of(account, call)).await {
                Ok(contact) => return Ok(contact),
                Err(e) => e,
            };
            if !error.class.is_temporary() {
                return Err(error);
            }
            if let Some(contact) = self.by_marker(account, folder, &composed.marker).await? {
                return Ok(contact);
            }
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    /// Puts the photo there. One that is refused for good is a note: the contact is worth more.
    async fn put_photo(
        &self,
        account: &Account,
        contact: &str,
        photo: &Photo,
    ) -> Result<Option<String>, GraphError> {
        // The type of a body is one of few; the bytes tell the rest.
        let kind = match photo.content_type.as_str() {
            "image/png" => "image/png",
            "image/gif" => "image/gif",
            "image/bmp" => "image/bmp",
            _ => "image/jpeg",
        };
        let call = Call::new(Method::PUT, PHOTO, &[&account.id, contact])
            .body(photo.bytes.clone().into(), kind)
            .patient_404(6);
        match self.client.send(&Self::of(account, call)).await {
            Ok(_) => Ok(None),
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => Err(e),
            Err(e) => Ok(Some(format!("the photo is not restored: {e}"))),
        }
    }

    async fn has_photo(&self, account: &Account, contact: &str) -> Result<bool, GraphError> {
        let call = Call::get(
            "/users/{user}/contacts/{contact}/photo",
            &[&account.id, contact],
        )
        .patient_404(1);
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(true),
            Err(e) if e.class == ErrorClass::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes the contact that was replaced. One that is gone already is what was wanted.
    async fn delete(&self, account: &Account, id: &str) -> Result<(), GraphError> {
        let call = Call::new(Method::DELETE, CONTACT, &[&account.id, id]);
        match self.client.send(&Self::of(account, call)).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn pushed(
        &self,
        account: &Account,
        folder: &str,
        mut contact: Value,
        composed: &Composed,
        replaced: Option<String>,
        notes: Vec<String>,
    ) -> Result<Pushed, PushError> {
        // An answer to a creation does not show the marker, which the name depends on.
        if Marker::of(&contact).is_none() {
            contact["singleValueExtendedProperties"] = json!([composed.marker.property()]);
        }
        self.known.add(account, folder, self.facts(&contact));
        Ok(Pushed {
            entry: self.live(contact, false).ok_or_else(no_id)?,
            replaced,
            notes,
        })
    }
}

fn save(journal: &dyn Journal, progress: &Progress) -> Result<(), PushError> {
    let text = serde_json::to_string(progress).unwrap_or_default();
    Ok(journal.save(&text)?)
}

fn id_of(contact: &Value) -> Result<String, PushError> {
    contact["id"].as_str().map(str::to_owned).ok_or_else(no_id)
}

fn no_id() -> PushError {
    GraphError::local(
        ErrorClass::Transient,
        format!("POST {LIST}"),
        "the contact has no id",
    )
    .into()
}
