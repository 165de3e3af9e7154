//! Requests of a first sync, an idle cycle and a cycle with changes, against the least that Graph
//! allows: one page for what fits into a page, one request for a mail's MIME, one for a file's content.

use anyhow::{Context, Result, ensure};
use e2e::{Recorded, Tenant};
use graph_emulator::Options;
use serde_json::Value;

use crate::RequestsArgs;
use crate::table::{Bar, heading, line, value};

const MAIL_PAGE: u64 = 1000;
pub const DRIVE_PAGE: u64 = 200;
const CHANGES: u64 = 20;

pub fn run(args: &RequestsArgs) -> Result<()> {
    let options = Options {
        accounts: 4,
        messages: args.messages,
        files: args.files,
        ..Options::default()
    };
    let bench = Bench::start(options, "")?;
    heading(&format!(
        "requests: {} messages and {} files in 4 accounts",
        args.messages, args.files
    ));

    let counts = bench.inventory()?;
    let first = bench.cycle()?;
    let least = counts.rounds + counts.mails + counts.files;
    row("first sync", first.requests, least);

    let idle = bench.cycle()?;
    ensure!(
        idle.summary["snapshot"].is_null(),
        "an idle cycle made a snapshot"
    );
    row("idle cycle", idle.requests, counts.idle);

    bench.change(CHANGES)?;
    let changed = bench.cycle()?;
    row(
        &format!("cycle with {CHANGES} new mails"),
        changed.requests,
        counts.idle + CHANGES,
    );
    let written = changed.summary["bytes_written"]
        .as_f64()
        .unwrap_or(f64::NAN);
    value("  bytes written by it", written / 1e3, "kB", 100.0);
    crate::routes::run(args.routes_scale)
}

fn row(what: &str, ours: u64, least: u64) {
    let ratio = ours as f64 / least as f64;
    line(what, ours as f64, least as f64, "", ratio, Bar::AtMost(1.1));
}

/// What is in the tenant, in requests.
struct Inventory {
    mails: u64,
    files: u64,
    /// Delta pages of a first sync, and the list of users.
    rounds: u64,
    /// The same when nothing changed.
    idle: u64,
}

pub struct Cycle {
    pub requests: u64,
    /// Downloads and uploads at pre-authenticated URLs.
    pub transfers: u64,
    /// SharePoint's resource units.
    pub units: u64,
    pub summary: Value,
}

/// A tenant that is captured.
pub struct Bench(pub Tenant);

impl Bench {
    /// With `extra` at the end of the configuration.
    pub fn start(options: Options, extra: &str) -> Result<Self> {
        let emulator = Recorded::unwatched(options)?;
        Ok(Self(Tenant::of(emulator, None, extra)?))
    }

    /// Runs a command, and counts the requests to Graph it takes. Sign-in is not counted, nor are
    /// downloads and uploads at pre-authenticated URLs (of another host). That some items failed is no
    /// error: they cost requests like others.
    pub fn counted(&self, arguments: &[&str]) -> Result<Cycle> {
        self.0.graph.reset_requests()?;
        let summary = self.0.json(arguments)?;
        let counts = self.0.graph.requests()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let sum = |wanted: &dyn Fn(&str) -> bool| -> u64 {
            let wanted = |route: &&Value| wanted(route["route"].as_str().unwrap_or_default());
            let counts = routes.iter().filter(wanted);
            counts.filter_map(|route| route["count"].as_u64()).sum()
        };
        let any = |route: &str, of: &[&str]| of.iter().any(|other| route.contains(other));
        Ok(Cycle {
            requests: sum(&|r| !any(r, &["token", "_download", "_upload", "_emulator"])),
            transfers: sum(&|r| any(r, &["_download", "_upload"])),
            units: counts["units"].as_u64().unwrap_or_default(),
            summary,
        })
    }

    /// One cycle of captures.
    pub fn cycle(&self) -> Result<Cycle> {
        self.counted(&["backup"])
    }

    /// All of a list; nothing if the user has no such thing.
    fn all(&self, path: &str) -> Vec<Value> {
        self.0.graph.list(path).unwrap_or_default()
    }

    fn users(&self) -> Result<Vec<String>> {
        let users = self.0.graph.list("/users")?;
        Ok(users
            .iter()
            .filter_map(|user| Some(user["id"].as_str()?.to_owned()))
            .collect())
    }

    fn inventory(&self) -> Result<Inventory> {
        // The list of users, once.
        let mut inventory = Inventory {
            mails: 0,
            files: 0,
            rounds: 1,
            idle: 1,
        };
        for user in self.users()? {
            let folders = self.all(&format!(
                "/users/{user}/mailFolders/delta?includeHiddenFolders=true"
            ));
            let ordinary = folders
                .iter()
                .filter(|folder| folder["@odata.type"] != "#microsoft.graph.mailSearchFolder");
            if !folders.is_empty() {
                // The folders, and once whether there is an archive.
                inventory.rounds += 2;
                inventory.idle += 1;
            }
            for folder in ordinary {
                let id = folder["id"].as_str().unwrap_or_default();
                let mails = self
                    .all(&format!(
                        "/users/{user}/mailFolders/{id}/messages?$top=1000&$select=id"
                    ))
                    .len() as u64;
                inventory.mails += mails;
                inventory.rounds += mails.div_ceil(MAIL_PAGE).max(1);
                inventory.idle += 1;
            }
            let calendars = self.calendars(&user);
            inventory.rounds += calendars;
            inventory.idle += calendars;
            let items = self.all(&format!("/users/{user}/drive/root/delta"));
            if !items.is_empty() {
                inventory.files += items
                    .iter()
                    .filter(|item| item.get("file").is_some())
                    .count() as u64;
                inventory.rounds += (items.len() as u64).div_ceil(DRIVE_PAGE);
                inventory.idle += 1;
            }
        }
        Ok(inventory)
    }

    /// The list of calendars, the list of their groups, who is in each but the default one, and a page of
    /// each calendar that the mailbox owns.
    fn calendars(&self, user: &str) -> u64 {
        let all = self.all(&format!("/users/{user}/calendars"));
        let groups = self.all(&format!("/users/{user}/calendarGroups"));
        let me = all
            .iter()
            .find(|c| c["isDefaultCalendar"] == true)
            .map(|c| &c["owner"]["address"]);
        let own = all
            .iter()
            .filter(|c| Some(&c["owner"]["address"]) == me)
            .count();
        match all.is_empty() {
            true => 0,
            false => (1 + groups.len() + own) as u64,
        }
    }

    /// Lets mails arrive, spread over the mailboxes.
    fn change(&self, count: u64) -> Result<()> {
        let mailboxes = self.0.graph.mailboxes()?;
        for n in 0..count {
            let user = &mailboxes[n as usize % mailboxes.len()];
            self.0.graph.receive(user, "inbox", &format!("new {n}"))?;
        }
        Ok(())
    }
}
