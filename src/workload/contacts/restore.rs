//! Puts a contact into an address book: created as JSON, then its photo.
//!
//! Invariants: a photo that is refused for good costs the photo, not the contact; the rest is
//! [`once`]'s.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::Contacts;
use super::compose::{self, Composed};
use super::contact::{filter, same};
use crate::format::vcf::Photo;
use crate::graph::{Call, Client, ErrorClass, GraphError};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::{
    Account, Journal, Keyer, LiveEntry, Marker, Push, PushError, Source, expand_marker,
};

const LIST: &str = "/users/{user}/contactFolders/{folder}/contacts";
const CONTACT: &str = "/users/{user}/contacts/{contact}";
const PHOTO: &str = "/users/{user}/contacts/{contact}/photo/$value";

/// Contacts that may be alike in a folder.
const MAX_TWINS: usize = 1_000;

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.json
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[async_trait]
impl Once for Contacts {
    type Composed = Composed;
    const CREATE: &'static str = LIST;

    fn client(&self) -> &Client {
        &self.client
    }

    fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    fn ongoing(&self) -> &Ongoing {
        &self.ongoing
    }

    async fn compose(&self, push: &Push) -> Result<Composed, PushError> {
        compose::compose(push).await
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        Ok(self.folder_at(account, &push.folder).await?)
    }

    async fn by_marker(
        &self,
        account: &Account,
        folder: &str,
        _push: &Push,
        composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        let filter = composed.marker.filter();
        let found = self.find(account, folder, Some(&filter)).await?;
        Ok(once::carrying(&composed.marker, found).map(Made::from_json))
    }

    async fn candidates(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
        _origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        let mut candidates = Vec::new();
        if let Source::Record { record, .. } = &push.source {
            // The original may have another name and other addresses meanwhile.
            candidates.extend(self.original(account, folder, record).await?);
        }
        let found = match filter(&composed.json) {
            Some(filter) => match self.find(account, folder, Some(&filter)).await {
                // Not every property can be filtered by everywhere.
                Err(e) if e.status == Some(400) || e.status == Some(501) => {
                    self.find(account, folder, None).await
                }
                other => other,
            },
            None => self.find(account, folder, None).await,
        };
        candidates.extend(found?);
        Ok(candidates)
    }

    fn same(&self, live: &Value, composed: &Composed) -> bool {
        same(live, &composed.json)
    }

    fn creation(&self, account: &Account, folder: &str, composed: &Composed) -> Call {
        let call = Call::post(LIST, &[&account.id, folder], composed.json.clone());
        Self::of(account, call)
    }

    async fn complete(
        &self,
        account: &Account,
        _folder: &str,
        id: &str,
        composed: &Composed,
        _journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let Some(photo) = &composed.photo else {
            return Ok(Vec::new());
        };
        let refused = self.put_photo(account, id, photo).await?;
        Ok(refused.into_iter().collect())
    }

    async fn is_complete(
        &self,
        account: &Account,
        _folder: &str,
        id: &str,
        composed: &Composed,
    ) -> Result<bool, PushError> {
        Ok(composed.photo.is_none() || self.has_photo(account, id).await?)
    }

    fn deletion(&self, account: &Account, _folder: &str, id: &str) -> Call {
        let call = Call::new(Method::DELETE, CONTACT, &[&account.id, id]);
        Self::of(account, call)
    }

    fn entry(&self, _folder: &str, mut contact: Value, marker: &Marker) -> Option<LiveEntry> {
        if Marker::of(&contact).is_none() {
            contact["singleValueExtendedProperties"] = json!([marker.property()]);
        }
        self.live(contact, false)
    }
}

impl Contacts {
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
        let contact = once::original(&self.client, &Self::of(account, call)).await?;
        Ok(contact.filter(|c| c["parentFolderId"].as_str() == Some(folder)))
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
}
