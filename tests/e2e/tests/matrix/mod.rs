//! The restore matrix: every kind of thing, put back in every way there is, through the mount with `cp`
//! and `rsync` and through `tenantfs restore`. README's table names the tests; one of them holds the
//! table to it.
//!
//! A kind is a [`row::Row`]: how its things are made, found and removed through Graph. [`cells`] are the
//! ways, the same for all kinds; what only one kind can do is in its own module. Each module captures a
//! tenant of its own once ([`stage`]), in which every test has accounts to itself. What came back is
//! compared by meaning, a dry run is held against the run it foretold, and the outbox stays empty.

mod account;
mod archive;
mod attached;
mod calendar;
mod cells;
mod contacts;
mod libraries;
mod lists;
mod mailbox;
mod onedrive;
mod readme;
mod row;
mod stage;
mod tasks;
