//! Delta of messages in a folder, and of the folders of a mailbox.
//!
//! A round is described by its token alone: the options of the first call, and how far it got in the
//! mailbox's sequence of changes. A page is read straight out of the folder's order of changes, so
//! page 1,000 costs what page 1 does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ids::No;
use super::json::{View, message};
use super::messages::MessageSubject;
use super::properties::Wanted;
use super::store::{FolderKind, Mailbox, NOWHERE};
use super::{folders, item_not_found};
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::delta::TokenError;
use crate::filter::Expr;
use crate::losses::{Told, lost};
use crate::odata::{self, Select};
use crate::options::Quirk;
use crate::world::World;

/// Largest page.
const MAX_PAGE: usize = 1000;

/// Where a round stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    /// Folder, or `None` for the folders themselves.
    folder: Option<No>,
    mailbox: String,
    /// All changes up to here have been told.
    after: u64,
    /// `after` at the start of this round: what only became read since is told if `isRead` was selected.
    began: u64,
    /// What left before this was never told as present.
    base: u64,
    select: Option<String>,
    expand: Option<String>,
    filter: Option<String>,
    change: Option<String>,
    size: usize,
    /// What `$top` of the first call still allows.
    left: Option<usize>,
    hidden: bool,
    /// Pages so far.
    page: u64,
}

fn start(
    request: &ApiRequest,
    mailbox: &Mailbox,
    folder: Option<No>,
) -> Result<Round, ApiResponse> {
    if request.option("search").is_some() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "$search is not supported with delta.",
        ));
    }
    let text = |name: &str| request.option(name).map(str::to_owned);
    Ok(Round {
        folder,
        mailbox: mailbox.user.id.clone(),
        after: 0,
        began: 0,
        base: mailbox.seq(),
        select: text("select"),
        expand: text("expand"),
        filter: text("filter"),
        change: text("changetype"),
        size: odata::max_page_size(request)
            .unwrap_or(10)
            .clamp(1, MAX_PAGE),
        left: odata::number(request, "top")?.map(|n| n as usize),
        hidden: request
            .option("includehiddenfolders")
            .is_some_and(|v| v.eq_ignore_ascii_case("true")),
        page: 0,
    })
}

/// The round a request goes on with, or a new one.
fn round(
    world: &World,
    request: &ApiRequest,
    mailbox: &Mailbox,
    folder: Option<No>,
) -> Result<Round, ApiResponse> {
    let token = request
        .option("skiptoken")
        .or_else(|| request.option("deltatoken"))
        .filter(|t| !t.is_empty());
    let Some(token) = token else {
        return start(request, mailbox, folder);
    };
    match world.tokens.open::<Round>("mail", token) {
        Ok(mut round) if round.folder == folder && round.mailbox == mailbox.user.id => {
            if let Some(size) = odata::max_page_size(request) {
                round.size = size.clamp(1, MAX_PAGE);
            }
            Ok(round)
        }
        Ok(_) | Err(TokenError::Malformed) => Err(ApiResponse::error(
            400,
            "SyncStateInvalid",
            "The sync state is invalid; a full synchronization is needed.",
        )),
        Err(TokenError::Expired) => Err(ApiResponse::error(
            410,
            "SyncStateNotFound",
            "The sync state generation is not found; a full synchronization is needed.",
        )
        .with_header("location", &format!("{}?$deltatoken=", request.own_url()))),
    }
}

/// The answer, with the link to the next page or the next round.
fn finish(
    world: &World,
    request: &ApiRequest,
    context: String,
    value: Vec<Value>,
    mut round: Round,
    more: bool,
    now: u64,
) -> ApiResponse {
    round.page += 1;
    let (name, option) = if more {
        ("@odata.nextLink", "skiptoken")
    } else {
        (round.after, round.began, round.base) = (now, now, now);
        (round.left, round.page) = (None, 0);
        ("@odata.deltaLink", "deltatoken")
    };
    let mut page = odata::page(context, None, value, None);
    page[name] = json!(format!(
        "{}?${option}={}",
        request.own_url(),
        world.tokens.seal("mail", &round)
    ));
    ApiResponse::ok(page)
}

