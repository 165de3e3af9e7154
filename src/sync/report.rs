//! The report of a cycle: what was captured, what was not, and why. Stored with the snapshot; the
//! mount shows it as `.tenantfs/report.json`.
//!
//! Accounts about which there is nothing to say are only counted, so that the report of a small
//! cycle is small whatever the size of the tenant.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::graph::ErrorClass;

/// Lines of one kind that are kept; more are counted in `omitted`.
const MAX_LINES: usize = 10_000;

/// What a cycle captured, what it could not, and what that cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this form: 1.
    pub version: u32,
    /// That made the snapshot.
    pub host: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub finished: String,
    /// False in a checkpoint of a cycle that goes on.
    pub complete: bool,
    /// Of all accounts and workloads.
    pub totals: Counts,
    /// How many there are, by what became of them.
    pub accounts: AccountCounts,
    /// Accounts whose state changed or that could not be captured.
    pub changed: Vec<AccountLine>,
    /// Accounts that another process captures at this moment, so that this one left them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<ClaimedLine>,
    /// Items that are not in the snapshot, or only in an older version.
    pub failed: Vec<ItemLine>,
    /// Things left out on purpose, and what else is worth knowing.
    pub notes: Vec<ItemLine>,
    /// How often Graph was asked what, and what it answered.
    pub requests: Vec<RequestLine>,
    /// What the requests to drives and sites cost, in SharePoint's resource units.
    #[serde(default)]
    pub drive_units: u64,
    /// Lines that did not fit.
    #[serde(default)]
    pub omitted: u64,
}

/// What happened to items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Items and folders that are new.
    pub added: u64,
    /// Those that changed.
    pub updated: u64,
    /// Those that are gone.
    pub removed: u64,
    /// Contents fetched.
    pub fetched: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Items that failed in this cycle or still fail from an earlier one.
    pub failed: u64,
    /// Of all these, what no change had told of: a sweep found it. It is named in the notes.
    #[serde(default)]
    pub found: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.added += other.added;
        self.updated += other.updated;
        self.removed += other.removed;
        self.fetched += other.fetched;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.found += other.found;
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Counts::default()
    }
}

/// How many accounts there are, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCounts {
    /// In the snapshot.
    pub captured: u64,
    /// Have nothing of what is protected (no mailbox, no OneDrive).
    pub absent: u64,
    /// Left the tenant; kept as they were.
    pub departed: u64,
    /// Could not be captured in this cycle.
    pub failed: u64,
    /// Left to another process that captures them at this moment.
    #[serde(default)]
    pub claimed: u64,
}

/// An account and who captures it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedLine {
    /// User principal name, or the path of a site.
    pub account: String,
    /// Its Graph id.
    pub id: String,
    /// Process and host.
    pub holder: String,
}

/// What became of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountLine {
    /// User principal name, or the path of a site.
    pub account: String,
    /// Its Graph id.
    pub id: String,
    /// The worst of its workloads.
    pub status: Status,
    /// By workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workloads: BTreeMap<String, WorkloadLine>,
}

/// What became of an account, or of a workload of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The snapshot has it as it is now, but for items that are named as failed.
    #[default]
    Captured,
    /// Something of it could not be captured; the state of the snapshot before stays.
    Failed,
    /// There is nothing to capture.
    Absent,
    /// The account left the tenant; its last state stays.
    Departed,
}

/// What became of a workload of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkloadLine {
    /// What became of it.
    pub status: Status,
    /// What happened to its items.
    #[serde(flatten)]
    pub counts: Counts,
    /// Why it failed or is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something about an item: why it failed, or what was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemLine {
    /// User principal name, or the path of a site.
    pub account: String,
    /// Its name, as the configuration has it.
    pub workload: String,
    /// Path below the workload's folder as far as known, else only the name.
    pub path: String,
    /// Graph's id of the item; empty where the line is about more than one.
    pub id: String,
    /// For people.
    pub reason: String,
    /// What sort of failure; absent in notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// RFC 3339: failing since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// An older version of it is in the snapshot.
    #[serde(default)]
    pub older_version: bool,
}

/// How often a request of one kind was answered in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    /// HTTP's.
    pub method: String,
    /// Path with its ids left out.
    pub route: String,
    /// HTTP's; 0 when there was no answer.
    pub status: u16,
    /// Sent inside a `$batch`, which is counted itself, too.
    #[serde(default)]
    pub batched: bool,
    /// How often.
    pub count: u64,
}

impl ItemLine {
    pub(super) fn note(
        account: &str,
        workload: &str,
        id: String,
        path: String,
        reason: String,
    ) -> ItemLine {
        ItemLine {
            account: account.to_owned(),
            workload: workload.to_owned(),
            path,
            id,
            reason,
            class: None,
            since: None,
            older_version: false,
        }
    }
}

impl Report {
    pub(super) fn add_failed(&mut self, line: ItemLine) {
        push(&mut self.failed, line, &mut self.omitted);
    }

    pub(super) fn add_note(&mut self, line: ItemLine) {
        push(&mut self.notes, line, &mut self.omitted);
    }

    pub(super) fn add_account(&mut self, line: AccountLine) {
        push(&mut self.changed, line, &mut self.omitted);
    }

    /// What it says about these accounts and no others. Requests stay counted for all.
    pub(crate) fn about(mut self, accounts: &[String]) -> Report {
        let kept: HashSet<&str> = accounts.iter().map(String::as_str).collect();
        self.changed.retain(|line| kept.contains(&*line.account));
        self.failed.retain(|line| kept.contains(&*line.account));
        self.notes.retain(|line| kept.contains(&*line.account));
        self.claimed.retain(|line| kept.contains(&*line.account));
        self.totals.failed = self.failed.len() as u64;
        let with = |status| self.changed.iter().filter(|l| l.status == status).count() as u64;
        self.accounts = AccountCounts {
            captured: accounts.len() as u64,
            absent: with(Status::Absent),
            departed: with(Status::Departed),
            failed: with(Status::Failed),
            claimed: self.claimed.len() as u64,
        };
        self.omitted = 0;
        self
    }

    pub(super) fn add_claimed(&mut self, account: String, id: String, holder: &str) {
        self.accounts.claimed += 1;
        let line = ClaimedLine {
            account,
            id,
            holder: holder.to_owned(),
        };
        push(&mut self.claimed, line, &mut self.omitted);
    }

    /// Whether something that should be in the snapshot is not: exit status 3.
    pub fn has_failures(&self) -> bool {
        self.totals.failed > 0 || self.accounts.failed > 0 || self.accounts.claimed > 0
    }
}

fn push<T>(lines: &mut Vec<T>, line: T, omitted: &mut u64) {
    if lines.len() < MAX_LINES {
        lines.push(line);
    } else {
        *omitted += 1;
    }
}

/// Unix seconds as the report shows them.
pub(super) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}
