//! `tenantfs doctor`: is everything as it has to be, and what does each thing that is not disable?

use anyhow::Result;
use serde::Serialize;
use tenantfs::graph::{Call, Client};
use tenantfs::repo::Repository;

use super::Context;
use crate::config::Config;
use crate::control::{self, Request};
use crate::exit::Outcome;
use crate::output::count;
use crate::{app, cycle, scrub};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    /// Works, but something is disabled.
    Limited,
    Broken,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    health: Health,
    detail: String,
}

impl Check {
    fn new(what: &str, health: Health, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            health,
            detail: detail.into(),
        }
    }
}

/// An application permission: any of these names will do.
struct Permission {
    any_of: &'static [&'static str],
    without: &'static str,
    health: Health,
}

/// What the identity that reads needs (Graph permissions reference).
const BACKUP: &[Permission] = &[
    Permission {
        any_of: &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All"],
        without: "no account can be found: nothing is captured",
        health: Health::Broken,
    },
    Permission {
        any_of: &["Mail.Read", "Mail.ReadWrite"],
        without: "no mail and no focused inbox settings are captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Contacts.Read", "Contacts.ReadWrite"],
        without: "no contacts are captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Tasks.Read.All", "Tasks.ReadWrite.All"],
        without: "no tasks are captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxSettings.Read", "MailboxSettings.ReadWrite"],
        without: "no categories, rules and other mailbox settings are captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Calendars.Read", "Calendars.ReadWrite"],
        without: "no calendar is captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All"],
        without: "no archive mailbox is captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxItem.Read.All", "MailboxItem.ReadWrite.All"],
        without: "no archive mailbox is captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxItem.Export.All", "MailboxItem.ImportExport.All"],
        without: "no archive mailbox is captured, and mail by MIME only",
        health: Health::Limited,
    },
    Permission {
        any_of: &[
            "Files.Read.All",
            "Files.ReadWrite.All",
            "Sites.Read.All",
            "Sites.ReadWrite.All",
            "Sites.FullControl.All",
        ],
        without: "no OneDrive and no file of a site is captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &[
            "Sites.Read.All",
            "Sites.ReadWrite.All",
            "Sites.Manage.All",
            "Sites.FullControl.All",
        ],
        without: "no site is captured",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Sites.FullControl.All"],
        without: "files under a retention label may be missing, and permissions may be incomplete",
        health: Health::Limited,
    },
];

/// What the identity that writes needs.
const RESTORE: &[Permission] = &[
    Permission {
        any_of: &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All"],
        without: "restore/ cannot list accounts",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Mail.ReadWrite"],
        without: "mail and focused inbox settings cannot be put back",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Contacts.ReadWrite"],
        without: "contacts cannot be put back",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Tasks.ReadWrite.All"],
        without: "tasks cannot be put back",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxSettings.ReadWrite"],
        without: "categories, rules and other mailbox settings cannot be put back",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Calendars.ReadWrite"],
        without: "events cannot be put back",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxItem.ImportExport.All"],
        without: "nothing can be put into an archive mailbox, and no mail exactly as it was exported",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxItem.Read.All", "MailboxItem.ReadWrite.All"],
        without: "nothing can be put into an archive mailbox",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All"],
        without: "nothing can be put into an archive mailbox",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxFolder.ReadWrite.All"],
        without: "no folder can be made in an archive mailbox",
        health: Health::Limited,
    },
    Permission {
        any_of: &["MailboxItem.ReadWrite.All"],
        without: "nothing in an archive mailbox can be overwritten",
        health: Health::Limited,
    },
    Permission {
        any_of: &[
            "Files.ReadWrite.All",
            "Sites.ReadWrite.All",
            "Sites.FullControl.All",
        ],
        without: "files, their permissions and links cannot be put back",
        health: Health::Limited,
    },
    // Every file that is not empty goes by an upload session.
    Permission {
        any_of: &["Sites.ReadWrite.All", "Sites.FullControl.All"],
        without: "files cannot be put back: Microsoft documents their upload with this permission alone",
        health: Health::Limited,
    },
    Permission {
        any_of: &[
            "Sites.Read.All",
            "Sites.ReadWrite.All",
            "Sites.Manage.All",
            "Sites.FullControl.All",
        ],
        without: "restore/ cannot list sites, and nothing can be put back into one",
        health: Health::Limited,
    },
    Permission {
        any_of: &["Sites.Manage.All", "Sites.FullControl.All"],
        without: "no page and no item of a list can be put back, and no list or library that is gone made \
                  again",
        health: Health::Limited,
    },
];

