//! What the end-to-end tests share: a tenant, the program under test, somebody else's Graph client.

pub mod calendars;
pub mod clients;
pub mod corpus;
pub mod graph;
pub mod program;
pub mod tenant;

pub use tenant::{Mounted, Tenant, text};
