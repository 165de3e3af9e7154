//! Delta of folders below one folder, and of the items of one.
//!
//! As in mail: a token holds the options of the first call and the number of the last change that was
//! told.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folders::{KNOWN, Scope};
use super::items::{self, View};
use crate::api::{ApiRequest, ApiResponse};
use crate::delta::TokenError;
use crate::filter::{Expr, Op};
use crate::losses::{Told, lost};
use crate::mail::ids::No;
use crate::mail::item_not_found;
use crate::mail::properties::Wanted;
use crate::mail::store::{Folder, FolderKind, Mailbox, NOWHERE};
use crate::odata::{self, Select};
use crate::options::Quirk;

/// Largest page.
const MAX_PAGE: usize = 1000;

/// Where a round stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    /// `items` or `folders`.
    what: String,
    mailbox: String,
    folder: No,
    /// All changes up to here have been told.
    after: u64,
    /// What left before this was never told as present.
    base: u64,
    select: Option<String>,
    expand: Option<String>,
    filter: Option<String>,
    size: usize,
    /// What `$top` of the first call still allows.
    left: Option<usize>,
    page: u64,
    /// It follows another one.
    follows: bool,
}

/// The round a request goes on with, or a new one.
fn round(
    scope: &Scope<'_>,
    mailbox: &Mailbox,
    what: &str,
    folder: No,
) -> Result<Round, ApiResponse> {
    let request = scope.request;
    let token = request
        .option("skiptoken")
        .or_else(|| request.option("deltatoken"))
        .filter(|t| !t.is_empty());
    let Some(token) = token else {
        let text = |name: &str| request.option(name).map(str::to_owned);
        return Ok(Round {
            what: what.to_owned(),
            mailbox: scope.target.id.clone(),
            folder,
            after: 0,
            base: mailbox.seq(),
            select: text("select"),
            expand: text("expand"),
            filter: text("filter"),
            size: page_size(request).unwrap_or(10),
            left: odata::number(request, "top")?.map(|n| n as usize),
            page: 0,
            follows: false,
        });
    };
    match scope.world.tokens.open::<Round>("mailbox", token) {
        Ok(mut round)
            if (round.what.as_str(), round.folder) == (what, folder)
                && round.mailbox == scope.target.id =>
        {
            if let Some(size) = page_size(request) {
                round.size = size;
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

fn page_size(request: &ApiRequest) -> Option<usize> {
    odata::max_page_size(request).map(|n| n.clamp(1, MAX_PAGE))
}

/// The answer, with the link to the next page or the next round.
fn finish(
    scope: &Scope<'_>,
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
        (round.after, round.base) = (now, now);
        (round.left, round.page, round.follows) = (None, 0, true);
        ("@odata.deltaLink", "deltatoken")
    };
    let mut page = odata::page(context, None, value, None);
    let token = scope.world.tokens.seal("mailbox", &round);
    page[name] = json!(format!("{}?${option}={token}", scope.request.own_url()));
    ApiResponse::ok(page)
}

/// When a folder last left `parent`; 0 when it never did.
fn left(folder: &Folder, parent: No) -> u64 {
    let last = folder.left.iter().rev().find(|(_, from)| *from == parent);
    last.map_or(0, |(seq, _)| *seq)
}

/// `GET .../folders/delta`, `GET .../childFolders/delta`: the folders directly below `parent`.
pub fn folders(
    scope: &Scope<'_>,
    mailbox: &Mailbox,
    parent: No,
) -> Result<ApiResponse, ApiResponse> {
    let mut round = round(scope, mailbox, "folders", parent)?;
    let select = Select::parse(
        round.select.as_deref(),
        "microsoft.graph.mailboxFolder",
        KNOWN,
    )?;
    let wanted = Wanted::parse(round.expand.as_deref().unwrap_or_default());
    // Number of the change, the folder, whether it is there.
    let mut changed: Vec<(u64, No, bool)> = mailbox
        .folders
        .iter()
        .filter(|f| f.no != parent)
        .map(|f| match f.parent == parent && !f.deleted {
            true => (f.seq, f.no, true),
            false => (left(f, parent), f.no, false),
        })
        .filter(|(seq, _, there)| {
            *seq > if *there {
                round.after
            } else {
                round.after.max(round.base)
            }
        })
        .collect();
    changed.sort_unstable();
    let more = changed.len() > round.size;
    changed.truncate(round.size);
    let value = changed
        .iter()
        .map(|(_, no, there)| match there {
            true => Value::Object(scope.show(mailbox, *no, &select, &wanted)),
            false => json!({"@odata.type": "#microsoft.graph.mailboxFolder", "id": mailbox.ids.folder(*no), "@removed": {"reason": "deleted"}}),
        })
        .collect();
    round.after = changed.last().map_or(round.after, |(seq, ..)| *seq);
    let context = scope.context("/folders/$delta");
    Ok(finish(scope, context, value, round, more, mailbox.seq()))
}

/// `GET .../folders/{id}/items/delta`.
pub fn items(scope: &Scope<'_>, mailbox: &Mailbox, no: No) -> Result<ApiResponse, ApiResponse> {
    let mut round = round(scope, mailbox, "items", no)?;
    let folder = mailbox.folder(no);
    if folder.deleted {
        return Err(item_not_found());
    }
    let request = scope.request;
    let view = View::new(request, round.select.as_deref(), round.expand.as_deref())?;
    let filter = filter(round.filter.as_deref())?;
    if request
        .option("orderby")
        .is_some_and(|o| !o.trim().eq_ignore_ascii_case("receivedDateTime desc"))
    {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Only receivedDateTime desc can be ordered by.",
        ));
    }
    let context = scope.context(&format!(
        "/folders('{}')/items/$delta",
        mailbox.ids.folder(no)
    ));
    let now = mailbox.seq();
    let options = &scope.world.options;
    if folder.kind == FolderKind::Search {
        return Ok(finish(scope, context, Vec::new(), round, false, now));
    }
    if options.has(Quirk::EmptyPages) && round.page % 3 == 1 {
        return Ok(finish(scope, context, Vec::new(), round, true, now));
    }

    let trap = options.has(Quirk::MoveTrap) && view.immutable;
    let limit = round.size.min(round.left.unwrap_or(usize::MAX));
    let mut present = folder.changed_after(round.after).peekable();
    let mut gone = folder.gone_after(round.after.max(round.base)).peekable();
    let mut told_gone = std::collections::BTreeSet::new();
    let mut value = Vec::new();
    let mut more = false;
    while present.peek().is_some() || gone.peek().is_some() {
        if value.len() >= limit {
            more = true;
            break;
        }
        let first = present.next_if(|(a, _)| gone.peek().is_none_or(|(b, ..)| a < b));
        if let Some((seq, item)) = first {
            round.after = seq;
            let stored = mailbox.item(item);
            let told = Told {
                seq,
                gone: false,
                moved: stored.moves > 0 && seq == stored.entered,
                follows: round.follows,
            };
            if lost(options, told) {
                continue;
            }
            let wanted = filter
                .as_ref()
                .is_none_or(|f| items::matches(mailbox, item, f));
            if wanted && !(trap && told_gone.contains(&item)) {
                value.push(Value::Object(items::show(mailbox, item, &view)));
            }
        } else if let Some((seq, item, moves)) = gone.next() {
            round.after = seq;
            let told = Told {
                seq,
                gone: true,
                moved: mailbox.item(item).folder != NOWHERE,
                follows: round.follows,
            };
            if lost(options, told) {
                continue;
            }
            // With immutable ids what came back is simply there.
            if view.immutable && mailbox.item(item).folder == no && !trap {
                continue;
            }
            told_gone.insert(item);
            let id = mailbox.ids.message(item, moves, view.immutable);
            value.push(json!({"@odata.type": "#microsoft.graph.mailboxItem", "id": id, "@removed": {"reason": "deleted"}}));
        }
    }
    drop((present, gone));
    if options.has(Quirk::DuplicateItems)
        && let Some(again) = value.first().cloned()
    {
        value.push(again);
    }
    if let Some(left) = &mut round.left {
        *left = left.saturating_sub(value.len());
        more = more && *left > 0;
    }
    Ok(finish(scope, context, value, round, more, now))
}

/// Only `receivedDateTime ge|gt` can be filtered by.
fn filter(text: Option<&str>) -> Result<Option<Expr>, ApiResponse> {
    let Some(expr) = text.map(Expr::parse).transpose()? else {
        return Ok(None);
    };
    match &expr {
        Expr::Compare {
            path,
            op: Op::Ge | Op::Gt,
            ..
        } if path.eq_ignore_ascii_case("receivedDateTime") => Ok(Some(expr)),
        _ => Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Only receivedDateTime ge or gt can be filtered by in delta.",
        )),
    }
}
