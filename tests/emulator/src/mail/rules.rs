//! Rules of the inbox: `/users/{id}/mailFolders/inbox/messageRules`.
//!
//! They are kept and shown, not carried out: nothing is delivered to an emulated mailbox.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http::Method;
use serde_json::{Value, json};

use super::ids::No;
use super::item_not_found;
use super::store::Mailbox;
use super::validate::{invalid, object_of, unknown_property};
use crate::api::{ApiRequest, ApiResponse};
use crate::odata::{self, Object};
use crate::rng::Rng;

/// What a predicate or an action takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    Texts,
    Recipients,
    /// Id of a mail folder.
    Folder,
    Size,
    OneOf(&'static [&'static str]),
}

const IMPORTANCE: Kind = Kind::OneOf(&["low", "normal", "high"]);
const PREDICATES: &[(&str, Kind)] = &[
    ("bodyContains", Kind::Texts),
    ("bodyOrSubjectContains", Kind::Texts),
    ("categories", Kind::Texts),
    ("fromAddresses", Kind::Recipients),
    ("hasAttachments", Kind::Flag),
    ("headerContains", Kind::Texts),
    ("importance", IMPORTANCE),
    ("isApprovalRequest", Kind::Flag),
    ("isAutomaticForward", Kind::Flag),
    ("isAutomaticReply", Kind::Flag),
    ("isEncrypted", Kind::Flag),
    ("isMeetingRequest", Kind::Flag),
    ("isMeetingResponse", Kind::Flag),
    ("isNonDeliveryReport", Kind::Flag),
    ("isPermissionControlled", Kind::Flag),
    ("isReadReceipt", Kind::Flag),
    ("isSigned", Kind::Flag),
    ("isVoicemail", Kind::Flag),
    (
        "messageActionFlag",
        Kind::OneOf(&[
            "any",
            "call",
            "doNotForward",
            "followUp",
            "fyi",
            "forward",
            "noResponseNecessary",
            "read",
            "reply",
            "replyToAll",
            "review",
        ]),
    ),
    ("notSentToMe", Kind::Flag),
    ("recipientContains", Kind::Texts),
    ("senderContains", Kind::Texts),
    (
        "sensitivity",
        Kind::OneOf(&["normal", "personal", "private", "confidential"]),
    ),
    ("sentCcMe", Kind::Flag),
    ("sentOnlyToMe", Kind::Flag),
    ("sentToAddresses", Kind::Recipients),
    ("sentToMe", Kind::Flag),
    ("sentToOrCcMe", Kind::Flag),
    ("subjectContains", Kind::Texts),
    ("withinSizeRange", Kind::Size),
];
const ACTIONS: &[(&str, Kind)] = &[
    ("assignCategories", Kind::Texts),
    ("copyToFolder", Kind::Folder),
    ("delete", Kind::Flag),
    ("forwardAsAttachmentTo", Kind::Recipients),
    ("forwardTo", Kind::Recipients),
    ("markAsRead", Kind::Flag),
    ("markImportance", IMPORTANCE),
    ("moveToFolder", Kind::Folder),
    ("permanentDelete", Kind::Flag),
    ("redirectTo", Kind::Recipients),
    ("stopProcessingRules", Kind::Flag),
];

