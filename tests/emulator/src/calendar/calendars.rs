//! Calendars, their groups and their permissions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::notices::Notice;
use super::store::{Book, Calendar};
use super::{delta, denied, events, item_not_found};
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::filter::Expr;
use crate::mail::ids::No;
use crate::mail::properties::{self, Extended, Wanted};
use crate::mail::validate::object_of;
use crate::odata::{self, Object, Select};
use crate::world::World;

const KNOWN: &[&str] = &[
    "id",
    "name",
    "color",
    "hexColor",
    "changeKey",
    "canEdit",
    "canShare",
    "canViewPrivateItems",
    "isDefaultCalendar",
    "isRemovable",
    "isTallyingResponses",
    "owner",
    "allowedOnlineMeetingProviders",
    "defaultOnlineMeetingProvider",
    "events",
    "calendarView",
    "calendarPermissions",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];
const BETA: &[&str] = &["calendarGroupId", "isShared", "isSharedWithMe"];

/// `color`, and what `hexColor` is then.
const COLORS: &[(&str, &str)] = &[
    ("auto", ""),
    ("lightBlue", "#a6d1f5"),
    ("lightGreen", "#87d28e"),
    ("lightOrange", "#fcab73"),
    ("lightGray", "#c0c0c0"),
    ("lightYellow", "#f5f2b3"),
    ("lightTeal", "#4adacc"),
    ("lightPink", "#e7a1a2"),
    ("lightBrown", "#c2a58c"),
    ("lightRed", "#f88c9b"),
    ("maxColor", ""),
];

/// Everything below `.../calendarGroups`.
pub fn groups(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    rest: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let user = book.user.id.clone();
    let context = |what: &str| request.context(&format!("users('{user}')/calendarGroups{what}"));
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let select = Select::of(
                request,
                "microsoft.graph.calendarGroup",
                &["id", "name", "classId", "changeKey"],
            )?;
            let living = book.groups.iter().filter(|g| !g.deleted);
            let all = living.map(|g| group(book, g.no, &select)).collect();
            Ok(ApiResponse::ok(odata::slice(
                request,
                context(""),
                all,
                10,
                1000,
            )?))
        }
        ([], &Method::POST) => {
            let name = name_of(&object_of(request)?)?;
            refuse_duplicate(
                book.groups
                    .iter()
                    .filter(|g| !g.deleted)
                    .map(|g| g.name.as_str()),
                &name,
            )?;
            let class = world
                .rng(&format!("group {user} {name} {}", book.seq()))
                .guid();
            let no = book.add_group(&name, class, false);
            let mut value = group(book, no, &Select::default());
            value["@odata.context"] = json!(context("/$entity"));
            Ok(ApiResponse::json(201, value))
        }
        ([id], method) => {
            let no = book.find_group(id).ok_or_else(item_not_found)?;
            match *method {
                Method::GET => {}
                Method::PATCH => {
                    let name = name_of(&object_of(request)?)?;
                    let others = book.groups.iter().filter(|g| !g.deleted && g.no != no);
                    refuse_duplicate(others.map(|g| g.name.as_str()), &name)?;
                    book.groups[no as usize].name = name;
                    book.touch_group(no);
                }
                Method::DELETE => {
                    let full = book.living().any(|c| c.group == no);
                    if book.groups[no as usize].fixed || full {
                        return Err(ApiResponse::error(
                            400,
                            "ErrorCalendarGroupCannotBeDeleted",
                            "A calendar group that is not empty, or one of the mailbox's own, cannot be deleted.",
                        ));
                    }
                    book.groups[no as usize].deleted = true;
                    book.touch_group(no);
                    return Ok(ApiResponse::no_content());
                }
                _ => return Err(ApiResponse::method_not_allowed()),
            }
            let mut value = group(book, no, &Select::default());
            value["@odata.context"] = json!(context("/$entity"));
            Ok(ApiResponse::ok(value))
        }
        ([id, "calendars" | "Calendars", below @ ..], _) => {
            let no = book.find_group(id).ok_or_else(item_not_found)?;
            route(world, book, request, Some(no), below, notices)
        }
        ([_, segment, ..], _) => Err(ApiResponse::no_such_segment(segment)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn group(book: &Book, no: No, select: &Select) -> Value {
    let group = &book.groups[no as usize];
    let mut out = Object::new();
    out.insert("name".into(), json!(group.name));
    out.insert("classId".into(), json!(group.class));
    out.insert("changeKey".into(), json!(book.ids.change_key(group.seq)));
    select.apply(&mut out);
    out.insert("id".into(), json!(book.group_id(no)));
    Value::Object(out)
}

/// Everything below `.../calendars`; `scope` is the group the path went through.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    scope: Option<No>,
    rest: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => list(book, request, scope),
        ([], &Method::POST) => create(book, request, scope),
        ([], _) => Err(ApiResponse::method_not_allowed()),
        ([id, below @ ..], _) => {
            let no = find(book, id)?;
            if scope.is_some_and(|group| book.calendar(no).group != group) {
                return Err(item_not_found());
            }
            at(world, book, request, no, below, notices)
        }
    }
}

