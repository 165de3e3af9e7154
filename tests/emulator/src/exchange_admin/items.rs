//! Items of a folder, of any kind: what is listed of them. Their content is exported
//! ([`super::export`]).

use http::Method;
use serde_json::{Value, json};

use super::delta;
use super::folders::{Scope, sort_key};
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::fasttransfer;
use crate::filter::{self, Expr, Subject};
use crate::mail::content::{Content, Origin};
use crate::mail::folders::is_delta;
use crate::mail::ids::No;
use crate::mail::properties::{self, PropertyValue, Wanted};
use crate::mail::store::{FolderKind, Mailbox};
use crate::mail::{item_not_found, messages, write};
use crate::mapi;
use crate::odata::{self, Object, Select};

const KNOWN: &[&str] = &[
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "categories",
    "type",
    "size",
];

/// Everything below `.../folders/{id}/items`.
pub fn route(
    scope: &Scope<'_>,
    mailbox: &mut Mailbox,
    folder: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let request = scope.request;
    match (rest, &request.method) {
        ([], &Method::GET) => list(scope, mailbox, folder),
        ([id], &Method::GET) if is_delta(id) => delta::items(scope, mailbox, folder),
        ([id], method) => {
            let no = messages::find_any(mailbox, id)?;
            let normal = mailbox.folder(folder).kind == FolderKind::Normal;
            if normal && mailbox.item(no).folder != folder {
                return Err(item_not_found());
            }
            match *method {
                Method::GET => one(scope, mailbox, no),
                Method::DELETE => write::delete(mailbox, request, no),
                _ => Err(ApiResponse::method_not_allowed()),
            }
        }
        ([_, segment, ..], _) => Err(ApiResponse::no_such_segment(segment)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// How items are to be shown.
pub struct View {
    pub select: Select,
    wanted: Wanted,
    pub immutable: bool,
}

impl View {
    pub fn new(
        request: &ApiRequest,
        select: Option<&str>,
        expand: Option<&str>,
    ) -> Result<View, ApiResponse> {
        Ok(View {
            select: Select::parse(select, "microsoft.graph.mailboxItem", KNOWN)?,
            wanted: Wanted::parse(expand.unwrap_or_default()),
            immutable: request.immutable_ids(),
        })
    }

    fn of(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::new(request, request.option("select"), request.option("expand"))
    }
}

pub fn show(mailbox: &Mailbox, no: No, view: &View) -> Object {
    let item = mailbox.item(no);
    let select = &view.select;
    // The class of a message may depend on its kind.
    let props = Content::of(mailbox, no).props_of(&|name| select.wants(name));
    let key = mailbox.ids.change_key(item.seq);
    let mut out = Object::new();
    out.insert("@odata.etag".into(), json!(format!("W/\"{key}\"")));
    let id = mailbox.message_id(no, view.immutable);
    out.insert("id".into(), json!(id));
    let mut set = |name: &str, value: &dyn Fn() -> Value| {
        if select.wants(name) {
            out.insert(name.to_owned(), value());
        }
    };
    let prop = |name: &str| props.get(name).cloned().unwrap_or_default();
    set("changeKey", &|| json!(key));
    set("categories", &|| prop("categories"));
    set("createdDateTime", &|| prop("createdDateTime"));
    set("lastModifiedDateTime", &|| {
        let modified = mailbox.details.get(&no).map_or(0, |d| d.modified);
        match modified > 0 {
            true => json!(rfc3339(modified)),
            false => prop("lastModifiedDateTime"),
        }
    });
    set("type", &|| {
        json!(mapi::message::class_of(mailbox, no, &props))
    });
    set("size", &|| json!(size(mailbox, no)));
    if !view.wanted.is_empty() {
        view.wanted.show(|id| property(mailbox, no, id), &mut out);
    }
    out
}

/// The size as MAPI counts it: text as UTF-16, attachments, and what all the properties take.
pub fn size(mailbox: &Mailbox, no: No) -> u64 {
    match mailbox.details.get(&no).map(|d| &d.origin) {
        Some(Origin::Mime(bytes)) => bytes.len() as u64 + 1500,
        Some(Origin::Stream(bytes)) => bytes.len() as u64,
        _ => {
            let content = Content::of(mailbox, no);
            let attachments: u64 = content.attachments().iter().map(|a| a.size()).sum();
            2 * content.text().content.len() as u64 + attachments + 1500
        }
    }
}

/// The value an item has for an extended property.
fn property(mailbox: &Mailbox, no: No, id: &str) -> Option<PropertyValue> {
    let detail = mailbox.details.get(&no);
    if let Some(Origin::Stream(stream)) = detail.map(|d| &d.origin) {
        return mapi::message::of_content(&fasttransfer::read::read(stream).ok()?, id);
    }
    match id {
        "Integer 0xe08" => return Some(PropertyValue::Single(size(mailbox, no).to_string())),
        "Integer 0xe07" => {}
        _ => {
            if let Some(value) = detail.and_then(|d| d.extended.get(id)) {
                return Some(value.clone());
            }
        }
    }
    let props = Content::of(mailbox, no).props();
    let quick = (id != "String 0x1a")
        .then(|| properties::computed(id, mailbox.item(no), &props))
        .flatten();
    match quick {
        Some(value) => Some(PropertyValue::Single(value)),
        None => mapi::message::property(mailbox, no, id),
    }
}

struct Listed<'a> {
    mailbox: &'a Mailbox,
    no: No,
    view: &'a View,
}

impl Subject for Listed<'_> {
    fn get(&self, path: &str) -> Value {
        let path = path.to_ascii_lowercase();
        // Exchange knows when mail was received although it does not show it here.
        if path == "receiveddatetime" {
            return json!(rfc3339(self.mailbox.item(self.no).received));
        }
        Subject::get(
            &Value::Object(show(self.mailbox, self.no, self.view)),
            &path,
        )
    }

    fn extended(&self, id: &str) -> Option<String> {
        match property(self.mailbox, self.no, &properties::normalise(id)?)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

/// True when an item matches `filter`.
pub fn matches(mailbox: &Mailbox, no: No, filter: &Expr) -> bool {
    // The size costs the most and is rarely looked at.
    let paths = filter.paths().join(",");
    let select = Select::parse(Some(&paths), "", KNOWN).unwrap_or_default();
    let view = View {
        select,
        wanted: Wanted::default(),
        immutable: false,
    };
    filter.matches(&Listed {
        mailbox,
        no,
        view: &view,
    })
}

fn list(scope: &Scope<'_>, mailbox: &mut Mailbox, folder: No) -> Result<ApiResponse, ApiResponse> {
    let request = scope.request;
    let view = View::of(request)?;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let size = odata::page_size(request, 10, 1000)?;
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let order = request.option("orderby").map(filter::order_by);
    let mut all: Vec<No> = match mailbox.folder(folder).kind {
        FolderKind::Search => messages::members(mailbox, Some(folder)).to_vec(),
        FolderKind::Normal => mailbox.newest_first(folder).to_vec(),
    };
    let mailbox = &*mailbox;
    if let Some(filter) = &filter {
        all.retain(|no| matches(mailbox, *no, filter));
    }
    for (path, descending) in order.iter().flatten().rev() {
        let by = View {
            select: Select::parse(Some(path), "microsoft.graph.mailboxItem", ORDER)?,
            wanted: Wanted::default(),
            immutable: false,
        };
        all.sort_by_cached_key(|no| {
            let listed = Listed {
                mailbox,
                no: *no,
                view: &by,
            };
            sort_key(&listed.get(path))
        });
        if *descending {
            all.reverse();
        }
    }
    let end = skip.saturating_add(size).min(all.len());
    let value = all[skip.min(end)..end]
        .iter()
        .map(|no| Value::Object(show(mailbox, *no, &view)))
        .collect();
    let count = odata::wants_count(request).then_some(all.len());
    let next = (end < all.len()).then(|| odata::link_with(request, "skip", &end.to_string()));
    let context = scope.context(&format!("/folders('{}')/items", mailbox.ids.folder(folder)));
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

/// Properties that may be ordered by.
const ORDER: &[&str] = &[
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "receivedDateTime",
    "type",
    "size",
];

fn one(scope: &Scope<'_>, mailbox: &Mailbox, no: No) -> Result<ApiResponse, ApiResponse> {
    let mut out = show(mailbox, no, &View::of(scope.request)?);
    let context = scope.context("/folders/items/$entity");
    out.insert("@odata.context".into(), json!(context));
    Ok(ApiResponse::ok(Value::Object(out)))
}
