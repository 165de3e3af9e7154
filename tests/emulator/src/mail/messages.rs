//! Messages: listing and reading. Writing is in [`super::write`].

use std::cell::OnceCell;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::content::{Content, Origin};
use super::ids::{No, Parsed};
use super::json::{View, message, property};
use super::properties::{self, PropertyValue};
use super::store::{FolderKind, Mailbox, NOWHERE};
use super::{attachments, delta, folders, item_not_found, send, write};
use crate::api::{ApiRequest, ApiResponse};
use crate::filter::{self, Expr, Literal, Op, Subject};
use crate::odata;
use crate::options::Quirk;
use crate::world::World;

/// Everything below `.../messages`; `scope` is the folder the path went through.
pub fn route(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    scope: Option<No>,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => list(world, mailbox, request, scope),
        ([], &Method::POST) => write::create(world, mailbox, request, scope),
        ([], _) => Err(ApiResponse::method_not_allowed()),
        ([id, ..], &Method::GET) if folders::is_delta(id) => match scope {
            Some(folder) => delta::messages(world, mailbox, request, folder),
            None => Err(ApiResponse::error(
                400,
                "ErrorInvalidRequest",
                "Delta of messages is per folder.",
            )),
        },
        ([id, below @ ..], _) => {
            let no = find(mailbox, id)?;
            if scope.is_some_and(|f| {
                mailbox.folder(f).kind == FolderKind::Normal && mailbox.item(no).folder != f
            }) {
                return Err(item_not_found());
            }
            at(world, mailbox, request, no, below)
        }
    }
}

/// A message by its id.
pub fn find(mailbox: &Mailbox, id: &str) -> Result<No, ApiResponse> {
    let no = find_any(mailbox, id)?;
    match mailbox.is_message(no) {
        true => Ok(no),
        false => Err(item_not_found()),
    }
}

/// A message, or any other item in a mail folder, by its id.
pub fn find_any(mailbox: &Mailbox, id: &str) -> Result<No, ApiResponse> {
    mailbox
        .find(id)
        .ok_or_else(|| match mailbox.ids.parse_message(id) {
            Some(Parsed::Default { .. } | Parsed::Immutable { .. }) => item_not_found(),
            None if id.len() > 60 && (id.starts_with("AAMk") || id.starts_with("AAkA")) => {
                item_not_found()
            }
            None => ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."),
        })
}

