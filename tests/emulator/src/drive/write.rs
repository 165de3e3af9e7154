//! Simple writes: folders, small uploads, renames, moves, times, deletion.

use serde_json::Value;

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::parse_rfc3339;
use crate::options::Quirk;
use crate::world::World;

use super::content::Content;
use super::failure::Failure;
use super::item::{Index, Kind, ROOT, Remote};
use super::names;
use super::route::Address;
use super::special;
use super::store::{Conflict, Drive, Place, Times};

/// Largest body of a simple PUT.
const MAX_PUT: usize = 250 * 1000 * 1000;

const BEHAVIOR: &str = "@microsoft.graph.conflictBehavior";

/// What the request says about taken names, in the body or in the query.
pub fn conflict(
    request: &ApiRequest,
    body: &Value,
    default: Conflict,
) -> Result<Conflict, Failure> {
    let lower = BEHAVIOR.to_ascii_lowercase();
    match body
        .get(BEHAVIOR)
        .and_then(Value::as_str)
        .or_else(|| request.option(&lower))
    {
        Some(text) => Conflict::parse(text),
        None => Ok(default),
    }
}

pub fn json(request: &ApiRequest) -> Result<Value, Failure> {
    if request.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&request.body)
        .map_err(|e| Failure::invalid(format!("Unable to read JSON request payload. {e}")))
}

/// `fileSystemInfo` of a body.
pub fn times(body: &Value) -> Result<Times, Failure> {
    let info = &body["fileSystemInfo"];
    let time = |name: &str| match &info[name] {
        Value::Null => Ok(None),
        Value::String(text) => match parse_rfc3339(text) {
            Some(time) => Ok(Some(time)),
            None => Err(Failure::invalid(format!(
                "{name} is not a valid date and time: {text}"
            ))),
        },
        _ => Err(Failure::invalid(format!("{name} must be a string."))),
    };
    Ok(Times {
        created: time("createdDateTime")?,
        modified: time("lastModifiedDateTime")?,
    })
}

/// 412 unless `If-Match` names the item's tag.
pub fn check_match(request: &ApiRequest, drive: &Drive, index: Index) -> Result<(), Failure> {
    match request.header("if-match") {
        Some(tags) if !drive.item(index).matches(tags) => Err(Failure::etag_mismatch()),
        _ => Ok(()),
    }
}

/// What the service makes of uploaded bytes: Office files may be rewritten.
pub fn accept(world: &World, name: &str, content: Content) -> Result<Content, Failure> {
    if world.options.has(Quirk::OfficeRewrite) && names::is_office(name) {
        return content
            .appended(b"<promoted properties/>")
            .map_err(Failure::io);
    }
    Ok(content)
}

/// `POST .../children`: a folder, an empty file, or a shortcut.
pub fn create_child(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    parent: Index,
) -> Result<ApiResponse, Failure> {
    let body = json(request)?;
    let Some(name) = body["name"].as_str() else {
        return Err(Failure::invalid(
            "The name in the provided item is missing.",
        ));
    };
    let facet = |name: &str| body.get(name).is_some_and(Value::is_object);
    let (is_folder, is_file, is_remote) = (facet("folder"), facet("file"), facet("remoteItem"));
    if !is_folder && !is_file && !is_remote {
        return Err(Failure::invalid(
            "Must provide one of the following facets to create an item: folder, file, remoteItem",
        ));
    }
    let conflict = conflict(request, &body, Conflict::Fail)?;
    let times = times(&body)?;
    let stamp = super::stamp(world, request, drive);
    let place = drive.place(parent, name, is_folder, conflict, None)?;
    let index = match place {
        // Replacing a folder keeps it and what is in it.
        Place::Existing(index) if is_folder => {
            return super::one(world, request, drive, index, 200);
        }
        Place::Existing(index) if is_file => {
            drive.replace(index, Content::empty(), times, &stamp);
            index
        }
        Place::Existing(_) => return Err(Failure::name_exists()),
        Place::New(name) if is_folder => drive.add_folder(parent, name, times, &stamp),
        Place::New(name) if is_file => {
            drive.add_file(parent, name, Content::empty(), times, &stamp)
        }
        Place::New(name) => {
            let target = remote(world, drive, &body["remoteItem"])?;
            drive.add_remote(parent, name, target, &stamp)
        }
    };
    super::one(world, request, drive, index, 201)
}

