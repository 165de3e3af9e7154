//! Events as owners of attachments. On one day of a series they are those of the series until they are
//! changed there, which makes the day an exception.

use super::notices::{Kind, Notice, send};
use super::store::{Book, Which};
use super::{item_not_found, write};
use crate::api::{ApiRequest, ApiResponse, RawRequest};
use crate::attachments::{self, Attachment, ItemKey, Owner, Uploads, sessions};
use crate::mail::ids::Ids;
use crate::world::World;

struct Event<'a> {
    book: &'a mut Book,
    which: Which,
    /// Attachments were changed.
    changed: bool,
}

impl Event<'_> {
    fn ids(&self) -> &Ids {
        &self.book.ids
    }
}

impl Owner for Event<'_> {
    const COLLECTION: &'static str = "events";

    fn user(&self) -> &str {
        &self.book.user.id
    }

    fn seed(&self) -> u64 {
        self.book.seed
    }

    fn key(&self) -> ItemKey {
        (self.which.no, self.which.day)
    }

    fn id(&self, immutable: bool) -> String {
        self.book.event_id(self.which, immutable)
    }

    fn attachment_id(&self, number: u32, immutable: bool) -> String {
        self.book.attachment_id(self.which, immutable, number)
    }

    fn parse_attachment(&self, id: &str) -> Option<u32> {
        self.ids().parse_attachment(id).map(|(_, n)| n)
    }

    fn all(&self) -> Vec<Attachment> {
        let record = self.book.record(self.which.no);
        record.attachments_on(self.which.day).to_vec()
    }

    fn store(&mut self, world: &World, all: Vec<Attachment>) {
        let now = world.clock.now();
        let day = self.which.day;
        self.changed = true;
        self.book.change(self.which.no, |record| {
            record.modified = now;
            match day {
                None => record.attachments = all,
                Some(day) => {
                    let exception = record.exceptions.entry(day).or_default();
                    exception.attachments = Some(all);
                    exception.modified = now;
                }
            }
        });
    }

    fn next_number(&mut self, after: u32) -> u32 {
        self.book.change(self.which.no, |record| {
            let number = record.next_attachment.max(after);
            record.next_attachment = number + 1;
            number
        })
    }

    fn uploads(&mut self) -> &mut Uploads {
        &mut self.book.uploads
    }
}

/// Everything below `.../events/{id}/attachments`. Attendees hear of what is added and removed.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    which: Which,
    rest: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let mut owner = Event {
        book,
        which,
        changed: false,
    };
    let answer = attachments::route(world, &mut owner, request, rest)?;
    tell(owner, notices);
    Ok(answer)
}

fn tell(owner: Event<'_>, notices: &mut Vec<Notice>) {
    let Event {
        book,
        which,
        changed,
    } = owner;
    let record = book.record(which.no);
    if changed && record.notifies(which.day) {
        let to = record.attendees(which.day);
        notices.push(write::notice(book, which, Kind::Update, to));
    }
}

/// A request to an `uploadUrl` below `/_upload/calendar/`.
pub fn upload(world: &World, request: &RawRequest) -> ApiResponse {
    let mut notices = Vec::new();
    let mut run = || {
        let (user, key) = sessions::open(world, request)?;
        let book = world.calendars.get(&user).ok_or_else(sessions::gone)?;
        let mut book = book.lock();
        let (no, day) = book.uploads.item(world, &key)?;
        let which = Which { no, day };
        if book.find(&book.event_id(which, true)).is_none() {
            return Err(item_not_found());
        }
        let from = book.user.clone();
        let mut owner = Event {
            book: &mut book,
            which,
            changed: false,
        };
        let answer = sessions::handle(world, request, &key, &mut owner)?;
        tell(owner, &mut notices);
        Ok((answer, from))
    };
    match run() {
        Ok((answer, from)) => {
            send(world, &from, notices);
            answer
        }
        Err(refusal) => refusal,
    }
}
