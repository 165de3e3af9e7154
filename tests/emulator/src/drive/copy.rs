//! Copies: made at once, told as a job that can be asked after.

use parking_lot::MutexGuard;
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse, RawRequest};
use crate::world::World;

use super::content::Content;
use super::failure::Failure;
use super::item::{Index, Kind, ROOT, Version};
use super::links;
use super::store::{Conflict, Drive, Place, Stamp, Times};
use super::write;

/// A copy, for its monitor URL.
pub struct Job {
    outcome: Result<String, Failure>,
    asked: bool,
}

/// What is copied, free of its drive. Times and permissions stay behind.
enum Source {
    Folder {
        name: String,
        children: Vec<Source>,
    },
    File {
        name: String,
        content: Content,
        older: Vec<Version>,
    },
}

/// `POST .../copy`: 202 with the URL of the job.
pub fn start(
    world: &World,
    request: &ApiRequest,
    drive: MutexGuard<'_, Drive>,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let conflict = write::conflict(request, &body, Conflict::Fail)?;
    if index == ROOT {
        return Err(Failure::invalid("The root of a drive can not be copied."));
    }
    let history = body["includeAllVersionHistory"].as_bool().unwrap_or(false);
    let children_only = body["childrenOnly"].as_bool().unwrap_or(false);
    let Some(mut source) = take(&drive, index, history) else {
        return Err(Failure::invalid("The item can not be copied."));
    };
    if let Some(name) = body["name"].as_str() {
        source.rename(name);
    }
    let reference = &body["parentReference"];
    let target = reference["driveId"]
        .as_str()
        .unwrap_or(&drive.id)
        .to_owned();
    let parent = match reference["id"].as_str() {
        Some(id) => id.to_owned(),
        None => drive.id_of(drive.item(index).parent),
    };
    let stamp = super::stamp(world, request, &drive);
    let monitor_host = links::host(&request.base_url, &drive);
    // One drive at a time: the target may be this one.
    drop(drive);
    let handle = world
        .drive
        .get(&target)
        .ok_or_else(Failure::drive_not_found)?;
    let mut drive = handle.lock();
    let outcome = drive
        .find(&parent)
        .ok_or_else(Failure::item_not_found)
        .and_then(|parent| match source {
            Source::Folder { children, .. } if children_only => {
                for child in children {
                    put(&mut drive, parent, child, conflict, &stamp)?;
                }
                Ok(drive.id_of(parent))
            }
            source => {
                put(&mut drive, parent, source, conflict, &stamp).map(|index| drive.id_of(index))
            }
        });
    let handle = world.drive.new_handle("copy");
    world.drive.copies.lock().insert(
        handle.clone(),
        Job {
            outcome,
            asked: false,
        },
    );
    Ok(ApiResponse::empty(202)
        .with_header("Location", &format!("{monitor_host}/_monitor/{handle}")))
}

/// The job's state: under way at the first look, then how it ended.
pub fn monitor(world: &World, request: &RawRequest, handle: &str) -> Result<ApiResponse, Failure> {
    if request.method != http::Method::GET {
        return Ok(ApiResponse::method_not_allowed());
    }
    let mut copies = world.drive.copies.lock();
    let job = copies.get_mut(handle).ok_or_else(Failure::item_not_found)?;
    if !std::mem::replace(&mut job.asked, true) {
        let state =
            json!({"operation": "itemCopy", "percentageComplete": 27.8, "status": "inProgress"});
        return Ok(ApiResponse::json(202, state));
    }
    Ok(ApiResponse::ok(match &job.outcome {
        Ok(id) => {
            json!({"operation": "itemCopy", "percentageComplete": 100.0, "status": "completed", "resourceId": id})
        }
        Err(failure) => json!({
            "operation": "itemCopy", "status": "failed",
            "error": {"code": failure.code, "message": Value::from(failure.message.as_str())},
        }),
    }))
}

impl Source {
    fn rename(&mut self, to: &str) {
        match self {
            Source::Folder { name, .. } | Source::File { name, .. } => *name = to.to_owned(),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Source::Folder { children, .. } => children.iter().map(Source::size).sum(),
            Source::File { content, .. } => content.len(),
        }
    }
}

fn take(drive: &Drive, index: Index, history: bool) -> Option<Source> {
    let item = drive.item(index);
    match &item.kind {
        Kind::Folder(folder) => Some(Source::Folder {
            name: item.name.clone(),
            children: folder
                .children
                .values()
                .filter_map(|&child| take(drive, child, history))
                .collect(),
        }),
        Kind::File(file) => Some(Source::File {
            name: item.name.clone(),
            content: file.content.clone(),
            older: if history {
                file.older.clone()
            } else {
                Vec::new()
            },
        }),
        Kind::Remote(_) => None,
    }
}

fn put(
    drive: &mut Drive,
    parent: Index,
    source: Source,
    conflict: Conflict,
    stamp: &Stamp,
) -> Result<Index, Failure> {
    drive.check_quota(source.size(), 0)?;
    match source {
        Source::Folder { name, children } => {
            let index = match drive.place(parent, &name, true, conflict, None)? {
                Place::New(name) => drive.add_folder(parent, name, Times::default(), stamp),
                Place::Existing(index) => index,
            };
            for child in children {
                put(drive, index, child, conflict, stamp)?;
            }
            Ok(index)
        }
        Source::File {
            name,
            content,
            older,
        } => match drive.place(parent, &name, false, conflict, None)? {
            Place::Existing(index) => {
                drive.replace(index, content, Times::default(), stamp);
                Ok(index)
            }
            Place::New(name) => {
                let index = drive.add_file(parent, name, content, Times::default(), stamp);
                if let Kind::File(file) = &mut drive.item_mut(index).kind {
                    file.version = older.last().map_or(1, |v| v.number + 1);
                    file.older = older;
                }
                Ok(index)
            }
        },
    }
}
