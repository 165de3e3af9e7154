//! A tenant made from a number: who is in it, and what is in their mailboxes.
//!
//! Everything is a pure function of the seed, so nothing of it is kept: a message is made when it is
//! asked for, the same every time.

pub mod archive;
pub mod mail;
pub mod people;
pub mod words;

/// The day the generated past ends: 2026-11-01T00:00:00Z. Fixed, so that a tenant is the same whenever
/// it is made.
pub const ANCHOR: i64 = 1_793_491_200;
