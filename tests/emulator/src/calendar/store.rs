//! One user's calendars: groups, calendars, what is in them, and the order in which things changed.
//!
//! As in [`crate::mail::store`]: every change takes the next number of the sequence, a calendar keeps
//! its events by the number of their last change and what left it by that of its leaving. A generated
//! event that nobody touched is a few numbers; its record is made when it is looked at.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::Mutex;

use super::record::{Record, Uid, day_number, day_of};
use crate::attachments::Uploads;
use crate::mail::ids::{Ids, No, Parsed};
use crate::mail::properties::Extended;
use crate::users::User;

/// In no calendar: deleted.
pub const NOWHERE: No = No::MAX;

/// Group ids are calendar ids from here on.
const GROUPS: No = 1 << 31;

#[derive(Debug, Clone)]
pub struct Group {
    pub no: No,
    pub name: String,
    /// GUID.
    pub class: String,
    /// One of those every mailbox has.
    pub fixed: bool,
    pub seq: u64,
    pub deleted: bool,
}

#[derive(Debug, Clone)]
pub struct Calendar {
    pub no: No,
    pub name: String,
    pub group: No,
    pub color: String,
    /// Whose it is, when not the mailbox's user's.
    pub owner: Option<(String, String)>,
    /// False for what the service fills by itself.
    pub can_edit: bool,
    pub default: bool,
    pub removable: bool,
    pub extended: Extended,
    pub seq: u64,
    pub deleted: bool,
    members: BTreeMap<u64, No>,
    /// What left, by the number of its leaving.
    gone: BTreeMap<u64, No>,
}

impl Calendar {
    /// Events whose last change is after `seq`, in the order of change.
    pub fn changed_after(&self, seq: u64) -> impl Iterator<Item = (u64, No)> + '_ {
        let range = self.members.range(seq.saturating_add(1)..);
        range.map(|(s, n)| (*s, *n))
    }

    /// What left after `seq`, in the order of leaving.
    pub fn gone_after(&self, seq: u64) -> impl Iterator<Item = (u64, No)> + '_ {
        let range = self.gone.range(seq.saturating_add(1)..);
        range.map(|(s, n)| (*s, *n))
    }

    pub fn members(&self) -> impl Iterator<Item = No> + '_ {
        self.members.values().copied()
    }
}

/// What is always known of an event.
#[derive(Debug, Clone)]
pub struct Item {
    pub calendar: No,
    /// Last change.
    pub seq: u64,
    /// Instants between which it takes place; see [`Record::extent`].
    pub extent: (i64, i64),
}

/// What an event id stands for: an event or a series, or one day of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Which {
    pub no: No,
    pub day: Option<Date>,
}

/// What takes place in a calendar between two instants, by its start.
pub type Agenda = Arc<Vec<(i64, Which)>>;

/// The agenda that was worked out last: it is asked for page by page.
#[derive(Default)]
struct LastAgenda(Mutex<Option<((u64, No, (i64, i64)), Agenda)>>);

pub struct Book {
    pub user: Arc<User>,
    pub ids: Ids,
    /// Key of generated content, and of what the whole tenant shares.
    pub seed: u64,
    pub tenant_seed: u64,
    /// Names and addresses of the colleagues.
    pub people: Arc<Vec<(String, String)>>,
    pub groups: Vec<Group>,
    pub calendars: Vec<Calendar>,
    pub items: Vec<Item>,
    records: HashMap<No, Box<Record>>,
    /// `transactionId`s of events that were created with one.
    pub transactions: HashMap<String, No>,
    pub uploads: Uploads,
    seq: u64,
    last_agenda: LastAgenda,
}

impl Book {
    pub fn new(user: Arc<User>, tenant_seed: u64, people: Arc<Vec<(String, String)>>) -> Book {
        let mut rng = crate::rng::Rng::new(tenant_seed, &format!("calendars {}", user.id));
        let (guid, seed) = (rng.bytes16(), rng.next());
        Book {
            user,
            ids: Ids::new(guid),
            seed,
            tenant_seed,
            people,
            groups: Vec::new(),
            calendars: Vec::new(),
            items: Vec::new(),
            records: HashMap::new(),
            transactions: HashMap::new(),
            uploads: Uploads::default(),
            seq: 0,
            last_agenda: LastAgenda::default(),
        }
    }

