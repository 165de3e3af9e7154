//! Upload sessions: a file in fragments, sent in order to a pre-authenticated URL.
//!
//! The rules are the service's: under 60 MiB a fragment, all but the last a multiple of 320 KiB (or the commit
//! fails after the last byte), no gaps, no overlaps, one total, no access token.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse, RawRequest};
use crate::clock::rfc3339;
use crate::world::World;

use super::content::Spool;
use super::failure::Failure;
use super::item::Index;
use super::links;
use super::route::Address;
use super::special;
use super::store::{Conflict, Drive, Place, Stamp, Times};
use super::write;

const FRAGMENT_MULTIPLE: u64 = 320 * 1024;
const MAX_FRAGMENT: u64 = 60 * 1024 * 1024;
/// Seconds a session lives after its last fragment.
const LIFETIME: i64 = 15 * 60;

/// An upload that is under way.
pub struct Session {
    drive: String,
    target: Target,
    conflict: Conflict,
    times: Times,
    by: super::item::Actor,
    defer: bool,
    total: Option<u64>,
    received: Spool,
    /// A fragment in the middle was no multiple of 320 KiB.
    misaligned: bool,
    expires: i64,
}

#[derive(Clone, Debug)]
enum Target {
    /// New content for a file.
    Item(u128),
    /// A name in a folder.
    Name(u128, String),
}

/// `POST .../createUploadSession`.
pub fn create(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    address: &Address,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let item = &body["item"];
    // The documentation says that sessions fail by default. rclone says nothing, and replaces files of real
    // tenants so every day.
    let conflict = write::conflict(request, item, Conflict::Replace)?;
    let times = write::times(item)?;
    let base = super::base(drive, &address.base)?;
    let (target, existing) = match address.path.split_last() {
        None => {
            if drive.item(base).file().is_none() {
                return Err(Failure::invalid("The item is not a file.").inner("invalidPath"));
            }
            (Target::Item(drive.item(base).guid), Some(base))
        }
        Some((name, above)) => {
            if item["name"].as_str().is_some_and(|n| n != name) {
                return Err(Failure::invalid(
                    "The name in the provided item does not match the name in the URL.",
                ));
            }
            let parent = write::make_folders(world, request, drive, base, above)?;
            // A name that is taken is told now, not after the last byte.
            let existing = match drive.place(parent, name, false, conflict, None)? {
                Place::Existing(index) => Some(index),
                Place::New(_) => None,
            };
            (
                Target::Name(drive.item(parent).guid, name.clone()),
                existing,
            )
        }
    };
    match existing {
        Some(index) => {
            write::check_match(request, drive, index)?;
            special::check_writable(drive.item(index))?;
            if request
                .header("if-none-match")
                .is_some_and(|tags| drive.item(index).matches(tags))
            {
                return Err(Failure::etag_mismatch());
            }
        }
        None if request.header("if-match").is_some() => return Err(Failure::etag_mismatch()),
        None => {}
    }
    if let Some(size) = item["fileSize"].as_u64() {
        drive.check_quota(size, existing.map_or(0, |i| drive.item(i).size()))?;
    }
    let session = Session {
        drive: drive.id.clone(),
        target,
        conflict: if matches!(address.path.as_slice(), []) {
            Conflict::Replace
        } else {
            conflict
        },
        times,
        by: super::stamp(world, request, drive).by,
        defer: body["deferCommit"].as_bool().unwrap_or(false),
        total: None,
        received: Spool::new().map_err(Failure::io)?,
        misaligned: false,
        expires: world.clock.now() + LIFETIME,
    };
    let handle = world.drive.new_handle("upload");
    let mut answer = status(&session);
    answer["@odata.context"] = request.context("microsoft.graph.uploadSession").into();
    answer["uploadUrl"] = format!(
        "{}/_upload/drive/{handle}",
        links::host(&request.base_url, drive)
    )
    .into();
    world.drive.sessions.lock().insert(handle, session);
    Ok(ApiResponse::ok(answer))
}

