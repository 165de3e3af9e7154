//! Speaks Microsoft Graph: sign-in, transport, limits, paging, batches, downloads, uploads. Knows
//! nothing of repositories or files.
//!
//! [`Client`] is the way in: describe a request as a [`Call`], send it, get an answer or a
//! [`GraphError`] whose class says what to do. Everything that can be cured by waiting, signing in
//! again or asking again has been done by then.

pub mod auth;
mod batch;
mod call;
mod client;
pub mod cloud;
mod download;
mod error;
mod import;
pub mod json;
pub mod limiter;
mod page;
pub mod quickxor;
mod retry;
pub mod sharepoint;
pub mod sites;
mod stats;
mod transport;
mod upload;
pub mod users;

pub use auth::Credential;
pub use batch::{BATCH, Part};
pub use call::{Call, odata_quote, segment};
pub use client::{Client, ClientConfig, USER_AGENT};
pub use cloud::{Cloud, Endpoints};
pub use download::{Download, hash_of};
pub use error::{ErrorClass, Failure, GraphError};
pub use import::ImportError;
pub use limiter::{Limits, Scope};
pub use page::{Listing, Onward};
pub use retry::Patience;
pub use stats::RouteCount;
pub use transport::Answer;
pub use upload::{DRIVE_FRAGMENT, DRIVE_UNIT, MAIL_FRAGMENT, Source, Upload, UploadError};