fn find(book: &Book, id: &str) -> Result<No, ApiResponse> {
    let like_an_id = id.len() > 60 && (id.starts_with("AAMk") || id.starts_with("AQMk"));
    book.find_calendar(id).ok_or_else(|| match like_an_id {
        true => item_not_found(),
        false => ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."),
    })
}

/// One calendar and everything below it.
pub fn at(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    no: No,
    below: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let Some(what) = below.first() else {
        return match request.method {
            Method::GET => one(book, request, no, 200),
            Method::PATCH => patch(book, request, no),
            Method::DELETE => remove(book, no),
            _ => Err(ApiResponse::method_not_allowed()),
        };
    };
    let name = what.to_ascii_lowercase();
    let name = name.strip_prefix("microsoft.graph.").unwrap_or(&name);
    // What is in someone else's calendar is read in that one's mailbox.
    if book.calendar(no).owner.is_some() {
        return Err(denied());
    }
    match (name, &below[1..]) {
        ("events", rest) => events::route(world, book, request, Some(no), rest, notices),
        ("calendarview", []) if request.method == Method::GET => {
            events::calendar_view(book, request, Some(no))
        }
        ("calendarview", [id]) if request.method == Method::GET && super::is_delta(id) => {
            delta::calendar_view(world, book, request, no)
        }
        ("calendarpermissions", rest) if request.method == Method::GET => {
            permissions(book, request, no, rest)
        }
        ("permanentdelete", []) if request.method == Method::POST => remove(book, no),
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

fn wanted(request: &ApiRequest) -> Wanted {
    Wanted::parse(request.option("expand").unwrap_or_default())
}

fn select(request: &ApiRequest) -> Result<Select, ApiResponse> {
    let known: Vec<&str> = match request.version {
        Version::Beta => KNOWN.iter().chain(BETA).copied().collect(),
        Version::V1 => KNOWN.to_vec(),
    };
    Select::of(request, "microsoft.graph.calendar", &known)
}

fn show(book: &Book, calendar: &Calendar, select: &Select, wanted: &Wanted, beta: bool) -> Value {
    let (name, address) = match &calendar.owner {
        Some((name, address)) => (name, address),
        None => (&book.user.display_name, &book.user.upn),
    };
    let own = calendar.owner.is_none();
    let hex = COLORS
        .iter()
        .find(|(c, _)| *c == calendar.color)
        .map_or("", |(_, h)| h);
    let online = own && calendar.can_edit;
    let value = json!({
        "name": calendar.name, "color": calendar.color, "hexColor": hex, "changeKey": book.ids.change_key(calendar.seq),
        "canShare": own && calendar.can_edit, "canViewPrivateItems": own, "canEdit": calendar.can_edit && own,
        "isDefaultCalendar": calendar.default, "isRemovable": calendar.removable, "isTallyingResponses": calendar.default,
        "allowedOnlineMeetingProviders": if online { json!(["teamsForBusiness"]) } else { json!([]) },
        "defaultOnlineMeetingProvider": if online { "teamsForBusiness" } else { "unknown" },
        "owner": {"name": name, "address": address},
    });
    let mut out = value.as_object().cloned().unwrap_or_default();
    if beta {
        out.insert(
            "calendarGroupId".into(),
            json!(book.group_id(calendar.group)),
        );
        out.insert("isShared".into(), json!(!own));
        out.insert("isSharedWithMe".into(), json!(!own));
    }
    select.apply(&mut out);
    out.insert("id".into(), json!(book.ids.folder(calendar.no)));
    wanted.show(|id| calendar.extended.get(id).cloned(), &mut out);
    Value::Object(out)
}

fn list(book: &Book, request: &ApiRequest, scope: Option<No>) -> Result<ApiResponse, ApiResponse> {
    let (select, wanted) = (select(request)?, wanted(request));
    let beta = request.version == Version::Beta;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let all: Vec<Value> = book
        .living()
        .filter(|c| scope.is_none_or(|g| c.group == g))
        .filter(|c| {
            let whole = show(book, c, &Select::default(), &Wanted::default(), beta);
            filter.as_ref().is_none_or(|f| f.matches(&whole))
        })
        .map(|c| show(book, c, &select, &wanted, beta))
        .collect();
    let user = &book.user.id;
    let context = match scope {
        Some(group) => format!(
            "users('{user}')/calendarGroups('{}')/calendars",
            book.group_id(group)
        ),
        None => format!("users('{user}')/calendars"),
    };
    let page = odata::slice(request, request.context(&context), all, 10, 1000)?;
    Ok(ApiResponse::ok(page))
}

pub fn one(
    book: &Book,
    request: &ApiRequest,
    no: No,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let beta = request.version == Version::Beta;
    let mut value = show(
        book,
        book.calendar(no),
        &select(request)?,
        &wanted(request),
        beta,
    );
    let context = request.context(&format!("users('{}')/calendars/$entity", book.user.id));
    value["@odata.context"] = json!(context);
    Ok(ApiResponse::json(status, value))
}

fn name_of(body: &Object) -> Result<String, ApiResponse> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.chars().count() > 255 {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidProperty",
            "The property 'Name' must have 1 to 255 characters.",
        ));
    }
    Ok(name.to_owned())
}

