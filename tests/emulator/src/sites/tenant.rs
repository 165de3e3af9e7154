//! All sites of the tenant, and the sequence of changes that `sites/delta` reads.
//!
//! Sites sit in a table in the order they were made and are never taken out: a deleted one stays as a
//! tombstone. Every change of a site, of its lists or of its subsites gives it the tenant's next number.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::list::List;
use super::web::{State, Web};

/// Place of a site in the tenant's table.
pub type At = usize;

#[derive(Default)]
pub struct Tenant {
    webs: Vec<Web>,
    by_guid: HashMap<u128, At>,
    /// The list behind each drive: its site, and its place there.
    by_drive: HashMap<String, (At, usize)>,
    log: BTreeMap<u64, At>,
    seq: u64,
}

/// Title of the hidden list of everybody a site collection knows.
pub const PEOPLE: &str = "User Information List";

impl Tenant {
    pub fn web(&self, at: At) -> &Web {
        &self.webs[at]
    }

    pub fn web_mut(&mut self, at: At) -> &mut Web {
        &mut self.webs[at]
    }

    /// A new site.
    pub fn add(&mut self, web: Web, now: i64) -> At {
        let at = self.webs.len();
        self.by_guid.insert(web.guid, at);
        self.webs.push(web);
        self.touch(at, now);
        at
    }

    /// Places of all sites that are there, in the order they were made.
    pub fn living(&self) -> impl Iterator<Item = At> + '_ {
        (0..self.webs.len()).filter(|&at| self.webs[at].state != State::Deleted)
    }

    /// Sites directly below another.
    pub fn below(&self, parent: At) -> Vec<At> {
        self.living()
            .filter(|&at| self.webs[at].parent == Some(parent))
            .collect()
    }

    /// The site itself and all sites below it.
    pub fn tree(&self, top: At) -> Vec<At> {
        let mut out = vec![top];
        let mut next = 0;
        while let Some(&at) = out.get(next) {
            out.extend(self.below(at));
            next += 1;
        }
        out
    }

    /// The top site of a site's collection.
    pub fn top(&self, at: At) -> At {
        let mut at = at;
        while let Some(parent) = self.webs[at].parent {
            at = parent;
        }
        at
    }

    /// A site by an id: `host,collection,site`, `collection,site`, or the collection alone.
    pub fn by_id(&self, id: &str) -> Option<At> {
        let mut parts: Vec<&str> = id.split(',').collect();
        if parts.len() == 3 {
            let host = parts.remove(0);
            let found = self.by_id(&parts.join(","))?;
            return self.webs[found]
                .host
                .eq_ignore_ascii_case(host)
                .then_some(found);
        }
        let guid = |text: &str| uuid::Uuid::parse_str(text).ok().map(|g| g.as_u128());
        match parts.as_slice() {
            [collection, web] => {
                let at = *self.by_guid.get(&guid(web)?)?;
                (self.webs[at].collection == guid(collection)?).then_some(at)
            }
            [collection] => {
                let collection = guid(collection)?;
                self.living().find(|&at| {
                    self.webs[at].collection == collection && self.webs[at].parent.is_none()
                })
            }
            _ => None,
        }
    }

    /// A site by host and path, in any letter case.
    pub fn by_path(&self, host: &str, path: &str) -> Option<At> {
        self.living().find(|&at| {
            let web = &self.webs[at];
            web.host.eq_ignore_ascii_case(host) && web.path.eq_ignore_ascii_case(path)
        })
    }

    /// The site whose URL is the longest beginning of a path on a host; and the rest of the path.
    pub fn by_prefix<'a>(&self, path: &'a str) -> Option<(At, &'a str)> {
        self.living()
            .filter_map(|at| {
                let own = &self.webs[at].path;
                let head = path.get(..own.len())?;
                let rest = &path[own.len()..];
                (head.eq_ignore_ascii_case(own) && (rest.is_empty() || rest.starts_with('/')))
                    .then_some((at, rest))
            })
            .max_by_key(|(at, _)| self.webs[*at].path.len())
    }

    /// Puts a list into a site; its place there.
    pub fn add_list(&mut self, at: At, list: List) -> usize {
        let n = self.webs[at].lists.len();
        if let Some(drive) = list.drive() {
            self.by_drive.insert(drive.to_owned(), (at, n));
        }
        self.webs[at].lists.push(list);
        n
    }

    /// The site of the library with this drive, and the library's place there.
    pub fn by_drive(&self, drive: &str) -> Option<(At, usize)> {
        let (at, n) = *self.by_drive.get(drive)?;
        self.webs[at].lists[n].deleted.is_none().then_some((at, n))
    }

    /// Everybody that the collection of this site knows: the hidden list of its top site.
    pub fn people(&self, at: At) -> Option<&List> {
        self.webs[self.top(at)].list(PEOPLE)
    }

    /// Notes a change of a site.
    pub fn touch(&mut self, at: At, now: i64) {
        self.seq += 1;
        let web = &mut self.webs[at];
        web.etag += 1;
        web.modified = web.modified.max(now);
        let before = std::mem::replace(&mut web.seq, self.seq);
        self.log.remove(&before);
        self.log.insert(self.seq, at);
    }

    /// Deletes a site with all below it.
    pub fn delete(&mut self, at: At, now: i64) {
        for at in self.tree(at) {
            self.webs[at].state = State::Deleted;
            self.touch(at, now);
        }
    }

    /// The latest change number.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Sites changed after `after`, in the order of their latest change.
    pub fn changes(&self, after: u64) -> impl Iterator<Item = At> + '_ {
        self.log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, &at)| at)
    }
}
