//! Inbox rules: the folders they name, and what of a rule is created anew.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Settings;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, ItemError};

const FOLDER: &str = "/users/{user}/mailFolders/{folder}";
const SELECT: &str = "id,displayName,parentFolderId";
/// Actions that name a folder.
const MOVES: [&str; 2] = ["moveToFolder", "copyToFolder"];
/// Actions that send mail on. A rule with one of them is never created enabled.
const SENDS: [&str; 3] = ["forwardTo", "forwardAsAttachmentTo", "redirectTo"];
/// Folders that have the same name in every language; the first is what all visible ones lie in.
const WELL_KNOWN: [&str; 8] = [
    "msgfolderroot",
    "inbox",
    "drafts",
    "sentitems",
    "deleteditems",
    "junkemail",
    "archive",
    "outbox",
];
/// How deep folders are followed up; Exchange allows 300.
const MAX_DEPTH: usize = 300;

impl Settings {
    /// Where the folders are that rules name: by id, the well-known folder above and the path below it.
    pub(super) async fn folders_of(
        &self,
        account: &Account,
        rules: &Value,
    ) -> Result<Map<String, Value>, ItemError> {
        let mut places = Map::new();
        let ids = named_folders(rules);
        if ids.is_empty() {
            return Ok(places);
        }
        let known = self.well_known(account).await?;
        for id in ids {
            match self.place_of(account, &id, &known).await {
                Ok(Some(place)) => drop(places.insert(id, place)),
                // The rule names a folder that is gone; the service calls that an error of the rule.
                Ok(None) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(places)
    }

    async fn well_known(
        &self,
        account: &Account,
    ) -> Result<Vec<(String, &'static str)>, GraphError> {
        let calls: Vec<Call> = WELL_KNOWN
            .iter()
            .map(|name| {
                let call = Call::get(FOLDER, &[&account.id, name]).query("$select", "id");
                Self::of(account, call.patient_404(1))
            })
            .collect();
        let answers = self.client.batch(Self::scope(account), &calls).await?;
        let mut known = Vec::new();
        for (name, answer) in WELL_KNOWN.into_iter().zip(answers) {
            match answer {
                Ok(part) => known.extend(part.body["id"].as_str().map(|id| (id.to_owned(), name))),
                Err(e) if e.class.is_temporary() => return Err(e),
                // A mailbox lacks some of them.
                Err(_) => {}
            }
        }
        Ok(known)
    }

    async fn place_of(
        &self,
        account: &Account,
        id: &str,
        known: &[(String, &'static str)],
    ) -> Result<Option<Value>, GraphError> {
        let mut path = Vec::new();
        let mut at = id.to_owned();
        for _ in 0..MAX_DEPTH {
            if let Some((_, name)) = known.iter().find(|(id, _)| *id == at) {
                path.reverse();
                return Ok(Some(json!({ "wellKnownName": name, "path": path })));
            }
            let Some(folder) = self.folder(account, &at).await? else {
                return Ok(None);
            };
            path.push(folder["displayName"].clone());
            at = folder["parentFolderId"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
        }
        Ok(None)
    }

    async fn folder(&self, account: &Account, id: &str) -> Result<Option<Value>, GraphError> {
        if id.is_empty() {
            return Ok(None);
        }
        let call = Call::get(FOLDER, &[&account.id, id]).query("$select", SELECT);
        match self
            .client
            .json(&Self::of(account, call.patient_404(1)))
            .await
        {
            Ok(folder) => Ok(Some(folder)),
            Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The folder that the rule of a file means, in this mailbox.
    async fn remap(
        &self,
        account: &Account,
        id: &str,
        places: &Value,
    ) -> Result<Option<String>, GraphError> {
        if self.folder(account, id).await?.is_some() {
            return Ok(Some(id.to_owned()));
        }
        let place = &places[id];
        let Some(known) = place["wellKnownName"].as_str() else {
            return Ok(None);
        };
        let Some(root) = self.folder(account, known).await? else {
            return Ok(None);
        };
        let path: Vec<String> = place["path"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let root = root["id"].as_str().unwrap_or_default();
        self.mail.folder_below(account, root, &path).await
    }

    /// The body that creates a rule again, and what is different from how it was.
    pub(super) async fn body_of(
        &self,
        account: &Account,
        rule: &Value,
        places: &Value,
    ) -> Result<(Value, Vec<String>), GraphError> {
        let name = rule["displayName"].as_str().unwrap_or("(no name)");
        let mut notes = Vec::new();
        let mut body = Map::new();
        for property in [
            "displayName",
            "sequence",
            "isEnabled",
            "conditions",
            "exceptions",
            "actions",
        ] {
            let value = without_nulls(&rule[property]);
            if !value.is_null() {
                body.insert(property.into(), value);
            }
        }
        let mut enabled = rule["isEnabled"].as_bool().unwrap_or(false);
        for action in MOVES {
            let Some(id) = rule["actions"][action].as_str() else {
                continue;
            };
            let found = self.remap(account, id, places).await?;
            let Some(actions) = body.get_mut("actions").and_then(Value::as_object_mut) else {
                continue;
            };
            match found {
                Some(found) => drop(actions.insert(action.into(), found.into())),
                None => {
                    actions.remove(action);
                    enabled = false;
                    let place = place_text(&places[id]);
                    notes.push(format!(
                        "rule {name:?} is disabled and without its {action}: there is no folder {place}"
                    ));
                }
            }
        }
        if sends(rule) && enabled {
            enabled = false;
            notes.push(format!(
                "rule {name:?} sends mail on: it is disabled until somebody enables it"
            ));
        }
        body.insert("isEnabled".into(), enabled.into());
        Ok((Value::Object(body), notes))
    }
}

/// True for a rule that forwards or redirects.
fn sends(rule: &Value) -> bool {
    let any = |action: &str| {
        let to = rule["actions"][action].as_array();
        to.is_some_and(|to| !to.is_empty())
    };
    SENDS.iter().any(|action| any(action))
}

fn named_folders(rules: &Value) -> BTreeSet<String> {
    let rules = rules.as_array().into_iter().flatten();
    let ids = rules.flat_map(|rule| MOVES.map(|action| rule["actions"][action].as_str()));
    ids.flatten().map(str::to_owned).collect()
}

fn place_text(place: &Value) -> String {
    let path = place["path"].as_array().into_iter().flatten();
    let names: Vec<&str> = [place["wellKnownName"].as_str().unwrap_or("(unknown)")]
        .into_iter()
        .chain(path.filter_map(Value::as_str))
        .collect();
    names.join("/")
}

/// Exchange tells what a rule does not say as null, and takes no nulls back.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| !value.is_null() && !name.contains("@odata."))
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_send_are_known() {
        let rule = |action: &str| json!({ "actions": { action: [{ "emailAddress": {} }] } });
        assert!(sends(&rule("forwardTo")) && sends(&rule("redirectTo")));
        assert!(sends(&rule("forwardAsAttachmentTo")));
        assert!(!sends(
            &json!({ "actions": { "forwardTo": [], "moveToFolder": "x" } })
        ));
        assert!(!sends(&json!({})));
    }

    #[test]
    fn folders_are_found_in_rules() {
        let rules = json!([
            { "actions": { "moveToFolder": "b" } },
            { "actions": { "moveToFolder": "a", "copyToFolder": "b", "delete": true } },
            { "actions": null },
        ]);
        assert_eq!(Vec::from_iter(named_folders(&rules)), ["a", "b"]);
        assert!(named_folders(&json!(null)).is_empty());
        let place = json!({ "wellKnownName": "inbox", "path": ["A", "B"] });
        assert_eq!(place_text(&place), "inbox/A/B");
    }

    #[test]
    fn nulls_are_not_sent_back() {
        let told = json!({ "a": null, "b": { "c": null, "d": [1] }, "@odata.type": "x" });
        assert_eq!(without_nulls(&told), json!({ "b": { "d": [1] } }));
    }
}
