//! Mailboxes as the import/export API shows them: the only way into an archive.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tenantfs::format::fasttransfer::{Key, MapiValue, Object};

use crate::Tenant;

/// The address of a user's mailbox: `which` is `primaryMailboxId` or `inPlaceArchiveMailboxId`.
pub fn mailbox(tenant: &Tenant, upn: &str, which: &str) -> Result<String> {
    let beta = format!("{}/beta", tenant.emulator.url);
    let settings = format!("{beta}/users/{upn}/settings/exchange");
    let settings = tenant.graph.get(&settings)?;
    let id = settings[which].as_str().context("no such mailbox")?;
    Ok(format!("{beta}/admin/exchange/mailboxes/{id}"))
}

/// The address of a user's archive.
pub fn archive(tenant: &Tenant, upn: &str) -> Result<String> {
    mailbox(tenant, upn, "inPlaceArchiveMailboxId")
}

/// The items of a folder, with their subjects.
pub fn items(tenant: &Tenant, mailbox: &str, folder: &str) -> Result<Vec<Value>> {
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x0037')";
    let path = format!("{mailbox}/folders/{folder}/items?$top=200&{expand}");
    tenant.graph.list(&path)
}

/// What an item of [`items`] is about.
pub fn subject(item: &Value) -> &str {
    let value = &item["singleValueExtendedProperties"][0]["value"];
    value.as_str().unwrap_or_default()
}

/// An item's stream.
pub fn export(tenant: &Tenant, mailbox: &str, id: &str) -> Result<Vec<u8>> {
    let answer = tenant.graph.post(
        &format!("{mailbox}/exportItems"),
        &json!({ "itemIds": [id] }),
    )?;
    let data = answer["value"][0]["data"].as_str().context("no data")?;
    Ok(STANDARD.decode(data)?)
}

/// Imports as some other application would.
pub fn import(tenant: &Tenant, mailbox: &str, folder: &str, stream: &[u8]) -> Result<String> {
    let session = tenant
        .graph
        .post(&format!("{mailbox}/createImportSession"), &json!({}))?;
    let url = session["importUrl"].as_str().context("no URL")?;
    let body = json!({ "FolderId": folder, "Mode": "create", "Data": STANDARD.encode(stream) });
    let http = reqwest::blocking::Client::new();
    let answer = http.post(url).json(&body).send()?;
    ensure!(answer.status().is_success(), "import: {}", answer.status());
    let answer: Value = answer.json()?;
    Ok(answer["itemId"].as_str().context("no id")?.to_owned())
}

/// Everything a stream says, but for what an import changes: the change key and its history, when it
/// was made and last modified, and our marker.
pub fn said(stream: &[u8]) -> Result<String> {
    let object = Object::parse(stream)?;
    let own = |key: &Key| match key {
        Key::Tag(id) => [0x65E2, 0x65E3, 0x3007, 0x3008, 0x300B].contains(id),
        Key::Name(_, name) => name == "tenantfs",
        Key::Id(..) => false,
    };
    let mut lines: Vec<String> = object
        .properties
        .iter()
        .filter(|p| !own(&p.key))
        .map(|p| format!("{:?} {}", p.key, value(&p.value)))
        .collect();
    lines.sort();
    Ok(format!(
        "{lines:#?} {} recipients {} attachments",
        object.recipients.len(),
        object.attachments.len()
    ))
}

fn value(value: &MapiValue<'_>) -> String {
    match value {
        MapiValue::Text(text) => text.decode(),
        MapiValue::Binary(bytes) | MapiValue::Object(bytes) => STANDARD.encode(bytes.bytes()),
        MapiValue::Many(values) => values.iter().map(self::value).collect::<Vec<_>>().join("|"),
        other => format!("{other:?}"),
    }
}
