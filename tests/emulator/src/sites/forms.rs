//! Values of items as SharePoint's own interface takes them: what a person would type into a form of the site
//! (`ValidateUpdateListItem`), and plain values (`MERGE`). Both reach what Graph does not: who made an item and
//! when, and hyperlinks.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::api::ApiResponse;
use crate::drive::{Actor, Failure, Fields, Person};

use super::attachments::missing;
use super::column::Kind;
use super::dispatch::Need;
use super::rest::{Call, not_found};
use super::tenant::{At, Tenant};
use super::web::Web;

/// Sites east of Greenwich write days before months, with dots, and count 24 hours.
fn is_eastern(web: &Web) -> bool {
    web.offset > 0
}

/// `GET web/RegionalSettings`.
pub fn region(web: &Web) -> ApiResponse {
    let eastern = is_eastern(web);
    let (order, date, locale) = if eastern {
        (1, ".", 1031)
    } else {
        (0, "/", 1033)
    };
    ApiResponse::ok(json!({
        "AM": "AM", "PM": "PM", "CalendarType": 1, "AlternateCalendarType": 0, "DateFormat": order,
        "DateSeparator": date, "TimeSeparator": ":", "Time24": eastern, "LocaleId": locale,
    }))
}

/// Seconds since 1970 of what was typed, in UTC.
fn moment(web: &Web, text: &str) -> Option<i64> {
    let eastern = is_eastern(web);
    let (date, time) = text.split_once(' ')?;
    let mut parts = date.split(if eastern { '.' } else { '/' });
    let mut part = || parts.next()?.parse::<i16>().ok();
    let (first, second, year) = (part()?, part()?, part()?);
    let (day, month) = if eastern {
        (first, second)
    } else {
        (second, first)
    };
    let (clock, half) = match time.split_once(' ') {
        Some((clock, half)) if !eastern => (clock, Some(half)),
        None if eastern => (time, None),
        _ => return None,
    };
    let (hour, minute) = clock.split_once(':')?;
    let (hour, minute) = (hour.parse::<i8>().ok()?, minute.parse::<i8>().ok()?);
    let hour = match half {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some("AM") => hour % 12,
        Some("PM") => hour % 12 + 12,
        Some(_) => return None,
    };
    let (day, month) = (i8::try_from(day).ok()?, i8::try_from(month).ok()?);
    let at = DateTime::new(year, month, day, hour, minute, 0, 0).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Who and when, as far as a form says it.
#[derive(Default)]
struct Signature {
    created: Option<i64>,
    modified: Option<i64>,
    author: Option<Actor>,
    editor: Option<Actor>,
}

/// `items(id)/ValidateUpdateListItem`: all values, or none when one is refused.
pub fn fill_in(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
) -> Result<ApiResponse, Failure> {
    let web = tenant.web(at);
    call.need(Need::Write, web)?;
    let body = call.body()?;
    let offset = match body["datesInUTC"] == true {
        true => 0,
        false => web.offset,
    };
    let list = &web.lists[n];
    let item = list
        .items()
        .and_then(|items| items.get(id))
        .ok_or_else(missing)?;
    let (mut signature, mut fields) = (Signature::default(), item.fields.clone());
    let (mut told, mut refused) = (Vec::new(), false);
    for given in body["formValues"].as_array().into_iter().flatten() {
        let text = |name: &str| given[name].as_str().unwrap_or_default();
        let (name, value) = (text("FieldName"), text("FieldValue"));
        let time = || {
            let time = moment(web, value).map(|at| at - offset);
            time.ok_or("Enter a date and time like this: 2/23/2012 2:25 PM")
        };
        let error = match name {
            "Created" => time().map(|at| signature.created = Some(at)).err(),
            "Modified" => time().map(|at| signature.modified = Some(at)).err(),
            "Author" => person(call, value)
                .map(|who| signature.author = Some(who))
                .err(),
            "Editor" => person(call, value)
                .map(|who| signature.editor = Some(who))
                .err(),
            name => plain(list.column(name).map(|c| &c.kind), name, value, &mut fields).err(),
        };
        refused |= error.is_some();
        told.push(json!({
            "FieldName": name, "FieldValue": value, "ErrorMessage": error,
            "HasException": error.is_some(), "ItemId": id,
        }));
    }
    if !refused {
        let system = body["bNewDocumentUpdate"] == true;
        write(call, tenant, at, n, id, fields, system.then_some(signature))?;
    }
    Ok(ApiResponse::ok(json!({"value": told})))
}

/// `[{"Key": "i:0#.f|membership|eve@contoso.com"}]`
fn person(call: &Call, value: &str) -> Result<Actor, &'static str> {
    let all: Value = serde_json::from_str(value).unwrap_or_default();
    let login = all[0]["Key"].as_str().unwrap_or_default();
    let upn = login.strip_prefix("i:0#.f|membership|").unwrap_or_default();
    let user = call
        .world
        .user(upn)
        .ok_or("The user does not exist or is not unique.")?;
    Ok(Actor::Person(Arc::new(Person::of(&user))))
}