/// The target of a shortcut, taken from what the body says of it: its own drive can't be looked into while
/// this one is locked.
fn remote(world: &World, drive: &Drive, body: &Value) -> Result<Remote, Failure> {
    let (Some(item_id), Some(drive_id)) = (
        body["id"].as_str(),
        body["parentReference"]["driveId"].as_str(),
    ) else {
        return Err(Failure::invalid(
            "remoteItem must have an id and a parentReference with a driveId.",
        ));
    };
    if drive_id == drive.id || world.drive.get(drive_id).is_none() {
        return Err(Failure::invalid(
            "The target of the shortcut must be an item of another drive.",
        ));
    }
    Ok(Remote {
        drive_id: drive_id.to_owned(),
        item_id: item_id.to_owned(),
        name: body["name"].as_str().unwrap_or("Documents").to_owned(),
        is_folder: true,
    })
}

/// `PUT .../content`: creates the file (201) or gives it new content (200).
pub fn put_content(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    address: &Address,
) -> Result<ApiResponse, Failure> {
    if request.body.len() > MAX_PUT {
        let message = "The upload is too large for a single request; use an upload session.";
        return Err(Failure::new(413, "invalidRequest", message).inner("maxFileSizeExceeded"));
    }
    let target = match address.path.split_last() {
        None => {
            let index = super::base(drive, &address.base)?;
            if drive.item(index).file().is_none() {
                return Err(Failure::invalid("The item is not a file.").inner("invalidPath"));
            }
            Place::Existing(index)
        }
        Some((name, above)) => {
            let base = super::base(drive, &address.base)?;
            let parent = make_folders(world, request, drive, base, above)?;
            let conflict = conflict(request, &Value::Null, Conflict::Replace)?;
            let place = drive.place(parent, name, false, conflict, None)?;
            if let Place::New(name) = place {
                drive.check_quota(request.body.len() as u64, 0)?;
                let content = store(world, request, &name)?;
                let stamp = super::stamp(world, request, drive);
                let index = drive.add_file(parent, name, content, Times::default(), &stamp);
                return super::one(world, request, drive, index, 201);
            }
            place
        }
    };
    let Place::Existing(index) = target else {
        return Err(Failure::item_not_found());
    };
    check_match(request, drive, index)?;
    special::check_writable(drive.item(index))?;
    if request
        .header("if-none-match")
        .is_some_and(|tags| drive.item(index).matches(tags))
    {
        return Err(Failure::etag_mismatch());
    }
    drive.check_quota(request.body.len() as u64, drive.item(index).size())?;
    let content = store(world, request, &drive.item(index).name)?;
    let stamp = super::stamp(world, request, drive);
    drive.replace(index, content, Times::default(), &stamp);
    super::one(world, request, drive, index, 200)
}

fn store(world: &World, request: &ApiRequest, name: &str) -> Result<Content, Failure> {
    accept(
        world,
        name,
        Content::store(request.body.clone()).map_err(Failure::io)?,
    )
}

/// The folder below `base` with these names; an upload by path makes what is missing of it.
pub fn make_folders(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    base: Index,
    names: &[String],
) -> Result<Index, Failure> {
    let mut at = base;
    for name in names {
        at = match drive.child(at, name) {
            Some(child) => child,
            None => match drive.place(at, name, true, Conflict::Fail, None)? {
                Place::New(name) => {
                    let stamp = super::stamp(world, request, drive);
                    drive.add_folder(at, name, Times::default(), &stamp)
                }
                Place::Existing(child) => child,
            },
        };
    }
    Ok(at)
}

