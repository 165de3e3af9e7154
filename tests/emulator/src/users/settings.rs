//! Mailbox settings: `/users/{id}/mailboxSettings` and what is below it.

use std::collections::HashMap;

use http::Method;
use jiff::civil::{DateTime, Time};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Purpose, User, admit};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::{object_of, unknown_property};
use crate::odata::{Object, Select};
use crate::seed;
use crate::world::World;

/// What the owner of a mailbox has set.
#[derive(Debug, Clone)]
pub struct Personal {
    /// `mailboxSettings` without what follows from elsewhere.
    pub settings: Object,
    pub categories: Vec<Object>,
}

/// What owners have set, by user id; made when it is first asked for.
#[derive(Default)]
pub struct Settings(Mutex<HashMap<String, Personal>>);

impl Settings {
    /// Calls `work` with what `user` has set, under the lock of all settings.
    pub fn with<T>(
        &self,
        user: &User,
        tenant_seed: u64,
        work: impl FnOnce(&mut Personal) -> T,
    ) -> T {
        let mut all = self.0.lock();
        let make = || seed::settings::personal(user, tenant_seed);
        work(all.entry(user.id.clone()).or_insert_with(make))
    }
}

const READ: &[&str] = &["MailboxSettings.Read", "MailboxSettings.ReadWrite"];
const WRITE: &[&str] = &["MailboxSettings.ReadWrite"];

/// The permissions that reading or changing settings, categories and rules takes.
pub fn needed(request: &ApiRequest) -> &'static [&'static str] {
    match request.method {
        Method::GET => READ,
        _ => WRITE,
    }
}

const KNOWN: &[&str] = &[
    "archiveFolder",
    "automaticRepliesSetting",
    "dateFormat",
    "delegateMeetingMessageDeliveryOptions",
    "language",
    "timeFormat",
    "timeZone",
    "userPurpose",
    "workingHours",
];

/// All settings of a user who has a mailbox.
pub fn settings(world: &World, user: &User) -> Value {
    let mut out = world
        .settings
        .with(user, world.options.seed, |own| own.settings.clone());
    let purpose = user.mailbox.map(Purpose::as_str);
    out.insert("userPurpose".into(), json!(purpose));
    if !out.contains_key("archiveFolder") {
        let archive = world.mail.get(&user.id).and_then(|mailbox| {
            let mailbox = mailbox.lock();
            let no = mailbox.find_folder("archive")?;
            Some(mailbox.ids.folder(no))
        });
        out.insert("archiveFolder".into(), json!(archive));
    }
    Value::Object(out)
}

/// Answers what is below `/users/{id}/mailboxSettings`.
pub fn mailbox_settings(
    world: &World,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let user = admit(world, request, needed(request))?;
    let context =
        |what: &str| request.context(&format!("users('{}')/mailboxSettings{what}", user.id));
    match (rest, &request.method) {
        ([], &Method::GET) => {}
        ([], &Method::PATCH) => patch(world, request, &user)?,
        ([name], &Method::GET) => {
            let name = KNOWN
                .iter()
                .find(|k| k.eq_ignore_ascii_case(name))
                .ok_or_else(|| ApiResponse::no_such_segment(name))?;
            let mut body = match settings(world, &user)[*name].take() {
                Value::Object(object) => Value::Object(object),
                value => json!({"value": value}),
            };
            body["@odata.context"] = json!(context(&format!("/{name}")));
            return Ok(ApiResponse::ok(body));
        }
        ([_, below, ..], _) => return Err(ApiResponse::no_such_segment(below)),
        _ => return Err(ApiResponse::method_not_allowed()),
    }
    let select = Select::of(request, "microsoft.graph.mailboxSettings", KNOWN)?;
    let mut object = match settings(world, &user) {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    select.apply(&mut object);
    object.insert("@odata.context".into(), json!(context("")));
    Ok(ApiResponse::ok(Value::Object(object)))
}

fn patch(world: &World, request: &ApiRequest, user: &User) -> Result<(), ApiResponse> {
    let body = object_of(request)?;
    if let Some(id) = body.get("archiveFolder").and_then(Value::as_str) {
        let mailbox = world.mail.get(&user.id);
        let known = mailbox.is_some_and(|m| m.lock().find_folder(id).is_some());
        if !known {
            return Err(crate::mail::item_not_found());
        }
    }
    world.settings.with(user, world.options.seed, |own| {
        let mut changed = own.settings.clone();
        for (name, value) in body.iter().filter(|(name, _)| !name.contains('@')) {
            let value = read(name, value, changed.get(name))?;
            changed.insert(name.clone(), value);
        }
        own.settings = changed;
        Ok(())
    })
}

fn bad_value(name: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "ErrorInvalidProperty",
        &format!("The value of property '{name}' is not valid."),
    )
}

