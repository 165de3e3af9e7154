//! Sending: into the outbox of the emulator, and into the mailboxes of the tenant.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ids::No;
use super::store::Mailbox;
use super::validate::{invalid, object_of};
use super::write::from_json;
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::users::User;
use crate::world::World;

/// `POST .../messages/{id}/send`.
pub fn send_draft(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(&["Mail.Send"]) {
        return Err(super::denied());
    }
    if !mailbox.item(no).is_draft {
        return Err(invalid("Only a draft can be sent."));
    }
    let view = super::json::View::for_filter(true);
    let shown = super::json::message(mailbox, no, &view);
    world
        .outbox
        .lock()
        .push(json!({"kind": "message", "from": mailbox.user.upn, "message": shown}));
    let sent = mailbox.well_known("sentitems");
    mailbox.items[no as usize].is_draft = false;
    mailbox.move_to(no, sent);
    Ok(ApiResponse::empty(202))
}

/// `POST /users/{id}/sendMail`: into the outbox, Sent Items, and the mailboxes of the tenant it is for.
pub fn send_mail(
    world: &World,
    request: &ApiRequest,
    user: &Arc<User>,
) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    let field = |name: &str| {
        body.iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    };
    let Some(Value::Object(mut message)) = field("message") else {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "The message is missing.",
        ));
    };
    world
        .outbox
        .lock()
        .push(json!({"kind": "message", "from": user.upn, "message": message}));
    message.entry("from").or_insert_with(
        || json!({"emailAddress": {"name": user.display_name, "address": user.upn}}),
    );
    let now = rfc3339(world.clock.now());
    message.insert("singleValueExtendedProperties".into(), json!([
        {"id": "Integer 0x0E07", "value": "4"}, {"id": "SystemTime 0x0E06", "value": now}, {"id": "SystemTime 0x0039", "value": now}]));
    let mut targets = Vec::new();
    for list in ["toRecipients", "ccRecipients", "bccRecipients"] {
        for recipient in message
            .get(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            targets.extend(
                recipient["emailAddress"]["address"]
                    .as_str()
                    .and_then(|a| world.user(a)),
            );
        }
    }
    if field("saveToSentItems").is_none_or(|v| v != json!(false))
        && let Some(mailbox) = world.mail.get(&user.id)
    {
        let mut mailbox = mailbox.lock();
        let folder = mailbox.well_known("sentitems");
        let mut copy = message.clone();
        copy.insert("isRead".into(), json!(true));
        from_json(world, &mut mailbox, folder, copy)?;
    }
    message.remove("bccRecipients");
    for target in targets {
        if let Some(mailbox) = world.mail.get(&target.id) {
            let mut mailbox = mailbox.lock();
            let folder = mailbox.well_known("inbox");
            let mut copy = message.clone();
            copy.insert("isRead".into(), json!(false));
            from_json(world, &mut mailbox, folder, copy)?;
        }
    }
    Ok(ApiResponse::empty(202))
}
