//! Role assignments: who may do what in a site, and in lists and items that have assignments of their own in
//! place of inherited ones. Graph tells who may open files; these only SharePoint's own interface tells, to an
//! identity with a certificate. Without one nothing is asked.
//!
//! Neither tells when they change: a change of roles alone is noticed by a sweep of the list's items, or when the
//! item or list is another one. They are asked for last ([`crate::workload::Workload::details`]) of what is new or
//! changed otherwise. One listing tells which of many items have their own, and only those are asked about.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Web;
use crate::graph::{Call, Client, GraphError};

const ITEMS: &str = "/_api/web/lists(guid'{list}')/items";
const LIST: &str = "/_api/web/lists(guid'{list}')";
const OF_ITEM: &str = "/_api/web/lists(guid'{list}')/items({item})/roleassignments";
const OF_LIST: &str = "/_api/web/lists(guid'{list}')/roleassignments";
const OF_SITE: &str = "/_api/web/roleassignments";

/// The record's property: principals with their roles, or `null` where what is above holds.
pub(in crate::workload::sites) const PROPERTY: &str = "roleAssignments";
/// Items that one listing tells.
const PAGE: usize = 5_000;
/// `RoleTypeKind` of "Limited Access", which nobody can be given.
pub(super) const LIMITED: u64 = 1;

/// Whether they are still to be asked for: of something new, or changed otherwise.
pub(in crate::workload::sites) fn needs_roles(
    client: &Client,
    stored: Option<&Value>,
    record: &Value,
) -> bool {
    let other = |stored: &Value| stored["eTag"] != record["eTag"];
    client.sharepoint().is_ok() && (record.get(PROPERTY).is_none() || stored.is_some_and(other))
}

impl Web<'_> {
    /// Who may do what in the site.
    pub async fn roles_of_site(&self) -> Result<Value, GraphError> {
        self.assignments(Call::get(OF_SITE, &[])).await
    }

    /// What a list has of its own; `null`: what its site has.
    pub async fn roles_of_list(&self, list: &str) -> Result<Value, GraphError> {
        let told = self
            .ask(Call::get(LIST, &[list]).query("$select", "HasUniqueRoleAssignments"))
            .await?;
        match told["HasUniqueRoleAssignments"] == true {
            true => self.assignments(Call::get(OF_LIST, &[list])).await,
            false => Ok(Value::Null),
        }
    }

    /// Which of these items of a list have their own.
    pub async fn unique_items(
        &self,
        list: &str,
        items: &BTreeSet<u64>,
    ) -> Result<BTreeSet<u64>, GraphError> {
        let mut unique = BTreeSet::new();
        let mut rest = items.clone();
        // The listing can't be asked for those alone.
        while let (Some(first), Some(last)) = (rest.first().copied(), rest.last()) {
            let call = Call::get(ITEMS, &[list])
                .query("$select", "Id,HasUniqueRoleAssignments")
                .query("$filter", &format!("Id ge {first} and Id le {last}"))
                .query("$orderby", "Id")
                .query("$top", &PAGE.to_string());
            let told = self.ask(call).await?;
            let rows = told["value"].as_array().map_or(&[][..], Vec::as_slice);
            let number = |row: &Value| row["Id"].as_u64();
            let own = |row: &&Value| row["HasUniqueRoleAssignments"] == true;
            unique.extend(rows.iter().filter(own).filter_map(number));
            let more = rows.len() >= PAGE || told["odata.nextLink"].is_string();
            match rows.last().and_then(number).filter(|_| more) {
                Some(reached) if reached >= first => rest = rest.split_off(&(reached + 1)),
                _ => break,
            }
        }
        unique.retain(|number| items.contains(number));
        Ok(unique)
    }

    /// What an item that has its own has.
    pub async fn roles_of_item(&self, list: &str, item: u64) -> Result<Value, GraphError> {
        self.assignments(Call::get(OF_ITEM, &[list, &item.to_string()]))
            .await
    }

    async fn assignments(&self, call: Call) -> Result<Value, GraphError> {
        let told = self
            .ask(call.query("$expand", "Member,RoleDefinitionBindings"))
            .await?;
        let rows = told["value"].as_array().into_iter().flatten();
        Ok(rows.map(assignment).collect())
    }
}

/// One principal and what it may do, without what says the same in other words.
fn assignment(row: &Value) -> Value {
    let member = &row["Member"];
    let roles = row["RoleDefinitionBindings"]
        .as_array()
        .into_iter()
        .flatten();
    // What the service gives by itself to who may do something further down.
    let given = roles.filter(|role| role["RoleTypeKind"] != LIMITED);
    let roles: Vec<&Value> = given.map(|role| &role["Name"]).collect();
    json!({
        "loginName": member["LoginName"], "title": member["Title"], "email": member["Email"],
        "principalType": member["PrincipalType"], "roles": roles,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_who_and_what() {
        let row = json!({ "PrincipalId": 7,
            "Member": { "Id": 7, "Title": "Bob", "LoginName": "i:0#.f|membership|bob@x", "Email": "bob@x", "PrincipalType": 1 },
            "RoleDefinitionBindings": [{ "Id": 1, "Name": "Read", "RoleTypeKind": 2 },
                                       { "Id": 2, "Name": "Limited Access", "RoleTypeKind": 1 }] });
        let told = json!({ "loginName": "i:0#.f|membership|bob@x", "title": "Bob", "email": "bob@x",
                           "principalType": 1, "roles": ["Read"] });
        assert_eq!(assignment(&row), told);
    }
}