/// The value a property gets when `new` is written over `old`: parts of complex ones that are not
/// told stay.
fn read(name: &str, new: &Value, old: Option<&Value>) -> Result<Value, ApiResponse> {
    let bad = || bad_value(name);
    let old = old.and_then(Value::as_object).cloned().unwrap_or_default();
    match name {
        "userPurpose" => Err(ApiResponse::error(
            400,
            "ErrorInvalidPropertySet",
            "Set action is invalid for property 'userPurpose'.",
        )),
        "archiveFolder" => match new {
            Value::String(_) | Value::Null => Ok(new.clone()),
            _ => Err(bad()),
        },
        "dateFormat" | "timeFormat" | "timeZone" => match new.as_str() {
            Some(text) if !text.is_empty() => Ok(new.clone()),
            _ => Err(bad()),
        },
        "delegateMeetingMessageDeliveryOptions" => one_of(
            new,
            &[
                "sendToDelegateAndInformationToPrincipal",
                "sendToDelegateAndPrincipal",
                "sendToDelegateOnly",
            ],
        )
        .ok_or_else(bad),
        "language" => {
            let locale = new["locale"].as_str().ok_or_else(bad)?;
            let label = new["displayName"].as_str().unwrap_or(locale);
            Ok(json!({"locale": locale, "displayName": label}))
        }
        "automaticRepliesSetting" => replies(new.as_object().ok_or_else(bad)?, old),
        "workingHours" => hours(new.as_object().ok_or_else(bad)?, old),
        _ => Err(unknown_property(name, "microsoft.graph.mailboxSettings")),
    }
}

fn one_of(value: &Value, known: &[&str]) -> Option<Value> {
    let text = value.as_str()?;
    let found = known.iter().find(|k| k.eq_ignore_ascii_case(text))?;
    Some(json!(found))
}

fn replies(new: &Object, mut out: Object) -> Result<Value, ApiResponse> {
    for (name, value) in new.iter().filter(|(name, _)| !name.contains('@')) {
        let value = match name.as_str() {
            "status" => one_of(value, &["disabled", "alwaysEnabled", "scheduled"]),
            "externalAudience" => one_of(value, &["none", "contactsOnly", "all"]),
            "internalReplyMessage" | "externalReplyMessage" => {
                Some(value.clone()).filter(|v| v.is_string() || v.is_null())
            }
            "scheduledStartDateTime" | "scheduledEndDateTime" => zoned(value),
            _ => {
                let kind = "microsoft.graph.automaticRepliesSetting";
                return Err(unknown_property(name, kind));
            }
        };
        out.insert(name.clone(), value.ok_or_else(|| bad_value(name))?);
    }
    let time = |name: &str| {
        let text = out.get(name)?["dateTime"].as_str()?;
        text.parse::<DateTime>().ok()
    };
    let (start, end) = (time("scheduledStartDateTime"), time("scheduledEndDateTime"));
    if out.get("status").is_some_and(|s| s == "scheduled") && start >= end {
        return Err(bad_value("scheduledEndDateTime"));
    }
    Ok(Value::Object(out))
}

fn zoned(value: &Value) -> Option<Value> {
    let text = value["dateTime"].as_str()?.trim_end_matches('Z');
    let time: DateTime = text.parse().ok()?;
    let zone = value["timeZone"].as_str()?;
    let text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    Some(json!({"dateTime": format!("{text}.0000000"), "timeZone": zone}))
}

fn hours(new: &Object, mut out: Object) -> Result<Value, ApiResponse> {
    for (name, value) in new.iter().filter(|(name, _)| !name.contains('@')) {
        let value = match name.as_str() {
            "daysOfWeek" => value
                .as_array()
                .and_then(|days| days.iter().map(|d| one_of(d, DAYS)).collect()),
            "startTime" | "endTime" => value.as_str().and_then(|text| {
                let time: Time = text.parse().ok()?;
                Some(json!(format!("{}.0000000", time.strftime("%H:%M:%S"))))
            }),
            "timeZone" => Some(value.clone()).filter(|v| v["name"].is_string()),
            _ => return Err(unknown_property(name, "microsoft.graph.workingHours")),
        };
        out.insert(name.clone(), value.ok_or_else(|| bad_value(name))?);
    }
    Ok(Value::Object(out))
}

const DAYS: &[&str] = &[
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
