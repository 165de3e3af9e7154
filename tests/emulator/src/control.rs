//! `/_emulator/...`: what a test asks of the emulator itself. Never throttled, counted or logged.

use http::Method;
use serde_json::{Value, json};

use crate::api::ApiResponse;
use crate::faults::Script;
use crate::world::World;

pub fn handle(world: &World, method: &Method, path: &[String], body: &[u8]) -> ApiResponse {
    let refuse = |message: String| ApiResponse::error(400, "BadRequest", &message);
    let what = path.get(1).map(String::as_str).unwrap_or_default();
    match (what, method.as_str()) {
        ("requests", "GET") => ApiResponse::ok(world.counts.report()),
        ("requests", "DELETE") => {
            world.counts.reset();
            ApiResponse::no_content()
        }
        ("clock", "GET") => {
            ApiResponse::ok(json!({"now": crate::clock::rfc3339(world.clock.now())}))
        }
        ("clock", "POST") => {
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            let Some(seconds) = value["advance_seconds"].as_i64() else {
                return refuse("write {\"advance_seconds\": n}".into());
            };
            world.clock.advance(seconds);
            ApiResponse::ok(json!({"now": crate::clock::rfc3339(world.clock.now())}))
        }
        ("expire-delta-tokens", "POST") => {
            world.tokens.expire_all();
            ApiResponse::no_content()
        }
        ("revoke-tokens", "POST") => {
            world.auth.revoke(world.clock.now());
            ApiResponse::no_content()
        }
        ("faults", "GET") => ApiResponse::ok(world.faults.report()),
        ("faults", "POST") => match Script::parse(body) {
            Ok(rules) => {
                world.faults.replace(rules);
                ApiResponse::no_content()
            }
            Err(error) => refuse(error),
        },
        ("faults", "DELETE") => {
            world.faults.replace(Vec::new());
            ApiResponse::no_content()
        }
        ("sites", "POST") => {
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            crate::sites::control(world, &value).unwrap_or_else(refuse)
        }
        ("drives", "POST") => {
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            crate::drive::special::control(world, &value).unwrap_or_else(refuse)
        }
        ("imports", "GET") => ApiResponse::ok(world.imports.report()),
        ("outbox", "GET") => ApiResponse::ok(json!({"value": *world.outbox.lock()})),
        ("outbox", "DELETE") => {
            world.outbox.lock().clear();
            ApiResponse::no_content()
        }
        _ => ApiResponse::error(
            404,
            "NotFound",
            "Control routes: requests, clock, expire-delta-tokens, revoke-tokens, faults, imports, outbox, sites, drives.",
        ),
    }
}
