//! `/users`, `/users/{id}`, `/users/delta`.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::categories::outlook;
use super::organization::organization;
use super::settings::{mailbox_settings, settings};
use super::{Entry, Purpose, User, no_mailbox, not_found};
use crate::api::{ApiRequest, ApiResponse};
use crate::delta::TokenError;
use crate::filter::Expr;
use crate::odata::{self, Object, Select};
use crate::world::World;

const DEFAULT: &str = "businessPhones,displayName,givenName,id,jobTitle,mail,mobilePhone,officeLocation,preferredLanguage,surname,userPrincipalName";
const KNOWN: &[&str] = &[
    "accountEnabled",
    "assignedLicenses",
    "assignedPlans",
    "businessPhones",
    "city",
    "companyName",
    "country",
    "createdDateTime",
    "department",
    "displayName",
    "employeeId",
    "givenName",
    "id",
    "identities",
    "jobTitle",
    "mail",
    "mailboxSettings",
    "mailNickname",
    "mobilePhone",
    "mySite",
    "officeLocation",
    "onPremisesSyncEnabled",
    "otherMails",
    "preferredDataLocation",
    "preferredLanguage",
    "proxyAddresses",
    "state",
    "streetAddress",
    "surname",
    "usageLocation",
    "userPrincipalName",
    "userType",
    "deletedDateTime",
    "licenseAssignmentStates",
    "provisionedPlans",
];

