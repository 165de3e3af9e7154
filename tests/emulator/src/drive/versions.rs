//! Versions of files: list, content, restore, delete.

use serde_json::json;

use crate::api::{ApiRequest, ApiResponse};
use crate::world::World;

use super::failure::Failure;
use super::item::{FileState, Index, Kind};
use super::render;
use super::store::{Drive, Stamp, Times};

fn file(drive: &Drive, index: Index) -> Result<&FileState, Failure> {
    drive
        .item(index)
        .file()
        .ok_or_else(|| Failure::invalid("The item is not a file."))
}

/// The number in `"4.0"`, and that the file has it.
fn number(drive: &Drive, index: Index, id: &str) -> Result<u32, Failure> {
    let file = file(drive, index)?;
    let number = id
        .strip_suffix(".0")
        .and_then(|n| n.parse().ok())
        .ok_or_else(Failure::item_not_found)?;
    let known = number == file.version || file.older.iter().any(|v| v.number == number);
    if known {
        Ok(number)
    } else {
        Err(Failure::item_not_found())
    }
}

pub fn list(request: &ApiRequest, drive: &Drive, index: Index) -> Result<ApiResponse, Failure> {
    file(drive, index)?;
    let context = request.context("Collection(driveItemVersion)");
    Ok(ApiResponse::ok(
        json!({"@odata.context": context, "value": render::versions(drive, index)}),
    ))
}

pub fn get(
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    number(drive, index, id)?;
    let mut version = render::versions(drive, index)
        .into_iter()
        .find(|v| v["id"] == id)
        .ok_or_else(Failure::item_not_found)?;
    version["@odata.context"] = request.context("driveItemVersion/$entity").into();
    Ok(ApiResponse::ok(version))
}

/// 302 for an older version; the current one can't be had this way.
pub fn content(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let number = number(drive, index, id)?;
    if number == file(drive, index)?.version {
        return Err(Failure::invalid(
            "You cannot get the content of the current version.",
        ));
    }
    Ok(ApiResponse::redirect(&super::download_url(
        world,
        request,
        drive,
        index,
        Some(number),
    )))
}

/// Old bytes as a new version; nothing is removed.
pub fn restore(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let number = number(drive, index, id)?;
    let stamp = super::stamp(world, request, drive);
    drive.bring_back(index, number, &stamp)?;
    Ok(ApiResponse::no_content())
}

impl Drive {
    /// An older version's content and column values as a new version.
    pub fn bring_back(&mut self, index: Index, number: u32, stamp: &Stamp) -> Result<(), Failure> {
        let file = file(self, index)?;
        let Some(old) = file.older.iter().find(|v| v.number == number) else {
            return Err(Failure::invalid("The current version can not be restored."));
        };
        let (content, fields) = (old.content.clone(), old.fields.clone());
        self.check_quota(content.len(), self.item(index).size())?;
        self.replace(index, content, Times::default(), stamp);
        self.item_mut(index).fields = fields;
        Ok(())
    }
}

pub fn delete(drive: &mut Drive, index: Index, id: &str) -> Result<ApiResponse, Failure> {
    let number = number(drive, index, id)?;
    let Kind::File(file) = &mut drive.item_mut(index).kind else {
        return Err(Failure::item_not_found());
    };
    if number == file.version {
        return Err(Failure::invalid("The current version can not be deleted."));
    }
    file.older.retain(|v| v.number != number);
    Ok(ApiResponse::no_content())
}
