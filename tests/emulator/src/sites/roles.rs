//! Role assignments, as SharePoint's own interface tells them: what Graph's roles leave out.

use serde_json::{Value, json};

use crate::api::ApiResponse;
use crate::drive::Failure;
use crate::drive::sharing::{Kind, Permission, Principal, Sharing};

use super::dispatch::Need;
use super::list::{Item, List};
use super::rest::{Call, not_found};
use super::sharing;
use super::tenant::{At, Tenant};
use super::web::Web;

/// True when something has grants of its own.
pub fn unique(sharing: Option<&Sharing>) -> bool {
    sharing.is_some_and(|s| s.grants.is_some())
}

pub fn of_site(web: &Web) -> ApiResponse {
    answer(&web.grants())
}

pub fn of_list(web: &Web, list: &List) -> ApiResponse {
    answer(&sharing::of_list(web, list))
}

/// Rows that SharePoint gives unless it is told how many, and at most.
const TOP: (usize, usize) = (100, 5_000);

/// `items?$select=Id,HasUniqueRoleAssignments`, of a range of ids: the only filter that is emulated.
pub fn listing(call: &Call, list: &List) -> Result<ApiResponse, Failure> {
    let option = |name| call.request.option(name);
    let range = match option("filter") {
        Some(filter) => between(filter)
            .ok_or_else(|| Failure::invalid("The query string \"$filter\" is invalid."))?,
        None => (0, u64::MAX),
    };
    let top = option("top").and_then(|top| top.parse().ok());
    let top = top.unwrap_or(TOP.0).min(TOP.1);
    let items = list.items().into_iter().flat_map(|items| items.after(0));
    let rows: Vec<Value> = items
        .filter(|item| (range.0..=range.1).contains(&item.id))
        .take(top)
        .map(|item| {
            json!({"Id": item.id, "ID": item.id,
                   "HasUniqueRoleAssignments": unique(item.sharing.as_deref())})
        })
        .collect();
    Ok(ApiResponse::ok(json!({"value": rows})))
}

/// `Id ge 3 and Id le 9`.
fn between(filter: &str) -> Option<(u64, u64)> {
    let (from, to) = filter.split_once(" and ")?;
    let number = |text: &str, what: &str| text.trim().strip_prefix(what)?.trim().parse().ok();
    Some((number(from, "Id ge ")?, number(to, "Id le ")?))
}

/// The grants among some permissions; links and invitations have no roles in SharePoint.
pub fn answer(permissions: &[Permission]) -> ApiResponse {
    let value: Vec<Value> = permissions.iter().filter_map(assignment).collect();
    ApiResponse::ok(json!({"value": value}))
}

/// A permission level, and the role that Graph has for it.
struct Level {
    id: u64,
    /// `RoleTypeKind`
    kind: u64,
    name: &'static str,
    /// `None`: Graph has no word for it.
    role: Option<&'static str>,
}

const LEVELS: [Level; 4] = [
    Level {
        id: 1_073_741_829,
        kind: 5,
        name: "Full Control",
        role: Some("owner"),
    },
    Level {
        id: 1_073_741_830,
        kind: 6,
        name: "Edit",
        role: Some("write"),
    },
    Level {
        id: 1_073_741_826,
        kind: 2,
        name: "Read",
        role: Some("read"),
    },
    Level {
        id: 1_073_741_924,
        kind: 0,
        name: "Restricted View",
        role: None,
    },
];

impl Level {
    fn of(permission: &Permission) -> &'static Level {
        let role = permission.roles.first().map(String::as_str);
        let same = |level: &&Level| level.role == role;
        LEVELS.iter().find(same).unwrap_or(&LEVELS[2])
    }

    fn json(&self) -> Value {
        json!({"Id": self.id, "Name": self.name, "RoleTypeKind": self.kind, "Hidden": false})
    }
}

/// `GET web/roledefinitions`.
pub fn levels() -> ApiResponse {
    let value: Vec<Value> = LEVELS.iter().map(Level::json).collect();
    ApiResponse::ok(json!({"value": value}))
}

/// What an application is called in a site, and the number that it has in every one.
const APP: (&str, &str, u64) = ("SharePoint App", "app@sharepoint", 1_073_741_822);

fn login_name(email: &str) -> String {
    match email == APP.1 {
        true => "i:0i.t|00000003-0000-0ff1-ce00-000000000000|app@sharepoint".to_owned(),
        false => super::people::login_name(email),
    }
}

fn number(principal: &Principal) -> u64 {
    match principal {
        Principal::User { number, .. } | Principal::SiteGroup { number, .. } => *number,
    }
}

