//! The writable tree, on a real mount, with a service behind it that a test controls.

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod policies;
mod scene;
mod tools;
