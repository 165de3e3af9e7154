//! The emulator over real HTTP, by the checklists of what Graph does.

mod auth;
mod batch;
mod corpus;
mod delta;
mod faults;
mod mail;
mod support;
mod tls;
