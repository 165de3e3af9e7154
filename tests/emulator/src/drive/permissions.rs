//! Reading and changing permissions: grants, links, invitations.

use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::parse_rfc3339;
use crate::world::World;

use super::failure::Failure;
use super::home::Home;
use super::item::Index;
use super::render;
use super::sharing::{Kind, Link, Permission, Principal};
use super::store::Drive;
use super::write;

fn collection(request: &ApiRequest, drive: &Drive, permissions: &[Permission]) -> ApiResponse {
    let value: Vec<Value> = permissions
        .iter()
        .map(|p| render::permission(p, &drive.home))
        .collect();
    ApiResponse::ok(
        json!({"@odata.context": request.context("Collection(permission)"), "value": value}),
    )
}

fn single(
    request: &ApiRequest,
    drive: &Drive,
    permission: &Permission,
    status: u16,
) -> ApiResponse {
    let mut value = render::permission(permission, &drive.home);
    value["@odata.context"] = request.context("permission/$entity").into();
    ApiResponse::json(status, value)
}

pub fn list(request: &ApiRequest, drive: &Drive, index: Index) -> Result<ApiResponse, Failure> {
    Ok(collection(request, drive, &drive.permissions(index)))
}

pub fn get(
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let permissions = drive.permissions(index);
    let permission = permissions
        .iter()
        .find(|p| p.id == id)
        .ok_or_else(Failure::item_not_found)?;
    Ok(single(request, drive, permission, 200))
}

/// `POST .../invite`: grants to people, who are told or not.
pub fn invite(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let roles = roles(&body["roles"])?;
    let expires = expiry(&body)?;
    let people = recipients(world, &drive.home, &body["recipients"])?;
    if people.is_empty() {
        return Err(Failure::invalid("At least one recipient is needed."));
    }
    let keep = body["retainInheritedPermissions"].as_bool().unwrap_or(true);
    let made: Vec<Permission> = people
        .into_iter()
        .map(|recipient| {
            let (id, kind) = match recipient {
                Recipient::Known(principal) => (principal_id(&principal), Kind::Grant(principal)),
                Recipient::Outside(email) => (
                    world.drive.new_handle("invitation"),
                    Kind::Invitation { email },
                ),
            };
            Permission {
                id,
                roles: roles.clone(),
                expires,
                kind,
            }
        })
        .collect();
    drive.break_inheritance(index, keep);
    let grants = drive.sharing_mut(index).grants.get_or_insert_default();
    for permission in &made {
        grants.retain(|p| p.id != permission.id);
        grants.push(permission.clone());
    }
    drive.shared_differently(index, world.clock.now());
    mail(world, drive, index, &body, "sendInvitation");
    Ok(collection(request, drive, &made))
}

/// `POST .../createLink`: 201 for a new link, 200 for one that is there already.
pub fn create_link(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let letter = match drive.item(index).folder() {
        Some(_) => 'f',
        None => 'u',
    };
    let wanted = link(world, &drive.home, &body, letter)?;
    let existing = drive
        .item(index)
        .sharing
        .as_ref()
        .and_then(|s| s.links.iter().find(|p| same_link(p, &wanted)).cloned());
    if let Some(existing) = existing {
        return Ok(single(request, drive, &existing, 200));
    }
    if body["retainInheritedPermissions"].as_bool() == Some(false) {
        drive.break_inheritance(index, false);
    }
    drive.sharing_mut(index).links.push(wanted.clone());
    drive.shared_differently(index, world.clock.now());
    mail(world, drive, index, &body, "sendNotification");
    Ok(single(request, drive, &wanted, 201))
}

/// People are told by mail, unless the body says `false` to it.
fn mail(world: &World, drive: &Drive, index: Index, body: &Value, unless: &str) {
    let nobody = body["recipients"].as_array().is_none_or(Vec::is_empty);
    if nobody || body[unless] == false {
        return;
    }
    world.outbox.lock().push(json!({
        "kind": "sharing", "item": drive.item(index).name, "recipients": body["recipients"],
    }));
}

/// The link that the body of a `createLink` asks for.
pub fn link(world: &World, home: &Home, body: &Value, letter: char) -> Result<Permission, Failure> {
    let kind = body["type"].as_str().unwrap_or("view").to_owned();
    if !matches!(
        kind.as_str(),
        "view" | "edit" | "review" | "embed" | "blocksDownload" | "createOnly"
    ) {
        return Err(Failure::invalid("The type of the link is not valid."));
    }
    let scope = body["scope"].as_str().unwrap_or("organization").to_owned();
    if !matches!(scope.as_str(), "anonymous" | "organization" | "users") {
        return Err(Failure::invalid("The scope of the link is not valid."));
    }
    let people: Vec<Principal> = recipients(world, home, &body["recipients"])?
        .into_iter()
        .filter_map(|r| match r {
            Recipient::Known(principal) => Some(principal),
            Recipient::Outside(_) => None,
        })
        .collect();
    let id = drive_guid(world);
    let role = if kind == "edit" { "write" } else { "read" };
    Ok(Permission {
        roles: vec![role.into()],
        expires: expiry(body)?,
        kind: Kind::Link(Link {
            prevents_download: kind == "blocksDownload",
            scope,
            kind,
            url: home.link_url(letter, &id),
            has_password: body["password"].as_str().is_some_and(|p| !p.is_empty()),
            people,
        }),
        id,
    })
}

/// Asking twice for a link of the same kind gives the same one; links for certain people are each their own.
pub fn same_link(a: &Permission, b: &Permission) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Link(a), Kind::Link(b)) => {
            a.scope != "users"
                && a.scope == b.scope
                && a.kind == b.kind
                && a.has_password == b.has_password
        }
        _ => false,
    }
}

