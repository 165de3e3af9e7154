//! Who may do what with shared items: asked in batches, after all else, of items that delta shows as
//! shared themselves, and again only of those whose sharing delta says was changed.
//!
//! Graph tells what is in force, and not where it comes from. What an item has from the folders above
//! it is worked out here, where their permissions are known: a restore must not give it twice.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Drive, PERMISSIONS};
use crate::graph::{Call, ErrorClass, GraphError, Part, Scope};
use crate::workload::{Detail, ItemError};

const ITEM: &str = "/drives/{drive}/items/{item}/permissions";
const ROOT: &str = "/drives/{drive}/root/permissions";
/// Permissions of one item; SharePoint allows 5,000 unique ones in a list to be sane.
pub(super) const MAX: usize = 50_000;

/// Delta's word that an item's sharing is another one; in the record until it was asked for.
pub(super) const CHANGED: &str = "@microsoft.graph.sharedChanged";
/// The record's property that tells what of the permissions is inherited, and whether the item has cut
/// itself off from the folders above it.
pub(super) const SHARING: &str = "tenantfsSharing";

/// Whether permissions are still to be asked for. Those that were stay until others are there.
pub(in crate::workload) fn needs_permissions(stored: Option<&Value>, record: &Value) -> bool {
    has_some(record)
        && (record.get("permissions").is_none()
            || !record[CHANGED].is_null()
            || stored.is_some_and(|stored| stored["shared"] != record["shared"]))
}

/// Whether it has permissions of its own: a library, and what is shared.
fn has_some(record: &Value) -> bool {
    record["driveType"].is_string() || record["shared"].is_object()
}

impl Drive {
    /// Puts `permissions` into the records of items that are shared, and of libraries those of their roots.
    pub(in crate::workload) async fn add_permissions(
        &self,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        let has_some = |item: &Detail| has_some(&item.record);
        let calls: Vec<Option<Call>> = items
            .iter()
            .map(|item| call(&item.record).filter(|_| has_some(item)))
            .collect();
        let asked: Vec<Call> = calls.iter().flatten().cloned().collect();
        let mut answers = self.client.batch(Scope::Drives, &asked).await?.into_iter();
        let mut done = Vec::with_capacity(items.len());
        for (item, call) in items.iter_mut().zip(calls) {
            let Some(call) = call else {
                if !has_some(item) {
                    done.push(Ok(()));
                    continue;
                }
                done.push(Err(ItemError {
                    class: ErrorClass::Ours,
                    reason: "permissions: the record does not say where the item is".to_owned(),
                }));
                continue;
            };
            let outcome = match answers.next() {
                Some(Ok(part)) => self.all(call, part).await,
                Some(Err(e)) => Err(e),
                None => Err(missing()),
            };
            done.push(take(item, outcome));
        }
        Ok(done)
    }

    async fn all(&self, call: Call, mut part: Part) -> Result<Vec<Value>, GraphError> {
        if part.body["@odata.nextLink"].is_string() {
            return self.client.pages(call, MAX).await;
        }
        match part.body["value"].take() {
            Value::Array(permissions) => Ok(permissions),
            _ => Err(GraphError::local(
                ErrorClass::Ours,
                ITEM,
                "the answer is no collection",
            )),
        }
    }
}

fn missing() -> GraphError {
    GraphError::local(ErrorClass::Network, ITEM, "a part got no answer")
}

fn call(record: &Value) -> Option<Call> {
    let call = match record["driveType"].is_string() {
        true => Call::get(ROOT, &[record["id"].as_str()?]),
        false => Call::get(ITEM, &place(record)?),
    };
    Some(call.scope(Scope::Drives, PERMISSIONS))
}

/// Drive and id of a file or folder.
pub(super) fn place(record: &Value) -> Option<[&str; 2]> {
    let drive = record["parentReference"]["driveId"].as_str()?;
    Some([drive, record["id"].as_str()?])
}

/// Completes a record. One whose permissions can't be read is kept without.
fn take(item: &mut Detail, outcome: Result<Vec<Value>, GraphError>) -> Result<(), ItemError> {
    let record = &mut item.record;
    let outcome = match outcome {
        Err(e) if e.class.is_temporary() => return Err(e.into()),
        Err(e) => {
            record["permissions"] = Value::Null;
            Err(ItemError {
                class: e.class,
                reason: format!("permissions: {e}"),
            })
        }
        Ok(permissions) => {
            record[SHARING] = inheritance(&permissions, &item.above);
            record["permissions"] = Value::Array(permissions);
            Ok(())
        }
    };
    if let Some(record) = record.as_object_mut() {
        record.remove(CHANGED);
    }
    outcome
}

