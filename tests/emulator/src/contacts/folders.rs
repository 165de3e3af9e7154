//! Contact folders: listing, reading, making, renaming, deleting.
//!
//! `/contactFolders` lists what is below the default folder; that one itself is reached by its alias
//! alone.

use http::Method;
use serde_json::{Value, json};

use super::store::{Book, DEFAULT, Folder};
use super::{delta, items, missing};
use crate::api::{ApiRequest, ApiResponse};
use crate::filter::{Expr, Subject};
use crate::mail::ids::No;
use crate::mail::properties::{self, Extended, PropertyValue, Wanted};
use crate::mail::{is_delta, object_of, unknown_property};
use crate::odata::{self, Object, Select};
use crate::world::World;

const KNOWN: &[&str] = &[
    "id",
    "displayName",
    "parentFolderId",
    "childFolders",
    "contacts",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];
const MAX_DEPTH: usize = 300;

/// Everything below `/users/{id}/contactFolders`.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    match rest {
        [] => children(book, request, DEFAULT, true),
        [id, ..] if is_delta(id) => delta::folders(world, book, request),
        ["$count"] => Ok(odata::count(visible(book, DEFAULT, false).count())),
        [id, below @ ..] => {
            let no = book.find_folder(id).ok_or_else(|| missing(id))?;
            at(world, book, request, no, below)
        }
    }
}

fn at(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    no: No,
    below: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let Some(what) = below.first() else {
        return one(book, request, no);
    };
    let name = what.to_ascii_lowercase();
    let name = name.strip_prefix("microsoft.graph.").unwrap_or(&name);
    match (name, &below[1..]) {
        ("childfolders", []) => children(book, request, no, false),
        ("childfolders", ["$count"]) => Ok(odata::count(visible(book, no, false).count())),
        ("childfolders", [child, rest @ ..]) => {
            let child_no = book.find_folder(child).ok_or_else(|| missing(child))?;
            at(world, book, request, child_no, rest)
        }
        ("contacts", rest) => items::route(world, book, request, Some(no), rest),
        ("permanentdelete", []) if request.method == Method::POST => delete(book, no),
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

fn visible(book: &Book, parent: No, hidden: bool) -> impl Iterator<Item = &Folder> + '_ {
    book.children(parent).filter(move |f| hidden || !f.hidden)
}

/// How folders are to be shown.
pub struct View {
    select: Select,
    wanted: Wanted,
}

impl View {
    pub fn new(select: Option<&str>, expand: Option<&str>) -> Result<View, ApiResponse> {
        Ok(View {
            select: Select::parse(select, "microsoft.graph.contactFolder", KNOWN)?,
            wanted: Wanted::parse(expand.unwrap_or_default()),
        })
    }

    fn of(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::new(request.option("select"), request.option("expand"))
    }
}

pub fn show(book: &Book, no: No, view: &View) -> Object {
    let folder = book.folder(no);
    let mut out = Object::new();
    out.insert("id".into(), json!(book.folder_id(no)));
    out.insert("displayName".into(), json!(folder.name));
    out.insert("parentFolderId".into(), json!(book.parent_id(no)));
    view.select.apply(&mut out);
    view.wanted.show(|id| property(folder, id), &mut out);
    out
}

fn property(folder: &Folder, id: &str) -> Option<PropertyValue> {
    let class = || PropertyValue::Single(folder.class.to_owned());
    let stored = folder.extended.get(id).cloned();
    stored.or_else(|| (id == "String 0x3613").then(class))
}

struct Shown<'a> {
    folder: &'a Folder,
    json: Value,
}