/// `POST .../permissions/{id}/grant`: people added to a link.
pub fn grant(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    let people = recipients(world, &drive.home, &body["recipients"])?;
    let links = &mut drive.sharing_mut(index).links;
    let Some(permission) = links.iter_mut().find(|p| p.id == id) else {
        return Err(Failure::item_not_found());
    };
    if let Kind::Link(link) = &mut permission.kind {
        for recipient in people {
            match recipient {
                Recipient::Known(principal) if !link.people.contains(&principal) => {
                    link.people.push(principal)
                }
                _ => {}
            }
        }
    }
    let changed = permission.clone();
    drive.shared_differently(index, world.clock.now());
    Ok(collection(request, drive, &[changed]))
}

/// Only roles can be changed.
pub fn patch(
    world: &World,
    request: &ApiRequest,
    drive: &mut Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let body = write::json(request)?;
    if body
        .as_object()
        .is_none_or(|o| o.keys().any(|k| k != "roles" && !k.starts_with('@')))
    {
        return Err(Failure::invalid("Only roles can be changed.").inner("propertyNotUpdateable"));
    }
    let roles = roles(&body["roles"])?;
    let permission = own(drive, index, id)?;
    if permission.roles.iter().any(|r| r == "owner") {
        return Err(Failure::new(
            403,
            "accessDenied",
            "The owner's permission can not be changed.",
        ));
    }
    permission.roles = roles;
    let changed = permission.clone();
    drive.shared_differently(index, world.clock.now());
    Ok(single(request, drive, &changed, 200))
}

/// Inherited permissions and the owner's can't be removed here.
pub fn delete(
    world: &World,
    drive: &mut Drive,
    index: Index,
    id: &str,
) -> Result<ApiResponse, Failure> {
    if own(drive, index, id)?.roles.iter().any(|r| r == "owner") {
        return Err(Failure::new(
            403,
            "accessDenied",
            "The owner's permission can not be removed.",
        ));
    }
    let sharing = drive.sharing_mut(index);
    sharing.links.retain(|p| p.id != id);
    if let Some(grants) = &mut sharing.grants {
        grants.retain(|p| p.id != id);
    }
    drive.shared_differently(index, world.clock.now());
    Ok(ApiResponse::no_content())
}

fn own<'a>(drive: &'a mut Drive, index: Index, id: &str) -> Result<&'a mut Permission, Failure> {
    if !drive.permissions(index).iter().any(|p| p.id == id) {
        return Err(Failure::item_not_found());
    }
    let inherited = || {
        Failure::new(
            403,
            "accessDenied",
            "The permission is inherited and can not be changed here.",
        )
    };
    let sharing = drive
        .item_mut(index)
        .sharing
        .as_mut()
        .ok_or_else(inherited)?;
    let grants = sharing.grants.iter_mut().flatten();
    sharing
        .links
        .iter_mut()
        .chain(grants)
        .find(|p| p.id == id)
        .ok_or_else(inherited)
}

fn roles(value: &Value) -> Result<Vec<String>, Failure> {
    let roles: Vec<String> = match value.as_array() {
        Some(roles) => roles
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        None => Vec::new(),
    };
    if roles.is_empty() || roles.iter().any(|r| r != "read" && r != "write") {
        return Err(Failure::invalid("The roles must be read or write."));
    }
    Ok(roles)
}

fn expiry(body: &Value) -> Result<Option<i64>, Failure> {
    match body["expirationDateTime"].as_str() {
        // The year 1 means none.
        None => Ok(None),
        Some(text) if text.starts_with("0001-") => Ok(None),
        Some(text) => parse_rfc3339(text)
            .map(Some)
            .ok_or_else(|| Failure::invalid("The expirationDateTime is not valid.")),
    }
}

enum Recipient {
    Known(Principal),
    Outside(String),
}

fn recipients(world: &World, home: &Home, value: &Value) -> Result<Vec<Recipient>, Failure> {
    let unresolved =
        || Failure::invalid("One or more users could not be resolved.").inner("noResolvedUsers");
    let mut out = Vec::new();
    for recipient in value.as_array().into_iter().flatten() {
        let empty = Map::new();
        let recipient = recipient.as_object().unwrap_or(&empty);
        let text = ["objectId", "email", "alias"]
            .iter()
            .find_map(|k| recipient.get(*k).and_then(Value::as_str));
        let Some(text) = text.filter(|t| !t.is_empty()) else {
            return Err(unresolved());
        };
        match world.user(text) {
            Some(user) => out.push(Recipient::Known(Principal::User {
                id: user.id.clone(),
                name: user.display_name.clone(),
                email: user.mail.clone().unwrap_or_else(|| user.upn.clone()),
                number: home.user_number(user.index),
            })),
            None => {
                let domain = text.rsplit_once('@').map(|(_, d)| d.to_ascii_lowercase());
                let own = world.options.domain.to_ascii_lowercase();
                match domain {
                    // Sharing with this one is what an administrator has forbidden.
                    Some(d) if d.starts_with("blocked.") => {
                        let failure = Failure::new(
                            403,
                            "accessDenied",
                            "Sharing has been disabled for this recipient.",
                        );
                        return Err(failure.inner("sharingDisabled"));
                    }
                    Some(d) if d != own => out.push(Recipient::Outside(text.to_owned())),
                    _ => return Err(unresolved()),
                }
            }
        }
    }
    Ok(out)
}

fn principal_id(principal: &Principal) -> String {
    match principal {
        Principal::User { email, .. } => render::grant_id(email),
        Principal::SiteGroup { name, .. } => render::grant_id(name),
    }
}

/// Links have GUIDs for ids.
fn drive_guid(world: &World) -> String {
    let number = world.drive.new_handle("link");
    world.rng(&number).guid()
}
