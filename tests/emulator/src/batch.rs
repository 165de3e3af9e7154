//! `$batch`: up to 20 requests in one.
//!
//! Each member goes through quotas, faults and counting by itself. Members for one mailbox run four at a
//! time, or in fewer places when others hold some; when none is left they get 429. Answers come in
//! any order.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse, Body};
use crate::exchange::{Reply, call};
use crate::faults::{Fault, Named};
use crate::throttle::{self, Key, MAILBOX_CONCURRENT, Place};
use crate::world::World;

const MAX_MEMBERS: usize = 20;

struct Member {
    id: String,
    request: ApiRequest,
    depends: Vec<String>,
}

pub fn handle(world: &World, request: &ApiRequest, reply: &mut Reply) {
    if request.method != Method::POST {
        reply.response = ApiResponse::method_not_allowed();
        return;
    }
    let members = match read(request) {
        Ok(members) => members,
        Err(refusal) => {
            reply.response = refusal;
            return;
        }
    };
    let mut places: HashMap<Key, Vec<Place>> = HashMap::new();
    let mut runs: HashMap<Key, u32> = HashMap::new();
    for member in &members {
        if let Some(key @ Key::Mailbox { .. }) = throttle::key(world, &member.request) {
            *runs.entry(key.clone()).or_default() += 1;
            let held = places.entry(key.clone()).or_default();
            if held.len() < MAILBOX_CONCURRENT {
                held.extend(world.throttle.enter(&key));
            }
        }
    }
    reply.rounds = match runs
        .iter()
        .map(|(key, n)| n.div_ceil(places.get(key).map_or(1, Vec::len).max(1) as u32))
        .max()
    {
        Some(rounds) => rounds.max(1),
        None => (members.len() as u32)
            .div_ceil(MAILBOX_CONCURRENT as u32)
            .max(1),
    };

    let mut status: HashMap<String, u16> = HashMap::new();
    let mut answers: Vec<Value> = Vec::new();
    let mut waiting = members;
    // Each pass answers what has no unanswered dependency; what is left in the end waits for itself.
    while !waiting.is_empty() {
        let (ready, rest): (Vec<Member>, Vec<Member>) = waiting
            .into_iter()
            .partition(|m| m.depends.iter().all(|d| status.contains_key(d)));
        if ready.is_empty() {
            reply.response = bad("The dependencies between requests are circular.");
            return;
        }
        for mut member in ready {
            let failed = member
                .depends
                .iter()
                .any(|d| status.get(d).is_none_or(|s| *s >= 400));
            let response = if failed {
                ApiResponse::error(
                    424,
                    "FailedDependency",
                    "A request this one depends on has failed.",
                )
            } else {
                one(world, &mut member.request, &places)
            };
            status.insert(member.id.clone(), response.status.as_u16());
            answers.push(show(member.id, response));
        }
        waiting = rest;
    }
    let mut rng = world.rng(&format!("batch {}", world.clock.now_ms()));
    for at in (1..answers.len()).rev() {
        answers.swap(at, rng.below(at as u64 + 1) as usize);
    }
    reply.places.extend(places.into_values().flatten());
    reply.response = ApiResponse::ok(json!({"responses": answers}));
}

fn one(world: &World, request: &mut ApiRequest, places: &HashMap<Key, Vec<Place>>) -> ApiResponse {
    if let Some(key) = throttle::key(world, request)
        && places.get(&key).is_some_and(Vec::is_empty)
    {
        let _ = world.throttle.admit(world, request, &key);
        let route = crate::route::template(request.version.as_str(), &request.path);
        let units = throttle::units(world, request);
        world
            .counts
            .add(request.method.as_str(), &route, 429, units);
        return throttle::over_concurrency();
    }
    let reply = call(world, request, false);
    match reply.fault {
        // A member has no connection of its own to lose.
        Some(Fault::Named(Named::Reset) | Fault::Truncate { .. }) => {
            ApiResponse::error(503, "ServiceUnavailable", "The service is not available.")
        }
        _ => reply.response,
    }
}

fn bad(message: &str) -> ApiResponse {
    ApiResponse::error(400, "BadRequest", message)
}

