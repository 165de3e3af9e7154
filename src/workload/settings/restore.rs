//! Puts settings back.
//!
//! Lists are merged: what is missing is made, what is there stays, or below `@overwrite` becomes what
//! the file says; nothing is ever removed. What there is one of is replaced only below `@overwrite`.
//! Repeating a push is harmless, so it needs no journal.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Settings;
use super::files::{CATEGORIES, FILES, File, OVERRIDES, RULES, SETTINGS};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, Policy, Push, PushError, Pushed};

/// Bytes of the largest file of settings.
const MAX_FILE: u64 = 8 << 20;
/// What of the mailbox settings can be written.
const WRITABLE: [&str; 6] = [
    "dateFormat",
    "delegateMeetingMessageDeliveryOptions",
    "language",
    "timeFormat",
    "timeZone",
    "workingHours",
];

impl Settings {
    pub(super) async fn push_settings(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Pushed, PushError> {
        let (file, said) = read(push).await?;
        let overwrite = push.policy == Policy::Overwrite;
        let notes = match file {
            File::Mailbox | File::Replies => self.replace(account, push, file, &said).await?,
            File::Categories => {
                self.categories(account, &list(push, &said)?, overwrite)
                    .await?
            }
            File::Focused => {
                self.focused(account, &list(push, &said)?, overwrite)
                    .await?
            }
            File::Rules => {
                let rules = match said.get("rules") {
                    Some(rules) => rules,
                    None => &said,
                };
                let rules = list(push, rules)?;
                self.rules(account, &rules, &said["folders"], overwrite)
                    .await?
            }
        };
        let now = self.live(account, file).await?;
        Ok(Pushed {
            entry: self.entry(account, file, now),
            replaced: None,
            notes,
        })
    }

    /// What a push would meet: what there is one of is always there, into a list it is merged.
    pub(super) async fn plan_settings(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<String>, PushError> {
        let (file, _) = read(push).await?;
        let there = self.entry(account, file, Value::Null).id;
        Ok((!file.is_list()).then_some(there))
    }

    /// What there is one of.
    async fn replace(
        &self,
        account: &Account,
        push: &Push,
        file: File,
        said: &Value,
    ) -> Result<Vec<String>, PushError> {
        if !said.is_object() {
            return Err(PushError::Invalid(format!(
                "{}: it is no object with settings",
                push.name
            )));
        }
        let live = self.live(account, file).await?;
        let (body, notes) = match file {
            File::Replies => replies(said, &live),
            _ => (mailbox(said, &live), Vec::new()),
        };
        if body.as_object().is_none_or(Map::is_empty) {
            return Ok(notes);
        }
        match push.policy {
            Policy::Overwrite => {}
            Policy::Skip => {
                return Err(PushError::Exists {
                    name: push.name.clone(),
                });
            }
            Policy::KeepBoth => {
                return Err(PushError::Invalid(format!(
                    "{}: a mailbox has these settings once: write below @overwrite to replace them",
                    push.name
                )));
            }
        }
        let call = Call::new(Method::PATCH, SETTINGS, &[&account.id])
            .json(body)
            .repeatable();
        self.client.json(&Self::of(account, call)).await?;
        Ok(notes)
    }

    async fn categories(
        &self,
        account: &Account,
        said: &[Value],
        overwrite: bool,
    ) -> Result<Vec<String>, PushError> {
        let live = self.live(account, File::Categories).await?;
        for category in said {
            let (name, color) = (&category["displayName"], &category["color"]);
            // Items refer to categories by name.
            match found(&live, |there| same_text(&there["displayName"], name)) {
                None => {
                    let body = json!({ "displayName": name, "color": color });
                    self.make(account, CATEGORIES, body).await?;
                }
                Some(there) if overwrite && there["color"] != *color => {
                    let body = json!({ "color": color });
                    let route = "/users/{user}/outlook/masterCategories/{category}";
                    self.change(account, route, &there["id"], body).await?;
                }
                Some(_) => {}
            }
        }
        Ok(Vec::new())
    }

    async fn focused(
        &self,
        account: &Account,
        said: &[Value],
        overwrite: bool,
    ) -> Result<Vec<String>, PushError> {
        let live = self.live(account, File::Focused).await?;
        for sender in said {
            let (address, class) = (&sender["senderEmailAddress"], &sender["classifyAs"]);
            let same = |there: &Value| {
                same_text(&there["senderEmailAddress"]["address"], &address["address"])
            };
            match found(&live, same) {
                None => {
                    let body = json!({ "classifyAs": class, "senderEmailAddress": address });
                    self.make(account, OVERRIDES, body).await?;
                }
                Some(there) if overwrite && there["classifyAs"] != *class => {
                    let route = "/users/{user}/inferenceClassification/overrides/{override}";
                    let body = json!({ "classifyAs": class });
                    self.change(account, route, &there["id"], body).await?;
                }
                Some(_) => {}
            }
        }
        Ok(Vec::new())
    }

    async fn rules(
        &self,
        account: &Account,
        said: &[Value],
        places: &Value,
        overwrite: bool,
    ) -> Result<Vec<String>, PushError> {
        let live = self.live(account, File::Rules).await?;
        let mut notes = Vec::new();
        for (rule, there) in said.iter().zip(counterparts(said, &live)) {
            if there.is_some() && !overwrite {
                continue;
            }
            let name = rule["displayName"].as_str().unwrap_or("(no name)");
            let (body, different) = self.body_of(account, rule, places).await?;
            notes.extend(different);
            let nothing_left = body["actions"].as_object().is_none_or(Map::is_empty);
            if nothing_left {
                notes.push(format!(
                    "rule {name:?} is not restored: nothing is left of what it did"
                ));
                continue;
            }
            if rule["isReadOnly"] == json!(true) {
                notes.push(format!(
                    "rule {name:?} is not restored: only Outlook can make it"
                ));
                continue;
            }
            let outcome = match there {
                None => self.make(account, RULES, body).await,
                Some(there) => {
                    let route = "/users/{user}/mailFolders/inbox/messageRules/{rule}";
                    self.change(account, route, &there["id"], body).await
                }
            };
            match outcome {
                Ok(()) => {}
                // One rule that Exchange does not take is not the end of the others.
                Err(e) if matches!(e.class, ErrorClass::Ours | ErrorClass::Unsupported) => {
                    notes.push(format!("rule {name:?} is not restored: {e}"));
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(notes)
    }

    /// Makes an entry of a list. One that somebody made meanwhile is what was wanted.
    async fn make(
        &self,
        account: &Account,
        route: &'static str,
        body: Value,
    ) -> Result<(), GraphError> {
        let call = Call::post(route, &[&account.id], body);
        match self.client.json(&Self::of(account, call)).await {
            Err(e) if e.class != ErrorClass::Conflict => Err(e),
            _ => Ok(()),
        }
    }

    async fn change(
        &self,
        account: &Account,
        route: &'static str,
        id: &Value,
        body: Value,
    ) -> Result<(), GraphError> {
        let id = id.as_str().unwrap_or_default();
        let call = Call::new(Method::PATCH, route, &[&account.id, id])
            .json(body)
            .repeatable();
        self.client.json(&Self::of(account, call)).await.map(drop)
    }
}

/// The file of a push: which settings, and what they say.
async fn read(push: &Push) -> Result<(File, Value), PushError> {
    let file = file_of(push)?;
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_FILE {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for settings",
            push.name
        )));
    }
    let bytes = tokio::fs::read(&push.file).await?;
    let said = serde_json::from_slice(&bytes)
        .map_err(|e| PushError::Invalid(format!("{}: it is no JSON: {e}", push.name)))?;
    Ok((file, said))
}

/// Which settings a file is.
fn file_of(push: &Push) -> Result<File, PushError> {
    let names = FILES.map(File::name).join(", ");
    match File::named(&push.name) {
        Some(file) if push.folder.is_empty() => Ok(file),
        _ => Err(PushError::Invalid(format!(
            "{}: below Settings only these files can be restored: {names}",
            push.name
        ))),
    }
}

/// The entries of a list: the file's own form, or Graph's answer.
fn list(push: &Push, said: &Value) -> Result<Vec<Value>, PushError> {
    let entries = said.as_array().or_else(|| said["value"].as_array());
    match entries {
        Some(entries) if entries.iter().all(Value::is_object) => Ok(entries.clone()),
        _ => Err(PushError::Invalid(format!(
            "{}: it is no list of settings",
            push.name
        ))),
    }
}

/// What of the mailbox settings has to change.
fn mailbox(said: &Value, live: &Value) -> Value {
    let mut body = Map::new();
    for name in WRITABLE {
        let (value, there) = (&said[name], &live[name]);
        // The name of a language is in the language of whoever asks.
        let same = match name {
            "language" => value["locale"] == there["locale"],
            _ => value == there,
        };
        if !value.is_null() && !same {
            body.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(body)
}

/// The texts of automatic replies, and whom they go to. Whether they go is left as it is.
fn replies(said: &Value, live: &Value) -> (Value, Vec<String>) {
    let mut change = Map::new();
    for name in [
        "externalAudience",
        "internalReplyMessage",
        "externalReplyMessage",
    ] {
        if !said[name].is_null() && said[name] != live[name] {
            change.insert(name.to_owned(), said[name].clone());
        }
    }
    let mut notes = Vec::new();
    let status = said["status"].as_str().unwrap_or("disabled");
    if status != "disabled" && live["status"] != said["status"] {
        notes.push(format!(
            "automatic replies were {status:?}: their texts are restored, they are not switched on"
        ));
    }
    if change.is_empty() {
        return (json!({}), notes);
    }
    // Told again, so that no service takes its absence for a change.
    for name in ["status", "scheduledStartDateTime", "scheduledEndDateTime"] {
        if !live[name].is_null() {
            change.insert(name.to_owned(), live[name].clone());
        }
    }
    (json!({ "automaticRepliesSetting": change }), notes)
}

/// The live rule that is each of these: by its id, else by its name. No two are the same one: a mailbox may have
/// several rules of one name.
fn counterparts<'a>(said: &[Value], live: &'a Value) -> Vec<Option<&'a Value>> {
    let mut left: Vec<&Value> = live.as_array().into_iter().flatten().collect();
    let mut take = |same: &dyn Fn(&Value) -> bool| {
        let at = left.iter().position(|there| same(there))?;
        Some(left.remove(at))
    };
    let same_id = |a: &Value, b: &Value| a["id"].is_string() && a["id"] == b["id"];
    let by_id = said.iter().map(|rule| take(&|there| same_id(there, rule)));
    let by_id: Vec<_> = by_id.collect();
    let by_name = said.iter().zip(by_id).map(|(rule, found)| {
        found.or_else(|| take(&|there| same_text(&there["displayName"], &rule["displayName"])))
    });
    by_name.collect()
}

fn found(live: &Value, same: impl Fn(&Value) -> bool) -> Option<&Value> {
    live.as_array()?.iter().find(|there| same(there))
}

fn same_text(a: &Value, b: &Value) -> bool {
    let text = |value: &Value| value.as_str().map(str::to_lowercase);
    text(a).is_some() && text(a) == text(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Source;

    #[test]
    fn rules_of_one_name_are_not_taken_for_each_other() {
        let rule = |id: &str, name: &str| json!({ "id": id, "displayName": name });
        let live = json!([rule("1", "Move"), rule("2", "Move"), rule("3", "Mark")]);
        let ids = |said: &[Value]| -> Vec<Option<String>> {
            let found = counterparts(said, &live);
            let id = |rule: &Value| rule["id"].as_str().map(str::to_owned);
            found.into_iter().map(|rule| rule.and_then(id)).collect()
        };
        let told = |ids: &[Option<&str>]| -> Vec<Option<String>> {
            ids.iter().map(|id| id.map(str::to_owned)).collect()
        };
        let same = [rule("2", "Move"), rule("1", "Move")];
        assert_eq!(ids(&same), told(&[Some("2"), Some("1")]));
        // Renamed since, and the other one has its name now.
        let renamed = [rule("9", "move"), rule("1", "Old name"), rule("8", "Move")];
        assert_eq!(ids(&renamed), told(&[Some("2"), Some("1"), None]));
        // Of another mailbox.
        let foreign = [rule("a", "Mark"), rule("b", "New")];
        assert_eq!(ids(&foreign), told(&[Some("3"), None]));
    }

    fn push(folder: &[&str], name: &str) -> Push {
        Push {
            id: uuid::Uuid::nil(),
            folder: folder.iter().map(|f| (*f).to_owned()).collect(),
            name: name.to_owned(),
            policy: Policy::Skip,
            source: Source::File,
            original: None,
            file: "unused".into(),
            mtime: 0,
        }
    }

    #[test]
    fn other_names_are_refused_with_a_reason() {
        assert_eq!(file_of(&push(&[], "rules.json")).unwrap(), File::Rules);
        for (folder, name) in [(&[][..], "x.json"), (&["a"][..], "rules.json")] {
            let refused = file_of(&push(folder, name)).unwrap_err();
            assert_eq!(refused.errno(), rustix::io::Errno::INVAL.raw_os_error());
            assert!(refused.to_string().contains("categories.json"), "{refused}");
        }
    }

    #[test]
    fn lists_have_two_forms() {
        let p = push(&[], "categories.json");
        assert_eq!(list(&p, &json!([{}])).unwrap().len(), 1);
        assert_eq!(list(&p, &json!({ "value": [{}] })).unwrap().len(), 1);
        assert!(list(&p, &json!({})).is_err());
        assert!(list(&p, &json!([1])).is_err());
    }

    #[test]
    fn only_differences_are_written() {
        let live =
            json!({ "timeZone": "UTC", "language": { "locale": "en-US", "displayName": "x" } });
        let said =
            json!({ "timeZone": "UTC", "language": { "locale": "de-DE" }, "userPurpose": "room" });
        assert_eq!(
            mailbox(&said, &live),
            json!({ "language": { "locale": "de-DE" } })
        );
        assert_eq!(mailbox(&live, &live), json!({}));
    }

    #[test]
    fn replies_are_never_switched_on() {
        let live = json!({ "status": "disabled", "internalReplyMessage": "" });
        let said = json!({ "status": "alwaysEnabled", "internalReplyMessage": "away" });
        let (body, notes) = replies(&said, &live);
        let expected = json!({ "status": "disabled", "internalReplyMessage": "away" });
        assert_eq!(body, json!({ "automaticRepliesSetting": expected }));
        assert_eq!(notes.len(), 1);
        let (body, notes) = replies(&live, &live);
        assert_eq!((body, notes.len()), (json!({}), 0));
    }
}
