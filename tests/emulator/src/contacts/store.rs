//! One address book: contact folders, what is in them, and the order in which things changed.
//!
//! A generated contact that nobody touched is 16 bytes here and is made when it is asked for; what was
//! created, imported or edited has a [`Detail`]. Contact folders and contacts are numbered apart from
//! the mail of the same mailbox by [`BASE`], so that no id means two things.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::feed::Feed;
use crate::mail::ids::{Ids, No, Parsed};
use crate::mail::properties::Extended;
use crate::odata::Object;
use crate::rng::Rng;
use crate::users::User;

/// What is added to the number of a folder or contact before an id is made of it.
const BASE: No = 0x4000_0000;
/// Number of `msgfolderroot` among the mail folders of every mailbox: the parent of the default folder.
const MSG_FOLDER_ROOT: No = 1;
/// Number of the default folder.
pub const DEFAULT: No = 0;
/// In no folder: deleted.
const NOWHERE: No = No::MAX;

#[derive(Debug, Clone, Copy)]
pub struct Item {
    pub folder: No,
    /// Last change.
    pub seq: u64,
}

/// Everything of a contact.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    /// Properties in Graph's form that are not at their default.
    pub props: Object,
    pub extended: Extended,
    pub photo: Option<Photo>,
    /// Open extensions, by `id` (their name).
    pub extensions: Vec<Object>,
    /// Seconds since 1970.
    pub created: i64,
    pub modified: i64,
}

#[derive(Debug, Clone)]
pub struct Photo {
    pub bytes: Bytes,
    pub content_type: String,
}

#[derive(Debug, Clone)]
pub struct Folder {
    pub no: No,
    pub name: String,
    /// Itself for the default folder.
    pub parent: No,
    pub hidden: bool,
    /// `IPF.Contact`, or what a system folder has.
    pub class: &'static str,
    pub extended: Extended,
    pub seq: u64,
    pub deleted: bool,
    pub feed: Feed,
}

pub struct Book {
    pub user: Arc<User>,
    pub ids: Ids,
    /// Key of this book's generated content.
    pub seed: u64,
    pub folders: Vec<Folder>,
    items: Vec<Item>,
    details: HashMap<No, Box<Detail>>,
    seq: u64,
}

impl Book {
    /// A book with nothing but the default folder and the system's.
    pub fn new(user: Arc<User>, tenant_seed: u64) -> Book {
        let ids = Ids::of(&user.id, tenant_seed);
        let seed = Rng::new(tenant_seed, &format!("contacts {}", user.id)).next();
        let mut book = Book {
            user,
            ids,
            seed,
            folders: Vec::new(),
            items: Vec::new(),
            details: HashMap::new(),
            seq: 0,
        };
        book.add_folder("Contacts", DEFAULT);
        for (name, class) in SYSTEM {
            let no = book.add_folder(name, DEFAULT);
            let folder = &mut book.folders[no as usize];
            (folder.hidden, folder.class) = (true, class);
        }
        book
    }

    /// Number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    // Folders

    pub fn add_folder(&mut self, name: &str, parent: No) -> No {
        let no = self.folders.len() as No;
        let seq = self.next_seq();
        self.folders.push(Folder {
            no,
            name: name.to_owned(),
            parent,
            hidden: false,
            class: "IPF.Contact",
            extended: Extended::default(),
            seq,
            deleted: false,
            feed: Feed::default(),
        });
        no
    }

    pub fn folder(&self, no: No) -> &Folder {
        &self.folders[no as usize]
    }

    pub fn folder_id(&self, no: No) -> String {
        self.ids.folder(BASE + no)
    }

    /// Id of the folder a folder is in; that of the default folder is one of the mail folders.
    pub fn parent_id(&self, no: No) -> String {
        match no {
            DEFAULT => self.ids.folder(MSG_FOLDER_ROOT),
            _ => self.folder_id(self.folder(no).parent),
        }
    }

    /// A folder by its id, or the default one by its alias.
    pub fn find_folder(&self, id: &str) -> Option<No> {
        if id.eq_ignore_ascii_case("contacts") {
            return Some(DEFAULT);
        }
        let no = self.ids.parse_folder(id)?.checked_sub(BASE)?;
        self.folders
            .get(no as usize)
            .filter(|f| !f.deleted)
            .map(|f| f.no)
    }

    /// The system made it: it cannot be renamed or deleted.
    pub fn is_distinguished(&self, no: No) -> bool {
        no as usize <= SYSTEM.len()
    }