/// What it takes at SharePoint itself to read attachments of list items, and to put them back.
const READ_SHAREPOINT: &[&str] = &[
    "Sites.Read.All",
    "Sites.ReadWrite.All",
    "Sites.Manage.All",
    "Sites.FullControl.All",
];
const WRITE_SHAREPOINT: &[&str] = &[
    "Sites.ReadWrite.All",
    "Sites.Manage.All",
    "Sites.FullControl.All",
];

/// What SharePoint's own interface is needed for, with the roles of which one is enough.
type Need = (&'static [&'static str], &'static str);

const READS_OF_SHAREPOINT: &[Need] = &[(
    READ_SHAREPOINT,
    "attachments of list items are not captured",
)];
const WRITES_OF_SHAREPOINT: &[Need] = &[
    (
        WRITE_SHAREPOINT,
        "attachments of list items can't be put back, nor hyperlinks and who made an item",
    ),
    (
        &["Sites.FullControl.All"],
        "what only some have access to comes back open to all of its list or site, and whom a site does not know \
         is not named in it",
    ),
];

/// Whether SharePoint's own interface can be used.
async fn sharepoint(section: &str, client: &Client, needs: &[Need]) -> Check {
    let limited = |why: String, without: &str| {
        Check::new(section, Health::Limited, format!("{why}: {without}"))
    };
    let without = needs.first().map_or("", |(_, without)| without);
    if client.sharepoint().is_err() {
        let why = "SharePoint's own interface takes no identity without a certificate";
        return limited(why.into(), without);
    }
    let root = Call::get("/sites/root", &[]).query("$select", "webUrl");
    let root = match client.json(&root).await {
        Ok(root) => root,
        Err(error) => {
            let why = format!("the tenant's SharePoint is not known ({error})");
            return limited(why, without);
        }
    };
    let url = root["webUrl"].as_str().unwrap_or_default();
    let roles = match client.sharepoint_roles(url).await {
        Ok(roles) => roles,
        Err(error) => return limited(format!("no token for {url} ({error})"), without),
    };
    let has = |role: &&str| roles.iter().any(|granted| granted == role);
    match needs.iter().find(|(any, _)| !any.iter().any(has)) {
        None => Check::new(section, Health::Ok, format!("may use {url}/_api")),
        Some((any, without)) => {
            let role = any.first().unwrap_or(&"");
            let why = format!("{role} of SharePoint (not of Microsoft Graph) is not granted");
            limited(why, without)
        }
    }
}