/// `GET /users/{id}/mailFolders/delta`: the whole hierarchy below the visible root.
pub fn folders(
    world: &World,
    mailbox: &Mailbox,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiResponse> {
    let mut round = round(world, request, mailbox, None)?;
    let select = Select::parse(
        round.select.as_deref(),
        "microsoft.graph.mailFolder",
        folders::KNOWN,
    )?;
    let wanted = Wanted::parse(round.expand.as_deref().unwrap_or_default());
    let root = mailbox.well_known("msgfolderroot");
    let mut changed: Vec<_> = mailbox
        .folders
        .iter()
        .filter(|f| f.seq > round.after && f.no != root && (round.hidden || !f.hidden))
        .filter(|f| {
            if f.deleted {
                f.seq > round.base
            } else {
                mailbox.is_below(f.no, root)
            }
        })
        .collect();
    changed.sort_by_key(|f| f.seq);
    let more = changed.len() > round.size;
    changed.truncate(round.size);
    round.after = changed.last().map_or(round.after, |f| f.seq);
    let follows = round.began > 0;
    changed.retain(|f| {
        let told = Told {
            seq: f.seq,
            gone: f.deleted,
            moved: false,
            follows,
        };
        !lost(&world.options, told)
    });
    let value: Vec<Value> = changed
        .iter()
        .map(|folder| {
            if folder.deleted {
                return json!({"@odata.type": "#microsoft.graph.mailFolder", "id": mailbox.ids.folder(folder.no), "@removed": {"reason": "deleted"}});
            }
            Value::Object(folders::show(mailbox, folder.no, &select, &wanted, request.version == Version::Beta))
        })
        .collect();
    let context = request.context("Collection(mailFolder)");
    Ok(finish(
        world,
        request,
        context,
        value,
        round,
        more,
        mailbox.seq(),
    ))
}

/// `GET /users/{id}/mailFolders/{id}/messages/delta`.
pub fn messages(
    world: &World,
    mailbox: &Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let mut round = round(world, request, mailbox, Some(no))?;
    let folder = mailbox.folder(no);
    if folder.deleted {
        return Err(item_not_found());
    }
    let view = View::new(request, round.select.as_deref(), round.expand.as_deref())?;
    let filter = filter(round.filter.as_deref())?;
    let order = request
        .option("orderby")
        .unwrap_or("receivedDateTime desc")
        .to_ascii_lowercase();
    if order.trim() != "receiveddatetime desc" {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Only receivedDateTime desc can be ordered by.",
        ));
    }
    let context = request.context("Collection(message)");
    if folder.kind == FolderKind::Search {
        return Ok(finish(
            world,
            request,
            context,
            Vec::new(),
            round,
            false,
            mailbox.seq(),
        ));
    }
    if world.options.has(Quirk::EmptyPages) && round.page % 3 == 1 {
        return Ok(finish(
            world,
            request,
            context,
            Vec::new(),
            round,
            true,
            mailbox.seq(),
        ));
    }

    let tells_read = view.select.wants("isRead");
    let trap = world.options.has(Quirk::MoveTrap) && view.immutable;
    let limit = round.size.min(round.left.unwrap_or(usize::MAX));
    let mut present = folder.changed_after(round.after).peekable();
    let mut gone = folder.gone_after(round.after.max(round.base)).peekable();
    // Ids whose leaving is told in this page, for the trap.
    let mut left: BTreeSet<No> = BTreeSet::new();
    let mut value = Vec::new();
    let mut more = false;
    loop {
        let next = match (present.peek(), gone.peek()) {
            (None, None) => break,
            (Some((a, _)), Some((b, _, _))) => a < b,
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        if value.len() >= limit {
            more = true;
            break;
        }
        if next {
            let Some((seq, item)) = present.next() else {
                break;
            };
            round.after = seq;
            if !mailbox.is_message(item) {
                continue;
            }
            let stored = mailbox.item(item);
            let told = Told {
                seq,
                gone: false,
                moved: stored.moves > 0 && seq == stored.entered,
                follows: round.began > 0,
            };
            if lost(&world.options, told) {
                continue;
            }
            let only_read = stored.seq_content <= round.began && round.began > 0;
            if (only_read && !tells_read) || (trap && left.contains(&item)) {
                continue;
            }
            if !wanted_change(round.change.as_deref(), round.began, mailbox, item) {
                continue;
            }
            if filter
                .as_ref()
                .is_some_and(|f| !f.matches(&MessageSubject::new(mailbox, item, f)))
            {
                continue;
            }
            let mut shown = message(mailbox, item, &view);
            if world.options.has(Quirk::PartialDelta) && only_read {
                shown.retain(|k, _| {
                    matches!(k.as_str(), "id" | "@odata.etag" | "isRead" | "changeKey")
                });
            }
            value.push(Value::Object(shown));
        } else {
            let Some((seq, item, moves)) = gone.next() else {
                break;
            };
            round.after = seq;
            if !mailbox.is_message(item) {
                continue;
            }
            let told = Told {
                seq,
                gone: true,
                moved: mailbox.item(item).folder != NOWHERE,
                follows: round.began > 0,
            };
            if lost(&world.options, told) {
                continue;
            }
            // With immutable ids what came back is simply there; default ids changed on the way.
            let back = mailbox.item(item).folder == no;
            if view.immutable && back && !trap {
                continue;
            }
            if round
                .change
                .as_deref()
                .is_some_and(|c| !c.contains("deleted"))
            {
                continue;
            }
            left.insert(item);
            let id = mailbox.ids.message(item, moves, view.immutable);
            value.push(json!({"@odata.type": "#microsoft.graph.message", "id": id, "@removed": {"reason": "deleted"}}));
        }
    }
    if world.options.has(Quirk::DuplicateItems)
        && let Some(again) = value.first().cloned()
    {
        value.push(again);
    }
    if let Some(left) = &mut round.left {
        *left = left.saturating_sub(value.len());
        more = more && *left > 0;
    }
    drop((present, gone));
    Ok(finish(
        world,
        request,
        context,
        value,
        round,
        more,
        mailbox.seq(),
    ))
}

/// `changeType=created|updated|deleted`.
fn wanted_change(change: Option<&str>, began: u64, mailbox: &Mailbox, item: No) -> bool {
    let Some(change) = change else { return true };
    // What was stored after the round began is new; its first number is not kept, so the number of
    // items at that time decides.
    let created = mailbox.born_after(item, began);
    (created && change.contains("created")) || (!created && change.contains("updated"))
}

/// Only `receivedDateTime ge|gt` can be filtered by.
fn filter(text: Option<&str>) -> Result<Option<Expr>, ApiResponse> {
    let Some(text) = text else { return Ok(None) };
    let expr = Expr::parse(text)?;
    let fits = matches!(&expr, Expr::Compare { path, op: crate::filter::Op::Ge | crate::filter::Op::Gt, .. } if path.eq_ignore_ascii_case("receivedDateTime"));
    if !fits {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Only receivedDateTime ge or gt can be filtered by in delta.",
        ));
    }
    Ok(Some(expr))
}