/// What of an item's permissions the folders above it have too, by id; and `unique` where one of their
/// grants is not in force here: the item has grants of its own in place of theirs.
fn inheritance(permissions: &[Value], above: &[Arc<Value>]) -> Value {
    let above: Vec<&Value> = above
        .iter()
        .filter_map(|folder| folder["permissions"].as_array())
        .flatten()
        .collect();
    let theirs: HashSet<String> = above.iter().map(|p| mark(p)).collect();
    let own: HashSet<String> = permissions.iter().map(mark).collect();
    let inherited: Vec<&Value> = permissions
        .iter()
        .filter(|p| theirs.contains(&mark(p)))
        .map(|p| &p["id"])
        .collect();
    let unique = above
        .iter()
        .any(|p| !p["link"].is_object() && !is_owner(p) && !own.contains(&mark(p)));
    json!({ "inherited": inherited, "unique": unique })
}

/// Full control: nobody can be given it through Graph, and nobody loses it.
pub(super) fn is_owner(permission: &Value) -> bool {
    let mut roles = permission["roles"].as_array().into_iter().flatten();
    roles.any(|role| role == "owner")
}

/// What makes two permissions the same: a link is itself, a grant is who and what.
pub(super) fn mark(permission: &Value) -> String {
    if permission["link"].is_object() {
        return format!("link {}", permission["id"]);
    }
    let who = match &permission["invitation"]["email"] {
        Value::String(email) => email.to_lowercase(),
        _ => principal(&permission["grantedToV2"]),
    };
    format!("{who} {}", permission["roles"])
}

/// The id of who is granted something.
pub(super) fn principal(identities: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_lowercase);
    let who = ["user", "group", "application", "device"].into_iter();
    who.map(|kind| &identities[kind])
        .find_map(|who| text(&who["id"]).or_else(|| text(&who["email"])))
        .or_else(|| text(&identities["siteGroup"]["id"]).map(|id| format!("group {id}")))
        .or_else(|| text(&identities["siteUser"]["loginName"]))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(user: &str, role: &str) -> Value {
        json!({ "id": format!("g-{user}"), "roles": [role], "grantedToV2": { "user": { "id": user } } })
    }

    fn link(id: &str) -> Value {
        json!({ "id": id, "roles": ["read"], "link": { "scope": "users", "type": "view" } })
    }

    #[test]
    fn only_what_is_new_or_changed_is_asked() {
        let shared = |scope: &str| json!({ "scope": scope });
        let fresh = json!({ "shared": shared("users") });
        assert!(needs_permissions(None, &fresh));
        assert!(!needs_permissions(
            None,
            &json!({ "shared": null, "permissions": null })
        ));
        let known = json!({ "shared": shared("users"), "permissions": [] });
        assert!(!needs_permissions(Some(&known), &known));
        let refused = json!({ "shared": shared("users"), "permissions": null });
        assert!(!needs_permissions(Some(&refused), &refused));
        let told = json!({ "shared": shared("users"), "permissions": [], CHANGED: "True" });
        assert!(needs_permissions(Some(&known), &told));
        let wider = json!({ "shared": shared("anonymous"), "permissions": [] });
        assert!(needs_permissions(Some(&known), &wider));
        assert!(needs_permissions(
            None,
            &json!({ "driveType": "documentLibrary" })
        ));
    }

    #[test]
    fn what_is_inherited_is_told_from_what_is_not() {
        let folder = |permissions: Value| Arc::new(json!({ "permissions": permissions }));
        let members =
            json!({ "id": "m", "roles": ["write"], "grantedToV2": { "siteGroup": { "id": "5" } } });
        let library = folder(json!([grant("o", "owner"), members, link("L0")]));
        let near = folder(json!([
            grant("o", "owner"),
            members,
            link("L0"),
            link("L1")
        ]));
        let above = [near, library, Arc::new(json!({}))];
        let all = [
            grant("o", "owner"),
            members.clone(),
            grant("b", "read"),
            link("L1"),
            link("L2"),
        ];
        let found = inheritance(&all, &above);
        assert_eq!(
            found,
            json!({ "inherited": ["g-o", "m", "L1"], "unique": false })
        );
        // Without the members, or with another role for them, it has grants of its own.
        let found = inheritance(&[grant("o", "owner"), link("L1")], &above);
        assert_eq!(found["unique"], true);
        let fewer =
            json!({ "id": "m", "roles": ["read"], "grantedToV2": { "siteGroup": { "id": "5" } } });
        assert_eq!(inheritance(&[fewer], &above)["unique"], true);
        assert_eq!(
            inheritance(&all, &[]),
            json!({ "inherited": [], "unique": false })
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_asked_for_ever() {
        let record = json!({ "shared": {}, "permissions": [1], CHANGED: "True" });
        let mut item = Detail {
            record,
            above: Vec::new(),
        };
        let busy = GraphError::local(ErrorClass::Throttled, ITEM, "busy");
        assert!(take(&mut item, Err(busy)).is_err());
        assert_eq!(item.record["permissions"], json!([1]));
        assert!(needs_permissions(Some(&item.record), &item.record));
        let denied = GraphError::local(ErrorClass::Denied, ITEM, "no");
        assert!(take(&mut item, Err(denied)).is_err());
        assert!(!needs_permissions(Some(&item.record), &item.record));
    }
}