fn assignment(permission: &Permission) -> Option<Value> {
    let Kind::Grant(principal) = &permission.kind else {
        return None;
    };
    let id = number(principal);
    let member = match principal {
        Principal::User { name, email, .. } => {
            json!({"Id": id, "Title": name, "Email": email, "PrincipalType": 1, "LoginName": login_name(email)})
        }
        Principal::SiteGroup { name, .. } => {
            json!({"Id": id, "Title": name, "PrincipalType": 8, "LoginName": name})
        }
    };
    let levels = [Level::of(permission).json()];
    Some(json!({"PrincipalId": id, "Member": member, "RoleDefinitionBindings": levels}))
}

/// `GET web/sitegroups/getbyname('...')`.
pub fn group(tenant: &Tenant, at: At, name: &str) -> Result<ApiResponse, Failure> {
    let missing = || Failure::new(404, "itemNotFound", "Group cannot be found.");
    let people = tenant
        .people(at)
        .and_then(List::items)
        .ok_or_else(missing)?;
    let found = people
        .after(0)
        .find(|entry| is_group(entry) && entry.fields.get("Title") == Some(&name.into()));
    let found = found.ok_or_else(missing)?;
    Ok(ApiResponse::ok(
        json!({"Id": found.id, "Title": name, "LoginName": name, "PrincipalType": 8}),
    ))
}

fn is_group(entry: &Item) -> bool {
    entry.content_type == "0x010B"
}

/// Somebody by the number in the site collection.
fn principal(call: &Call, tenant: &Tenant, at: At, number: u64) -> Option<Principal> {
    let entry = tenant.people(at)?.items()?.get(number)?;
    let text = |name: &str| Some(entry.fields.get(name)?.as_str()?.to_owned());
    if is_group(entry) {
        let name = text("Title")?;
        return Some(Principal::SiteGroup { number, name });
    }
    let user = call.world.user(&text("UserName")?)?;
    Some(Principal::User {
        id: user.id.clone(),
        name: text("Title")?,
        email: text("EMail").unwrap_or_default(),
        number,
    })
}

/// `breakroleinheritance(...)`, `roleassignments/addroleassignment(...)` and `removeroleassignment(...)` of
/// something that inherits `above` unless it has its own. Returns what it has then.
pub fn changed(
    call: &Call,
    tenant: &Tenant,
    at: At,
    own: Option<Vec<Permission>>,
    above: Vec<Permission>,
    path: &[&str],
) -> Result<Vec<Permission>, Failure> {
    call.need(Need::Full, tenant.web(at))?;
    let last = path.last().map(|s| s.to_ascii_lowercase());
    let last = last.unwrap_or_default();
    let (function, arguments) = last.split_once('(').ok_or_else(not_found)?;
    let argument = |name: &str| {
        let all = arguments.trim_end_matches(')').split(',');
        let mut named = all.filter_map(|one| one.trim().split_once('='));
        named.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if function == "breakroleinheritance" {
        let copy = argument("copyroleassignments") != Some("false");
        return Ok(own.unwrap_or_else(|| if copy { above } else { vec![of_app()] }));
    }
    let inherits = "The object inherits its role assignments.";
    let mut own = own.ok_or_else(|| Failure::invalid(inherits))?;
    let id = |name: &str| argument(name).and_then(|n| n.parse::<u64>().ok());
    let (who, level) = (id("principalid"), id("roledefid"));
    let level = LEVELS.iter().find(|l| Some(l.id) == level);
    let (Some(who), Some(level)) = (who, level) else {
        return Err(Failure::invalid("The role definition does not exist."));
    };
    let held = |p: &Permission| {
        matches!(&p.kind, Kind::Grant(principal) if number(principal) == who)
            && Level::of(p).id == level.id
    };
    match function {
        "addroleassignment" if own.iter().any(held) => {}
        "addroleassignment" => {
            let principal = principal(call, tenant, at, who);
            let principal = principal.ok_or_else(|| {
                Failure::new(404, "itemNotFound", "Can not find the principal with id.")
            })?;
            own.push(Permission {
                id: call.world.drive.new_handle("grant"),
                roles: level.role.map(str::to_owned).into_iter().collect(),
                expires: None,
                kind: Kind::Grant(principal),
            });
        }
        "removeroleassignment" => own.retain(|p| !held(p)),
        _ => return Err(not_found()),
    }
    Ok(own)
}

/// What whoever stops the inheritance has then.
fn of_app() -> Permission {
    let (name, email, number) = APP;
    Permission {
        id: "app".to_owned(),
        roles: vec!["owner".to_owned()],
        expires: None,
        kind: Kind::Grant(Principal::User {
            id: String::new(),
            name: name.to_owned(),
            email: email.to_owned(),
            number,
        }),
    }
}
