//! A Microsoft Graph of our own: what tenantfs is tested and demonstrated against.
//!
//! It shares no code with the client, so both cannot share a mistake.

pub mod api;
pub mod auth;
pub mod clock;
pub mod counts;
pub mod delta;
pub mod drive;
pub mod faults;
pub mod log;
pub mod mail;
pub mod options;
pub mod rng;
pub mod throttle;
pub mod users;
pub mod world;
