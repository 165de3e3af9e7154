//! What only some items have: a retention label, a check-out, malware, no facet at all (sections 9 and 12
//! of the facts). A label can be set through Graph; the rest is what people and the service do.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::world::World;

use super::failure::Failure;
use super::item::{Index, Item, ROOT};
use super::store::Drive;
use super::write;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    pub label: Option<Label>,
    /// Somebody works on it: nobody else may write.
    pub checked_out: bool,
    /// It says neither that it is a file nor that it is a folder.
    pub bare: bool,
}

/// A retention label on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    name: String,
    /// It declares a record; else it only keeps what it is on.
    record: bool,
    locked: bool,
    /// Seconds since 1970.
    applied: i64,
}

/// The labels of the tenant; the second declares records.
const LABELS: [&str; 2] = ["Keep 7 years", "Records"];

impl Label {
    fn json(&self) -> Value {
        let behavior = if self.record {
            "retainAsRecord"
        } else {
            "retain"
        };
        json!({
            "name": self.name,
            "isLabelAppliedExplicitly": true,
            "labelAppliedDateTime": rfc3339(self.applied),
            "retentionSettings": {
                "behaviorDuringRetentionPeriod": behavior,
                "isContentUpdateAllowed": !self.locked,
                "isDeleteAllowed": false,
                "isLabelUpdateAllowed": !self.record,
                "isMetadataUpdateAllowed": !self.locked,
                "isRecordLocked": self.locked,
            },
        })
    }
}

/// The label of an item, as `$expand=retentionLabel` shows it.
pub fn label_of(item: &Item) -> Value {
    let label = item.special.as_ref().and_then(|s| s.label.as_ref());
    label.map_or(Value::Null, Label::json)
}

/// Refuses what a label or somebody's work forbids.
pub fn check_writable(item: &Item) -> Result<(), Failure> {
    let Some(special) = &item.special else {
        return Ok(());
    };
    let locked = special.label.as_ref().is_some_and(|label| label.locked);
    match special.checked_out || locked {
        false => Ok(()),
        true => Err(Failure::new(
            423,
            "notAllowed",
            "The resource you are attempting to access is locked",
        )
        .inner("resourceLocked")),
    }
}

pub fn check_deletable(item: &Item) -> Result<(), Failure> {
    check_writable(item)?;
    match item.special.as_ref().is_some_and(|s| s.label.is_some()) {
        false => Ok(()),
        true => Err(Failure::new(
            403,
            "accessDenied",
            "The item has a retention label, and can not be deleted.",
        )),
    }
}

/// `GET`, `PATCH` and `DELETE .../retentionLabel`.
pub fn label(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let now = world.clock.now();
    let special = drive.item_mut(index).special.get_or_insert_default();
    match request.method.as_str() {
        "GET" => {}
        "DELETE" => {
            special.label = None;
            drive.changed_otherwise(index, now);
            return Ok(ApiResponse::no_content());
        }
        _ => {
            let body = write::json(request)?;
            if let Some(name) = body["name"].as_str() {
                if !LABELS.contains(&name) {
                    return Err(Failure::invalid("There is no such retention label."));
                }
                let record = name == LABELS[1];
                special.label = Some(Label {
                    name: name.to_owned(),
                    record,
                    locked: record,
                    applied: now,
                });
            }
            let locked = body["retentionSettings"]["isRecordLocked"].as_bool();
            match (&mut special.label, locked) {
                (Some(label), Some(locked)) if label.record => label.locked = locked,
                (_, Some(_)) => return Err(Failure::invalid("The item is no record.")),
                _ => {}
            }
            drive.changed_otherwise(index, now);
        }
    }
    let mut value = label_of(drive.item(index));
    if value.is_null() {
        return Err(Failure::item_not_found());
    }
    value["@odata.context"] = request.context("itemRetentionLabel/$entity").into();
    Ok(ApiResponse::ok(value))
}

/// `{"drive": "...", "item": "...", "do": "check-out" | "check-in" | "infect" | "clean" | "strip"}`
pub fn control(world: &World, body: &Value) -> Result<ApiResponse, String> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let handle = world.drive.get(text("drive")).ok_or("no such drive")?;
    let mut drive = handle.lock();
    let found = drive.find(text("item")).filter(|index| *index != ROOT);
    let index = found.ok_or("no such item")?;
    let item = drive.item_mut(index);
    match text("do") {
        what @ ("infect" | "clean") => item.malware = what == "infect",
        what @ ("check-out" | "check-in") => {
            item.special.get_or_insert_default().checked_out = what == "check-out";
        }
        "strip" => item.special.get_or_insert_default().bare = true,
        _ => return Err("do what? check-out, check-in, infect, clean, strip".into()),
    }
    drive.changed_otherwise(index, world.clock.now());
    Ok(ApiResponse::no_content())
}
