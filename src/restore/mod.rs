//! restore
pub mod errno;
pub mod policy;
pub mod spool;
pub mod target;
