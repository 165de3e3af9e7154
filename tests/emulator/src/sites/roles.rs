//! Role assignments, as SharePoint's own interface tells them: what Graph's roles leave out.

use serde_json::{Value, json};

use crate::api::ApiResponse;
use crate::drive::Failure;
use crate::drive::sharing::{Kind, Permission, Principal, Sharing};

use super::list::List;
use super::rest::Call;
use super::sharing;
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

fn assignment(permission: &Permission) -> Option<Value> {
    let Kind::Grant(principal) = &permission.kind else {
        return None;
    };
    let (id, member) = match principal {
        Principal::User {
            name,
            email,
            number,
            ..
        } => (
            number,
            json!({"Id": number, "Title": name, "Email": email, "PrincipalType": 1, "LoginName": super::people::login_name(email)}),
        ),
        Principal::SiteGroup { number, name } => (
            number,
            json!({"Id": number, "Title": name, "PrincipalType": 8, "LoginName": name}),
        ),
    };
    let (role, kind, name) = match permission.roles.first().map(String::as_str) {
        Some("owner") => (1_073_741_829_u64, 5, "Full Control"),
        Some("write") => (1_073_741_830, 6, "Edit"),
        Some(_) => (1_073_741_826, 2, "Read"),
        // What Graph has no word for.
        None => (1_073_741_924, 0, "Restricted View"),
    };
    Some(json!({
        "PrincipalId": id, "Member": member,
        "RoleDefinitionBindings": [{"Id": role, "Name": name, "RoleTypeKind": kind, "Hidden": false}],
    }))
}