/// Renames, moves, sets times: all that one PATCH asks for, or nothing.
pub fn patch(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    check_match(request, drive, index)?;
    special::check_writable(drive.item(index))?;
    let body = json(request)?;
    let Some(object) = body.as_object() else {
        return Err(Failure::invalid("The body must be a driveItem."));
    };
    for key in object.keys() {
        if matches!(
            key.as_str(),
            "createdBy" | "lastModifiedBy" | "size" | "eTag" | "cTag" | "webUrl"
        ) {
            return Err(
                Failure::invalid(format!("The property {key} can not be changed."))
                    .inner("propertyNotUpdateable"),
            );
        }
    }
    let times = times(&body)?;
    let item = drive.item(index);
    let name = match &body["name"] {
        Value::Null => item.name.clone(),
        Value::String(name) => name.clone(),
        _ => return Err(Failure::invalid("The name must be a string.")),
    };
    let parent = match &body["parentReference"] {
        Value::Null => item.parent,
        reference => new_parent(drive, reference)?.unwrap_or(item.parent),
    };
    let relocated = parent != item.parent || name != item.name;
    if relocated {
        if index == ROOT {
            return Err(Failure::invalid(
                "The root of a drive can not be renamed or moved.",
            ));
        }
        if drive.lineage(parent).contains(&index) {
            return Err(Failure::invalid("An item can not be moved below itself."));
        }
        let is_folder = item.folder().is_some();
        let conflict = conflict(request, &body, Conflict::Fail)?;
        let name = match drive.place(parent, &name, is_folder, conflict, Some(index))? {
            Place::New(name) => name,
            Place::Existing(other) => {
                let name = drive.item(other).name.clone();
                let stamp = super::stamp(world, request, drive);
                drive.delete(other, true, &stamp);
                name
            }
        };
        let stamp = super::stamp(world, request, drive);
        drive.relocate(index, parent, name, &stamp);
    }
    if times != Times::default() {
        let stamp = super::stamp(world, request, drive);
        drive.set_times(index, times, &stamp);
    }
    super::one(world, request, drive, index, 200)
}

/// The folder a `parentReference` means; `None` when it says nothing about one.
fn new_parent(drive: &Drive, reference: &Value) -> Result<Option<Index>, Failure> {
    if let Some(id) = reference["driveId"].as_str()
        && id != drive.id
    {
        return Err(Failure::not_supported(
            "Items can not be moved between drives; copy them.",
        ));
    }
    let parent = if let Some(id) = reference["id"].as_str() {
        // The word is an alias in paths only.
        if id.eq_ignore_ascii_case("root") {
            return Err(Failure::invalid(
                "The parentReference must have the id of the folder, not an alias.",
            ));
        }
        drive.find(id).ok_or_else(Failure::item_not_found)?
    } else if let Some(path) = reference["path"].as_str() {
        let Some((_, below)) = path.split_once("root:") else {
            return Err(
                Failure::invalid("The path of the parentReference is not valid.")
                    .inner("invalidPath"),
            );
        };
        let names: Vec<String> = below
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| {
                percent_encoding::percent_decode_str(s)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        drive
            .walk(ROOT, names.iter().map(String::as_str))
            .ok_or_else(Failure::item_not_found)?
    } else {
        return Ok(None);
    };
    match drive.item(parent).kind {
        Kind::Folder(_) => Ok(Some(parent)),
        _ => Err(Failure::invalid("The parent is not a folder.")),
    }
}

/// DELETE (into the recycle bin) and permanentDelete.
pub fn delete(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
    keep_in_bin: bool,
) -> Result<ApiResponse, Failure> {
    check_match(request, drive, index)?;
    special::check_deletable(drive.item(index))?;
    if index == ROOT {
        return Err(Failure::new(
            403,
            "accessDenied",
            "The root of a drive can not be deleted.",
        ));
    }
    let stamp = super::stamp(world, request, drive);
    drive.delete(index, keep_in_bin, &stamp);
    Ok(ApiResponse::no_content())
}
