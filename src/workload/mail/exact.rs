//! Messages by the mailbox import/export API: brought twenty with one request, and put back exactly as
//! they were.
//!
//! Where one way fails the other is tried: what can't be exported is fetched as MIME, and what has no
//! MIME (opaque S/MIME) is exported. So nothing is lost by choosing either.

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};

use super::Mail;
use super::compose::Composed;
use crate::format::eml;
use crate::graph::{ErrorClass, GraphError};
use crate::workload::exchange::{self, Imported, Place};
use crate::workload::once;
use crate::workload::{
    Account, Content, Exported, ItemError, Marker, Push, PushError, Source, View,
};

/// Attempts at an import whose answer got lost.
const ATTEMPTS: u32 = 4;

impl Mail {
    /// The contents of messages, exported. The answers come in the order of the records.
    pub(super) async fn fetch_exported(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        let place = match self.export_place(account).await {
            Ok(Some(place)) => place,
            Ok(None) => return self.all_as_mime(account, records).await,
            Err(e) => return records.iter().map(|_| Err(e.clone().into())).collect(),
        };
        let ids: Vec<String> = records
            .iter()
            .map(|record| record["id"].as_str().unwrap_or_default().to_owned())
            .collect();
        let mut exported = match self.exchange.export(account, &place, &ids).await {
            Ok(exported) => exported.into_iter(),
            Err(e) if self.exchange.refused_export(account, &e) => {
                return self.all_as_mime(account, records).await;
            }
            Err(e) => return records.iter().map(|_| Err(e.clone().into())).collect(),
        };
        let mut contents = Vec::with_capacity(records.len());
        for record in records {
            contents.push(match exported.next() {
                Some(Ok(item)) => Ok(self.show(account, record, item.stream).await),
                Some(Err(e)) if e.class.is_temporary() || e.class == ErrorClass::NotFound => Err(e),
                _ => self.fetch_mime(account, record).await,
            });
        }
        contents
    }

    async fn all_as_mime(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        join_all(
            records
                .iter_mut()
                .map(|record| self.fetch_mime(account, record)),
        )
        .await
    }

    /// The mailbox to export from; `None` when that is known not to work.
    async fn export_place(&self, account: &Account) -> Result<Option<Place>, GraphError> {
        if !self.exchange.may_export(account) {
            return Ok(None);
        }
        match self.exchange.primary(account).await {
            Err(e) if self.exchange.refused_export(account, &e) => Ok(None),
            other => other,
        }
    }

    /// A message that has no MIME, by its export. `None`: not to be had.
    pub(super) async fn export_instead(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Option<Content> {
        let place = self.export_place(account).await.ok()??;
        let id = record["id"].as_str()?.to_owned();
        match self.exchange.export(account, &place, &[id]).await {
            Ok(outcomes) => {
                let item = exchange::single(outcomes).ok()?;
                // One that can't be shown from its export is rebuilt from its JSON instead.
                exchange::render(item.stream.clone()).await.ok()?;
                Some(self.show(account, record, item.stream).await)
            }
            Err(e) => {
                self.exchange.refused_export(account, &e);
                None
            }
        }
    }

    /// The content of an exported message.
    async fn show(&self, account: &Account, record: &mut Value, stream: Bytes) -> Content {
        let (mail, parts, note) = match exchange::render(stream.clone()).await {
            Ok((rendered, parts)) => {
                let note = (!rendered.notes.is_empty()).then(|| rendered.notes.join("; "));
                (rendered.bytes.into(), parts, note)
            }
            Err(e) => {
                let note = format!("its export is kept, but can't be read ({e})");
                let mime = self.mime_only(account, record).await;
                let mail = mime.unwrap_or_else(|| eml::from_json(record, &[]).into());
                (mail, Vec::new(), Some(note))
            }
        };
        record["tenantfsContent"] = json!({ "exported": stream.len() });
        Content::Exported(Box::new(Exported {
            view: View::Mail(mail),
            stream,
            parts,
            note,
        }))
    }

    /// Puts the message there as it was exported. `None`: that way is not open, and why.
    pub(super) async fn import_exact(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Result<Value, Option<String>>, PushError> {
        let (Some(original), Source::Record { record, .. }) = (&push.original, &push.source) else {
            return Ok(Err(None));
        };
        if !self.exchange.may_import(account) {
            return Ok(Err(Some(NOT_EXACT.into())));
        }
        let Ok(Some(place)) = self.exchange.primary(account).await else {
            return Ok(Err(Some(NOT_EXACT.into())));
        };
        let stream = original.read().await?;
        let (marker, said) = (composed.marker.clone(), record.clone());
        let edited =
            tokio::task::spawn_blocking(move || exchange::changed(&stream, &marker, &said)).await;
        let stream: Bytes = match edited {
            Ok(Ok(stream)) => stream.into(),
            Ok(Err(e)) => return Ok(Err(Some(format!("not restored from its export: {e}")))),
            Err(e) => {
                return Err(PushError::Invalid(format!(
                    "the export could not be read: {e}"
                )));
            }
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let imported = self
                .exchange
                .import(account, &place, folder, stream.clone());
            let error = match imported.await {
                Ok(Imported::Done(id)) => {
                    return Ok(Ok(from_record(record, &id, &composed.marker)));
                }
                Ok(Imported::Refused(_)) => return Ok(Err(Some(NOT_EXACT.into()))),
                // Of a full mailbox the other way knows no more.
                Err(e) if e.class == ErrorClass::Quota => return Err(e.into()),
                Err(e) if !e.class.is_temporary() => {
                    return Ok(Err(Some(format!("not restored from its export: {e}"))));
                }
                Err(e) => e,
            };
            if let Some(message) = self
                .by_exact_marker(account, folder, &composed.marker)
                .await?
            {
                return Ok(Ok(message));
            }
            if attempt >= ATTEMPTS {
                return Err(error.into());
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    /// The message that was imported with this marker.
    pub(super) async fn by_exact_marker(
        &self,
        account: &Account,
        folder: &str,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let found = self.find(account, folder, &marker.exact_filter()).await?;
        Ok(once::carrying(marker, found))
    }
}

/// An imported message. An answer to an import tells no more than its id, and it is what its record says.
fn from_record(record: &Value, id: &str, marker: &Marker) -> Value {
    let mut message = record.clone();
    message["id"] = json!(id);
    message["singleValueExtendedProperties"] = json!([marker.property()]);
    message
}

const NOT_EXACT: &str = "restored through Graph's messages, because importing is not allowed \
     (MailboxItem.ImportExport.All)";
