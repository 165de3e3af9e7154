//! Contacts: listing, reading, making, changing, deleting.

use std::cell::OnceCell;

use http::Method;
use serde_json::{Value, json};

use super::json::{View, contact, etag, properties as shown_properties, property};
use super::store::{Book, DEFAULT, Detail};
use super::{delta, missing, photo, validate};
use crate::api::{ApiRequest, ApiResponse};
use crate::extensions::{self, Done};
use crate::filter::{self, Expr, Subject};
use crate::mail::ids::No;
use crate::mail::properties::{self, Extended, PropertyValue};
use crate::mail::{conflicts, is_delta, item_not_found, object_of};
use crate::odata;
use crate::world::World;

/// Everything below `.../contacts`; `scope` is the folder the path went through.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    scope: Option<No>,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let folder = scope.unwrap_or(DEFAULT);
    match (rest, &request.method) {
        ([], &Method::GET) => list(book, request, folder, scope.is_none()),
        ([], &Method::POST) => create(world, book, request, folder),
        ([], _) => Err(ApiResponse::method_not_allowed()),
        (["$count"], &Method::GET) => Ok(odata::count(book.folder(folder).feed.count())),
        ([id, ..], &Method::GET) if is_delta(id) => delta::contacts(world, book, request, folder),
        ([id, below @ ..], _) => {
            let no = book.find(id).ok_or_else(|| missing(id))?;
            if scope.is_some_and(|folder| book.item(no).folder != folder) {
                return Err(item_not_found());
            }
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
        return match request.method {
            Method::GET => one(book, request, no, 200),
            Method::PATCH => patch(world, book, request, no),
            Method::DELETE => {
                conflicts(request, &etag(book, no))?;
                delete(book, no)
            }
            _ => Err(ApiResponse::method_not_allowed()),
        };
    };
    let name = what.to_ascii_lowercase();
    let name = name.strip_prefix("microsoft.graph.").unwrap_or(&name);
    match (name, &below[1..]) {
        ("photo", rest) => photo::route(world, book, request, no, rest),
        ("extensions", rest) => {
            let context = request.context(&format!(
                "users('{}')/contacts('{}')/extensions",
                book.user.id,
                book.contact_id(no, request.immutable_ids())
            ));
            let mut all = book.detail(no).extensions.clone();
            match extensions::route(request, rest, &mut all, &context)? {
                Done::Read(answer) => Ok(answer),
                Done::Changed(answer) => {
                    book.detail_mut(no).extensions = all;
                    book.touch(no, world.clock.now());
                    Ok(answer)
                }
            }
        }
        ("permanentdelete", []) if request.method == Method::POST => delete(book, no),
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

fn one(book: &Book, request: &ApiRequest, no: No, status: u16) -> Result<ApiResponse, ApiResponse> {
    let mut out = contact(book, no, &View::of(request)?);
    let context = format!("users('{}')/contacts/$entity", book.user.id);
    out.insert("@odata.context".into(), json!(request.context(&context)));
    Ok(ApiResponse::json(status, Value::Object(out)).with_header("etag", &etag(book, no)))
}

/// A contact under a filter or an order: its JSON is made once, and only when it is looked at.
struct ContactSubject<'a> {
    book: &'a Book,
    no: No,
    json: OnceCell<Value>,
}

impl ContactSubject<'_> {
    fn new(book: &Book, no: No) -> ContactSubject<'_> {
        ContactSubject {
            book,
            no,
            json: OnceCell::new(),
        }
    }
}

impl Subject for ContactSubject<'_> {
    fn get(&self, path: &str) -> Value {
        let all = self.json.get_or_init(|| {
            let mut all = shown_properties(&self.book.detail(self.no));
            all.insert(
                "parentFolderId".into(),
                json!(self.book.folder_id(self.book.item(self.no).folder)),
            );
            Value::Object(all)
        });
        Subject::get(all, path)
    }

    fn extended(&self, id: &str) -> Option<String> {
        let id = properties::normalise(id)?;
        match property(&self.book.detail(self.no), &id)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

/// The few contacts a filter can match, when that is known without looking at all: named properties
/// are never generated, so only what was written can have one.
fn candidates(book: &Book, folder: No, filter: &Expr) -> Option<Vec<No>> {
    let named = filter.conjuncts().into_iter().find_map(|part| match part {
        Expr::Extended { id, .. } => properties::normalise(id).filter(|id| id.contains('{')),
        _ => None,
    })?;
    let mut few: Vec<No> = book
        .written()
        .filter(|(no, d)| d.extended.contains_key(&named) && book.item(*no).folder == folder)
        .map(|(no, _)| no)
        .collect();
    few.sort_unstable();
    Some(few)
}

fn list(
    book: &Book,
    request: &ApiRequest,
    folder: No,
    short: bool,
) -> Result<ApiResponse, ApiResponse> {
    if request.option("search").is_some() {
        return Err(ApiResponse::error(
            501,
            "NotImplemented",
            "$search of contacts is not there.",
        ));
    }
    let view = View::of(request)?;
    let size = odata::page_size(request, 10, 1000)?;
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let order = request
        .option("orderby")
        .map(filter::order_by)
        .unwrap_or_default();
    if let (Some(filter), false) = (&filter, order.is_empty()) {
        filter::check_order(filter, &order)?;
    }
    let few = filter.as_ref().and_then(|f| candidates(book, folder, f));
    let mut all = few.unwrap_or_else(|| book.folder(folder).feed.members());
    if let Some((path, descending)) = order.first() {
        all.sort_by_cached_key(|no| {
            let value = ContactSubject::new(book, *no).get(path);
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_lowercase)
        });
        if *descending {
            all.reverse();
        }
    }
    let matching = |no: No| {
        filter
            .as_ref()
            .is_none_or(|f| f.matches(&ContactSubject::new(book, no)))
    };
    let mut value = Vec::new();
    let mut at = skip.min(all.len());
    while at < all.len() && value.len() < size {
        if matching(all[at]) {
            value.push(Value::Object(contact(book, all[at], &view)));
        }
        at += 1;
    }
    let count = odata::wants_count(request).then(|| match &filter {
        None => all.len(),
        Some(_) => all.iter().filter(|no| matching(**no)).count(),
    });
    let next = (at < all.len()).then(|| odata::link_with(request, "skip", &at.to_string()));
    let user = &book.user.id;
    let context = match short {
        true => format!("users('{user}')/contacts"),
        false => format!(
            "users('{user}')/contactFolders('{}')/contacts",
            book.folder_id(folder)
        ),
    };
    let context = request.context(&context);
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

fn create(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    folder: No,
) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    let now = world.clock.now();
    let mut detail = Detail {
        created: now,
        modified: now,
        ..Detail::default()
    };
    validate::apply(&body, &mut detail.props)?;
    validate::complete(&mut detail.props);
    properties::read(&body, &mut detail.extended)?;
    detail.extensions = extensions::read_all(&body)?;
    let no = book.add(folder, detail);
    one(book, request, no, 201)
}

fn patch(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    conflicts(request, &etag(book, no))?;
    let body = object_of(request)?;
    let mut props = book.detail(no).props.clone();
    validate::apply(&body, &mut props)?;
    let mut extended: Extended = book.detail(no).extended.clone();
    properties::read(&body, &mut extended)?;
    let detail = book.detail_mut(no);
    (detail.props, detail.extended) = (props, extended);
    book.touch(no, world.clock.now());
    one(book, request, no, 200)
}

fn delete(book: &mut Book, no: No) -> Result<ApiResponse, ApiResponse> {
    book.remove(no);
    Ok(ApiResponse::no_content())
}