    /// Number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The agenda of a calendar in a window; made anew only when it isn't the one that was asked for last,
    /// or anything changed since.
    pub fn agenda(
        &self,
        calendar: No,
        window: (i64, i64),
        make: impl FnOnce() -> Vec<(i64, Which)>,
    ) -> Agenda {
        let wanted = (self.seq, calendar, window);
        let mut last = self.last_agenda.0.lock();
        match &*last {
            Some((which, agenda)) if *which == wanted => agenda.clone(),
            _ => {
                let agenda = Arc::new(make());
                *last = Some((wanted, agenda.clone()));
                agenda
            }
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    // Groups and calendars

    pub fn add_group(&mut self, name: &str, class: String, fixed: bool) -> No {
        let no = self.groups.len() as No;
        let seq = self.next_seq();
        self.groups.push(Group {
            no,
            name: name.to_owned(),
            class,
            fixed,
            seq,
            deleted: false,
        });
        no
    }

    pub fn group_id(&self, no: No) -> String {
        self.ids.folder(GROUPS | no)
    }

    pub fn find_group(&self, id: &str) -> Option<No> {
        let no = self.ids.parse_folder(id)?.checked_sub(GROUPS)?;
        let group = self.groups.get(no as usize)?;
        (!group.deleted).then_some(no)
    }

    pub fn touch_group(&mut self, no: No) {
        self.groups[no as usize].seq = self.next_seq();
    }

    pub fn add_calendar(&mut self, name: &str, group: No) -> No {
        let no = self.calendars.len() as No;
        let seq = self.next_seq();
        self.calendars.push(Calendar {
            no,
            name: name.to_owned(),
            group,
            color: "auto".to_owned(),
            owner: None,
            can_edit: true,
            default: false,
            removable: true,
            extended: Extended::default(),
            seq,
            deleted: false,
            members: BTreeMap::new(),
            gone: BTreeMap::new(),
        });
        no
    }

    /// A calendar by its id, or the default one by the name `Calendar`.
    pub fn find_calendar(&self, id: &str) -> Option<No> {
        if id.eq_ignore_ascii_case("calendar") {
            return Some(self.default_calendar());
        }
        let no = self.ids.parse_folder(id)?;
        let calendar = self.calendars.get(no as usize)?;
        (!calendar.deleted).then_some(no)
    }

    pub fn default_calendar(&self) -> No {
        let default = self.calendars.iter().find(|c| c.default);
        default.map_or(0, |c| c.no)
    }

    pub fn calendar(&self, no: No) -> &Calendar {
        &self.calendars[no as usize]
    }

    pub fn living(&self) -> impl Iterator<Item = &Calendar> + '_ {
        self.calendars.iter().filter(|c| !c.deleted)
    }

    pub fn touch_calendar(&mut self, no: No) {
        self.calendars[no as usize].seq = self.next_seq();
    }

    pub fn drop_calendar(&mut self, no: No) {
        let members: Vec<No> = self.calendar(no).members().collect();
        for event in members {
            self.remove(event);
        }
        self.touch_calendar(no);
        self.calendars[no as usize].deleted = true;
    }

    // Events

    /// Fills new calendars with generated events at once; `place` tells calendar and extent.
    pub fn generate(&mut self, count: No, mut place: impl FnMut(No) -> (No, (i64, i64))) {
        let mut by_calendar: Vec<Vec<(u64, No)>> = vec![Vec::new(); self.calendars.len()];
        self.items.reserve_exact(count as usize);
        for no in 0..count {
            let (calendar, extent) = place(no);
            let seq = self.next_seq();
            by_calendar[calendar as usize].push((seq, no));
            self.items.push(Item {
                calendar,
                seq,
                extent,
            });
        }
        for (calendar, members) in self.calendars.iter_mut().zip(by_calendar) {
            calendar.members = members.into_iter().collect();
        }
    }

    pub fn add(&mut self, calendar: No, record: Record) -> No {
        let no = self.items.len() as No;
        let seq = self.next_seq();
        self.items.push(Item {
            calendar,
            seq,
            extent: record.extent(),
        });
        self.records.insert(no, Box::new(record));
        self.calendars[calendar as usize].members.insert(seq, no);
        no
    }

    pub fn item(&self, no: No) -> &Item {
        &self.items[no as usize]
    }

    pub fn record(&self, no: No) -> Cow<'_, Record> {
        match self.records.get(&no) {
            Some(record) => Cow::Borrowed(record),
            None => Cow::Owned(super::generate::record(self, no)),
        }
    }

