//! The least requests that Graph allows, for what a tenant holds: counted from the tenant itself, as
//! another application sees it, and by what the service offers, not by what tenantfs does.
//!
//! One page for what fits into a page, one request for what can only be asked for by itself: the MIME of
//! a mail, the content of a file, the photo of a contact, the exceptions of a series, an attachment.
//! What has a delta costs one request a folder in a cycle without changes; settings and calendars have
//! none that can be used, and are asked for again.

use anyhow::Result;
use e2e::graph::Graph;
use serde_json::Value;

/// Largest pages of lists and deltas.
const USERS: usize = 999;
const MAIL: usize = 1000;
const EVENTS: usize = 999;
const CONTACTS: usize = 1000;
const DRIVE: usize = 500;
/// To Do gives this many at once.
const TASKS: usize = 200;
/// What the settings of a mailbox are made of: its own, categories, rules, and who is focused on.
const SETTINGS: u64 = 4;

/// A part of the tenant: its requests are told by their routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Directory,
    Mail,
    Archive,
    Calendar,
    Contacts,
    Tasks,
    Settings,
    Drive,
}

/// All of them, with their names.
pub const PARTS: [(Part, &str); 8] = [
    (Part::Directory, "users and sites"),
    (Part::Mail, "mail"),
    (Part::Archive, "archive mailboxes"),
    (Part::Calendar, "calendars"),
    (Part::Contacts, "contacts"),
    (Part::Tasks, "tasks"),
    (Part::Settings, "settings"),
    (Part::Drive, "drives"),
];

impl Part {
    /// The part that a route belongs to.
    pub fn of(route: &str) -> Part {
        let has = |names: &[&str]| names.iter().any(|name| route.contains(name));
        match () {
            () if has(&[
                "mailboxSettings",
                "outlook",
                "messageRules",
                "inferenceClassification",
            ]) =>
            {
                Part::Settings
            }
            () if has(&["/exchange", "mailboxes"]) => Part::Archive,
            () if has(&["/todo"]) => Part::Tasks,
            () if has(&["/contact"]) => Part::Contacts,
            () if has(&["/calendar", "/events"]) => Part::Calendar,
            () if has(&["/mailFolders", "/messages"]) => Part::Mail,
            () if has(&["/drive"]) => Part::Drive,
            () => Part::Directory,
        }
    }
}

/// Requests of a first sync, and of a cycle in which nothing changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    pub first: u64,
    pub idle: u64,
}

impl Least {
    /// So many entries in pages; in a cycle without changes it is one.
    fn list(entries: usize, page: usize) -> Least {
        Least {
            first: entries.div_ceil(page).max(1) as u64,
            idle: 1,
        }
    }

    /// Asked for once, and again when it changes.
    fn once(requests: usize) -> Least {
        Least {
            first: requests as u64,
            idle: 0,
        }
    }

    /// The same in every cycle.
    fn always(requests: u64) -> Least {
        Least {
            first: requests,
            idle: requests,
        }
    }
}

impl std::ops::AddAssign for Least {
    fn add_assign(&mut self, other: Least) {
        self.first += other.first;
        self.idle += other.idle;
    }
}

/// The least for each of [`PARTS`], in their order.
pub fn count(graph: &Graph) -> Result<[Least; PARTS.len()]> {
    let users = graph.list("/users?$top=999")?;
    let mut all = [Least::default(); PARTS.len()];
    let mut add = |part: Part, least: Least| all[part as usize] += least;
    add(Part::Directory, Least::list(users.len(), USERS));
    // The list of all sites; that of changed sites begins where the first ends.
    add(Part::Directory, Least::always(1));
    for user in &users {
        let mailbox = Mailbox {
            graph,
            user: text(user, "id"),
        };
        if mailbox.there() {
            add(Part::Mail, mailbox.mail());
            add(Part::Archive, Least::once(1));
            add(Part::Calendar, mailbox.calendars());
            add(Part::Contacts, mailbox.contacts());
            add(Part::Tasks, mailbox.tasks());
            add(Part::Settings, Least::always(SETTINGS));
        }
        add(Part::Drive, mailbox.drive());
    }
    Ok(all)
}

