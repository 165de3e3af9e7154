//! OneDrive as a client meets it: over HTTP, against the checklist of the files API.
//!
//! Every exchange is logged and held against Microsoft's schema at the end of each test, where the
//! checker is to be found.

mod content;
mod delta;
mod items;
mod sharing;
mod support;
mod upload;

pub use support::{Answer, Graph};
