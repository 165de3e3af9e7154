//! Open extensions of contacts and tasks: `.../extensions` and `.../extensions/{name}`.

use http::Method;
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::mail::item_not_found;
use crate::odata::{self, Object};

const PREFIX: &str = "microsoft.graph.openTypeExtension.";
/// Extensions one item can have.
const MAX: usize = 25;

/// What a request to the extensions of an item did.
pub enum Done {
    Read(ApiResponse),
    Changed(ApiResponse),
}

/// An extension as Graph shows it.
pub fn show(extension: &Object) -> Value {
    let mut out = extension.clone();
    out.insert(
        "@odata.type".into(),
        json!("#microsoft.graph.openTypeExtension"),
    );
    out.insert("id".into(), json!(format!("{PREFIX}{}", name(extension))));
    Value::Object(out)
}

fn name(extension: &Object) -> &str {
    extension
        .get("extensionName")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Reads an extension as it is posted.
pub fn read(body: &Value) -> Result<Object, ApiResponse> {
    let refuse = |text: &str| ApiResponse::error(400, "ErrorInvalidProperty", text);
    let object = body
        .as_object()
        .ok_or_else(|| refuse("An extension must be an object."))?;
    if name(object).is_empty() {
        return Err(refuse("The property 'extensionName' is required."));
    }
    let mut out = object.clone();
    out.retain(|key, _| key != "id" && !key.starts_with('@'));
    Ok(out)
}

/// Reads the `extensions` of a new item's body.
pub fn read_all(body: &Object) -> Result<Vec<Object>, ApiResponse> {
    match body.get("extensions") {
        Some(Value::Array(list)) => list.iter().map(read).collect(),
        _ => Ok(Vec::new()),
    }
}

/// Answers a request below `.../extensions` of the item whose extensions `all` are. `context` is the
/// collection's `@odata.context`.
pub fn route(
    request: &ApiRequest,
    rest: &[&str],
    all: &mut Vec<Object>,
    context: &str,
) -> Result<Done, ApiResponse> {
    let place = |id: &str| {
        let wanted = id.get(PREFIX.len()..).filter(|_| {
            id.get(..PREFIX.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
        });
        let wanted = wanted.unwrap_or(id);
        let found = all
            .iter()
            .position(|e| name(e).eq_ignore_ascii_case(wanted));
        found.ok_or_else(item_not_found)
    };
    let one = |status: u16, extension: &Object| {
        let mut body = show(extension);
        body["@odata.context"] = json!(format!("{context}/$entity"));
        ApiResponse::json(status, body)
    };
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let value = all.iter().map(show).collect();
            let page = odata::page(context.to_owned(), None, value, None);
            Ok(Done::Read(ApiResponse::ok(page)))
        }
        ([], &Method::POST) => {
            let made = read(&request.json()?)?;
            if all
                .iter()
                .any(|e| name(e).eq_ignore_ascii_case(name(&made)))
            {
                return Err(ApiResponse::error(
                    409,
                    "ErrorItemAlreadyExists",
                    "An extension with this name exists already.",
                ));
            }
            if all.len() >= MAX {
                return Err(ApiResponse::error(
                    400,
                    "ErrorInvalidRequest",
                    "The item has as many extensions as it can have.",
                ));
            }
            let answer = one(201, &made);
            all.push(made);
            Ok(Done::Changed(answer))
        }
        ([id], &Method::GET) => Ok(Done::Read(one(200, &all[place(id)?]))),
        ([id], &Method::PATCH) => {
            let at = place(id)?;
            let body = request.json()?;
            for (key, value) in body.as_object().into_iter().flatten() {
                if key.starts_with('@') || matches!(key.as_str(), "id" | "extensionName") {
                    continue;
                }
                match value {
                    Value::Null => all[at].remove(key),
                    value => all[at].insert(key.clone(), value.clone()),
                };
            }
            Ok(Done::Changed(one(200, &all[at])))
        }
        ([id], &Method::DELETE) => {
            let at = place(id)?;
            all.remove(at);
            Ok(Done::Changed(ApiResponse::no_content()))
        }
        ([_, below, ..], _) => Err(ApiResponse::no_such_segment(below)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}