fn status(session: &Session) -> Value {
    json!({
        "expirationDateTime": rfc3339(session.expires),
        "nextExpectedRanges": [format!("{}-", session.received.len())],
    })
}

fn not_found() -> Failure {
    Failure::new(404, "itemNotFound", "The upload session was not found")
        .inner("uploadSessionNotFound")
}

/// A request to an `uploadUrl`.
pub fn raw(world: &World, request: &RawRequest, handle: &str) -> Result<ApiResponse, Failure> {
    if request.header("authorization").is_some() {
        return Err(Failure::new(
            401,
            "unauthenticated",
            "Authorization must not be sent to an upload URL.",
        ));
    }
    // Taken out while it is worked on: two fragments at a time are two sessions' work.
    let now = world.clock.now();
    let Some(mut session) = world
        .drive
        .sessions
        .lock()
        .remove(handle)
        .filter(|s| s.expires > now)
    else {
        return Err(not_found());
    };
    let keep = |session: Session| {
        world
            .drive
            .sessions
            .lock()
            .insert(handle.to_owned(), session);
    };
    match request.method.as_str() {
        "DELETE" => Ok(ApiResponse::no_content()),
        "GET" => {
            let answer = ApiResponse::ok(status(&session));
            keep(session);
            Ok(answer)
        }
        "PUT" => match fragment(&mut session, request) {
            Err(failure) => {
                keep(session);
                Err(failure)
            }
            Ok(complete) => {
                session.expires = now + LIFETIME;
                if complete && !session.defer {
                    return finish(world, request, session, keep);
                }
                let answer = ApiResponse::json(202, status(&session));
                keep(session);
                Ok(answer)
            }
        },
        "POST" if session.total == Some(session.received.len()) => {
            finish(world, request, session, keep)
        }
        "POST" => {
            keep(session);
            Err(Failure::invalid("The upload session is incomplete.")
                .inner("uploadSessionIncomplete"))
        }
        _ => {
            keep(session);
            Ok(ApiResponse::method_not_allowed())
        }
    }
}

/// Takes one fragment. True when it was the last.
fn fragment(session: &mut Session, request: &RawRequest) -> Result<bool, Failure> {
    let Some((first, last, total)) = request.header("content-range").and_then(content_range) else {
        return Err(
            Failure::invalid("The Content-Range header is missing or malformed.")
                .inner("invalidRange"),
        );
    };
    let length = request.body.len() as u64;
    if length == 0 || last < first || last >= total || last - first + 1 != length {
        return Err(
            Failure::invalid("Content-Length and Content-Range do not agree.")
                .inner("fragmentLengthMismatch"),
        );
    }
    if length >= MAX_FRAGMENT {
        let failure = Failure::new(413, "invalidRequest", "The fragment is larger than 60 MiB.");
        return Err(failure.inner("maxFragmentLengthExceeded"));
    }
    if session.total.is_some_and(|t| t != total) {
        return Err(Failure::invalid("The total of the Content-Range changed.")
            .inner("fragmentLengthMismatch"));
    }
    let next = session.received.len();
    if first < next {
        let failure = Failure::new(
            416,
            "invalidRange",
            "The uploaded fragment overlaps with data that has already been received.",
        );
        return Err(failure.inner("fragmentOverlap"));
    }
    if first > next {
        let failure = Failure::new(416, "invalidRange", "The uploaded fragment leaves a gap.");
        return Err(failure.inner("fragmentOutOfOrder"));
    }
    session
        .received
        .append(&request.body)
        .map_err(Failure::io)?;
    session.total = Some(total);
    let complete = last + 1 == total;
    if !complete && !length.is_multiple_of(FRAGMENT_MULTIPLE) {
        session.misaligned = true;
    }
    Ok(complete)
}

/// `bytes a-b/total`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((
        first.trim().parse().ok()?,
        last.trim().parse().ok()?,
        total.trim().parse().ok()?,
    ))
}

