//! One mailbox: folders, what is in them, and the order in which things changed.
//!
//! Every change takes the next number of the mailbox's sequence. A folder keeps its members by the
//! number of their last change, and what left it by the number of its leaving; so a delta round from
//! number S is a range of both, and costs what changed, whatever the folder holds.
//!
//! An untouched generated message is 40 bytes here. What was created, imported or edited has a
//! [`Detail`] besides.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::{Attachment, Origin};
use super::ids::{Ids, No, Parsed};
use super::properties::Extended;
use crate::users::User;

/// In no folder: deleted for good.
pub const NOWHERE: No = No::MAX;

/// What is always known of a message.
#[derive(Debug, Clone)]
pub struct Item {
    pub folder: No,
    /// Times it was moved; part of its default id.
    pub moves: u32,
    /// Last change of any kind.
    pub seq: u64,
    /// Last change of anything but `isRead`.
    pub seq_content: u64,
    /// When it came into its folder.
    pub entered: u64,
    /// Seconds since 1970.
    pub received: i64,
    pub is_read: bool,
    pub is_draft: bool,
}

/// What a message that is not just generated has besides.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    pub origin: Origin,
    /// Properties in Graph's form: all of them for created and imported messages, the changed ones
    /// for generated ones.
    pub props: Map<String, Value>,
    pub extended: Extended,
    /// Set as soon as attachments were added or removed; before, they are those of the content.
    pub attachments: Option<Vec<Attachment>>,
    /// Raises the number of the next attachment.
    pub next_attachment: u32,
    /// lastModifiedDateTime; 0 when unchanged since creation.
    pub modified: i64,
}

/// How a folder is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderKind {
    Normal,
    /// A search for flagged messages: `#microsoft.graph.mailSearchFolder`.
    Search,
}

#[derive(Debug, Clone)]
pub struct Folder {
    pub no: No,
    pub name: String,
    pub parent: No,
    /// `IPF.Note`, or `None` as for some system folders.
    pub class: Option<Cow<'static, str>>,
    pub hidden: bool,
    pub kind: FolderKind,
    pub well_known: Option<&'static str>,
    pub extended: Extended,
    pub seq: u64,
    pub deleted: bool,
    /// Folders it was moved out of, or was in when it was deleted, with the number of that change.
    pub left: Vec<(u64, No)>,
    /// In the second of the mailboxes that an auto-expanding archive is made of.
    pub auxiliary: bool,
    pub unread: u32,
    members: BTreeMap<u64, No>,
    /// What left, by the number of its leaving, with the moves it had then.
    gone: BTreeMap<u64, (No, u32)>,
    /// Members by received time, newest first; made when asked for.
    sorted: Option<Arc<Vec<No>>>,
}

impl Folder {
    /// How many messages are in it.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Members whose last change is after `seq`, in the order of change.
    pub fn changed_after(&self, seq: u64) -> impl Iterator<Item = (u64, No)> + '_ {
        self.members
            .range(seq.saturating_add(1)..)
            .map(|(s, n)| (*s, *n))
    }

    /// What left after `seq`, in the order of leaving: number, message, its moves then.
    pub fn gone_after(&self, seq: u64) -> impl Iterator<Item = (u64, No, u32)> + '_ {
        self.gone
            .range(seq.saturating_add(1)..)
            .map(|(s, (n, m))| (*s, *n, *m))
    }

    pub fn members(&self) -> impl Iterator<Item = No> + '_ {
        self.members.values().copied()
    }
}

pub struct Mailbox {
    pub user: Arc<User>,
    pub ids: Ids,
    /// Key of this mailbox's generated content, and of what the whole tenant shares.
    pub seed: u64,
    pub tenant_seed: u64,
    /// Names and addresses of the colleagues.
    pub people: Arc<Vec<(String, String)>>,
    pub folders: Vec<Folder>,
    pub items: Vec<Item>,
    pub details: HashMap<No, Box<Detail>>,
    /// How many of `items`, from the first, are generated.
    pub generated: No,
    pub sessions: HashMap<String, super::attachments::Session>,
    seq: u64,
}

impl Mailbox {
    pub fn new(user: Arc<User>, tenant_seed: u64, people: Arc<Vec<(String, String)>>) -> Mailbox {
        let label = format!("mailbox {}", user.id);
        Mailbox::labelled(&label, user, tenant_seed, people)
    }

