//! Import sessions, and `importItem` at the pre-authenticated address they give out.
//!
//! What is imported is there as it was: not a draft, with its own times and state. Nobody is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{Target, folders, no_such_mailbox, registry};
use crate::api::{ApiRequest, ApiResponse, Hint, RawRequest, Version};
use crate::clock::rfc3339;
use crate::fasttransfer::{self, MessageContent};
use crate::mail::ids::No;
use crate::mail::store::{FolderKind, Mailbox};
use crate::mail::{imported, item_not_found, messages};
use crate::mapi::{self, Kind, restored};
use crate::odata::Object;
use crate::throttle::Key;
use crate::world::World;

/// Seconds a session is good for.
const LIFETIME: i64 = 3600;

/// What an import URL stands for.
pub struct Session {
    mailbox: String,
    app: String,
    expires: i64,
}

/// `POST .../createImportSession`.
pub fn create_session(
    world: &World,
    target: &Target,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiResponse> {
    if request.method != Method::POST {
        return Err(ApiResponse::method_not_allowed());
    }
    let now = world.clock.now();
    let expires = match request.hint {
        Some(Hint::ExpiredUrl) => now - 1,
        _ => now + LIFETIME,
    };
    let mut sessions = world.archives.sessions.lock();
    // Expired ones are kept a while: their URL is answered differently from one that never was.
    sessions.retain(|_, s| s.expires + LIFETIME > now);
    let label = format!("import {} {}", sessions.len(), world.clock.now_ms());
    let mut rng = world.rng(&label);
    let key = format!("eyJ{:016x}{:016x}", rng.next(), rng.next());
    let session = Session {
        mailbox: target.id.clone(),
        app: request.caller.app_id.clone(),
        expires,
    };
    sessions.insert(key.clone(), session);
    let api = match request.version {
        Version::V1 => "gv1.0",
        Version::Beta => "gbeta",
    };
    let url = format!(
        "{}/api/{api}/Mailboxes('{}')/importItem?authtoken={key}",
        request.base_url, target.id
    );
    Ok(ApiResponse::json(
        201,
        json!({
            "@odata.context": request.context("microsoft.graph.mailboxItemImportSession"),
            "importUrl": url, "expirationDateTime": rfc3339(expires),
        }),
    ))
}

/// Whose budget a request to an import URL draws on; `None` for anything else.
pub fn session_key(world: &World, request: &RawRequest) -> Option<Key> {
    if request.path.first().is_none_or(|s| s != "api") {
        return None;
    }
    let sessions = world.archives.sessions.lock();
    let session = sessions.get(request.option("authtoken")?)?;
    super::throttle_key(world, session.app.clone(), &session.mailbox)
}

/// A request to an import URL: `/api/gv1.0/Mailboxes('...')/importItem`.
pub fn handle_raw(world: &World, request: &RawRequest) -> ApiResponse {
    import(world, request).unwrap_or_else(|refusal| refusal)
}

fn invalid(message: &str) -> ApiResponse {
    ApiResponse::error(400, "ErrorInvalidRequest", message)
}

/// The mailbox a URL's session is for.
fn session(world: &World, request: &RawRequest) -> Result<String, ApiResponse> {
    let refuse = |message: &str| ApiResponse::error(401, "InvalidAuthenticationToken", message);
    if request.header("authorization").is_some() {
        return Err(refuse("The import URL takes no Authorization header."));
    }
    let sessions = world.archives.sessions.lock();
    let session = request
        .option("authtoken")
        .and_then(|key| sessions.get(key))
        .ok_or_else(|| refuse("The import URL is not valid."))?;
    if session.expires <= world.clock.now() {
        return Err(refuse("The import session has expired."));
    }
    let named = request.path.get(2).map(String::as_str).unwrap_or_default();
    if named != format!("Mailboxes('{}')", session.mailbox) {
        return Err(refuse("The import URL is not valid."));
    }
    Ok(session.mailbox.clone())
}

fn import(world: &World, request: &RawRequest) -> Result<ApiResponse, ApiResponse> {
    let known = request.path.len() == 4
        && matches!(request.path[1].as_str(), "gv1.0" | "gbeta")
        && request.path[3].eq_ignore_ascii_case("importItem");
    if !known {
        return Err(ApiResponse::error(
            404,
            "NotFound",
            "There is nothing at this address.",
        ));
    }
    if request.method != Method::POST {
        return Err(ApiResponse::method_not_allowed());
    }
    let id = session(world, request)?;
    let target = registry::find(world, &id).ok_or_else(no_such_mailbox)?;
    let wanted = Wanted::read(&request.body)?;
    let stream = fasttransfer::frames::unwrap(&wanted.data).map_err(|e| {
        ApiResponse::error(400, "ErrorCorruptData", &format!("Data is corrupt., {e}"))
    })?;
    let mut mailbox = target.store.lock();
    let folder = folders::find(&mailbox, &wanted.folder)?;
    if !target.holds(&mailbox, folder) {
        return Err(item_not_found());
    }
    if mailbox.folder(folder).kind == FolderKind::Search {
        return Err(invalid("A search folder holds no items of its own."));
    }
    let no = match &wanted.replaces {
        None => store(world, &mut mailbox, folder, None, stream),
        Some((id, key)) => {
            let no = messages::find_any(&mailbox, id)?;
            let item = mailbox.item(no);
            if item.folder != folder {
                return Err(item_not_found());
            }
            if mailbox.ids.change_key(item.seq) != *key {
                return Err(ApiResponse::error(
                    409,
                    "ErrorIrresolvableConflict",
                    "The change key passed in the request does not match the current change key for the item.",
                ));
            }
            store(world, &mut mailbox, folder, Some(no), stream)
        }
    };
    let api = &request.path[1];
    Ok(ApiResponse::ok(json!({
        "@odata.context": format!("https://outlook.office365.com/api/{api}/$metadata#microsoft.graph.importMailboxItemResponse"),
        "itemId": mailbox.message_id(no, request.immutable_ids()),
        "changeKey": mailbox.ids.change_key(mailbox.item(no).seq),
    })))
}

/// The body of `importItem`.
struct Wanted {
    folder: String,
    /// Id and change key of the item to be replaced.
    replaces: Option<(String, String)>,
    data: Vec<u8>,
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Wanted, ApiResponse> {
        let body: Object = serde_json::from_slice(body)
            .map_err(|e| invalid(&format!("Unable to read the request. {e}")))?;
        let names = ["FolderId", "Mode", "ItemId", "ChangeKey", "Data"];
        if let Some(name) = body.keys().find(|k| !names.contains(&k.as_str())) {
            return Err(invalid(&format!("There is no parameter '{name}'.")));
        }
        let text = |name: &str| {
            let value = body.get(name).filter(|v| !v.is_null());
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let needed = |name: &str| text(name).ok_or_else(|| invalid(&format!("{name} is missing.")));
        let (item, key) = (text("ItemId"), text("ChangeKey"));
        let replaces = match (needed("Mode")?.to_ascii_lowercase().as_str(), item, key) {
            ("create", None, None) => None,
            ("create", ..) => {
                return Err(invalid(
                    "ItemId and ChangeKey cannot be given when an item is created.",
                ));
            }
            ("update", Some(item), Some(key)) => Some((item, key)),
            ("update", ..) => {
                return Err(invalid(
                    "ItemId and ChangeKey are needed to update an item.",
                ));
            }
            _ => return Err(invalid("Mode must be create or update.")),
        };
        Ok(Wanted {
            folder: needed("FolderId")?,
            replaces,
            data: STANDARD
                .decode(needed("Data")?)
                .map_err(|_| invalid("Data is not base64."))?,
        })
    }
}

/// Stores what a stream holds, in the place of `old` when there is one.
fn store(world: &World, mailbox: &mut Mailbox, folder: No, old: Option<No>, stream: Vec<u8>) -> No {
    let now = world.clock.now();
    let content = fasttransfer::read::read(&stream).ok();
    let kind = content.as_ref().map_or(Kind::Other, MessageContent::kind);
    // Events, contacts and tasks that come into a primary mailbox's calendar, address book or task
    // folders go to the modules that hold those; all others are kept as they came.
    match (kind, content) {
        (Kind::Message, Some(content)) => {
            imported::message(mailbox, folder, old, restored::parts(&content, now), now)
        }
        (_, content) => imported::stream(mailbox, folder, old, content.as_ref(), stream, now),
    }
}

impl MessageContent {
    /// What kind of item this is.
    fn kind(&self) -> Kind {
        let class = self.props.text(mapi::names::MESSAGE_CLASS);
        Kind::of(class.unwrap_or("IPM.Note"))
    }
}