impl Subject for Shown<'_> {
    fn get(&self, path: &str) -> Value {
        Subject::get(&self.json, path)
    }

    fn extended(&self, id: &str) -> Option<String> {
        match property(self.folder, &properties::normalise(id)?)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

fn children(
    book: &mut Book,
    request: &ApiRequest,
    parent: No,
    top: bool,
) -> Result<ApiResponse, ApiResponse> {
    match request.method {
        Method::GET => {}
        Method::POST => return create(book, request, parent),
        _ => return Err(ApiResponse::method_not_allowed()),
    }
    let view = View::of(request)?;
    let all = View::new(None, None)?;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let hidden = request
        .option("includehiddenfolders")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let fits = |folder: &&Folder| {
        filter.as_ref().is_none_or(|filter| {
            let json = Value::Object(show(book, folder.no, &all));
            filter.matches(&Shown { folder, json })
        })
    };
    let value = visible(book, parent, hidden)
        .filter(fits)
        .map(|f| Value::Object(show(book, f.no, &view)))
        .collect();
    let user = &book.user.id;
    let context = match top {
        true => format!("users('{user}')/contactFolders"),
        false => format!(
            "users('{user}')/contactFolders('{}')/childFolders",
            book.folder_id(parent)
        ),
    };
    Ok(ApiResponse::ok(odata::slice(
        request,
        request.context(&context),
        value,
        10,
        1000,
    )?))
}

fn answer(
    book: &Book,
    request: &ApiRequest,
    status: u16,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let mut out = show(book, no, &View::of(request)?);
    let context = format!("users('{}')/contactFolders/$entity", book.user.id);
    out.insert("@odata.context".into(), json!(request.context(&context)));
    Ok(ApiResponse::json(status, Value::Object(out)))
}

fn one(book: &mut Book, request: &ApiRequest, no: No) -> Result<ApiResponse, ApiResponse> {
    match request.method {
        Method::GET => answer(book, request, 200, no),
        Method::DELETE => delete(book, no),
        Method::PATCH => {
            let body = object_of(request)?;
            check(&body, &["displayName"])?;
            let mut extended = Extended::default();
            properties::read(&body, &mut extended)?;
            if let Some(name) = body.get("displayName") {
                let name = name_of(name)?;
                refuse_distinguished(book, no)?;
                refuse_duplicate(book, book.folder(no).parent, &name, Some(no))?;
                book.folders[no as usize].name = name;
            }
            book.folders[no as usize].extended.extend(extended);
            book.touch_folder(no);
            answer(book, request, 200, no)
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// Refuses properties that cannot be written.
fn check(body: &Object, writable: &[&str]) -> Result<(), ApiResponse> {
    for name in body.keys().filter(|n| !n.contains('@')) {
        if writable.contains(&name.as_str()) || name.ends_with("ExtendedProperties") {
            continue;
        }
        return Err(match KNOWN.contains(&name.as_str()) {
            true => ApiResponse::error(
                400,
                "ErrorInvalidPropertySet",
                &format!("Set action is invalid for property '{name}'."),
            ),
            false => unknown_property(name, "microsoft.graph.contactFolder"),
        });
    }
    Ok(())
}

fn name_of(value: &Value) -> Result<String, ApiResponse> {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() || name.chars().count() > 255 {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidProperty",
            "The property 'DisplayName' must have 1 to 255 characters.",
        ));
    }
    Ok(name.to_owned())
}

fn refuse_distinguished(book: &Book, no: No) -> Result<(), ApiResponse> {
    match book.is_distinguished(no) {
        true => Err(ApiResponse::error(
            400,
            "ErrorDeleteDistinguishedFolder",
            "Distinguished folders cannot be renamed or deleted.",
        )),
        false => Ok(()),
    }
}

/// Names below one folder are compared without case.
fn refuse_duplicate(
    book: &Book,
    parent: No,
    name: &str,
    except: Option<No>,
) -> Result<(), ApiResponse> {
    let lower = name.to_lowercase();
    let taken = book
        .children(parent)
        .any(|f| Some(f.no) != except && f.name.to_lowercase() == lower);
    match taken {
        true => Err(ApiResponse::error(
            409,
            "ErrorFolderExists",
            &format!(
                "A folder with the specified name already exists., Could not create folder '{name}'."
            ),
        )),
        false => Ok(()),
    }
}

fn create(book: &mut Book, request: &ApiRequest, above: No) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    check(&body, &["displayName", "parentFolderId"])?;
    let parent = match body.get("parentFolderId").and_then(Value::as_str) {
        Some(id) => book.find_folder(id).ok_or_else(|| missing(id))?,
        None => above,
    };
    let name = name_of(body.get("displayName").unwrap_or(&Value::Null))?;
    refuse_duplicate(book, parent, &name, None)?;
    if book.depth(parent) >= MAX_DEPTH {
        return Err(ApiResponse::error(
            400,
            "ErrorFolderHierarchyDepthExceeded",
            "The folder would be nested too deep.",
        ));
    }
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    let no = book.add_folder(&name, parent);
    book.folders[no as usize].extended = extended;
    answer(book, request, 201, no)
}

fn delete(book: &mut Book, no: No) -> Result<ApiResponse, ApiResponse> {
    refuse_distinguished(book, no)?;
    book.remove_folder(no);
    Ok(ApiResponse::no_content())
}