/// What a user has.
struct Mailbox<'a> {
    graph: &'a Graph,
    user: &'a str,
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

impl Mailbox<'_> {
    /// All of a list; nothing if the user has no such thing.
    fn all(&self, path: &str) -> Vec<Value> {
        let path = format!("/users/{}/{path}", self.user);
        self.graph.list(&path).unwrap_or_default()
    }

    fn there(&self) -> bool {
        let inbox = format!("/users/{}/mailFolders/inbox", self.user);
        self.graph.get(&inbox).is_ok()
    }

    fn mail(&self) -> Least {
        let folders = self.all("mailFolders/delta?includeHiddenFolders=true");
        let mut least = Least::list(folders.len(), MAIL);
        for folder in &folders {
            // What a search folder finds is in other folders.
            if folder["@odata.type"] != "#microsoft.graph.mailSearchFolder" {
                let id = text(folder, "id");
                let list = format!("mailFolders/{id}/messages?$top=1000&$select=id");
                let mails = self.all(&list).len();
                least += Least::list(mails, MAIL);
                least += Least::once(mails);
            }
        }
        least
    }

    /// The list of calendars and that of their groups, who is in each but the default one, and all events
    /// of every calendar that the mailbox owns; a series and what has attachments once more.
    fn calendars(&self) -> Least {
        let all = self.all("calendars?$top=100");
        let groups = self.all("calendarGroups?$top=100").len().max(1);
        let owner = |calendar: &&Value| calendar["owner"]["address"].clone();
        let me = all
            .iter()
            .find(|c| c["isDefaultCalendar"] == true)
            .as_ref()
            .map(owner);
        let mut least = Least::always(1 + groups as u64);
        for calendar in all.iter().filter(|c| Some(owner(c)) == me) {
            let events = self.all(&format!(
                "calendars/{}/events?$top=500",
                text(calendar, "id")
            ));
            let pages = events.len().div_ceil(EVENTS).max(1) as u64;
            least += Least::always(pages);
            let series = |event: &&Value| event["type"] == "seriesMaster";
            let files = |event: &&Value| event["hasAttachments"] == true;
            least += Least::once(events.iter().filter(series).count());
            least += Least::once(events.iter().filter(files).count());
        }
        least
    }

    /// The folders, the contacts of each, and a photo of each contact: nothing tells who has none.
    fn contacts(&self) -> Least {
        let mut folders = vec!["contacts".to_owned()];
        let listed = self.all("contactFolders/delta");
        folders.extend(listed.iter().map(|folder| text(folder, "id").to_owned()));
        let mut least = Least::list(folders.len(), CONTACTS);
        for folder in &folders {
            let contacts = self
                .all(&format!("contactFolders/{folder}/contacts?$top=500"))
                .len();
            least += Least::list(contacts, CONTACTS);
            least += Least::once(contacts);
        }
        least
    }

    /// The lists, the tasks of each but of that of flagged mails, and of a task with attachments their
    /// list and each of them.
    fn tasks(&self) -> Least {
        let lists = self.all("todo/lists?$top=100");
        let mut least = Least::list(lists.len(), TASKS);
        for list in lists
            .iter()
            .filter(|l| l["wellknownListName"] != "flaggedEmails")
        {
            let path = format!("todo/lists/{}/tasks", text(list, "id"));
            let tasks = self.all(&format!("{path}?$top=500"));
            least += Least::list(tasks.len(), TASKS);
            for task in tasks.iter().filter(|task| task["hasAttachments"] == true) {
                let files = self.all(&format!("{path}/{}/attachments", text(task, "id")));
                least += Least::once(1 + files.len());
            }
        }
        least
    }

    fn drive(&self) -> Least {
        let items = self.all("drive/root/delta");
        if items.is_empty() {
            return Least::default();
        }
        let mut least = Least::list(items.len(), DRIVE);
        let files = |item: &&Value| item.get("file").is_some();
        least += Least::once(items.iter().filter(files).count());
        least
    }
}
