//! The directory: users, and the routes below `/users` and `/me` that are about the user itself.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse, Version};
use crate::delta::TokenError;
use crate::filter::Expr;
use crate::odata::{self, Object, Select};
use crate::world::World;

/// What kind of mailbox a user has (`mailboxSettings/userPurpose`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    User,
    Shared,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::User => "user",
            Purpose::Shared => "shared",
        }
    }
}

/// One user object. Immutable; a change puts a new one in its place.
#[derive(Debug, Clone)]
pub struct User {
    /// GUID, lower case.
    pub id: String,
    pub upn: String,
    pub display_name: String,
    pub given_name: Option<String>,
    pub surname: Option<String>,
    pub mail: Option<String>,
    pub job_title: Option<String>,
    pub account_enabled: bool,
    pub guest: bool,
    /// Mailbox kind; `None` for users without a mailbox.
    pub mailbox: Option<Purpose>,
    /// The user has a OneDrive.
    pub has_drive: bool,
    /// Place in the order of creation, from 0.
    pub index: usize,
}

struct Entry {
    user: Arc<User>,
    /// Number of the last change of the directory that touched this user.
    seq: u64,
    deleted: bool,
}

/// All users, and those that were.
#[derive(Default)]
pub struct Directory {
    entries: Vec<Entry>,
    /// Index by id and by user principal name, lower case; living users only.
    by_name: HashMap<String, usize>,
    seq: u64,
}

impl Directory {
    pub fn new(users: Vec<User>) -> Directory {
        let mut out = Directory::default();
        for user in users {
            out.insert(user);
        }
        out
    }

    pub fn find(&self, id_or_upn: &str) -> Option<Arc<User>> {
        let index = self.by_name.get(&id_or_upn.to_lowercase())?;
        self.entries.get(*index).map(|e| e.user.clone())
    }

    pub fn all(&self) -> Vec<Arc<User>> {
        self.entries
            .iter()
            .filter(|e| !e.deleted)
            .map(|e| e.user.clone())
            .collect()
    }

    fn insert(&mut self, mut user: User) -> Arc<User> {
        self.seq += 1;
        user.index = self.entries.len();
        let user = Arc::new(user);
        self.by_name.insert(user.id.clone(), user.index);
        self.by_name.insert(user.upn.to_lowercase(), user.index);
        self.entries.push(Entry {
            user: user.clone(),
            seq: self.seq,
            deleted: false,
        });
        user
    }

    fn replace(&mut self, user: User) {
        self.seq += 1;
        let seq = self.seq;
        let index = user.index;
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        self.by_name.remove(&entry.user.upn.to_lowercase());
        self.by_name.insert(user.upn.to_lowercase(), index);
        entry.user = Arc::new(user);
        entry.seq = seq;
    }

    fn remove(&mut self, user: &User) {
        self.seq += 1;
        self.by_name.remove(&user.id);
        self.by_name.remove(&user.upn.to_lowercase());
        if let Some(entry) = self.entries.get_mut(user.index) {
            entry.deleted = true;
            entry.seq = self.seq;
        }
    }
}

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

fn denied() -> ApiResponse {
    ApiResponse::error(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

const READ: &[&str] = &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All"];
const WRITE: &[&str] = &["User.ReadWrite.All"];

pub fn not_found(id: &str) -> ApiResponse {
    ApiResponse::error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

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
        has_drive: false,
        index: 0,
    };
    let user = world.directory.write().insert(user);
    world.mail.provision(world, &user);
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
                value["mailboxSettings"] = settings(&user)?;
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

fn settings(user: &User) -> Result<Value, ApiResponse> {
    let Some(purpose) = user.mailbox else {
        return Err(no_mailbox());
    };
    Ok(json!({
        "archiveFolder": null, "timeZone": "UTC", "dateFormat": "yyyy-MM-dd", "timeFormat": "HH:mm",
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly", "userPurpose": purpose.as_str(),
        "automaticRepliesSetting": {"status": "disabled", "externalAudience": "none", "internalReplyMessage": "", "externalReplyMessage": "",
            "scheduledStartDateTime": {"dateTime": "2026-11-02T00:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2026-11-03T00:00:00.0000000", "timeZone": "UTC"}},
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": {"daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"], "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000", "timeZone": {"name": "UTC"}},
    }))
}

pub fn no_mailbox() -> ApiResponse {
    ApiResponse::error(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )
}

/// What is below one user and neither mail nor drive.
fn below(world: &World, request: &ApiRequest, user: &User, rest: &[&str]) -> Option<ApiResponse> {
    let name = rest.first()?.to_ascii_lowercase();
    match name.as_str() {
        "mailboxsettings" => {
            Some(mailbox_settings(request, user, &rest[1..]).unwrap_or_else(|e| e))
        }
        "settings"
            if rest
                .get(1)
                .is_some_and(|s| s.eq_ignore_ascii_case("exchange")) =>
        {
            if !request.caller.has_any(READ) {
                return Some(denied());
            }
            if user.mailbox.is_none() {
                return Some(no_mailbox());
            }
            let guid = world.rng(&format!("mailbox {}", user.id)).guid();
            let mut body = json!({"@odata.context": request.context(&format!("users('{}')/settings/exchange", user.id)),
                "id": user.id, "primaryMailboxId": format!("MBX:{guid}@{}", world.options.tenant)});
            if request.version == Version::Beta {
                body["inPlaceArchiveMailboxId"] = Value::Null;
            }
            Some(ApiResponse::ok(body))
        }
        _ => None,
    }
}

fn mailbox_settings(
    request: &ApiRequest,
    user: &User,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    if !request
        .caller
        .has_any(&["MailboxSettings.Read", "MailboxSettings.ReadWrite"])
    {
        return Err(crate::mail::denied());
    }
    if request.method != Method::GET {
        return Err(ApiResponse::method_not_allowed());
    }
    let all = settings(user)?;
    let context =
        |what: &str| request.context(&format!("users('{}')/mailboxSettings{what}", user.id));
    if let Some(name) = rest.first() {
        let value = all
            .as_object()
            .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v.clone())
            .ok_or_else(|| ApiResponse::no_such_segment(name))?;
        let mut body = match value {
            Value::Object(object) => Value::Object(object),
            value => json!({"value": value}),
        };
        body["@odata.context"] = json!(context(&format!("/{name}")));
        return Ok(ApiResponse::ok(body));
    }
    let known: Vec<&str> = all
        .as_object()
        .map(|o| o.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let select = Select::of(request, "microsoft.graph.mailboxSettings", &known)?;
    let mut object = all.as_object().cloned().unwrap_or_default();
    select.apply(&mut object);
    object.insert("@odata.context".into(), json!(context("")));
    Ok(ApiResponse::ok(Value::Object(object)))
}

fn organization(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(&[
        "Organization.Read.All",
        "Directory.Read.All",
        "User.Read.All",
    ]) {
        return Err(denied());
    }
    let domain = &world.options.domain;
    let value = vec![json!({
        "id": world.options.tenant, "displayName": "Contoso", "countryLetterCode": "DK", "createdDateTime": "2024-01-02T03:04:05Z",
        "verifiedDomains": [{"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": true, "isInitial": false, "name": domain, "type": "Managed"}],
    })];
    Ok(ApiResponse::ok(odata::page(
        request.context("organization"),
        None,
        value,
        None,
    )))
}
