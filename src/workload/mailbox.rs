//! What everything in a mailbox has in common.

use crate::graph::{Call, Scope};

use super::Account;

/// Ids that survive moves. Must be on every request, also on links.
pub(super) const IMMUTABLE: &str = "IdType=\"ImmutableId\"";

/// The budget that requests to this mailbox count against.
pub(super) fn scope(account: &Account) -> Scope {
    Scope::Mailbox(account.id.clone())
}

/// Counts a call against its mailbox and asks for immutable ids.
pub(super) fn of(account: &Account, call: Call) -> Call {
    call.scope(scope(account), 1).prefer(IMMUTABLE)
}