    /// A mailbox whose ids and content come from a label of its own: a user's archive.
    pub fn labelled(
        label: &str,
        user: Arc<User>,
        tenant_seed: u64,
        people: Arc<Vec<(String, String)>>,
    ) -> Mailbox {
        let mut rng = crate::rng::Rng::new(tenant_seed, label);
        let (guid, seed) = (rng.bytes16(), rng.next());
        Mailbox {
            user,
            ids: Ids::new(guid),
            seed,
            tenant_seed,
            people,
            folders: Vec::new(),
            items: Vec::new(),
            details: HashMap::new(),
            generated: 0,
            sessions: HashMap::new(),
            seq: 0,
        }
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

    pub fn add_folder(&mut self, name: &str, parent: No, well_known: Option<&'static str>) -> No {
        let no = self.folders.len() as No;
        let seq = self.next_seq();
        self.folders.push(Folder {
            no,
            name: name.to_owned(),
            parent,
            class: Some(Cow::Borrowed("IPF.Note")),
            hidden: false,
            kind: FolderKind::Normal,
            well_known,
            extended: Extended::default(),
            seq,
            deleted: false,
            left: Vec::new(),
            auxiliary: false,
            unread: 0,
            members: BTreeMap::new(),
            gone: BTreeMap::new(),
            sorted: None,
        });
        no
    }

    /// A folder by id or well-known name.
    pub fn find_folder(&self, id: &str) -> Option<No> {
        let no = match self.ids.parse_folder(id) {
            Some(no) => no,
            None => {
                let name = id.to_ascii_lowercase();
                let name = if name == "root" { "nonipmroot" } else { &name };
                self.folders.iter().find(|f| f.well_known == Some(name))?.no
            }
        };
        self.folders
            .get(no as usize)
            .filter(|f| !f.deleted)
            .map(|f| f.no)
    }

    pub fn folder(&self, no: No) -> &Folder {
        &self.folders[no as usize]
    }

    pub fn well_known(&self, name: &str) -> No {
        self.folders
            .iter()
            .find(|f| f.well_known == Some(name))
            .map_or(0, |f| f.no)
    }

    pub fn children(&self, parent: No) -> impl Iterator<Item = &Folder> + '_ {
        self.folders
            .iter()
            .filter(move |f| f.parent == parent && !f.deleted && f.no != parent)
    }

    /// True when `no` is `ancestor` or somewhere below it.
    pub fn is_below(&self, mut no: No, ancestor: No) -> bool {
        for _ in 0..=self.folders.len() {
            if no == ancestor {
                return true;
            }
            let parent = self.folder(no).parent;
            if parent == no {
                return false;
            }
            no = parent;
        }
        false
    }

    /// Counts a change of a folder itself.
    pub fn touch_folder(&mut self, no: No) {
        let seq = self.next_seq();
        self.folders[no as usize].seq = seq;
    }

    /// Marks a folder as gone; its members and children are the caller's.
    pub fn drop_folder(&mut self, no: No) {
        let seq = self.next_seq();
        let folder = &mut self.folders[no as usize];
        folder.deleted = true;
        folder.left.push((seq, folder.parent));
        folder.seq = seq;
    }

    /// Puts a folder below another.
    pub fn move_folder(&mut self, no: No, parent: No) {
        let seq = self.next_seq();
        let folder = &mut self.folders[no as usize];
        if folder.parent != parent {
            folder.left.push((seq, folder.parent));
        }
        folder.parent = parent;
        folder.seq = seq;
    }

    // Messages

    /// Fills a new mailbox with generated messages at once; `place` tells folder, time and state.
    pub fn generate(&mut self, count: No, mut place: impl FnMut(No) -> Item) {
        let mut by_folder: Vec<Vec<(u64, No)>> = vec![Vec::new(); self.folders.len()];
        self.items.reserve_exact(count as usize);
        for no in 0..count {
            let mut item = place(no);
            let seq = self.next_seq();
            (item.seq, item.seq_content, item.entered) = (seq, seq, seq);
            by_folder[item.folder as usize].push((seq, no));
            self.folders[item.folder as usize].unread += u32::from(!item.is_read);
            self.items.push(item);
        }
        for (folder, members) in self.folders.iter_mut().zip(by_folder) {
            folder.members = members.into_iter().collect();
        }
        self.generated = count;
    }

    /// Adds a message; its number.
    pub fn add(&mut self, mut item: Item, detail: Detail) -> No {
        let no = self.items.len() as No;
        let folder = item.folder;
        let seq = self.next_seq();
        (item.seq, item.seq_content, item.entered) = (seq, seq, seq);
        let unread = !item.is_read;
        self.items.push(item);
        self.details.insert(no, Box::new(detail));
        self.enter(no, folder, seq, unread);
        no
    }