    pub fn children(&self, parent: No) -> impl Iterator<Item = &Folder> + '_ {
        self.folders
            .iter()
            .filter(move |f| f.parent == parent && f.no != parent && !f.deleted)
    }

    /// How many folders are above this one.
    pub fn depth(&self, mut no: No) -> usize {
        let mut depth = 0;
        while no != DEFAULT {
            no = self.folder(no).parent;
            depth += 1;
        }
        depth
    }

    pub fn touch_folder(&mut self, no: No) {
        let seq = self.next_seq();
        self.folders[no as usize].seq = seq;
    }

    /// Deletes a folder with all that is in it.
    pub fn remove_folder(&mut self, no: No) {
        let below: Vec<No> = self.children(no).map(|f| f.no).collect();
        for child in below {
            self.remove_folder(child);
        }
        for item in self.folder(no).feed.members() {
            self.remove(item);
        }
        let seq = self.next_seq();
        let folder = &mut self.folders[no as usize];
        (folder.deleted, folder.seq) = (true, seq);
    }

    // Contacts

    /// Fills a new book with generated contacts at once; `place` tells the folder of each.
    pub fn generate(&mut self, count: No, mut place: impl FnMut(No) -> No) {
        let mut by_folder: Vec<Vec<(u64, No)>> = vec![Vec::new(); self.folders.len()];
        self.items.reserve_exact(count as usize);
        for no in 0..count {
            let folder = place(no);
            let seq = self.next_seq();
            by_folder[folder as usize].push((seq, no));
            self.items.push(Item { folder, seq });
        }
        for (folder, members) in self.folders.iter_mut().zip(by_folder) {
            folder.feed.fill(members);
        }
    }

    pub fn add(&mut self, folder: No, detail: Detail) -> No {
        let no = self.items.len() as No;
        let seq = self.next_seq();
        self.items.push(Item { folder, seq });
        self.details.insert(no, Box::new(detail));
        self.folders[folder as usize].feed.put(None, seq, no);
        no
    }

    pub fn item(&self, no: No) -> Item {
        self.items[no as usize]
    }

    pub fn contact_id(&self, no: No, immutable: bool) -> String {
        self.ids.message(BASE + no, 0, immutable)
    }

    /// A contact by either of its ids.
    pub fn find(&self, id: &str) -> Option<No> {
        let (Parsed::Default { no, .. } | Parsed::Immutable { no }) = self.ids.parse_message(id)?;
        let no = no.checked_sub(BASE)?;
        self.items
            .get(no as usize)
            .filter(|i| i.folder != NOWHERE)
            .map(|_| no)
    }

    /// What was written of a contact, else what is generated.
    pub fn detail(&self, no: No) -> Cow<'_, Detail> {
        match self.details.get(&no) {
            Some(detail) => Cow::Borrowed(&**detail),
            None => Cow::Owned(crate::seed::contacts::detail(self, no)),
        }
    }

    /// The same for changing it; count the change with [`Book::touch`].
    pub fn detail_mut(&mut self, no: No) -> &mut Detail {
        if !self.details.contains_key(&no) {
            let made = crate::seed::contacts::detail(self, no);
            self.details.insert(no, Box::new(made));
        }
        self.details.entry(no).or_default()
    }

    /// Contacts that have been written to, in no order.
    pub fn written(&self) -> impl Iterator<Item = (No, &Detail)> + '_ {
        self.details.iter().map(|(no, detail)| (*no, &**detail))
    }

    /// Counts a change of a contact.
    pub fn touch(&mut self, no: No, now: i64) {
        let seq = self.next_seq();
        self.detail_mut(no).modified = now;
        let item = &mut self.items[no as usize];
        let before = std::mem::replace(&mut item.seq, seq);
        if let Some(folder) = self.folders.get_mut(item.folder as usize) {
            folder.feed.put(Some(before), seq, no);
        }
    }

    pub fn remove(&mut self, no: No) {
        let seq = self.next_seq();
        let item = &mut self.items[no as usize];
        let before = std::mem::replace(&mut item.seq, seq);
        let folder = std::mem::replace(&mut item.folder, NOWHERE);
        if let Some(folder) = self.folders.get_mut(folder as usize) {
            folder.feed.remove(before, seq, no);
        }
        self.details.remove(&no);
    }
}

/// Hidden folders of the system below the default one, with their classes.
const SYSTEM: &[(&str, &str)] = &[
    ("ExternalContacts", "IPF.Contact"),
    ("GAL Contacts", "IPF.Contact.GalContacts"),
    ("Recipient Cache", "IPF.Contact.RecipientCache"),
    (
        "Organizational Contacts",
        "IPF.Contact.OrganizationalContacts",
    ),
    (
        "PeopleCentricConversation Buddies",
        "IPF.Contact.PeopleCentricConversationBuddies",
    ),
    (
        "{06967759-274D-40B2-A3EB-D7F9E73727D7}",
        "IPF.Contact.MOC.QuickContacts",
    ),
];