fn at(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
    below: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let Some(what) = below.first() else {
        return match request.method {
            Method::GET => one(mailbox, request, no, 200),
            Method::PATCH => write::patch(world, mailbox, request, no),
            Method::DELETE => write::delete(mailbox, request, no),
            _ => Err(ApiResponse::method_not_allowed()),
        };
    };
    let name = what.to_ascii_lowercase();
    let name = name.strip_prefix("microsoft.graph.").unwrap_or(&name);
    match (name, &below[1..]) {
        ("$value", []) if request.method == Method::GET => value(world, mailbox, request, no),
        ("attachments", rest) => attachments::route(world, mailbox, request, no, rest),
        (_, []) if request.method != Method::POST => Err(ApiResponse::no_such_segment(what)),
        ("move", []) => {
            let to = folders::destination(mailbox, request)?;
            mailbox.move_to(no, to);
            one(mailbox, request, no, 201)
        }
        ("copy", []) => {
            let to = folders::destination(mailbox, request)?;
            let copy = write::copy_item(mailbox, no, to);
            one(mailbox, request, copy, 201)
        }
        ("permanentdelete", []) => {
            let purges = mailbox.well_known("recoverableitemspurges");
            mailbox.move_to(no, purges);
            Ok(ApiResponse::no_content())
        }
        ("send", []) => send::send_draft(world, mailbox, request, no),
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

pub fn one(
    mailbox: &Mailbox,
    request: &ApiRequest,
    no: No,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let view = View::of(request)?;
    let mut out = message(mailbox, no, &view);
    let etag = out
        .get("@odata.etag")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let context = request.context(&format!("users('{}')/messages/$entity", mailbox.user.id));
    out.insert("@odata.context".into(), json!(context));
    Ok(ApiResponse::json(status, Value::Object(out)).with_header("etag", &etag))
}

/// `$value`: the MIME.
fn value(
    world: &World,
    mailbox: &Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    if super::basic_only(request) {
        return Err(super::denied());
    }
    let content = Content::of(mailbox, no);
    if world.options.has(Quirk::SmimeFails)
        && let Some(Origin::Mime(bytes)) = mailbox.details.get(&no).map(|d| &d.origin)
        && super::mime::is_opaque_smime(bytes)
    {
        return Err(ApiResponse::error(
            500,
            "ErrorMimeContentConversionFailed",
            "MIME content conversion failed.",
        ));
    }
    let variant = if world.options.has(Quirk::VaryBoundaries) {
        world.clock.now_ms() as u64
    } else {
        0
    };
    Ok(ApiResponse::bytes(200, content.mime(variant), "text/plain"))
}

/// A message under a filter: its JSON is made once, and only when a property is looked at.
pub struct MessageSubject<'a> {
    mailbox: &'a Mailbox,
    no: No,
    needs_body: bool,
    json: OnceCell<Value>,
}

impl<'a> MessageSubject<'a> {
    pub fn new(mailbox: &'a Mailbox, no: No, filter: &Expr) -> MessageSubject<'a> {
        let needs_body = filter
            .paths()
            .iter()
            .any(|p| p.to_ascii_lowercase().starts_with("body"));
        MessageSubject {
            mailbox,
            no,
            needs_body,
            json: OnceCell::new(),
        }
    }
}

impl Subject for MessageSubject<'_> {
    fn get(&self, path: &str) -> Value {
        let all = self.json.get_or_init(|| {
            Value::Object(message(
                self.mailbox,
                self.no,
                &View::for_filter(self.needs_body),
            ))
        });
        Subject::get(all, path)
    }

    fn extended(&self, id: &str) -> Option<String> {
        let id = properties::normalise(id)?;
        let props = Content::of(self.mailbox, self.no).props();
        match property(self.mailbox, self.no, &id, &props)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

/// The few messages a filter can match, when that is known without looking at all.
fn candidates(mailbox: &Mailbox, filter: &Expr) -> Option<Vec<No>> {
    for part in filter.conjuncts() {
        match part {
            Expr::Compare {
                path,
                op: Op::Eq,
                value: Literal::Text(id),
            } if path.eq_ignore_ascii_case("internetMessageId") => {
                let generated = crate::seed::mail::by_message_id(mailbox, id);
                let same = |d: &super::store::Detail| {
                    d.props.get("internetMessageId").and_then(Value::as_str) == Some(id)
                };
                let stored = mailbox
                    .details
                    .iter()
                    .filter(|(_, d)| same(d))
                    .map(|(no, _)| *no);
                return Some(
                    stored
                        .filter(|no| Some(*no) != generated)
                        .chain(generated)
                        .collect(),
                );
            }
            Expr::Extended { id, .. } => {
                let id = properties::normalise(id)?;
                // Named properties are never computed: only what was written can match.
                if id.contains('{') {
                    return Some(
                        mailbox
                            .details
                            .iter()
                            .filter(|(_, d)| d.extended.contains_key(&id))
                            .map(|(no, _)| *no)
                            .collect(),
                    );
                }
            }
            _ => {}
        }
    }
    None
}

/// Leaves out what `/messages` does not list although it is in the folder.
fn only_messages(mailbox: &Mailbox, all: Arc<Vec<No>>) -> Arc<Vec<No>> {
    if all.iter().all(|no| mailbox.is_message(*no)) {
        return all;
    }
    Arc::new(
        all.iter()
            .copied()
            .filter(|no| mailbox.is_message(*no))
            .collect(),
    )
}

/// Members of a folder (for a search folder: what it finds), or of the whole mailbox.
pub fn members(mailbox: &mut Mailbox, scope: Option<No>) -> Arc<Vec<No>> {
    match scope {
        Some(folder) if mailbox.folder(folder).kind == FolderKind::Search => {
            let source = mailbox.newest_first(mailbox.well_known("inbox"));
            let flagged = |no: &No| {
                Content::of(mailbox, *no)
                    .props()
                    .get("flag")
                    .is_some_and(|f| f["flagStatus"] == "flagged")
            };
            Arc::new(source.iter().copied().filter(flagged).collect())
        }
        Some(folder) => {
            let all = mailbox.newest_first(folder);
            only_messages(mailbox, all)
        }
        None => {
            let dumpster = mailbox.well_known("recoverableitemsroot");
            let hidden: Vec<bool> = mailbox
                .folders
                .iter()
                .map(|f| mailbox.is_below(f.no, dumpster))
                .collect();
            let mut all: Vec<No> = (0..mailbox.items.len() as No)
                .filter(|no| {
                    let folder = mailbox.item(*no).folder;
                    folder != NOWHERE && !hidden.get(folder as usize).copied().unwrap_or(true)
                })
                .filter(|no| mailbox.is_message(*no))
                .collect();
            all.sort_by_key(|no| {
                (
                    std::cmp::Reverse(mailbox.item(*no).received),
                    std::cmp::Reverse(*no),
                )
            });
            Arc::new(all)
        }
    }
}

fn list(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    scope: Option<No>,
) -> Result<ApiResponse, ApiResponse> {
    if request.option("search").is_some() {
        return Err(ApiResponse::error(
            501,
            "NotImplemented",
            "$search of messages is not there.",
        ));
    }
    let view = View::of(request)?;
    let size = odata::page_size(request, 10, 1000)?;
    if world.options.has(Quirk::HeavyPages) && size > 100 && view.select.wants("body") {
        return Err(ApiResponse::error(504, "UnknownError", ""));
    }
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let order = request
        .option("orderby")
        .map(filter::order_by)
        .unwrap_or_default();
    if let (Some(filter), false) = (&filter, order.is_empty()) {
        filter::check_order(filter, &order)?;
    }
    let all = match filter.as_ref().and_then(|f| candidates(mailbox, f)) {
        Some(few) => {
            let mut few: Vec<No> = few
                .into_iter()
                .filter(|no| {
                    let folder = mailbox.item(*no).folder;
                    folder != NOWHERE && scope.is_none_or(|s| s == folder)
                })
                .filter(|no| mailbox.is_message(*no))
                .collect();
            few.sort_unstable();
            Arc::new(few)
        }
        None => members(mailbox, scope),
    };
    let mailbox = &*mailbox;
    let all = ordered(mailbox, all, &order);

    let mut value = Vec::new();
    let mut at = skip.min(all.len());
    let matching = |no: No| {
        filter
            .as_ref()
            .is_none_or(|f| f.matches(&MessageSubject::new(mailbox, no, f)))
    };
    while at < all.len() && value.len() < size {
        if matching(all[at]) {
            value.push(Value::Object(message(mailbox, all[at], &view)));
        }
        at += 1;
    }
    let count = odata::wants_count(request).then(|| match &filter {
        None => all.len(),
        Some(_) => all.iter().filter(|no| matching(**no)).count(),
    });
    let next = (at < all.len()).then(|| odata::link_with(request, "skip", &at.to_string()));
    let user = &mailbox.user.id;
    let context = match scope {
        Some(folder) => request.context(&format!(
            "users('{user}')/mailFolders('{}')/messages",
            mailbox.ids.folder(folder)
        )),
        None => request.context(&format!("users('{user}')/messages")),
    };
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

fn ordered(mailbox: &Mailbox, all: Arc<Vec<No>>, order: &[(String, bool)]) -> Arc<Vec<No>> {
    let Some((path, descending)) = order.first() else {
        return all;
    };
    if path.eq_ignore_ascii_case("receivedDateTime") {
        if *descending {
            return all;
        }
        return Arc::new(all.iter().rev().copied().collect());
    }
    let key = |no: &No| {
        let value = Subject::get(
            &Value::Object(message(mailbox, *no, &View::for_filter(false))),
            path,
        );
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_lowercase)
    };
    let mut sorted = (*all).clone();
    sorted.sort_by_cached_key(key);
    if *descending {
        sorted.reverse();
    }
    Arc::new(sorted)
}
