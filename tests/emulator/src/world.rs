//! The tenant and all that is known about it: what every handler works on.
//!
//! There is no lock around the whole. The directory, each mailbox, address book, To Do and drive has a lock of
//! its own; a handler takes at most one of them at a time (never while holding the
//! directory), so no order of locks can go wrong. The one exception: the lock of all sites, and then that of a
//! library's drive.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::clock::Clock;
use crate::delta::Tokens;
use crate::options::Options;
use crate::rng::Rng;
use crate::seed::people::shares;
use crate::users::{Directory, Settings, User};
use crate::{auth, calendar, contacts, drive, exchange_admin, faults, mail, sites, throttle, todo};

pub struct World {
    pub options: Options,
    pub clock: Clock,
    pub directory: RwLock<Directory>,
    /// Seals and opens delta and paging tokens; knows which have expired.
    pub tokens: Tokens,
    /// Mailboxes, by user id.
    pub mail: mail::Mailboxes,
    /// Address books, by user id.
    pub contacts: contacts::Books,
    /// Task lists, by user id.
    pub todo: todo::Boards,
    /// Settings and categories of the mailboxes' owners, by user id.
    pub settings: Settings,
    /// Calendars, by user id.
    pub calendars: calendar::Books,
    /// Archive mailboxes: all state of [`crate::exchange_admin`].
    pub archives: exchange_admin::Archives,
    /// Drives: all state of [`crate::drive`].
    pub drive: drive::Drives,
    /// Sites: all state of [`crate::sites`].
    pub sites: sites::Sites,
    /// What Exchange would have sent to people.
    pub outbox: Mutex<Vec<Value>>,
    /// What the imports could read.
    pub imports: crate::imports::Imports,
    pub auth: auth::Issuer,
    pub faults: faults::Script,
    pub throttle: throttle::Limits,
    pub counts: crate::counts::Counts,
    pub log: crate::log::Log,
}

impl World {
    /// Makes the tenant: users, mailboxes, drives, and what is imported into them.
    pub fn new(options: Options) -> anyhow::Result<World> {
        let clock = Clock::default();
        let directory = Directory::new(crate::seed::people::users(&options));
        let users = directory.all();
        let drive = drive::Drives::new(&options, &users, &clock)?;
        let world = World {
            tokens: Tokens::new(options.seed),
            mail: mail::Mailboxes::default(),
            contacts: contacts::Books::default(),
            todo: todo::Boards::default(),
            settings: Settings::default(),
            calendars: calendar::Books::default(),
            archives: exchange_admin::Archives::default(),
            drive,
            sites: sites::Sites::default(),
            outbox: Mutex::default(),
            imports: crate::imports::Imports::default(),
            auth: auth::Issuer::new(&options)?,
            faults: faults::Script::default(),
            throttle: throttle::Limits::default(),
            counts: crate::counts::Counts::default(),
            log: crate::log::Log::to(options.log.as_deref())?,
            directory: RwLock::new(directory),
            clock,
            options,
        };
        world.fill_mailboxes(&users);
        crate::import::mail(&world)?;
        crate::import::contacts(&world)?;
        crate::import::tasks(&world)?;
        calendar::import(&world)?;
        exchange_admin::fill(&world)?;
        sites::fill(&world, &users)?;
        if let Some(path) = &world.options.faults {
            let text = std::fs::read(path)
                .map_err(|e| anyhow::anyhow!("cannot read the faults {}: {e}", path.display()))?;
            let rules = faults::Script::parse(&text)
                .map_err(|e| anyhow::anyhow!("faults {}: {e}", path.display()))?;
            world.faults.replace(rules);
        }
        Ok(world)
    }

    /// Spreads the generated messages, contacts and events over the mailboxes.
    fn fill_mailboxes(&self, users: &[Arc<User>]) {
        let people: Vec<(String, String)> = users
            .iter()
            .filter(|u| u.mailbox.is_some() && u.generated)
            .map(|u| (u.display_name.clone(), u.upn.clone()))
            .collect();
        let people = Arc::new(people);
        let seed = self.options.seed;
        for (user, count) in shares(users, self.options.messages) {
            self.mail
                .insert(mail::generate(&user, seed, people.clone(), count));
        }
        for (user, count) in shares(users, self.options.contacts) {
            self.contacts.insert(contacts::generate(&user, seed, count));
        }
        for (user, count) in shares(users, self.options.events) {
            self.calendars.generate(&user, seed, people.clone(), count);
        }
        for user in users.iter().filter(|u| !u.generated) {
            self.mail.provision(self, user);
            self.calendars.provision(self, user);
        }
    }

    /// A user by id or user principal name (any letter case).
    pub fn user(&self, id_or_upn: &str) -> Option<Arc<User>> {
        self.directory.read().find(id_or_upn)
    }

    /// All users that exist now, in the order they were made.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.directory.read().all()
    }

    /// A generator that depends on the tenant's seed and on `label` alone.
    pub fn rng(&self, label: &str) -> Rng {
        Rng::new(self.options.seed, label)
    }
}