fn plain(
    kind: Option<&Kind>,
    name: &str,
    value: &str,
    fields: &mut Fields,
) -> Result<(), &'static str> {
    match kind {
        Some(Kind::Text | Kind::Note | Kind::Choice) => {
            fields.insert(name.to_owned(), value.into());
            Ok(())
        }
        _ => Err("The value can not be set by this form."),
    }
}

/// With a signature it is no version, and nobody but those in it has done anything.
fn write(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
    fields: Fields,
    signature: Option<Signature>,
) -> Result<(), Failure> {
    let items = tenant.web_mut(at).lists[n]
        .items_mut()
        .ok_or_else(not_found)?;
    let Some(signature) = signature else {
        items.update(id, fields, &call.stamp);
        return Ok(());
    };
    let item = items.get_mut(id).ok_or_else(missing)?;
    item.fields = fields;
    item.created = signature.created.unwrap_or(item.created);
    item.modified = signature.modified.unwrap_or(item.modified);
    if let Some(author) = signature.author {
        item.created_by = author;
    }
    if let Some(editor) = signature.editor {
        item.modified_by = editor;
    }
    items.changed(id, call.stamp.now);
    Ok(())
}

/// `items(id)` with `X-HTTP-Method: MERGE`: hyperlinks, the only values that are emulated so.
pub fn merge(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
) -> Result<ApiResponse, Failure> {
    let web = tenant.web(at);
    call.need(Need::Write, web)?;
    if call.request.header("if-match").is_none() {
        return Err(Failure::new(
            412,
            "invalidRequest",
            "The If-Match header is missing.",
        ));
    }
    let body = call.body()?;
    let list = &web.lists[n];
    let item = list
        .items()
        .and_then(|items| items.get(id))
        .ok_or_else(missing)?;
    let mut fields = item.fields.clone();
    for (key, value) in body.as_object().into_iter().flatten() {
        // No name of a property begins with an underscore.
        let name = match key.strip_prefix("OData_") {
            Some(name) if name.starts_with('_') => name,
            _ => key,
        };
        let refuse = |why: &str| Failure::invalid(format!("The property '{key}' {why}"));
        let column = list.column(name).filter(|_| !key.starts_with('_'));
        let column = column.ok_or_else(|| refuse("does not exist on the type."))?;
        match (&column.kind, value) {
            (Kind::Link, Value::Null) => {
                fields.remove(name);
            }
            (Kind::Link, Value::Object(link)) if link.get("Url").is_some_and(Value::is_string) => {
                let link = json!({"Description": link.get("Description"), "Url": link.get("Url")});
                fields.insert(name.to_owned(), link);
            }
            _ => return Err(refuse("has another type.")),
        }
    }
    write(call, tenant, at, n, id, fields, None)?;
    Ok(ApiResponse::no_content())
}
