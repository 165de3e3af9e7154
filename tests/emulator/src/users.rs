//! The directory: users, and the routes below `/users` and `/me` that are about the user itself.

use std::collections::HashMap;
use std::sync::Arc;

/// What kind of mailbox a user has (`mailboxSettings/userPurpose`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    User,
    Shared,
    Room,
    Equipment,
}

/// One user object. Immutable; a change puts a new one in its place.
#[derive(Debug, Clone)]
pub struct User {
    /// GUID, lower case.
    pub id: String,
    pub upn: String,
    pub display_name: String,
    pub given_name: String,
    pub surname: String,
    pub mail: Option<String>,
    pub job_title: Option<String>,
    pub account_enabled: bool,
    /// `Member` or `Guest`.
    pub user_type: &'static str,
    /// Mailbox kind; `None` for users without a mailbox.
    pub mailbox: Option<Purpose>,
    /// The user has a OneDrive.
    pub has_drive: bool,
    /// Place in the order of creation, from 0.
    pub index: usize,
}

/// All users.
#[derive(Debug, Default)]
pub struct Directory {
    users: Vec<Arc<User>>,
    by_name: HashMap<String, usize>,
}

impl Directory {
    pub fn find(&self, id_or_upn: &str) -> Option<Arc<User>> {
        let index = self.by_name.get(&id_or_upn.to_ascii_lowercase())?;
        self.users.get(*index).cloned()
    }

    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.clone()
    }
}
