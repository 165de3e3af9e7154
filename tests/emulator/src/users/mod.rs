//! The directory: users, and the routes below `/users` and `/me` that are about the user itself.

mod categories;
mod organization;
mod routes;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::{ApiRequest, ApiResponse};
use crate::mail;
use crate::world::World;

pub use routes::{denied, handle};
pub use settings::{Personal, Settings, needed as settings_needed};

/// What kind of mailbox a user has (`mailboxSettings/userPurpose`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    User,
    Shared,
    Room,
    Equipment,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::User => "user",
            Purpose::Shared => "shared",
            Purpose::Room => "room",
            Purpose::Equipment => "equipment",
        }
    }
}

/// One user object. Immutable; a change puts a new one in its place.
#[derive(Debug, Clone)]
pub struct User {
    /// GUID, lower case.
    pub id: String,
    pub upn: String,
    pub display_name: String,
    pub given_name: Option<String>,
    pub surname: Option<String>,
    pub mail: Option<String>,
    pub job_title: Option<String>,
    pub account_enabled: bool,
    pub guest: bool,
    /// Mailbox kind; `None` for users without a mailbox.
    pub mailbox: Option<Purpose>,
    /// Made with the tenant; a user made later begins with nothing.
    pub generated: bool,
    /// The user has a OneDrive.
    pub has_drive: bool,
    /// Place in the order of creation, from 0.
    pub index: usize,
}

struct Entry {
    user: Arc<User>,
    /// Number of the last change of the directory that touched this user.
    seq: u64,
    deleted: bool,
}

/// All users, and those that were.
#[derive(Default)]
pub struct Directory {
    entries: Vec<Entry>,
    /// Index by id and by user principal name, lower case; living users only.
    by_name: HashMap<String, usize>,
    seq: u64,
}

impl Directory {
    pub fn new(users: Vec<User>) -> Directory {
        let mut out = Directory::default();
        for user in users {
            out.insert(user);
        }
        out
    }

    pub fn find(&self, id_or_upn: &str) -> Option<Arc<User>> {
        let index = self.by_name.get(&id_or_upn.to_lowercase())?;
        self.entries.get(*index).map(|e| e.user.clone())
    }

    pub fn all(&self) -> Vec<Arc<User>> {
        self.entries
            .iter()
            .filter(|e| !e.deleted)
            .map(|e| e.user.clone())
            .collect()
    }

    fn insert(&mut self, mut user: User) -> Arc<User> {
        self.seq += 1;
        user.index = self.entries.len();
        let user = Arc::new(user);
        self.by_name.insert(user.id.clone(), user.index);
        self.by_name.insert(user.upn.to_lowercase(), user.index);
        self.entries.push(Entry {
            user: user.clone(),
            seq: self.seq,
            deleted: false,
        });
        user
    }

    fn replace(&mut self, user: User) {
        self.seq += 1;
        let seq = self.seq;
        let index = user.index;
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        self.by_name.remove(&entry.user.upn.to_lowercase());
        self.by_name.insert(user.upn.to_lowercase(), index);
        entry.user = Arc::new(user);
        entry.seq = seq;
    }

    fn remove(&mut self, user: &User) {
        self.seq += 1;
        self.by_name.remove(&user.id);
        self.by_name.remove(&user.upn.to_lowercase());
        if let Some(entry) = self.entries.get_mut(user.index) {
            entry.deleted = true;
            entry.seq = self.seq;
        }
    }
}

/// The user whose mailbox a request below `/users/{id}` is about. Refuses users that do not exist,
/// callers without any of the permissions in `needed`, bodies too large for Exchange, and users
/// without a mailbox.
pub fn admit(
    world: &World,
    request: &ApiRequest,
    needed: &[&str],
) -> Result<Arc<User>, ApiResponse> {
    let id = request.segment(1);
    let user = world.user(id).ok_or_else(|| {
        ApiResponse::error(
            404,
            "ErrorInvalidUser",
            &format!("The requested user '{id}' is invalid."),
        )
    })?;
    if !request.caller.has_any(needed) {
        return Err(mail::denied());
    }
    if request.body.len() > mail::MAX_BODY {
        return Err(ApiResponse::empty(413));
    }
    match user.mailbox {
        Some(_) => Ok(user),
        None => Err(no_mailbox()),
    }
}

pub fn not_found(id: &str) -> ApiResponse {
    ApiResponse::error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

pub fn no_mailbox() -> ApiResponse {
    ApiResponse::error(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )
}