/// All that is told of a user when asked for.
fn full(user: &User) -> Object {
    let nickname = user.upn.split('@').next().unwrap_or_default().to_owned();
    let licensed = user.mailbox == Some(Purpose::User);
    let plans: Vec<Value> = if licensed {
        let plan = |service: &str, id: &str| json!({"assignedDateTime": "2024-01-02T03:04:05Z", "capabilityStatus": "Enabled", "service": service, "servicePlanId": id});
        vec![
            plan("exchange", "efb87545-963c-4e0d-99df-69c6916d9eb0"),
            plan("SharePoint", "5dbe027f-2339-4123-9542-606e4d348a72"),
        ]
    } else {
        Vec::new()
    };
    let licences: Vec<Value> = if licensed {
        vec![json!({"disabledPlans": [], "skuId": "6fd2c87f-b296-42f0-b197-1e91e994b900"})]
    } else {
        Vec::new()
    };
    let proxies: Vec<String> = user.mail.iter().map(|m| format!("SMTP:{m}")).collect();
    let value = json!({
        "accountEnabled": user.account_enabled, "assignedLicenses": licences, "assignedPlans": plans,
        "businessPhones": [], "city": null, "companyName": null, "country": null, "createdDateTime": "2024-01-02T03:04:05Z",
        "deletedDateTime": null, "department": null, "displayName": user.display_name, "employeeId": null, "givenName": user.given_name,
        "id": user.id, "identities": [], "jobTitle": user.job_title, "mail": user.mail, "mailNickname": nickname,
        "mobilePhone": null, "officeLocation": null, "onPremisesSyncEnabled": null, "otherMails": [],
        "preferredDataLocation": null, "preferredLanguage": null, "proxyAddresses": proxies, "state": null,
        "streetAddress": null, "surname": user.surname, "usageLocation": "DK", "userPrincipalName": user.upn,
        "userType": if user.guest { "Guest" } else { "Member" },
    });
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn shown(user: &User, select: &Select) -> Value {
    let mut object = full(user);
    if select.is_all() {
        object.retain(|key, _| DEFAULT.split(',').any(|d| d == key));
    } else {
        select.apply(&mut object);
        if !select.names("id") {
            object.remove("id");
        }
    }
    Value::Object(object)
}

pub fn denied() -> ApiResponse {
    ApiResponse::error(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

const READ: &[&str] = &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All"];
const WRITE: &[&str] = &["User.ReadWrite.All"];

/// Answers `/users`, `/users/{id}` and `/me` themselves, their settings, and `/organization`.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    let first = path.first()?.to_ascii_lowercase();
    let answer = match (first.as_str(), path.len()) {
        ("users", 1) => match request.method {
            Method::GET => list(world, request),
            Method::POST => create(world, request),
            _ => Err(ApiResponse::method_not_allowed()),
        },
        ("users", 2)
            if path[1].eq_ignore_ascii_case("delta")
                || path[1].eq_ignore_ascii_case("delta()")
                || path[1].eq_ignore_ascii_case("microsoft.graph.delta()") =>
        {
            delta(world, request)
        }
        ("users", 2) => one(world, request, path[1]),
        ("users", _) => {
            let user = match world.user(path[1]) {
                Some(user) => user,
                None => return Some(not_found(path[1])),
            };
            return below(world, request, &user, &path[2..]);
        }
        ("organization", 1) => organization(world, request),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|refusal| refusal))
}

fn readable(request: &ApiRequest) -> Result<(), ApiResponse> {
    let own = request.caller.user.is_some() && request.caller.has_any(&["User.Read"]);
    if own || request.caller.has_any(READ) {
        Ok(())
    } else {
        Err(denied())
    }
}

fn list(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    readable(request)?;
    let select = Select::of(request, "microsoft.graph.user", KNOWN)?;
    if select.names("mailboxSettings") || select.names("mySite") {
        return Err(ApiResponse::error(
            501,
            "NotImplemented",
            "This property is only supported on a single user.",
        ));
    }
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    if let Some(filter) = &filter {
        let advanced = request
            .option("filter")
            .is_some_and(|f| f.contains(" ne ") || f.starts_with("not") || f.contains("endsWith"));
        let eventual = request
            .header("ConsistencyLevel")
            .is_some_and(|v| v.eq_ignore_ascii_case("eventual"));
        if advanced && !(eventual && odata::wants_count(request)) {
            return Err(ApiResponse::error(
                400,
                "Request_UnsupportedQuery",
                &format!(
                    "Unsupported or invalid query filter clause specified for property '{}' of resource 'User'.",
                    filter.paths().first().unwrap_or(&"")
                ),
            ));
        }
    }
    let size = odata::page_size(request, 100, 999)?;
    let after: usize = match request.option("skiptoken") {
        None => 0,
        Some(token) => world.tokens.open("users", token).map_err(|_| {
            ApiResponse::error(400, "Directory_ExpiredPageToken", "The specified page token value has expired and can no longer be included in your request.")
        })?,
    };
    let all: Vec<Arc<User>> = world
        .users()
        .into_iter()
        .filter(|u| {
            filter
                .as_ref()
                .is_none_or(|f| f.matches(&Value::Object(full(u))))
        })
        .collect();
    let total = all.len();
    let page: Vec<Value> = all
        .iter()
        .skip(after)
        .take(size)
        .map(|u| shown(u, &select))
        .collect();
    let end = after.saturating_add(page.len());
    let next = (end < total)
        .then(|| odata::link_with(request, "skiptoken", &world.tokens.seal("users", &end)));
    let count = (odata::wants_count(request) && after == 0).then_some(total);
    Ok(ApiResponse::ok(odata::page(
        request.context("users"),
        count,
        page,
        next,
    )))
}

fn create(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(WRITE) {
        return Err(denied());
    }
    let body = request.json()?;
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let (Some(upn), Some(display_name)) = (text("userPrincipalName"), text("displayName")) else {
        return Err(ApiResponse::error(
            400,
            "Request_BadRequest",
            "A value is required for property 'userPrincipalName' and 'displayName' of resource 'User'.",
        ));
    };
    if world.user(&upn).is_some() {
        return Err(ApiResponse::error(
            400,
            "Request_BadRequest",
            "Another object with the same value for property userPrincipalName already exists.",
        ));
    }
    let user = User {
        id: world
            .rng(&format!("user {upn} {}", world.clock.now_ms()))
            .guid(),
        mail: Some(upn.clone()),
        upn,
        display_name,
        given_name: text("givenName"),
        surname: text("surname"),
        job_title: text("jobTitle"),
        account_enabled: body["accountEnabled"].as_bool().unwrap_or(true),
        guest: false,
        mailbox: Some(Purpose::User),
        generated: false,
        has_drive: false,
        index: 0,
    };
    let user = world.directory.write().insert(user);
    world.mail.provision(world, &user);
    world.calendars.provision(world, &user);
    Ok(with_context(201, request, shown(&user, &Select::default())))
}

fn with_context(status: u16, request: &ApiRequest, mut value: Value) -> ApiResponse {
    value["@odata.context"] = json!(request.context("users/$entity"));
    ApiResponse::json(status, value)
}

fn one(world: &World, request: &ApiRequest, id: &str) -> Result<ApiResponse, ApiResponse> {
    let user = world.user(id).ok_or_else(|| not_found(id))?;
    match request.method {
        Method::GET => {
            readable(request)?;
            let select = Select::of(request, "microsoft.graph.user", KNOWN)?;
            let mut value = shown(&user, &select);
            if select.names("mailboxSettings") {
                if user.mailbox.is_none() {
                    return Err(no_mailbox());
                }
                value["mailboxSettings"] = settings(world, &user);
            }
            if select.names("mySite") {
                value["mySite"] = json!(format!(
                    "https://contoso-my.sharepoint.com/personal/{}/",
                    user.upn.replace(['@', '.'], "_")
                ));
            }
            Ok(with_context(200, request, value))
        }
        Method::PATCH | Method::DELETE if !request.caller.has_any(WRITE) => Err(denied()),
        Method::DELETE => {
            world.directory.write().remove(&user);
            Ok(ApiResponse::no_content())
        }
        Method::PATCH => {
            let body = request.json()?;
            let text = |name: &str, old: &Option<String>| match body.get(name) {
                None => old.clone(),
                Some(value) => value.as_str().map(str::to_owned),
            };
            let changed = User {
                upn: text("userPrincipalName", &Some(user.upn.clone()))
                    .unwrap_or_else(|| user.upn.clone()),
                display_name: text("displayName", &Some(user.display_name.clone()))
                    .unwrap_or_default(),
                given_name: text("givenName", &user.given_name),
                surname: text("surname", &user.surname),
                job_title: text("jobTitle", &user.job_title),
                account_enabled: body["accountEnabled"]
                    .as_bool()
                    .unwrap_or(user.account_enabled),
                ..(*user).clone()
            };
            world.directory.write().replace(changed);
            Ok(ApiResponse::no_content())
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// State of one round of `/users/delta`.
#[derive(Serialize, Deserialize)]
struct Round {
    after: u64,
    /// Deletions before this are not told: the round began without knowing the user.
    base: u64,
    select: Option<String>,
    size: usize,
}

fn delta(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(READ) {
        return Err(denied());
    }
    let directory = world.directory.read();
    let token = request
        .option("deltatoken")
        .or_else(|| request.option("skiptoken"))
        .filter(|t| !t.is_empty());
    let round = match token {
        None | Some("latest") => Round {
            after: if token.is_some() { directory.seq } else { 0 },
            base: directory.seq,
            select: Select::of(request, "microsoft.graph.user", KNOWN)?.text(),
            size: odata::max_page_size(request).unwrap_or(100).clamp(1, 999),
        },
        Some(token) => world
            .tokens
            .open("users/delta", token)
            .map_err(|e| match e {
                TokenError::Expired => ApiResponse::error(
                    410,
                    "syncStateNotFound",
                    "The sync state generation is not found; a full synchronization is needed.",
                )
                .with_header("location", &format!("{}?$deltatoken=", request.own_url())),
                TokenError::Malformed => {
                    ApiResponse::error(400, "Directory_BadRequest", "Badly formed token.")
                }
            })?,
    };
    let select = Select::parse(round.select.as_deref(), "microsoft.graph.user", KNOWN)?;
    let mut changed: Vec<&Entry> = directory
        .entries
        .iter()
        .filter(|e| e.seq > round.after && !(e.deleted && e.seq <= round.base))
        .collect();
    changed.sort_by_key(|e| e.seq);
    let more = changed.len() > round.size;
    changed.truncate(round.size);
    let value: Vec<Value> = changed
        .iter()
        .map(|entry| {
            if entry.deleted {
                return json!({"id": entry.user.id, "@removed": {"reason": "changed"}});
            }
            let mut user = shown(&entry.user, &select);
            user["id"] = json!(entry.user.id);
            user
        })
        .collect();
    let after = if more {
        changed.last().map_or(round.after, |e| e.seq)
    } else {
        directory.seq
    };
    let base = if more { round.base } else { directory.seq };
    let token = world.tokens.seal(
        "users/delta",
        &Round {
            after,
            base,
            ..round
        },
    );
    let mut page = odata::page(request.context("users"), None, value, None);
    let (name, option) = if more {
        ("@odata.nextLink", "skiptoken")
    } else {
        ("@odata.deltaLink", "deltatoken")
    };
    page[name] = json!(format!("{}?${option}={token}", request.own_url()));
    Ok(ApiResponse::ok(page))
}

/// What is below one user and neither mail nor drive.
fn below(world: &World, request: &ApiRequest, user: &User, rest: &[&str]) -> Option<ApiResponse> {
    let name = rest.first()?.to_ascii_lowercase();
    match name.as_str() {
        "mailboxsettings" => {
            Some(mailbox_settings(world, request, &rest[1..]).unwrap_or_else(|e| e))
        }
        "outlook" => Some(outlook(world, request, &rest[1..]).unwrap_or_else(|e| e)),
        "settings"
            if rest
                .get(1)
                .is_some_and(|s| s.eq_ignore_ascii_case("exchange")) =>
        {
            if !request.caller.has_any(READ) {
                return Some(denied());
            }
            Some(crate::exchange_admin::settings(world, request, user))
        }
        _ => None,
    }
}