/// Everything below `.../messageRules` of folder `no`.
pub fn route(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    if no != mailbox.well_known("inbox") {
        return Err(invalid("Only the inbox has rules."));
    }
    let user = mailbox.user.id.clone();
    let context = |what: &str| {
        request.context(&format!(
            "users('{user}')/mailFolders('inbox')/messageRules{what}"
        ))
    };
    let one = |mailbox: &Mailbox, status: u16, at: usize| {
        let mut body = show(mailbox, &mailbox.rules[at]);
        body.insert("@odata.context".into(), json!(context("/$entity")));
        Ok(ApiResponse::json(status, Value::Object(body)))
    };
    let place = |mailbox: &Mailbox, id: &str| {
        let found = mailbox
            .rules
            .iter()
            .position(|r| r.get("id").is_some_and(|v| v == id));
        found.ok_or_else(item_not_found)
    };
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let mut all: Vec<Object> = mailbox.rules.iter().map(|r| show(mailbox, r)).collect();
            all.sort_by_key(sequence);
            let value = all.into_iter().map(Value::Object).collect();
            Ok(ApiResponse::ok(odata::slice(
                request,
                context(""),
                value,
                100,
                1000,
            )?))
        }
        ([], &Method::POST) => {
            let mut rule = Object::new();
            apply(mailbox, &object_of(request)?, &mut rule)?;
            if !rule.contains_key("displayName") || !rule.contains_key("actions") {
                return Err(invalid("A rule needs a displayName and actions."));
            }
            add(mailbox, rule);
            one(mailbox, 201, mailbox.rules.len() - 1)
        }
        ([id], &Method::GET) => one(mailbox, 200, place(mailbox, id)?),
        ([id], &Method::PATCH | &Method::DELETE) => {
            let at = place(mailbox, id)?;
            if mailbox.rules[at].get("isReadOnly") == Some(&json!(true)) {
                return Err(ApiResponse::error(
                    403,
                    "ErrorAccessDenied",
                    "The rule was made by a client and can only be changed there.",
                ));
            }
            if request.method == Method::DELETE {
                mailbox.rules.remove(at);
                return Ok(ApiResponse::no_content());
            }
            let mut rule = mailbox.rules[at].clone();
            apply(mailbox, &object_of(request)?, &mut rule)?;
            mailbox.rules[at] = rule;
            one(mailbox, 200, at)
        }
        ([_, below, ..], _) => Err(ApiResponse::no_such_segment(below)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn sequence(rule: &Object) -> i64 {
    rule.get("sequence").and_then(Value::as_i64).unwrap_or(0)
}

/// Stores a rule with what the service adds.
pub fn add(mailbox: &mut Mailbox, mut rule: Object) {
    let last = mailbox.rules.iter().map(sequence).max().unwrap_or(0);
    mailbox.next_rule += 1;
    let key = Rng::at(mailbox.seed ^ 0x5275_6c65, mailbox.next_rule).next();
    let mut id = vec![1, 0, 0, 0];
    id.extend(&key.to_be_bytes()[..4]);
    rule.insert("id".into(), json!(URL_SAFE.encode(id)));
    rule.entry("sequence").or_insert(json!(last + 1));
    rule.entry("isEnabled").or_insert(json!(true));
    rule.entry("isReadOnly").or_insert(json!(false));
    mailbox.rules.push(rule);
}

/// A rule is in error when a folder it moves to is gone.
fn show(mailbox: &Mailbox, rule: &Object) -> Object {
    let mut out = rule.clone();
    let lost = ["moveToFolder", "copyToFolder"].iter().any(|name| {
        let folder = rule.get("actions").and_then(|a| a[*name].as_str());
        folder.is_some_and(|id| mailbox.find_folder(id).is_none())
    });
    out.insert("hasError".into(), json!(lost));
    out
}

fn apply(mailbox: &Mailbox, body: &Object, rule: &mut Object) -> Result<(), ApiResponse> {
    for (name, value) in body.iter().filter(|(name, _)| !name.contains('@')) {
        let bad = || invalid(&format!("The value of property '{name}' is not valid."));
        let value = match name.as_str() {
            "id" | "hasError" | "isReadOnly" => continue,
            "displayName" => value
                .as_str()
                .filter(|t| !t.is_empty())
                .map(|t| json!(t))
                .ok_or_else(bad)?,
            "isEnabled" => Some(value.clone())
                .filter(Value::is_boolean)
                .ok_or_else(bad)?,
            "sequence" => Some(value.clone())
                .filter(|v| v.as_i64().is_some_and(|n| (1..=0x7fff_ffff).contains(&n)))
                .ok_or_else(bad)?,
            "conditions" | "exceptions" => {
                let kind = "microsoft.graph.messageRulePredicates";
                match parts(mailbox, value, PREDICATES, kind)? {
                    Some(parts) => parts,
                    None => {
                        rule.remove(name);
                        continue;
                    }
                }
            }
            "actions" => {
                let kind = "microsoft.graph.messageRuleActions";
                parts(mailbox, value, ACTIONS, kind)?
                    .ok_or_else(|| invalid("A rule needs an action."))?
            }
            _ => return Err(unknown_property(name, "microsoft.graph.messageRule")),
        };
        rule.insert(name.clone(), value);
    }
    Ok(())
}

/// Conditions or actions, checked; `None` when there are none.
fn parts(
    mailbox: &Mailbox,
    value: &Value,
    known: &[(&str, Kind)],
    kind: &str,
) -> Result<Option<Value>, ApiResponse> {
    let mut out = Object::new();
    let empty = Object::new();
    let given = value.as_object().unwrap_or(&empty);
    for (name, value) in given.iter().filter(|(name, _)| !name.contains('@')) {
        let Some((_, takes)) = known.iter().find(|(k, _)| k == name) else {
            return Err(unknown_property(name, kind));
        };
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let read = match takes {
            Kind::Flag => Some(value.clone()).filter(Value::is_boolean),
            Kind::Texts => Some(value.clone())
                .filter(|v| v.as_array().is_some_and(|l| l.iter().all(Value::is_string))),
            Kind::Recipients => Some(value.clone()).filter(|v| {
                let address = |r: &Value| r["emailAddress"]["address"].is_string();
                v.as_array().is_some_and(|l| l.iter().all(address))
            }),
            Kind::Size => Some(value.clone()).filter(|v| {
                v["minimumSize"].as_i64().is_some() || v["maximumSize"].as_i64().is_some()
            }),
            Kind::OneOf(all) => value.as_str().and_then(|text| {
                let found = all.iter().find(|k| k.eq_ignore_ascii_case(text));
                found.map(|k| json!(k))
            }),
            Kind::Folder => {
                let found = value.as_str().and_then(|id| mailbox.find_folder(id));
                let found = found.ok_or_else(item_not_found)?;
                Some(json!(mailbox.ids.folder(found)))
            }
        };
        let read =
            read.ok_or_else(|| invalid(&format!("The value of property '{name}' is not valid.")))?;
        out.insert(name.clone(), read);
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}
