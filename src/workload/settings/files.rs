//! The files there are, where each comes from, and what of Graph's answer goes into it: nothing that
//! changes by itself, everything in one order.

use serde_json::{Map, Value};

pub(super) const SETTINGS: &str = "/users/{user}/mailboxSettings";
pub(super) const CATEGORIES: &str = "/users/{user}/outlook/masterCategories";
pub(super) const RULES: &str = "/users/{user}/mailFolders/inbox/messageRules";
pub(super) const OVERRIDES: &str = "/users/{user}/inferenceClassification/overrides";

/// One file of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum File {
    Mailbox,
    Replies,
    Categories,
    Rules,
    Focused,
}

pub(super) const FILES: [File; 5] = [
    File::Mailbox,
    File::Replies,
    File::Categories,
    File::Rules,
    File::Focused,
];

impl File {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailboxSettings.json",
            Self::Replies => "automaticReplies.json",
            Self::Categories => "categories.json",
            Self::Rules => "rules.json",
            Self::Focused => "focusedInbox.json",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        FILES.into_iter().find(|file| file.name() == name)
    }

    /// The request that tells it. Two files come from one.
    pub fn route(self) -> &'static str {
        match self {
            Self::Mailbox | Self::Replies => SETTINGS,
            Self::Categories => CATEGORIES,
            Self::Rules => RULES,
            Self::Focused => OVERRIDES,
        }
    }

    /// True for a list, into which a restore merges.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Categories | Self::Rules | Self::Focused)
    }

    /// What the file says, of Graph's answer (for lists: of all entries).
    pub fn value(self, answer: &Value) -> Value {
        let mut value = match self {
            Self::Mailbox => {
                let mut all = answer.clone();
                if let Some(all) = all.as_object_mut() {
                    all.remove("automaticRepliesSetting");
                }
                all
            }
            Self::Replies => answer["automaticRepliesSetting"].clone(),
            _ => answer.clone(),
        };
        strip(&mut value);
        match self {
            // Without a schedule, Exchange tells the hour it is.
            Self::Replies if value["status"] != "scheduled" => {
                if let Some(value) = value.as_object_mut() {
                    value.remove("scheduledStartDateTime");
                    value.remove("scheduledEndDateTime");
                }
            }
            Self::Categories => sort(&mut value, |v| text(&v["displayName"])),
            Self::Rules => sort(&mut value, |v| {
                let sequence = v["sequence"].as_i64().unwrap_or_default();
                format!(
                    "{sequence:020} {} {}",
                    text(&v["displayName"]),
                    text(&v["id"])
                )
            }),
            Self::Focused => sort(&mut value, |v| text(&v["senderEmailAddress"]["address"])),
            _ => {}
        }
        value
    }
}

/// Removes annotations: where it was asked for and how.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // The kind of a time zone, and of nothing else, is told by an annotation.
            map.retain(|name, _| !name.contains("@odata.") || name == "@odata.type");
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

fn sort(value: &mut Value, by: impl Fn(&Value) -> String) {
    if let Some(list) = value.as_array_mut() {
        list.sort_by_cached_key(by);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

/// Pretty JSON with its names in order, ended by a line end.
pub(super) fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(&ordered(value)).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}

fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            let pairs = names
                .into_iter()
                .map(|name| (name.clone(), ordered(&map[name])));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Array(list) => list.iter().map(ordered).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_by_itself_is_left_out() {
        let answer = json!({
            "@odata.context": "https://x", "timeZone": "UTC",
            "workingHours": { "timeZone": { "@odata.type": "#microsoft.graph.customTimeZone", "bias": 5 } },
            "automaticRepliesSetting": { "status": "disabled", "internalReplyMessage": "hi",
                "scheduledStartDateTime": { "dateTime": "2026-11-02T00:00:00" } },
        });
        let mailbox = File::Mailbox.value(&answer);
        let zone = json!({ "@odata.type": "#microsoft.graph.customTimeZone", "bias": 5 });
        assert_eq!(
            mailbox,
            json!({ "timeZone": "UTC", "workingHours": { "timeZone": zone } })
        );
        let replies = File::Replies.value(&answer);
        assert_eq!(
            replies,
            json!({ "status": "disabled", "internalReplyMessage": "hi" })
        );
        let mut scheduled = answer.clone();
        scheduled["automaticRepliesSetting"]["status"] = json!("scheduled");
        assert!(File::Replies.value(&scheduled)["scheduledStartDateTime"].is_object());
    }

    #[test]
    fn lists_have_one_order() {
        let list = json!([{ "displayName": "b" }, { "displayName": "A", "@odata.etag": "1" }]);
        let value = File::Categories.value(&list);
        assert_eq!(
            value,
            json!([{ "displayName": "A" }, { "displayName": "b" }])
        );
        assert_eq!(
            String::from_utf8(pretty(&json!({ "b": 1, "a": [] }))).unwrap(),
            "{\n  \"a\": [],\n  \"b\": 1\n}\n"
        );
        let rules = json!([{ "sequence": 10 }, { "sequence": 9 }]);
        assert_eq!(File::Rules.value(&rules)[0]["sequence"], 9);
    }

    #[test]
    fn files_go_by_their_names() {
        for file in FILES {
            assert_eq!(File::named(file.name()), Some(file));
        }
        assert_eq!(File::named("x.json"), None);
    }
}
