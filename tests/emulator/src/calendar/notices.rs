//! What Exchange would send out about meetings.
//!
//! A handler collects [`Notice`]s while it holds its user's calendars; they go out afterwards: into the
//! outbox of the emulator, and into the calendars of attendees who are in the tenant.

use serde_json::json;

use super::deliver::deliver;
use super::store::Which;
use crate::clock::rfc3339;
use crate::users::User;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Update,
    Cancellation,
    Response,
    Forward,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Request => "meetingRequest",
            Kind::Update => "meetingUpdate",
            Kind::Cancellation => "meetingCancellation",
            Kind::Response => "meetingResponse",
            Kind::Forward => "meetingForward",
        }
    }
}

/// One mail about a meeting.
#[derive(Debug, Clone)]
pub struct Notice {
    pub kind: Kind,
    /// Addresses.
    pub to: Vec<String>,
    pub subject: String,
    pub which: Which,
    pub uid: String,
    /// What the sender wrote.
    pub comment: String,
    /// What an attendee answered.
    pub response: &'static str,
}

/// Sends out what was collected; nobody's calendars may be held.
pub fn send(world: &World, from: &User, notices: Vec<Notice>) {
    let time = rfc3339(world.clock.now());
    for notice in notices {
        world.outbox.lock().push(json!({
            "kind": notice.kind.as_str(), "from": from.upn, "to": notice.to, "subject": notice.subject,
            "iCalUId": notice.uid, "comment": notice.comment, "response": notice.response, "time": time,
        }));
        deliver(world, from, &notice);
    }
}
