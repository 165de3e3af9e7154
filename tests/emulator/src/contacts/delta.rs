//! Delta of the contacts in a folder, and of the contact folders.

use serde_json::{Value, json};

use super::folders;
use super::json::{View, contact};
use super::store::Book;
use crate::api::{ApiRequest, ApiResponse};
use crate::feed::Change;
use crate::mail::ids::No;
use crate::rounds;
use crate::world::World;

fn removed(kind: &str, id: String) -> Value {
    json!({"@odata.type": format!("#microsoft.graph.{kind}"), "id": id, "@removed": {"reason": "deleted"}})
}

/// `GET .../contacts/delta`.
pub fn contacts(
    world: &World,
    book: &Book,
    request: &ApiRequest,
    folder: No,
) -> Result<ApiResponse, ApiResponse> {
    if request.option("expand").is_some() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "$expand is not supported with delta of contacts.",
        ));
    }
    let of = format!("contacts {} {folder}", book.user.id);
    let round = rounds::round(world, request, &of, book.seq())?;
    let view = View::new(request, round.select.as_deref(), None)?;
    Ok(rounds::answer(
        world,
        request,
        request.context("Collection(contact)"),
        round,
        book.seq(),
        |round, limit| {
            let feed = &book.folder(folder).feed;
            feed.after(round.after, round.base, limit)
        },
        |change| match change.gone {
            true => removed("contact", book.contact_id(change.no, view.immutable)),
            false => Value::Object(contact(book, change.no, &view)),
        },
    ))
}

/// `GET /users/{id}/contactFolders/delta`: all that is below the default folder.
pub fn folders(
    world: &World,
    book: &Book,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiResponse> {
    let of = format!("contactFolders {}", book.user.id);
    let round = rounds::round(world, request, &of, book.seq())?;
    let view = folders::View::new(round.select.as_deref(), round.expand.as_deref())?;
    Ok(rounds::answer(
        world,
        request,
        request.context("Collection(contactFolder)"),
        round,
        book.seq(),
        |round, limit| {
            let mut all: Vec<Change> = book
                .folders
                .iter()
                .filter(|f| f.seq > round.after && f.no != super::DEFAULT)
                .filter(|f| round.hidden || !f.hidden)
                .filter(|f| !f.deleted || f.seq > round.base)
                .map(|f| Change {
                    seq: f.seq,
                    no: f.no,
                    gone: f.deleted,
                })
                .collect();
            all.sort_unstable_by_key(|c| c.seq);
            let more = all.len() > limit;
            all.truncate(limit);
            (all, more)
        },
        |change| match change.gone {
            true => removed("contactFolder", book.folder_id(change.no)),
            false => Value::Object(folders::show(book, change.no, &view)),
        },
    ))
}
