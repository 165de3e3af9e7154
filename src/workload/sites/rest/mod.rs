//! SharePoint's own interface at one site ([`crate::graph::sharepoint`]), for what Graph can neither tell nor
//! set: who has which role ([`roles`], [`assign`]), people that a site does not know yet ([`people`]), who made
//! an item and when, and links in it ([`item`]).

pub(super) mod assign;
pub(super) mod item;
mod moment;
pub(super) mod people;
pub(super) mod roles;

use serde_json::Value;

use crate::graph::sharepoint::UNITS;
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};

const SITE: &str = "/sites/{site}";

/// The address of a site.
pub(super) async fn address(client: &Client, site: &str) -> Result<String, GraphError> {
    let call = Call::get(SITE, &[site])
        .query("$select", "id,webUrl")
        .scope(Scope::Drives, 1);
    let told = client.json(&call).await?;
    Ok(told["webUrl"].as_str().unwrap_or_default().to_owned())
}

/// A site, asked through its own interface.
#[derive(Clone, Copy)]
pub(super) struct Web<'a> {
    pub client: &'a Client,
    /// `https://contoso.sharepoint.com/sites/finance`
    pub address: &'a str,
}

impl Web<'_> {
    /// Sends a call; `null` for an answer without a body.
    async fn ask(&self, call: Call) -> Result<Value, GraphError> {
        let label = call.label();
        let call = call.sharepoint(self.address).scope(Scope::Drives, UNITS);
        let answer = self.client.send_sharepoint(&call).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        crate::graph::json::parse(&answer.body)
            .map_err(|e| GraphError::local(ErrorClass::Network, label, e.to_string()))
    }
}