/// Names are compared without case.
fn refuse_duplicate<'a>(
    mut names: impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<(), ApiResponse> {
    let lower = name.to_lowercase();
    if names.any(|n| n.to_lowercase() == lower) {
        return Err(ApiResponse::error(
            409,
            "ErrorFolderExists",
            "A folder with the specified name already exists.",
        ));
    }
    Ok(())
}

fn color_of(value: &Value) -> Result<String, ApiResponse> {
    let text = value.as_str().unwrap_or_default();
    let found = COLORS.iter().find(|(c, _)| c.eq_ignore_ascii_case(text));
    found.map(|(c, _)| (*c).to_owned()).ok_or_else(|| {
        ApiResponse::error(
            400,
            "RequestBodyRead",
            "The value of property 'color' is not valid.",
        )
    })
}

const WRITABLE: &[&str] = &[
    "name",
    "color",
    "hexColor",
    "isDefaultCalendar",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];

fn check(body: &Object) -> Result<(), ApiResponse> {
    let known = |n: &String| {
        n.contains('@') || WRITABLE.contains(&n.as_str()) || KNOWN.contains(&n.as_str())
    };
    match body.keys().find(|n| !known(n)) {
        Some(name) => Err(crate::mail::validate::unknown_property(
            name,
            "microsoft.graph.calendar",
        )),
        None => Ok(()),
    }
}

fn create(
    book: &mut Book,
    request: &ApiRequest,
    scope: Option<No>,
) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    check(&body)?;
    let name = name_of(&body)?;
    let color = body.get("color").map_or(Ok("auto".to_owned()), color_of)?;
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    refuse_duplicate(book.living().map(|c| c.name.as_str()), &name)?;
    let no = book.add_calendar(&name, scope.unwrap_or(0));
    book.calendars[no as usize].color = color;
    book.calendars[no as usize].extended = extended;
    one(book, request, no, 201)
}

fn patch(book: &mut Book, request: &ApiRequest, no: No) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    check(&body)?;
    let name = body.get("name").map(|_| name_of(&body)).transpose()?;
    let color = body.get("color").map(color_of).transpose()?;
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    if !book.calendar(no).can_edit || book.calendar(no).owner.is_some() {
        return Err(denied());
    }
    if let Some(name) = &name {
        refuse_duplicate(
            book.living()
                .filter(|c| c.no != no)
                .map(|c| c.name.as_str()),
            name,
        )?;
    }
    if body.get("isDefaultCalendar") == Some(&json!(true)) {
        book.calendars
            .iter_mut()
            .for_each(|c| c.default = c.no == no);
    }
    let calendar = &mut book.calendars[no as usize];
    calendar.name = name.unwrap_or_else(|| calendar.name.clone());
    calendar.color = color.unwrap_or_else(|| calendar.color.clone());
    calendar.extended.extend(extended);
    book.touch_calendar(no);
    one(book, request, no, 200)
}

fn remove(book: &mut Book, no: No) -> Result<ApiResponse, ApiResponse> {
    if book.calendar(no).default || !book.calendar(no).removable {
        return Err(ApiResponse::error(
            400,
            "ErrorDeleteDistinguishedFolder",
            "Distinguished folders cannot be deleted.",
        ));
    }
    book.drop_calendar(no);
    Ok(ApiResponse::no_content())
}

/// `.../calendarPermissions`: the organization's own entry, and the owners of shared calendars.
fn permissions(
    book: &Book,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let mut all = vec![json!({
        "id": STANDARD.encode("Default"), "isRemovable": false, "isInsideOrganization": true, "role": "freeBusyRead",
        "allowedRoles": ["none", "freeBusyRead", "limitedRead", "read", "write"],
        "emailAddress": {"name": "My Organization"},
    })];
    let (me, people) = (&book.user.upn, &book.people);
    let other = people.iter().find(|(_, address)| address != me);
    if let (true, Some((name, address))) = (book.calendar(no).default, other) {
        all.push(json!({
            "id": STANDARD.encode(address), "isRemovable": true, "isInsideOrganization": true, "role": "read",
            "allowedRoles": ["freeBusyRead", "limitedRead", "read", "write", "delegateWithoutPrivateEventAccess", "delegateWithPrivateEventAccess"],
            "emailAddress": {"name": name, "address": address},
        }));
    }
    let context = format!(
        "users('{}')/calendars('{}')/calendarPermissions",
        book.user.id,
        book.ids.folder(no)
    );
    match rest {
        [] => Ok(ApiResponse::ok(odata::slice(
            request,
            request.context(&context),
            all,
            100,
            1000,
        )?)),
        [id] => {
            let mut found = all
                .into_iter()
                .find(|p| p["id"] == **id)
                .ok_or_else(item_not_found)?;
            found["@odata.context"] = json!(request.context(&format!("{context}/$entity")));
            Ok(ApiResponse::ok(found))
        }
        [segment, ..] => Err(ApiResponse::no_such_segment(segment)),
    }
}