    /// Puts another message in the place of one: same id, same folder.
    pub fn replace(&mut self, no: No, item: Item, detail: Detail) {
        let seq = self.next_seq();
        let old = self.items[no as usize].clone();
        self.items[no as usize] = Item {
            folder: old.folder,
            moves: old.moves,
            entered: old.entered,
            seq,
            seq_content: seq,
            ..item
        };
        self.details.insert(no, Box::new(detail));
        let is_read = self.items[no as usize].is_read;
        if let Some(folder) = self.folders.get_mut(old.folder as usize) {
            folder.members.remove(&old.seq);
            folder.members.insert(seq, no);
            folder.unread =
                folder.unread.saturating_sub(u32::from(!old.is_read)) + u32::from(!is_read);
            folder.sorted = None;
        }
    }

    /// False for what is in a mail folder and not a message that mail routes could show.
    pub fn is_message(&self, no: No) -> bool {
        !matches!(
            self.details.get(&no).map(|d| &d.origin),
            Some(Origin::Stream(_))
        )
    }

    fn enter(&mut self, no: No, folder: No, seq: u64, unread: bool) {
        let folder = &mut self.folders[folder as usize];
        folder.members.insert(seq, no);
        folder.unread += u32::from(unread);
        folder.sorted = None;
    }

    fn leave(&mut self, no: No, seq: u64) {
        let item = &self.items[no as usize];
        let Some(folder) = self.folders.get_mut(item.folder as usize) else {
            return;
        };
        folder.members.remove(&item.seq);
        folder.gone.insert(seq, (no, item.moves));
        folder.unread = folder.unread.saturating_sub(u32::from(!item.is_read));
        folder.sorted = None;
    }

    /// Moves a message; `NOWHERE` deletes it for good.
    pub fn move_to(&mut self, no: No, folder: No) {
        let seq = self.next_seq();
        self.leave(no, seq);
        let item = &mut self.items[no as usize];
        item.folder = folder;
        item.moves += 1;
        (item.seq, item.seq_content, item.entered) = (seq, seq, seq);
        let unread = !item.is_read;
        if folder == NOWHERE {
            self.details.remove(&no);
        } else {
            self.enter(no, folder, seq, unread);
        }
    }

    /// Counts a change of a message. `content`: something else than `isRead` changed.
    pub fn touch(&mut self, no: No, content: bool) {
        let seq = self.next_seq();
        let item = &mut self.items[no as usize];
        let before = item.seq;
        item.seq = seq;
        if content {
            item.seq_content = seq;
        }
        if let Some(folder) = self.folders.get_mut(item.folder as usize) {
            folder.members.remove(&before);
            folder.members.insert(seq, no);
        }
    }

    pub fn set_read(&mut self, no: No, read: bool) {
        let item = &mut self.items[no as usize];
        if item.is_read == read {
            return;
        }
        item.is_read = read;
        if let Some(folder) = self.folders.get_mut(item.folder as usize) {
            folder.unread = if read {
                folder.unread.saturating_sub(1)
            } else {
                folder.unread + 1
            };
        }
    }

    /// A message by either of its ids. A default id from before a move is no longer known.
    pub fn find(&self, id: &str) -> Option<No> {
        let no = match self.ids.parse_message(id)? {
            Parsed::Immutable { no } => no,
            Parsed::Default { no, moves } => {
                self.items.get(no as usize).filter(|i| i.moves == moves)?;
                no
            }
        };
        self.items
            .get(no as usize)
            .filter(|i| i.folder != NOWHERE)
            .map(|_| no)
    }

    pub fn item(&self, no: No) -> &Item {
        &self.items[no as usize]
    }

    pub fn detail_mut(&mut self, no: No) -> &mut Detail {
        self.details.entry(no).or_default()
    }

    /// Id of a message as the caller wants to see it.
    pub fn message_id(&self, no: No, immutable: bool) -> String {
        self.ids.message(no, self.item(no).moves, immutable)
    }

    /// True when a message came into its folder after change number `seq`.
    pub fn born_after(&self, no: No, seq: u64) -> bool {
        self.item(no).entered > seq
    }

    /// Members of a folder, newest first.
    pub fn newest_first(&mut self, folder: No) -> Arc<Vec<No>> {
        if let Some(sorted) = &self.folders[folder as usize].sorted {
            return sorted.clone();
        }
        let mut all: Vec<No> = self.folders[folder as usize].members().collect();
        all.sort_by_key(|no| {
            (
                std::cmp::Reverse(self.items[*no as usize].received),
                std::cmp::Reverse(*no),
            )
        });
        let all = Arc::new(all);
        self.folders[folder as usize].sorted = Some(all.clone());
        all
    }
}
