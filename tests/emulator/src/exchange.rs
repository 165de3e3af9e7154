//! One request through everything that stands around its handler: faults, quotas, counting.
//!
//! Also what a member of a `$batch` goes through; only sockets and time are outside of this.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse, Body, Hint};
use crate::faults::{Fault, Named};
use crate::throttle::{self, Place};
use crate::world::World;
use crate::{batch, route};

/// An answer, and what the connection has to do with it.
pub struct Reply {
    pub response: ApiResponse,
    /// Fault that concerns the connection or the time.
    pub fault: Option<Fault>,
    /// Places among a mailbox's requests at once, held until the answer is out.
    pub places: Vec<Place>,
    /// How many times the latency it takes: members of a batch run four at a time.
    pub rounds: u32,
}

/// Answers `request`. `place`: keep to the number of requests at once (members of a batch have it
/// seen to by the batch).
pub fn call(world: &World, request: &mut ApiRequest, place: bool) -> Reply {
    let route = route::template(request.version.as_str(), &request.path);
    let path = format!("/{}{}", request.version.as_str(), request.raw_path);
    let method = request.method.as_str();
    let fault = world.faults.pick(method, &route, &path, &request.raw_query);
    request.hint = match &fault {
        Some(Fault::Named(Named::WrongHash)) => Some(Hint::WrongHash),
        Some(Fault::Named(Named::ExpiredUrl)) => Some(Hint::ExpiredUrl),
        Some(Fault::Item { item, code }) => Some(Hint::Item {
            item: item.clone(),
            code: code.clone(),
        }),
        _ => None,
    };
    let mut reply = Reply {
        response: ApiResponse::no_content(),
        fault: None,
        places: Vec::new(),
        rounds: 1,
    };
    let after = matches!(&fault, Some(Fault::Status { after: true, .. }));
    match fault.as_ref().filter(|_| !after).and_then(Fault::answer) {
        Some(answer) => reply.response = answer,
        None if matches!(&fault, Some(Fault::Named(Named::Reset))) => {}
        None => answer(world, request, place, &mut reply),
    }
    if let Some(fault) = fault {
        world.faults.done_with(&fault);
        reply.response = fault.spoil(reply.response);
        reply.fault = Some(fault);
    }
    let status = match &reply.fault {
        Some(Fault::Named(Named::Reset)) => 0,
        _ => reply.response.status.as_u16(),
    };
    let units = throttle::units(world, request);
    world
        .counts
        .add(request.method.as_str(), &route, status, units);
    finish(
        world,
        request.header("client-request-id"),
        &mut reply.response,
    );
    reply
}

fn answer(world: &World, request: &ApiRequest, place: bool, reply: &mut Reply) {
    if request.path.len() == 1 && request.segment(0) == "$batch" {
        return batch::handle(world, request, reply);
    }
    let Some(key) = throttle::key(world, request) else {
        reply.response = route::handle(world, request);
        return;
    };
    let admitted = world.throttle.admit(world, request, &key);
    if place && matches!(key, throttle::Key::Mailbox { .. }) {
        match world.throttle.enter(&key) {
            Some(place) => reply.places.push(place),
            None => {
                reply.response = throttle::over_concurrency();
                return;
            }
        }
    }
    reply.response = match admitted {
        Ok(headers) => headers.apply(route::handle(world, request)),
        Err(refusal) => refusal,
    };
}

/// Gives the answer its ids, and an error its `innerError`.
pub fn finish(world: &World, client_request_id: Option<&str>, response: &mut ApiResponse) {
    let id = new_request_id();
    let client = client_request_id.unwrap_or(&id).to_owned();
    if let Body::Json(body) = &mut response.body
        && let Some(Value::Object(error)) = body.get_mut("error")
    {
        let inner = error.entry("innerError").or_insert_with(|| json!({}));
        inner["date"] = json!(crate::clock::rfc3339(world.clock.now()).trim_end_matches('Z'));
        inner["request-id"] = json!(id);
        inner["client-request-id"] = json!(client);
    }
    for (name, value) in [("request-id", &id), ("client-request-id", &client)] {
        if let Ok(value) = value.parse() {
            response.headers.insert(name, value);
        }
    }
}

fn new_request_id() -> String {
    let mut bytes = [0; 16];
    // Without random numbers every request has the same id, which is no reason to fail it.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
