//! Exchange contacts: what Graph shows below `/users/{id}/contactFolders` and `/users/{id}/contacts`.
//!
//! Version 1.0 only: in beta a contact has other properties.

mod delta;
mod folders;
pub mod import;
mod items;
mod json;
pub mod photo;
mod store;
mod validate;

pub use store::{Book, DEFAULT, Detail, Photo};

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use parking_lot::{Mutex, RwLock};

use crate::api::{ApiRequest, ApiResponse, Version};
use crate::mail::ids::No;
use crate::users;
use crate::world::World;

/// All address books, by user id.
#[derive(Default)]
pub struct Books {
    by_user: RwLock<HashMap<String, Arc<Mutex<Book>>>>,
}

impl Books {
    /// The book of a user; one that was made later begins empty.
    pub fn get(&self, user: &Arc<users::User>, tenant_seed: u64) -> Arc<Mutex<Book>> {
        if let Some(book) = self.by_user.read().get(&user.id) {
            return book.clone();
        }
        let mut all = self.by_user.write();
        let new = || Arc::new(Mutex::new(Book::new(user.clone(), tenant_seed)));
        all.entry(user.id.clone()).or_insert_with(new).clone()
    }

    pub fn insert(&self, book: Book) {
        self.by_user
            .write()
            .insert(book.user.id.clone(), Arc::new(Mutex::new(book)));
    }
}

/// Makes the book of a user with `count` generated contacts.
pub fn generate(user: &Arc<users::User>, tenant_seed: u64, count: No) -> Book {
    let mut book = Book::new(user.clone(), tenant_seed);
    if count > 0 {
        let layout = crate::seed::contacts::layout(&mut book);
        let key = book.seed;
        book.generate(count, |no| crate::seed::contacts::place(key, &layout, no));
    }
    book
}

const READ: &[&str] = &["Contacts.Read", "Contacts.ReadWrite"];
const WRITE: &[&str] = &["Contacts.ReadWrite"];

/// Answers what is contacts below `/users/{id}`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    if !path.first()?.eq_ignore_ascii_case("users") || request.version == Version::Beta {
        return None;
    }
    let what = path.get(2)?.to_ascii_lowercase();
    if !matches!(what.as_str(), "contacts" | "contactfolders") {
        return None;
    }
    Some(route(world, request, &path, &what).unwrap_or_else(|refusal| refusal))
}

fn route(
    world: &World,
    request: &ApiRequest,
    path: &[&str],
    what: &str,
) -> Result<ApiResponse, ApiResponse> {
    let read = request.method == Method::GET;
    let user = users::admit(world, request, if read { READ } else { WRITE })?;
    let book = world.contacts.get(&user, world.options.seed);
    let mut book = book.lock();
    let rest = &path[3..];
    let response = match what {
        "contacts" => items::route(world, &mut book, request, None, rest),
        _ => folders::route(world, &mut book, request, rest),
    }?;
    Ok(match request.immutable_ids() {
        true => response.with_header("preference-applied", "IdType=\"ImmutableId\""),
        false => response,
    })
}

/// The refusal of an id that leads nowhere: gone, or no id at all.
fn missing(id: &str) -> ApiResponse {
    let looks_right = id.len() > 60
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='));
    match looks_right {
        true => crate::mail::item_not_found(),
        false => ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."),
    }
}
