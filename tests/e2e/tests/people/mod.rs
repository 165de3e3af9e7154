//! Contacts, tasks and mailbox settings, end to end: captured, mounted, put back by everybody's tools
//! and by the command line. Every restore ends with the question whether anything was sent to anyone.

mod contacts;
mod corpus;
mod settings;
mod support;
mod tasks;
