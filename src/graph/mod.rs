//! Speaks Microsoft Graph: sign-in, transport, paging, batches, downloads, uploads. Knows nothing
//! of repositories or files.

mod error;
pub mod json;
pub mod users;

pub use error::{ErrorClass, Failure, GraphError};
