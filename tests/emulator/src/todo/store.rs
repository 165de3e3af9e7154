//! One person's To Do: lists, tasks, and the order in which things changed.
//!
//! There are few tasks, so they are kept whole. Lists and tasks are numbered apart from the mail and
//! contacts of the same mailbox by [`BASE`], so that no id means two things.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::feed::Feed;
use crate::mail::ids::{Ids, No, Parsed};
use crate::odata::Object;
use crate::rng::Rng;
use crate::users::User;

const BASE: No = 0x6000_0000;
/// In no list: deleted.
const NOWHERE: No = No::MAX;

#[derive(Debug, Clone)]
pub struct List {
    pub no: No,
    pub name: String,
    /// `defaultList`, `flaggedEmails`, or `none`.
    pub known: &'static str,
    pub extensions: Vec<Object>,
    pub seq: u64,
    pub deleted: bool,
    pub feed: Feed,
}

/// A file attached to a task.
#[derive(Debug, Clone)]
pub struct File {
    pub no: u32,
    pub name: String,
    pub content_type: String,
    pub bytes: Bytes,
    /// Milliseconds since 1970.
    pub modified: i64,
}

/// Everything of a task.
#[derive(Debug, Clone, Default)]
pub struct Task {
    pub list: No,
    /// Last change.
    pub seq: u64,
    /// Properties in Graph's form; what is not there is at its default.
    pub props: Object,
    /// Checklist items and linked resources, with their ids.
    pub steps: Vec<Object>,
    pub links: Vec<Object>,
    pub files: Vec<File>,
    /// Number of the next file.
    pub next_file: u32,
    pub extensions: Vec<Object>,
    /// Milliseconds since 1970.
    pub created: i64,
    pub modified: i64,
    pub body_modified: i64,
}

/// An upload under way.
pub struct Session {
    pub task: No,
    pub name: String,
    pub content_type: String,
    pub size: u64,
    pub bytes: BytesMut,
    /// Seconds since 1970.
    pub expires: i64,
}

pub struct Board {
    pub user: Arc<User>,
    pub ids: Ids,
    pub seed: u64,
    pub lists: Vec<List>,
    tasks: Vec<Task>,
    pub sessions: HashMap<String, Session>,
    seq: u64,
}

impl Board {
    /// A board with the two lists everybody has.
    pub fn new(user: Arc<User>, tenant_seed: u64) -> Board {
        let ids = Ids::of(&user.id, tenant_seed);
        let seed = Rng::new(tenant_seed, &format!("todo {}", user.id)).next();
        let mut board = Board {
            user,
            ids,
            seed,
            lists: Vec::new(),
            tasks: Vec::new(),
            sessions: HashMap::new(),
            seq: 0,
        };
        board.add_list("Tasks", "defaultList");
        board.add_list("Flagged Emails", "flaggedEmails");
        board
    }

    /// Number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// An id for something inside a task.
    pub fn fresh_id(&mut self) -> String {
        let seq = self.next_seq();
        Rng::at(self.seed, seq).guid()
    }

    // Lists

    pub fn add_list(&mut self, name: &str, known: &'static str) -> No {
        let no = self.lists.len() as No;
        let seq = self.next_seq();
        self.lists.push(List {
            no,
            name: name.to_owned(),
            known,
            extensions: Vec::new(),
            seq,
            deleted: false,
            feed: Feed::default(),
        });
        no
    }

    pub fn list(&self, no: No) -> &List {
        &self.lists[no as usize]
    }

    pub fn list_mut(&mut self, no: No) -> &mut List {
        &mut self.lists[no as usize]
    }

    pub fn list_id(&self, no: No) -> String {
        self.ids.folder(BASE + no)
    }

    pub fn find_list(&self, id: &str) -> Option<No> {
        let no = self.ids.parse_folder(id)?.checked_sub(BASE)?;
        self.lists
            .get(no as usize)
            .filter(|l| !l.deleted)
            .map(|l| l.no)
    }

    pub fn touch_list(&mut self, no: No) {
        let seq = self.next_seq();
        self.list_mut(no).seq = seq;
    }

    /// Deletes a list with its tasks.
    pub fn remove_list(&mut self, no: No) {
        for task in self.list(no).feed.members() {
            self.remove(task);
        }
        self.touch_list(no);
        self.list_mut(no).deleted = true;
    }

    // Tasks

    pub fn add(&mut self, list: No, task: Task) -> No {
        let no = self.tasks.len() as No;
        let seq = self.next_seq();
        self.tasks.push(Task { list, seq, ..task });
        self.list_mut(list).feed.put(None, seq, no);
        no
    }

    pub fn task(&self, no: No) -> &Task {
        &self.tasks[no as usize]
    }

    /// For changing a task; count the change with [`Board::touch`].
    pub fn task_mut(&mut self, no: No) -> &mut Task {
        &mut self.tasks[no as usize]
    }

    pub fn task_id(&self, no: No) -> String {
        self.ids.message(BASE + no, 0, false)
    }

    pub fn file_id(&self, no: No, file: u32) -> String {
        self.ids.attachment(BASE + no, 0, false, file)
    }

    /// A task of a list by its id.
    pub fn find(&self, list: No, id: &str) -> Option<No> {
        let Parsed::Default { no, moves: 0 } = self.ids.parse_message(id)? else {
            return None;
        };
        let no = no.checked_sub(BASE)?;
        self.tasks
            .get(no as usize)
            .filter(|t| t.list == list)
            .map(|_| no)
    }

    pub fn touch(&mut self, no: No, now_ms: i64) {
        let seq = self.next_seq();
        let task = &mut self.tasks[no as usize];
        task.modified = now_ms;
        let before = std::mem::replace(&mut task.seq, seq);
        if let Some(list) = self.lists.get_mut(task.list as usize) {
            list.feed.put(Some(before), seq, no);
        }
    }

    pub fn remove(&mut self, no: No) {
        let seq = self.next_seq();
        let task = &mut self.tasks[no as usize];
        let gone = Task {
            list: NOWHERE,
            seq,
            ..Task::default()
        };
        let before = std::mem::replace(task, gone);
        if let Some(list) = self.lists.get_mut(before.list as usize) {
            list.feed.remove(before.seq, seq, no);
        }
    }
}
