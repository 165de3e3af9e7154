//! The mailbox import/export API: what Graph shows below `/admin/exchange/mailboxes/{id}`.
//!
//! It sees every kind of item in a primary mailbox and is the only way into an archive mailbox. The
//! items themselves are those of [`crate::mail`]; an archive is a mailbox of the same make that mail
//! routes do not reach.

mod delta;
mod export;
mod folders;
mod import;
mod items;
mod registry;

pub use import::{handle_raw, session_key};
pub use registry::{Archives, Part, fill, settings};

use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use serde_json::json;

use crate::api::{ApiRequest, ApiResponse, Version};
use crate::mail::ids::No;
use crate::mail::store::Mailbox;
use crate::options::Quirk;
use crate::throttle::Key;
use crate::users::User;
use crate::world::World;

/// A mailbox as this API addresses it.
pub struct Target {
    pub user: Arc<User>,
    pub part: Part,
    /// `MBX:mailbox@tenant`.
    pub id: String,
    pub store: Arc<Mutex<Mailbox>>,
}

impl Target {
    /// True when the items of this folder are to be had under this mailbox id. The folders of an
    /// auto-expanding archive are all listed under its first.
    pub fn holds(&self, mailbox: &Mailbox, folder: No) -> bool {
        match self.part {
            Part::Primary => true,
            part => mailbox.folder(folder).auxiliary == (part == Part::Auxiliary),
        }
    }
}

pub fn no_such_mailbox() -> ApiResponse {
    ApiResponse::error(
        404,
        "ErrorNonExistentMailbox",
        "The specified mailbox was not found.",
    )
}

const FOLDERS_READ: &[&str] = &["MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All"];
const FOLDERS_WRITE: &[&str] = &["MailboxFolder.ReadWrite.All"];
const ITEMS_READ: &[&str] = &["MailboxItem.Read.All", "MailboxItem.ReadWrite.All"];
const ITEMS_WRITE: &[&str] = &["MailboxItem.ReadWrite.All"];
const EXPORT: &[&str] = &["MailboxItem.Export.All", "MailboxItem.ImportExport.All"];
const IMPORT: &[&str] = &["MailboxItem.ImportExport.All"];

/// Answers `/admin/exchange/mailboxes/...`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    let named = |at: usize, name: &str| path.get(at).is_some_and(|s| s.eq_ignore_ascii_case(name));
    if !(named(0, "admin") && named(1, "exchange") && named(2, "mailboxes")) {
        return None;
    }
    Some(route(world, request, &path[3..]).unwrap_or_else(|refusal| refusal))
}

/// The budget of requests to a mailbox: a primary one's is that of the user's mail, an archive has its
/// own.
pub fn throttle_key(world: &World, app: String, id: &str) -> Option<Key> {
    let user = match registry::owner(world, id)? {
        (user, Part::Primary) => user.id.clone(),
        (user, part) => registry::mailbox_id(world, &user.id, part),
    };
    Some(Key::Mailbox { app, user })
}

fn route(world: &World, request: &ApiRequest, path: &[&str]) -> Result<ApiResponse, ApiResponse> {
    let [id, rest @ ..] = path else {
        // Mailboxes are addressed by id only.
        return Err(ApiResponse::method_not_allowed());
    };
    let needed = needed(request, rest);
    if !request.caller.has_any(needed) {
        return Err(crate::users::denied());
    }
    let target = registry::find(world, id).ok_or_else(no_such_mailbox)?;
    if target.part != Part::Primary
        && request.version == Version::V1
        && !world.options.has(Quirk::ArchiveInV1)
    {
        return Err(no_such_mailbox());
    }
    if request
        .caller
        .user
        .as_ref()
        .is_some_and(|u| *u != target.user.id)
    {
        return Err(crate::mail::denied());
    }
    let what = rest.first().map(|s| s.to_ascii_lowercase());
    let what = what.as_deref().unwrap_or_default();
    let what = what.strip_prefix("microsoft.graph.").unwrap_or(what);
    let response = match (what, rest) {
        ("", []) if request.method == Method::GET => Ok(ApiResponse::ok(json!({
            "@odata.context": request.context("admin/exchange/mailboxes/$entity"), "id": target.id,
        }))),
        ("", _) => Err(ApiResponse::method_not_allowed()),
        ("folders", [_, below @ ..]) => folders::route(world, &target, request, below),
        ("exportitems", [_]) => export::export(world, &target, request),
        ("createimportsession", [_]) => import::create_session(world, &target, request),
        _ => Err(ApiResponse::no_such_segment(what)),
    }?;
    Ok(match request.immutable_ids() {
        true => response.with_header("preference-applied", "IdType=\"ImmutableId\""),
        false => response,
    })
}

/// The permissions of which one is needed.
fn needed(request: &ApiRequest, rest: &[&str]) -> &'static [&'static str] {
    let is = |segment: &&str, name: &str| {
        let name = name.to_ascii_lowercase();
        let segment = segment.to_ascii_lowercase();
        segment.strip_prefix("microsoft.graph.").unwrap_or(&segment) == name
    };
    let read = request.method == Method::GET;
    match rest.first() {
        Some(s) if is(s, "exportItems") => EXPORT,
        Some(s) if is(s, "createImportSession") => IMPORT,
        // A folder's id is never the word "items".
        _ if rest.iter().skip(1).any(|s| is(s, "items")) => match read {
            true => ITEMS_READ,
            false => ITEMS_WRITE,
        },
        _ if read => FOLDERS_READ,
        _ => FOLDERS_WRITE,
    }
}