/// Puts the finished file in its place; a session whose name is taken meanwhile lives on.
fn finish(
    world: &World,
    request: &RawRequest,
    session: Session,
    keep: impl FnOnce(Session),
) -> Result<ApiResponse, Failure> {
    if session.misaligned {
        let message = "The upload failed: fragments must be multiples of 320 KiB.";
        return Err(Failure::invalid(message).inner("uploadSessionFailed"));
    }
    let Some(handle) = world.drive.get(&session.drive) else {
        return Err(Failure::drive_not_found());
    };
    let mut drive = handle.lock();
    let place = match &session.target {
        Target::Item(guid) => drive
            .find_guid(*guid)
            .map(Place::Existing)
            .ok_or_else(Failure::item_not_found),
        Target::Name(parent, name) => match drive.find_guid(*parent) {
            Some(parent) => drive.place(parent, name, false, session.conflict, None),
            None => Err(Failure::item_not_found()),
        },
    };
    let place = match place {
        Ok(place) => place,
        Err(failure) => {
            keep(session);
            return Err(failure);
        }
    };
    let (index, status) = put(world, &mut drive, session, place)?;
    let mut as_graph =
        ApiRequest::parse(http::Method::PUT, "/v1.0/drives").ok_or_else(Failure::item_not_found)?;
    as_graph.base_url = request.base_url.clone();
    super::one(world, &as_graph, &drive, index, status)
}

fn put(
    world: &World,
    drive: &mut Drive,
    session: Session,
    place: Place,
) -> Result<(Index, u16), Failure> {
    let stamp = Stamp {
        now: world.clock.now(),
        by: session.by,
    };
    let content = session.received.finish();
    match place {
        Place::Existing(index) => {
            drive.check_quota(content.len(), drive.item(index).size())?;
            let content = write::accept(world, &drive.item(index).name, content)?;
            drive.replace(index, content, session.times, &stamp);
            Ok((index, 200))
        }
        Place::New(name) => {
            let Target::Name(parent, _) = session.target else {
                return Err(Failure::item_not_found());
            };
            let parent = drive
                .find_guid(parent)
                .ok_or_else(Failure::item_not_found)?;
            drive.check_quota(content.len(), 0)?;
            let content = write::accept(world, &name, content)?;
            Ok((
                drive.add_file(parent, name, content, session.times, &stamp),
                201,
            ))
        }
    }
}

/// `PUT .../items/{parent}:/{name}` with `@microsoft.graph.sourceUrl`: commits a session, whose own name was
/// taken, under another.
pub fn commit_elsewhere(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    address: &Address,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let Some(url) = body["@microsoft.graph.sourceUrl"].as_str() else {
        return Err(Failure::invalid(
            "The body must have @microsoft.graph.sourceUrl with the URL of an upload session.",
        ));
    };
    let Some((name, above)) = address.path.split_last() else {
        return Err(Failure::invalid(
            "The item must be addressed by the path of its new name.",
        ));
    };
    let handle = url.rsplit('/').next().unwrap_or_default();
    let conflict = write::conflict(request, &body, Conflict::Fail)?;
    let base = super::base(drive, &address.base)?;
    let parent = write::make_folders(world, request, drive, base, above)?;
    let place = drive.place(parent, name, false, conflict, None)?;
    let mut sessions = world.drive.sessions.lock();
    let now = world.clock.now();
    let complete =
        |s: &Session| s.drive == drive.id && s.expires > now && s.total == Some(s.received.len());
    if !sessions.get(handle).is_some_and(complete) {
        return Err(not_found());
    }
    let Some(mut session) = sessions.remove(handle) else {
        return Err(not_found());
    };
    drop(sessions);
    session.target = Target::Name(drive.item(parent).guid, name.clone());
    let (index, status) = put(world, drive, session, place)?;
    super::one(world, request, drive, index, status)
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0, 9, 10)));
        assert_eq!(content_range("bytes 0-/10"), None);
        assert_eq!(content_range("bytes 0-9/*"), None);
        assert_eq!(content_range("0-9/10"), None);
        assert_eq!(content_range("bytes 99999999999999999999-1/2"), None);
    }
}
