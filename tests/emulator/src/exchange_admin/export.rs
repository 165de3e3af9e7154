//! `exportItems`: up to 20 items as FastTransfer streams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::Target;
use crate::api::{ApiRequest, ApiResponse, Hint};
use crate::fasttransfer::frames::{Build, wrap};
use crate::fasttransfer::{self, Name, Value as Property};
use crate::mail::content::Origin;
use crate::mail::ids::No;
use crate::mail::messages;
use crate::mail::store::Mailbox;
use crate::mapi::{self, names};
use crate::odata::field;
use crate::options::Quirk;
use crate::world::World;

/// Most items of one call.
const MAX_ITEMS: usize = 20;

/// `POST .../exportItems`.
pub fn export(
    world: &World,
    target: &Target,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiResponse> {
    if request.method != Method::POST {
        return Err(ApiResponse::method_not_allowed());
    }
    let ids = item_ids(request)?;
    let build = build(world);
    let mailbox = target.store.lock();
    let value: Vec<Value> = ids
        .iter()
        .map(|id| match one(target, &mailbox, request, id) {
            Ok(no) => {
                let data = wrap(&stream(&mailbox, no), build);
                let key = mailbox.ids.change_key(mailbox.item(no).seq);
                json!({"itemId": id, "changeKey": key, "data": STANDARD.encode(data)})
            }
            Err((code, message)) => {
                json!({"itemId": id, "error": {"code": code, "message": message}})
            }
        })
        .collect();
    let context = request.context("Collection(microsoft.graph.exportItemResponse)");
    Ok(ApiResponse::ok(
        json!({"@odata.context": context, "value": value}),
    ))
}

fn item_ids(request: &ApiRequest) -> Result<Vec<String>, ApiResponse> {
    let body = request.json()?;
    let refuse = |message: &str| ApiResponse::error(400, "ErrorInvalidRequest", message);
    let field = body
        .as_object()
        .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case("itemIds")));
    let ids: Vec<String> = field
        .and_then(|(_, v)| v.as_array())
        .and_then(|list| {
            list.iter()
                .map(|id| id.as_str().map(str::to_owned))
                .collect()
        })
        .ok_or_else(|| refuse("itemIds is missing or is not a list of ids."))?;
    if ids.is_empty() || ids.len() > MAX_ITEMS {
        return Err(refuse("1 to 20 items can be exported at once."));
    }
    Ok(ids)
}

/// Exchange names the build that wrote a stream; in a farm that is being upgraded it changes.
fn build(world: &World) -> Build {
    let usual = Build::default();
    if !world.options.has(Quirk::VaryServerBuild) {
        return usual;
    }
    let mut rng = world.rng(&format!("build {}", world.clock.now_ms()));
    Build(usual.0 + rng.below(900) as u16, rng.below(10_000) as u16)
}

/// The number of an item that can be exported, or the error it has.
fn one(
    target: &Target,
    mailbox: &Mailbox,
    request: &ApiRequest,
    id: &str,
) -> Result<No, (String, String)> {
    let error = |code: &str, message: &str| (code.to_owned(), message.to_owned());
    let missing = || {
        error(
            "ErrorItemNotFound",
            "The specified object was not found in the store.",
        )
    };
    let no = match messages::find_any(mailbox, id) {
        Ok(no) => no,
        Err(_) if mailbox.ids.parse_message(id).is_none() && id.len() < 60 => {
            return Err(error("ErrorInvalidIdMalformed", "Id is malformed."));
        }
        Err(_) => return Err(missing()),
    };
    if !target.holds(mailbox, mailbox.item(no).folder) {
        return Err(missing());
    }
    if let Some(Hint::Item { item, code }) = &request.hint {
        let props = mapi::message::parts(mailbox, no, false).props;
        let subject = field(&props, "subject").as_str().unwrap_or_default();
        if item == id || (!item.is_empty() && subject.contains(item.as_str())) {
            return Err(match code.as_str() {
                "ErrorItemNotFound" => missing(),
                code => error(code, "Data is corrupt."),
            });
        }
    }
    Ok(no)
}

/// The stream of an item, without frames. The same for the same change key.
fn stream(mailbox: &Mailbox, no: No) -> Vec<u8> {
    // Events, contacts and tasks of a primary mailbox are written by their own kind's module, from
    // Graph's form, as messages are.
    if let Some(Origin::Stream(stream)) = mailbox.details.get(&no).map(|d| &d.origin) {
        return stream.to_vec();
    }
    let mut content = mapi::message::write(&mapi::message::parts(mailbox, no, true));
    let key = mailbox.ids.change_key(mailbox.item(no).seq);
    // A change key of Graph is this one behind eight bytes.
    let change = STANDARD.decode(key).unwrap_or_default().split_off(8);
    let mut predecessors = vec![change.len() as u8];
    predecessors.extend_from_slice(&change);
    if content.props.get(&Name::Tag(names::SEARCH_KEY)).is_none() {
        let mut rng = crate::rng::Rng::at(mailbox.seed ^ 0x5ea7c4, u64::from(no));
        let key = Property::Binary(rng.bytes16().to_vec());
        content.props.set_tag(names::SEARCH_KEY, key);
    }
    content
        .props
        .set_tag(names::CHANGE_KEY, Property::Binary(change));
    content
        .props
        .set_tag(names::PREDECESSORS, Property::Binary(predecessors));
    fasttransfer::write::write(&content)
}
