//! Tasks of To Do as VTODOs (RFC 5545 section 3.6.2) and back.
//!
//! A file holds one task. Its steps are VTODOs of their own, each RELATED-TO the task (that is how
//! other programs write subtasks); its links are LINK properties (RFC 9253), its files ATTACH.
//!
//! Pure: the same record and files give the same bytes.

mod read;
mod write;

pub use read::{Refused, Task, read};
pub use write::write;

/// A file that is attached to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As it is shown.
    pub name: String,
    /// MIME type.
    pub content_type: Option<String>,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl File {
    /// The told content type, or the most general one.
    pub fn content_type(&self) -> &str {
        let told = self.content_type.as_deref().filter(|told| !told.is_empty());
        told.unwrap_or("application/octet-stream")
    }
}

/// Statuses of a task, and what VTODO has for them. VTODO has fewer, so the others are told beside.
const STATUSES: [(&str, &str); 5] = [
    ("notStarted", "NEEDS-ACTION"),
    ("inProgress", "IN-PROCESS"),
    ("completed", "COMPLETED"),
    ("waitingOnOthers", "NEEDS-ACTION"),
    ("deferred", "NEEDS-ACTION"),
];

/// Where a status is told that VTODO does not have.
const STATUS: &str = "X-TODO-STATUS";
/// Parameters of LINK: the program that made it, and its name for what it leads to.
const APPLICATION: &str = "X-APPLICATION";
const EXTERNAL_ID: &str = "X-EXTERNAL-ID";
/// Parameter of ATTACH: the name of the file.
const FILE_NAME: &str = "X-FILENAME";
/// Parameter of a time whose zone nobody knows: what it is called.
const ZONE: &str = "X-TIMEZONE";

#[cfg(test)]
mod tests;