fn read(request: &ApiRequest) -> Result<Vec<Member>, ApiResponse> {
    let body = request.json()?;
    let list = body["requests"]
        .as_array()
        .ok_or_else(|| bad("Invalid batch payload format."))?;
    if list.is_empty() || list.len() > MAX_MEMBERS {
        return Err(bad(&format!(
            "Number of batch requests must be 1 to {MAX_MEMBERS}; there are {}.",
            list.len()
        )));
    }
    let mut ids = HashSet::new();
    let mut out = Vec::with_capacity(list.len());
    for entry in list {
        let id = match &entry["id"] {
            Value::String(id) if !id.is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return Err(bad("Each request in a batch needs an id.")),
        };
        if !ids.insert(id.to_lowercase()) {
            return Err(bad(&format!(
                "Batch request id '{id}' is there more than once."
            )));
        }
        out.push(Member {
            request: member(request, entry)?,
            depends: depends(entry)?,
            id,
        });
    }
    for member in &out {
        if let Some(unknown) = member
            .depends
            .iter()
            .find(|d| !out.iter().any(|m| &m.id == *d))
        {
            return Err(bad(&format!(
                "dependsOn names '{unknown}', which is not in the batch."
            )));
        }
    }
    Ok(out)
}

fn depends(entry: &Value) -> Result<Vec<String>, ApiResponse> {
    match entry.get("dependsOn") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()),
        Some(_) => Err(bad("dependsOn must be a list of ids.")),
    }
}

fn member(outer: &ApiRequest, entry: &Value) -> Result<ApiRequest, ApiResponse> {
    let (Some(method), Some(url)) = (entry["method"].as_str(), entry["url"].as_str()) else {
        return Err(bad("Each request in a batch needs a method and a url."));
    };
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .map_err(|_| bad("Unknown method."))?;
    let target = format!(
        "/{}/{}",
        outer.version.as_str(),
        url.trim_start_matches('/')
    );
    let mut request = ApiRequest::parse(method, &target).ok_or_else(|| bad("Unknown url."))?;
    if request.segment(0) == "$batch" {
        return Err(bad("A batch cannot hold a batch."));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in entry["headers"].as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            headers.append(name, value);
        }
    }
    let content_type = headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    request.body = match entry.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(_) if content_type.is_empty() => {
            return Err(bad("A request with a body needs a Content-Type header."));
        }
        // Text stands as it is; anything else that is no JSON comes as base64.
        Some(Value::String(text)) if content_type.starts_with("text/") => Bytes::from(text.clone()),
        Some(Value::String(text)) => {
            let standard = text.replace('-', "+").replace('_', "/");
            Bytes::from(
                STANDARD
                    .decode(standard)
                    .map_err(|_| bad("A binary body must be base64."))?,
            )
        }
        Some(value) => Bytes::from(value.to_string()),
    };
    request.headers = headers;
    request.base_url.clone_from(&outer.base_url);
    request.caller = outer.caller.clone();
    Ok(request)
}

fn show(id: String, response: ApiResponse) -> Value {
    let mut headers = Map::new();
    for name in [
        "location",
        "retry-after",
        "preference-applied",
        "etag",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ] {
        if let Some(value) = response.headers.get(name).and_then(|v| v.to_str().ok()) {
            let shown: Vec<String> = name
                .split('-')
                .map(|w| w[..1].to_ascii_uppercase() + &w[1..])
                .collect();
            headers.insert(shown.join("-"), json!(value));
        }
    }
    let mut out = Map::new();
    out.insert("id".into(), json!(id));
    out.insert("status".into(), json!(response.status.as_u16()));
    let body = match response.body {
        // Where a service behind Graph gives no reason, Graph puts this into the batch.
        Body::Empty if response.status.as_u16() >= 400 => {
            Some(json!({"error": {"code": "UnknownError", "message": ""}}))
        }
        Body::Empty => None,
        Body::Json(value) => {
            headers.insert("Content-Type".into(), json!("application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8"));
            Some(value)
        }
        Body::Bytes(bytes, kind) => {
            headers.insert("Content-Type".into(), json!(kind));
            Some(json!(STANDARD.encode(bytes)))
        }
        Body::Chunks {
            content_type,
            pieces,
            ..
        } => {
            headers.insert("Content-Type".into(), json!(content_type));
            let mut all = Vec::new();
            for piece in pieces {
                all.extend_from_slice(&piece);
            }
            Some(json!(STANDARD.encode(all)))
        }
    };
    headers.insert("Cache-Control".into(), json!("no-cache"));
    out.insert("headers".into(), Value::Object(headers));
    if let Some(body) = body {
        out.insert("body".into(), body);
    }
    Value::Object(out)
}
