//! `/_emulator/sites`: what an administrator does to whole sites, which Graph has no call for.

use serde_json::Value;

use crate::api::ApiResponse;
use crate::world::World;

use super::generate;
use super::web::State;

/// `{"url": "https://contoso.sharepoint.com/sites/x", "do": "create" | "rename" | "lock" | "archive" | "open" | "delete",
/// "title": "X"}`
pub fn control(world: &World, body: &Value) -> Result<ApiResponse, String> {
    let url = body["url"].as_str().ok_or("write the url of a site")?;
    let rest = url
        .strip_prefix("https://")
        .ok_or("write the url with https://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let title = body["title"].as_str();
    let now = world.clock.now();
    let mut tenant = world.sites.0.lock();
    let found = tenant.by_path(host, path);
    let what = body["do"].as_str().unwrap_or_default();
    if what == "create" {
        if found.is_some() {
            return Err("there is a site already".into());
        }
        generate::create(world, &mut tenant, path, title.unwrap_or("New site"));
        return Ok(ApiResponse::no_content());
    }
    let at = found.ok_or("there is no such site")?;
    let state = match what {
        "delete" => {
            tenant.delete(at, now);
            return Ok(ApiResponse::no_content());
        }
        "rename" => {
            title
                .unwrap_or_default()
                .clone_into(&mut tenant.web_mut(at).title);
            tenant.web(at).state
        }
        "lock" => State::Locked,
        "archive" => State::Archived,
        "open" => State::Open,
        _ => return Err("do what? create, rename, lock, archive, open, delete".into()),
    };
    tenant.web_mut(at).state = state;
    tenant.touch(at, now);
    Ok(ApiResponse::no_content())
}
