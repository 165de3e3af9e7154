//! The accounts of a tenant.

use serde::{Deserialize, Serialize};

/// A user object that may have a mailbox or a drive (people, shared mailboxes, rooms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Object id (GUID): what never changes.
    pub id: String,
    /// User principal name: how the mount names the account's folder.
    pub upn: String,
    pub display_name: String,
    /// Primary address, if any.
    pub mail: Option<String>,
    /// False for shared mailboxes, rooms, and people who were switched off.
    pub enabled: bool,
    /// A guest owns neither mailbox nor drive.
    pub guest: bool,
}
