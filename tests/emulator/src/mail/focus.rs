//! Senders whose mail is always focused or always not: `/users/{id}/inferenceClassification`.

use http::Method;
use serde_json::{Value, json};

use super::item_not_found;
use super::store::Mailbox;
use super::validate::{invalid, object_of, unknown_property};
use crate::api::{ApiRequest, ApiResponse};
use crate::odata::{self, Object};
use crate::rng::Rng;

/// Everything below `/users/{id}/inferenceClassification`.
pub fn route(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let user = mailbox.user.id.clone();
    let context =
        |what: &str| request.context(&format!("users('{user}')/inferenceClassification{what}"));
    let rest = match rest {
        [] if request.method == Method::GET => {
            let body =
                json!({"@odata.context": context("/$entity"), "id": "inferenceClassification"});
            return Ok(ApiResponse::ok(body));
        }
        [] => return Err(ApiResponse::method_not_allowed()),
        [name, rest @ ..] if name.eq_ignore_ascii_case("overrides") => rest,
        [name, ..] => return Err(ApiResponse::no_such_segment(name)),
    };
    let one = |status: u16, entry: &Object| {
        let mut body = entry.clone();
        body.insert(
            "@odata.context".into(),
            json!(context("/overrides/$entity")),
        );
        Ok(ApiResponse::json(status, Value::Object(body)))
    };
    let all = &mut mailbox.overrides;
    let place = |id: &str| {
        let found = all
            .iter()
            .position(|o| o.get("id").is_some_and(|v| v == id));
        found.ok_or_else(item_not_found)
    };
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let value = all.iter().cloned().map(Value::Object).collect();
            let page = odata::page(context("/overrides"), None, value, None);
            Ok(ApiResponse::ok(page))
        }
        ([], &Method::POST) => {
            let body = object_of(request)?;
            let mut entry = Object::new();
            apply(&body, &mut entry)?;
            let Some(address) = address(&entry).filter(|_| entry.contains_key("classifyAs")) else {
                return Err(invalid(
                    "An override needs classifyAs and an address in senderEmailAddress.",
                ));
            };
            // A sender has one: posting it again changes it.
            if let Some(there) = all
                .iter_mut()
                .find(|o| self::address(o).is_some_and(|other| other.eq_ignore_ascii_case(address)))
            {
                there.extend(entry);
                return one(201, there);
            }
            let key = format!("override {address}");
            entry.insert("id".into(), json!(Rng::new(mailbox.seed, &key).guid()));
            let answer = one(201, &entry);
            all.push(entry);
            answer
        }
        ([id], &Method::GET) => one(200, &all[place(id)?]),
        ([id], &Method::PATCH) => {
            let at = place(id)?;
            let body = object_of(request)?;
            if body.contains_key("senderEmailAddress") {
                return Err(invalid("Only classifyAs of an override can be changed."));
            }
            apply(&body, &mut all[at])?;
            one(200, &all[at])
        }
        ([id], &Method::DELETE) => {
            let at = place(id)?;
            all.remove(at);
            Ok(ApiResponse::no_content())
        }
        ([_, below, ..], _) => Err(ApiResponse::no_such_segment(below)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn address(entry: &Object) -> Option<&str> {
    entry.get("senderEmailAddress")?["address"].as_str()
}

fn apply(body: &Object, entry: &mut Object) -> Result<(), ApiResponse> {
    for (name, value) in body.iter().filter(|(name, _)| !name.contains('@')) {
        let bad = || invalid(&format!("The value of property '{name}' is not valid."));
        match name.as_str() {
            "id" => {}
            "classifyAs" => {
                let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
                if !matches!(text.as_str(), "focused" | "other") {
                    return Err(bad());
                }
                entry.insert(name.clone(), json!(text));
            }
            "senderEmailAddress" => {
                let address = value["address"].as_str().filter(|a| a.contains('@'));
                let address = address.ok_or_else(bad)?;
                let name = value["name"].as_str().unwrap_or(address);
                let value = json!({"name": name, "address": address});
                entry.insert("senderEmailAddress".into(), value);
            }
            _ => {
                let kind = "microsoft.graph.inferenceClassificationOverride";
                return Err(unknown_property(name, kind));
            }
        }
    }
    Ok(())
}