    /// What `iCalUId` is made of, without the rest of the event.
    pub fn uid(&self, no: No) -> Uid {
        match self.records.get(&no) {
            Some(record) => record.uid.clone(),
            None => super::generate::uid(self, no),
        }
    }

    /// Changes an event: it gets a new change key, whatever `change` did.
    pub fn change<T>(&mut self, no: No, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = match self.records.remove(&no) {
            Some(record) => record,
            None => Box::new(super::generate::record(self, no)),
        };
        let out = change(&mut record);
        let seq = self.next_seq();
        let item = &mut self.items[no as usize];
        let before = std::mem::replace(&mut item.seq, seq);
        item.extent = record.extent();
        if let Some(calendar) = self.calendars.get_mut(item.calendar as usize) {
            calendar.members.remove(&before);
            calendar.members.insert(seq, no);
        }
        self.records.insert(no, record);
        out
    }

    /// Deletes an event. Its record stays, so that its occurrences can be told as removed.
    pub fn remove(&mut self, no: No) {
        let seq = self.next_seq();
        let item = &mut self.items[no as usize];
        let calendar = std::mem::replace(&mut item.calendar, NOWHERE);
        if let Some(calendar) = self.calendars.get_mut(calendar as usize) {
            calendar.members.remove(&item.seq);
            calendar.gone.insert(seq, no);
        }
        item.seq = seq;
        self.transactions.retain(|_, n| *n != no);
    }

    /// Events that were written, by number.
    pub fn written(&self) -> impl Iterator<Item = (No, &Record)> + '_ {
        let mut all: Vec<No> = self.records.keys().copied().collect();
        all.sort_unstable();
        all.into_iter()
            .filter_map(move |no| Some((no, &**self.records.get(&no)?)))
    }

    /// What an id stands for, if it is still there.
    pub fn find(&self, id: &str) -> Option<Which> {
        let (parsed, day) = match self.ids.parse_message(id) {
            Some(parsed) => (parsed, None),
            None => {
                let (parsed, day) = self.ids.parse_occurrence(id)?;
                (parsed, Some(day_of(day)?))
            }
        };
        // Events stay in their calendar, so the default id never changes.
        let no = match parsed {
            Parsed::Immutable { no } | Parsed::Default { no, moves: 0 } => no,
            Parsed::Default { .. } => return None,
        };
        let item = self.items.get(no as usize)?;
        let there = || day.is_none_or(|d| self.record(no).has_day(d));
        (item.calendar != NOWHERE && there()).then_some(Which { no, day })
    }

    /// Id of an event as the caller wants to see it.
    pub fn event_id(&self, which: Which, immutable: bool) -> String {
        match which.day {
            None => self.ids.message(which.no, 0, immutable),
            Some(day) => {
                let day = day_number(day);
                self.ids.occurrence(which.no, 0, immutable, day)
            }
        }
    }

    pub fn attachment_id(&self, which: Which, immutable: bool, number: u32) -> String {
        match which.day {
            None => self.ids.attachment(which.no, 0, immutable, number),
            Some(day) => {
                let item = (which.no, 0, day_number(day));
                self.ids.occurrence_attachment(item, immutable, number)
            }
        }
    }
}
