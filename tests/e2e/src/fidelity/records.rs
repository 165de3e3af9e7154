//! The records of an account as the mount shows them, and what an item is known again by.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::account::{CUSTOM, CUSTOM_LIST};
use crate::Mounted;
use crate::graph::{Graph, encoded};

/// Graph's record of an item or folder.
pub struct Record {
    /// The workload's folder: `Mail`.
    pub workload: String,
    /// Where it is below that.
    dir: String,
    /// Name of the file that has the record.
    file: String,
    pub is_folder: bool,
    pub json: Value,
}

impl Record {
    pub fn name(&self) -> String {
        let parts = [&self.workload, &self.dir, &self.file];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.cloned().collect::<Vec<_>>().join("/")
    }

    /// What of it survives every restore, and tells it from others: no id.
    pub fn facts(&self) -> String {
        let json = &self.json;
        let own = match self.workload.as_str() {
            _ if self.is_folder => json!([json["displayName"], json["name"]]),
            "Mail" => json!([
                json["internetMessageId"],
                json["subject"].as_str().unwrap_or_default(),
                json["isDraft"],
            ]),
            "Calendar" => json!([
                json["subject"],
                json["start"],
                json["end"],
                json["isAllDay"]
            ]),
            "Contacts" => json!([
                json["displayName"],
                json["fileAs"],
                json["companyName"],
                json["emailAddresses"],
                json["mobilePhone"],
            ]),
            "Tasks" => json!([json["title"], json["dueDateTime"], json["body"]["content"]]),
            "Archive" => {
                let item = &json["tenantfsItem"];
                json!([
                    json["type"],
                    item["subject"],
                    item["displayName"],
                    item["title"],
                    item["internetMessageId"],
                    item["start"],
                ])
            }
            _ => json!([json["name"]]),
        };
        format!("{} {} {own}", self.workload, without_suffixes(&self.dir))
    }
}

/// A folder whose name no file can have goes by another one, with a suffix of its own: `R%2FD~1a2b3c4d5e`.
fn without_suffixes(dir: &str) -> String {
    let parts = dir.split('/').map(|part| match part.rsplit_once('~') {
        Some((name, suffix)) if suffix.len() == 10 => name,
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// All of an account in the newest snapshot.
pub fn all(mount: &Mounted, upn: &str) -> Result<Vec<Record>> {
    let top = mount.path("snapshots/latest/.tenantfs/graph").join(upn);
    let mut found = Vec::new();
    for entry in fs::read_dir(&top).with_context(|| format!("{}", top.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let workload = entry.file_name().to_string_lossy().into_owned();
            below(&entry.path(), &workload, "", &mut found)?;
        }
    }
    Ok(found)
}

fn below(folder: &Path, workload: &str, dir: &str, found: &mut Vec<Record>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let dir = match dir {
                "" => file.clone(),
                dir => format!("{dir}/{file}"),
            };
            below(&entry.path(), workload, &dir, found)?;
            continue;
        }
        let stem = file.strip_suffix(".json").unwrap_or(&file);
        let mut json: Value = serde_json::from_slice(&fs::read(entry.path())?)?;
        if let Value::Object(places) = &json["folders"] {
            // By id of the folder: what differs is told of the rules.
            json["folders"] = places.values().cloned().collect();
        }
        found.push(Record {
            workload: workload.to_owned(),
            dir: dir.to_owned(),
            is_folder: folder.join(stem).is_dir(),
            json,
            file,
        });
    }
    Ok(())
}

/// What Graph tells of a message and the snapshot keeps in its MIME or export rather than in its record.
pub fn complete(graph: &Graph, upn: &str, records: &mut [Record]) -> Result<()> {
    let single = [
        "Integer 0x0036",
        "Integer 0x1081",
        "SystemTime 0x1082",
        CUSTOM,
    ]
    .map(|id| format!("id eq '{}'", encoded(id)))
    .join(" or ");
    let path = format!(
        "/users/{upn}/messages?$top=100&$select=id,body,bodyPreview,internetMessageHeaders&$expand=\
         attachments($expand=microsoft.graph.itemattachment/item),singleValueExtendedProperties($filter={single}),\
         multiValueExtendedProperties($filter=id eq '{}')",
        encoded(CUSTOM_LIST)
    );
    let mut told: HashMap<String, Value> = graph
        .list(&path)?
        .into_iter()
        .filter_map(|message| Some((message["id"].as_str()?.to_owned(), message)))
        .collect();
    let mail = records.iter_mut().filter(|r| r.workload == "Mail");
    for record in mail.filter(|r| !r.is_folder) {
        let id = record.json["id"].as_str().unwrap_or_default();
        let mut more = told
            .remove(id)
            .with_context(|| format!("{} is not live", record.dir))?;
        for name in [
            "body",
            "bodyPreview",
            "internetMessageHeaders",
            "attachments",
        ] {
            record.json[name] = more[name].take();
        }
        record.json["multiValueExtendedProperties"] = more["multiValueExtendedProperties"].take();
        let kept = record.json["singleValueExtendedProperties"].as_array();
        let mut all: Vec<Value> = kept.cloned().unwrap_or_default();
        let named = |p: &Value, all: &[Value]| all.iter().any(|other| other["id"] == p["id"]);
        let more = more["singleValueExtendedProperties"].as_array();
        for property in more.into_iter().flatten() {
            if !named(property, &all) {
                all.push(property.clone());
            }
        }
        record.json["singleValueExtendedProperties"] = json!(all);
    }
    Ok(())
}
