//! Messages as owners of attachments.

use serde_json::json;

use super::content::{Attachment, Content};
use super::ids::No;
use super::item_not_found;
use super::store::{Mailbox, NOWHERE};
use crate::api::{ApiResponse, RawRequest};
use crate::attachments::{ItemKey, Owner, Uploads, sessions};
use crate::world::World;

/// One message of a mailbox.
pub struct Message<'a> {
    pub mailbox: &'a mut Mailbox,
    pub no: No,
}

impl Owner for Message<'_> {
    const COLLECTION: &'static str = "messages";

    fn user(&self) -> &str {
        &self.mailbox.user.id
    }

    fn seed(&self) -> u64 {
        self.mailbox.seed
    }

    fn key(&self) -> ItemKey {
        (self.no, None)
    }

    fn id(&self, immutable: bool) -> String {
        self.mailbox.message_id(self.no, immutable)
    }

    fn attachment_id(&self, number: u32, immutable: bool) -> String {
        let moves = self.mailbox.item(self.no).moves;
        let ids = &self.mailbox.ids;
        ids.attachment(self.no, moves, immutable, number)
    }

    fn parse_attachment(&self, id: &str) -> Option<u32> {
        self.mailbox.ids.parse_attachment(id).map(|(_, n)| n)
    }

    fn all(&self) -> Vec<Attachment> {
        Content::of(self.mailbox, self.no).attachments()
    }

    /// Attachments bump the message's change key and modification time.
    fn store(&mut self, world: &World, all: Vec<Attachment>) {
        let has = all.iter().any(|a| !a.is_inline);
        let detail = self.mailbox.detail_mut(self.no);
        detail.attachments = Some(all);
        detail.props.insert("hasAttachments".into(), json!(has));
        detail.modified = world.clock.now();
        self.mailbox.touch(self.no, true);
    }

    fn next_number(&mut self, after: u32) -> u32 {
        let detail = self.mailbox.detail_mut(self.no);
        let number = detail.next_attachment.max(after);
        detail.next_attachment = number + 1;
        number
    }

    fn uploads(&mut self) -> &mut Uploads {
        &mut self.mailbox.uploads
    }
}

/// A request to an `uploadUrl` below `/_upload/mail/`.
pub fn upload(world: &World, request: &RawRequest) -> ApiResponse {
    let run = || {
        let (user, key) = sessions::open(world, request)?;
        let mailbox = world.mail.get(&user).ok_or_else(sessions::gone)?;
        let mut mailbox = mailbox.lock();
        let (no, _) = mailbox.uploads.item(world, &key)?;
        if mailbox.item(no).folder == NOWHERE {
            return Err(item_not_found());
        }
        let mailbox = &mut *mailbox;
        sessions::handle(world, request, &key, &mut Message { mailbox, no })
    };
    run().unwrap_or_else(|refusal| refusal)
}
