//! Requests of a first sync, an idle cycle and a cycle with changes, against the least that Graph
//! allows: one page for what fits into a page, one request for a mail's MIME, one for a file's content.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use graph_emulator::{Emulator, Options, Running};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::RequestsArgs;
use crate::table::{Bar, heading, line, value};

const MAIL_PAGE: u64 = 1000;
const DRIVE_PAGE: u64 = 200;
const CHANGES: u64 = 20;

pub fn run(args: &RequestsArgs) -> Result<()> {
    let home = tempfile::tempdir()?;
    let options = Options {
        accounts: 4,
        messages: args.messages,
        files: args.files,
        ..Options::default()
    };
    let emulator = Emulator::start(options)?;
    let bench = Bench::new(&emulator, home.path())?;
    bench.tenantfs(&["init"])?;
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
    pub summary: Value,
}

/// A tenant that is captured.
pub struct Bench<'a> {
    emulator: &'a Running,
    home: &'a Path,
    http: Client,
    token: String,
}

impl<'a> Bench<'a> {
    fn new(emulator: &'a Running, home: &'a Path) -> Result<Self> {
        Self::with(emulator, home, "")
    }

    /// With `extra` at the end of the configuration.
    pub fn with(emulator: &'a Running, home: &'a Path, extra: &str) -> Result<Self> {
        let url = &emulator.url;
        std::fs::write(home.join("secret"), &emulator.client_secret)?;
        std::fs::write(home.join("password"), "bench")?;
        std::fs::write(
            home.join("tenantfs.toml"),
            format!(
                "state_dir = \"state\"\n[tenant]\nid = \"{}\"\nendpoints = {{ login = \"{url}\", graph = \
                 \"{url}\" }}\n[tenant.backup]\nclient_id = \"{}\"\nclient_secret_file = \"secret\"\n\
                 [repository]\nlocation = \"repository\"\npassword_file = \"password\"\n{extra}",
                emulator.tenant, emulator.client_id
            ),
        )?;
        let http = Client::new();
        let form = format!(
            "client_id={}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            emulator.client_id, emulator.client_secret
        );
        let answer: Value = http
            .post(format!("{url}/{}/oauth2/v2.0/token", emulator.tenant))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()?
            .json()?;
        let token = answer["access_token"]
            .as_str()
            .context("no token")?
            .to_owned();
        Ok(Self {
            emulator,
            home,
            http,
            token,
        })
    }

    pub fn tenantfs(&self, arguments: &[&str]) -> Result<Value> {
        let output = Command::new(fixtures::program::tenantfs())
            .arg("--config")
            .arg(self.home.join("tenantfs.toml"))
            .arg("--json")
            .args(arguments)
            .output()?;
        // Status 3: done, and some items failed; they cost requests like others.
        ensure!(
            matches!(output.status.code(), Some(0 | 3)),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// One cycle, and the requests to Graph it took. Sign-in is not counted, nor is the download
    /// that a content request is answered with (a pre-authenticated URL of another host).
    pub fn cycle(&self) -> Result<Cycle> {
        let control = format!("{}/_emulator/requests", self.emulator.url);
        self.http.delete(&control).send()?;
        let summary = self.tenantfs(&["backup"])?;
        let counts: Value = self.http.get(&control).send()?.json()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let graph = routes.iter().filter(|route| {
            let route = route["route"].as_str().unwrap_or_default();
            !["token", "_download", "_upload", "_emulator"]
                .iter()
                .any(|other| route.contains(other))
        });
        Ok(Cycle {
            requests: graph.filter_map(|route| route["count"].as_u64()).sum(),
            summary,
        })
    }

    fn get(&self, path: &str) -> Result<Option<Value>> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/v1.0{path}", self.emulator.url)
        };
        let answer = self.http.get(url).bearer_auth(&self.token).send()?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        Ok(Some(answer.json()?))
    }

    fn all(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let Some(mut page) = self.get(&path)? else {
                break;
            };
            if let Some(values) = page["value"].as_array_mut() {
                all.append(values);
            }
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
        Ok(all)
    }

    fn users(&self) -> Result<Vec<String>> {
        let users = self.all("/users")?;
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
            ))?;
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
                    ))?
                    .len() as u64;
                inventory.mails += mails;
                inventory.rounds += mails.div_ceil(MAIL_PAGE).max(1);
                inventory.idle += 1;
            }
            let calendars = self.calendars(&user)?;
            inventory.rounds += calendars;
            inventory.idle += calendars;
            let items = self.all(&format!("/users/{user}/drive/root/delta"))?;
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
    fn calendars(&self, user: &str) -> Result<u64> {
        let all = self.all(&format!("/users/{user}/calendars"))?;
        let groups = self.all(&format!("/users/{user}/calendarGroups"))?;
        let me = all
            .iter()
            .find(|c| c["isDefaultCalendar"] == true)
            .map(|c| &c["owner"]["address"]);
        let own = all
            .iter()
            .filter(|c| Some(&c["owner"]["address"]) == me)
            .count();
        Ok(match all.is_empty() {
            true => 0,
            false => (1 + groups.len() + own) as u64,
        })
    }

    /// Lets mails arrive, spread over the mailboxes.
    fn change(&self, count: u64) -> Result<()> {
        let mut mailboxes = Vec::new();
        for user in self.users()? {
            if self
                .get(&format!("/users/{user}/mailFolders/inbox"))?
                .is_some()
            {
                mailboxes.push(user);
            }
        }
        for n in 0..count {
            let user = &mailboxes[n as usize % mailboxes.len()];
            let url = format!(
                "{}/v1.0/users/{user}/mailFolders/inbox/messages",
                self.emulator.url
            );
            let mail = json!({
                "subject": format!("new {n}"),
                "body": { "contentType": "text", "content": "new" },
                "singleValueExtendedProperties": [ { "id": "Integer 0x0E07", "value": "4" } ],
            });
            let answer = self
                .http
                .post(url)
                .bearer_auth(&self.token)
                .json(&mail)
                .send()?;
            ensure!(
                answer.status().is_success(),
                "a mail could not arrive: {}",
                answer.status()
            );
        }
        Ok(())
    }
}
