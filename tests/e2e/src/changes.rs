//! What people do in a tenant between two captures.

use anyhow::{Context, Result};
use serde_json::json;

use crate::Tenant;

/// Mails and files come, and nothing changes that was there.
pub fn arrive(tenant: &Tenant, round: u64) -> Result<()> {
    let graph = &tenant.graph;
    for upn in graph.mailboxes()? {
        for n in 0..4 {
            graph.receive(&upn, "inbox", &format!("round {round} {n}"))?;
        }
        if has_drive(tenant, &upn) {
            put(tenant, &upn, &format!("round {round}.txt"), round)?;
        }
    }
    graph.control("clock", &json!({ "advance_seconds": 1 }))
}

/// Mails come and go, and a file gets another version.
pub fn change(tenant: &Tenant, round: u64) -> Result<()> {
    let graph = &tenant.graph;
    for upn in graph.mailboxes()? {
        let inbox = graph.list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
        let id = inbox[0]["id"].as_str().context("no id")?;
        graph.post(
            &format!("/users/{upn}/messages/{id}/permanentDelete"),
            &json!({}),
        )?;
        if has_drive(tenant, &upn) {
            put(tenant, &upn, "notes.txt", round)?;
        }
    }
    arrive(tenant, round)
}

fn put(tenant: &Tenant, upn: &str, name: &str, round: u64) -> Result<()> {
    let text = format!("{upn} {name} round {round} ").repeat(3000);
    let file = format!("/users/{upn}/drive/root:/{name}:/content");
    tenant.graph.put(&file, text.into_bytes())?;
    Ok(())
}

/// Shared mailboxes have none.
pub fn has_drive(tenant: &Tenant, upn: &str) -> bool {
    tenant.graph.get(&format!("/users/{upn}/drive")).is_ok()
}

/// Somebody with a mailbox and a drive.
pub fn somebody(tenant: &Tenant) -> Result<String> {
    let all = tenant.graph.mailboxes()?;
    let found = all.into_iter().find(|upn| has_drive(tenant, upn));
    found.context("nobody has a drive")
}
