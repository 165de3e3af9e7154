//! Exchange mail: what Graph shows below `/users/{id}/mailFolders` and `/users/{id}/messages`.

pub mod attachments;
pub mod compose;
pub mod content;
mod delta;
pub mod folders;
pub mod ids;
pub mod imported;
pub mod json;
pub mod messages;
pub mod mime;
pub mod properties;
mod send;
pub mod sessions;
pub mod store;
pub mod system;
pub mod validate;
pub mod write;

pub use write::deliver;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use crate::api::{ApiRequest, ApiResponse};
use crate::users::{User, no_mailbox};
use crate::world::World;
use store::Mailbox;

/// All mailboxes, by user id.
#[derive(Default)]
pub struct Mailboxes {
    by_user: RwLock<HashMap<String, Arc<Mutex<Mailbox>>>>,
}

impl Mailboxes {
    pub fn get(&self, user_id: &str) -> Option<Arc<Mutex<Mailbox>>> {
        self.by_user.read().get(user_id).cloned()
    }

    pub fn insert(&self, mailbox: Mailbox) {
        self.by_user
            .write()
            .insert(mailbox.user.id.clone(), Arc::new(Mutex::new(mailbox)));
    }

    /// Gives a new user an empty mailbox.
    pub fn provision(&self, world: &World, user: &Arc<User>) {
        let mut mailbox = Mailbox::new(user.clone(), world.options.seed, Arc::default());
        system::folders(&mut mailbox);
        self.insert(mailbox);
    }
}

/// Makes the mailbox of a user with system folders and `count` generated messages.
pub fn generate(
    user: &Arc<User>,
    seed: u64,
    people: Arc<Vec<(String, String)>>,
    count: u32,
) -> Mailbox {
    let mut mailbox = Mailbox::new(user.clone(), seed, people);
    system::folders(&mut mailbox);
    if count > 0 {
        let layout = crate::seed::mail::layout(&mut mailbox);
        let key = mailbox.seed;
        mailbox.generate(count, |no| {
            crate::seed::mail::place(key, &layout, no, count)
        });
    }
    mailbox
}

const READ: &[&str] = &["Mail.Read", "Mail.ReadWrite", "Mail.ReadBasic.All"];
const READ_ALL: &[&str] = &["Mail.Read", "Mail.ReadWrite"];
const WRITE: &[&str] = &["Mail.ReadWrite"];

/// The token may list mail, but see no bodies and attachments.
pub fn basic_only(request: &ApiRequest) -> bool {
    !request.caller.has_any(READ_ALL)
}

pub fn denied() -> ApiResponse {
    ApiResponse::error(
        403,
        "ErrorAccessDenied",
        "Access is denied. Check credentials and try again.",
    )
}

pub fn item_not_found() -> ApiResponse {
    ApiResponse::error(
        404,
        "ErrorItemNotFound",
        "The specified object was not found in the store.",
    )
}

/// The largest request Exchange takes; see [`too_large`].
pub const MAX_BODY: usize = 4 << 20;

/// 413, as it comes: without a body.
fn too_large() -> ApiResponse {
    ApiResponse::empty(413)
}

/// Answers what is mail below `/users/{id}`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    if !path.first()?.eq_ignore_ascii_case("users") {
        return None;
    }
    let what = path.get(2)?.to_ascii_lowercase();
    if !matches!(
        what.as_str(),
        "mailfolders" | "messages" | "translateexchangeids" | "sendmail"
    ) {
        return None;
    }
    Some(route(world, request, &path, &what).unwrap_or_else(|refusal| refusal))
}

fn route(
    world: &World,
    request: &ApiRequest,
    path: &[&str],
    what: &str,
) -> Result<ApiResponse, ApiResponse> {
    let user = world.user(path[1]).ok_or_else(|| {
        ApiResponse::error(
            404,
            "ErrorInvalidUser",
            &format!("The requested user '{}' is invalid.", path[1]),
        )
    })?;
    let needed = match what {
        "translateexchangeids" => &[
            "User.Read.All",
            "User.ReadWrite.All",
            "Mail.Read",
            "Mail.ReadWrite",
        ],
        "sendmail" => &["Mail.Send"][..],
        _ if request.method == Method::GET => READ,
        _ => WRITE,
    };
    if !request.caller.has_any(needed) {
        return Err(denied());
    }
    if request.body.len() > MAX_BODY {
        return Err(too_large());
    }
    let mailbox = world
        .mail
        .get(&user.id)
        .filter(|_| user.mailbox.is_some())
        .ok_or_else(no_mailbox)?;
    if what == "sendmail" {
        return send::send_mail(world, request, &user);
    }
    let mut mailbox = mailbox.lock();
    let rest = &path[3..];
    let mut response = match what {
        "translateexchangeids" => translate(&mailbox, request),
        "messages" => messages::route(world, &mut mailbox, request, None, rest),
        _ => folders::route(world, &mut mailbox, request, rest),
    }?;
    if request.immutable_ids() {
        response = response.with_header("preference-applied", "IdType=\"ImmutableId\"");
    }
    Ok(response)
}

/// `POST /users/{id}/translateExchangeIds`, at most 1,000 ids.
fn translate(mailbox: &Mailbox, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if request.method != Method::POST {
        return Err(ApiResponse::method_not_allowed());
    }
    let body = request.json()?;
    let field = |name: &str| {
        body.as_object()
            .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v.clone())
            .unwrap_or_default()
    };
    let ids = field("inputIds");
    let ids = ids
        .as_array()
        .ok_or_else(|| ApiResponse::error(400, "BadRequest", "inputIds is missing."))?;
    if ids.len() > 1000 {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "At most 1000 ids can be translated at once.",
        ));
    }
    let target = field("targetIdType");
    let immutable = match target
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "restid" => false,
        "restimmutableentryid" => true,
        _ => {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidRequest",
                "This target id type is not supported.",
            ));
        }
    };
    let value: Vec<_> = ids
        .iter()
        .map(|id| {
            let id = id.as_str().unwrap_or_default();
            match mailbox.find(id) {
                Some(no) => json!({"sourceId": id, "targetId": mailbox.message_id(no, immutable)}),
                None => json!({"sourceId": id, "targetId": null,
                    "errorDetails": {"code": "ErrorItemNotFound", "message": "The specified object was not found in the store."}}),
            }
        })
        .collect();
    let context = request.context("Collection(microsoft.graph.convertIdResult)");
    Ok(ApiResponse::ok(crate::odata::page(
        context, None, value, None,
    )))
}