pub fn run(context: &Context) -> Result<Outcome> {
    let config = &context.config;
    let mut checks = vec![Check::new(
        "configuration",
        Health::Ok,
        context.config_file.display().to_string(),
    )];
    let opened = match app::open_repository(config) {
        Ok(repository) => {
            let opens = format!("{} opens ({})", repository.location(), repository.id());
            checks.push(Check::new("repository", Health::Ok, opens));
            Some(repository)
        }
        Err(error) => {
            let error = format!("{error:#}");
            checks.push(Check::new("repository", Health::Broken, error));
            None
        }
    };
    checks.extend(opened.and_then(|repository| locks(&repository)));
    checks.extend(scrub(config));
    checks.push(fuse());
    let runtime = app::runtime()?;
    match app::backup_client(config) {
        Ok(client) => runtime.block_on(async {
            identity("tenant.backup", &client, BACKUP, &mut checks).await;
            checks.push(sharepoint("tenant.backup", &client, READS_OF_SHAREPOINT).await);
        }),
        Err(error) => checks.push(Check::new(
            "tenant.backup",
            Health::Broken,
            format!("{error:#}"),
        )),
    }
    match app::restore_client(config) {
        Ok(Some(client)) => {
            runtime.block_on(async {
                identity("tenant.restore", &client, RESTORE, &mut checks).await;
                checks.push(sharepoint("tenant.restore", &client, WRITES_OF_SHAREPOINT).await);
            });
        }
        Ok(None) => checks.push(Check::new(
            "tenant.restore",
            Health::Limited,
            "not configured: restore/ is read-only",
        )),
        Err(error) => checks.push(Check::new(
            "tenant.restore",
            Health::Broken,
            format!("{error:#}"),
        )),
    }
    context.style.report(&checks, |out| {
        for check in &checks {
            let mark = match check.health {
                Health::Ok => "ok",
                Health::Limited => "limited",
                Health::Broken => "BROKEN",
            };
            writeln!(out, "{mark:<8} {:<16} {}", check.what, check.detail)?;
        }
        Ok(())
    })?;
    let broken = checks.iter().any(|check| check.health == Health::Broken);
    Ok(if broken {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

/// Whether the store keeps what it has, where that is its business.
fn locks(repository: &Repository) -> Option<Check> {
    let state = match repository.lock_state() {
        Ok(state) => state?,
        Err(error) => return Some(Check::new("locks", Health::Broken, error.to_string())),
    };
    let open = state.files - state.locked;
    let asked = match (state.period, state.mode) {
        (Some(period), Some(mode)) => {
            let period = period as f64 / 86_400.0;
            format!("files are locked for {period:.1} days ({mode})")
        }
        _ => "the bucket has Object Lock, and nothing asks for it: give [repository] lock".into(),
    };
    let (health, open) = match (open, state.until) {
        (0, Some(until)) => (
            Health::Ok,
            format!("all of {}, the first until {until:.0}", state.files),
        ),
        (0, None) => (Health::Ok, format!("all of {}", state.files)),
        _ => (
            Health::Limited,
            format!("{open} of {} are not", count(state.files, "file")),
        ),
    };
    let detail = format!("{asked}; {open}");
    Some(Check::new("locks", health, detail))
}

/// What the daemon's scrub found, as far as anything can tell.
fn scrub(config: &Config) -> Option<Check> {
    let found: Vec<String> = match control::ask(&config.state_dir, &Request::Status) {
        Ok(Some(status)) => {
            let damaged = status["scrub"]["damaged"].as_array().into_iter().flatten();
            let file = |found: &serde_json::Value| found["file"].as_str().map(str::to_owned);
            damaged.filter_map(file).collect()
        }
        Ok(None) | Err(_) => {
            let damage = scrub::known_damage(&cycle::open_local(config).ok()??);
            let found = damage.into_values().flatten();
            found.map(|found| found.file).collect()
        }
    };
    Some(match found.first() {
        None => Check::new("scrub", Health::Ok, "no damage is known"),
        Some(first) => Check::new(
            "scrub",
            Health::Broken,
            format!(
                "{} damaged, {first} among them: `tenantfs repair --dry-run` names what is hit",
                count(found.len() as u64, "file")
            ),
        ),
    })
}

async fn identity(section: &str, client: &Client, needs: &[Permission], checks: &mut Vec<Check>) {
    let roles = match client.granted_roles().await {
        Ok(roles) => roles,
        Err(error) => {
            checks.push(Check::new(section, Health::Broken, error.to_string()));
            return;
        }
    };
    checks.push(Check::new(section, Health::Ok, "signs in"));
    for need in needs {
        if need
            .any_of
            .iter()
            .any(|name| roles.iter().any(|role| role == name))
        {
            checks.push(Check::new(
                section,
                Health::Ok,
                format!("has {}", need.any_of[0]),
            ));
        } else {
            checks.push(Check::new(
                section,
                need.health,
                format!(
                    "{} is not granted: {}. Grant it as an application permission with admin \
                     consent; a new grant shows within the hour",
                    need.any_of[0], need.without
                ),
            ));
        }
    }
}

fn fuse() -> Check {
    if let Err(error) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
    {
        return Check::new(
            "FUSE",
            Health::Broken,
            format!(
                "/dev/fuse cannot be opened ({error}): nothing can be mounted; load the module `fuse`"
            ),
        );
    }
    let helper = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join("fusermount3").exists())
    });
    if !rustix::process::geteuid().is_root() && !helper {
        return Check::new(
            "FUSE",
            Health::Broken,
            "fusermount3 is not installed: only root can mount; install the package fuse3",
        );
    }
    Check::new("FUSE", Health::Ok, "can mount")
}

#[cfg(test)]
mod tests {
    use super::{BACKUP, Permission, RESTORE};

    /// The rows of the README's table: (permission, needed by backup, needed by restore).
    fn rows() -> Vec<(&'static str, bool, bool)> {
        let mut rows = Vec::new();
        for line in include_str!("../../../README.md").lines() {
            let cells: Vec<&str> = line.trim().split('|').map(str::trim).collect();
            let [_, names, backup, restore, _, _] = cells.as_slice() else {
                continue;
            };
            // SharePoint's own permissions are another check.
            if !names.starts_with('`') || names.contains("of SharePoint") {
                continue;
            }
            let names = names.split('`').skip(1).step_by(2);
            rows.extend(names.map(|name| (name, *backup == "x", *restore == "x")));
        }
        rows
    }

    /// One that is only enough beside others is never named as missing.
    #[test]
    fn each_permission_that_is_documented_has_a_check_of_its_own() {
        let rows = rows();
        assert!(rows.len() > 20, "{rows:?}");
        let checked = |table: &[Permission], name: &str| table.iter().any(|p| p.any_of[0] == name);
        for (name, backup, restore) in rows {
            assert!(backup || restore, "{name}");
            assert!(!backup || checked(BACKUP, name), "{name} of backup");
            assert!(!restore || checked(RESTORE, name), "{name} of restore");
        }
    }
}
