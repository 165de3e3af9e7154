//! The mailbox import and export API over real HTTP, by the checklist of what Exchange does.
//!
//! Exchanges are held against Microsoft's schema at the end of each test that makes no wrong requests,
//! where the checker is to be found.

mod export;
mod folders;
mod import;
mod items;
mod mailboxes;
mod stream;
mod support;
