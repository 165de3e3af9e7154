//! `tenantfs forget`: which snapshots go, and why the others stay.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;
use tenantfs::repo::PruneOptions;
use tenantfs::retention::{self, Action, Age, Choice, Line, Policy, Reason, Rules};
use tenantfs::tree::Nodes;

use super::Context;
use super::prune;
use crate::app;
use crate::exit::Outcome;
use crate::output::{count, time};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of snapshots; without any, what the rules do not keep is forgotten
    #[arg(value_name = "SNAPSHOT", conflicts_with = "Keep")]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub keep: Keep,
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Then delete what no snapshot needs any more
    #[arg(long)]
    pub prune: bool,
}

/// General rules in place of those of the configuration.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = true)]
pub struct Keep {
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_hourly: u32,
    /// The same of days
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_daily: u32,
    /// The same of weeks
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_weekly: u32,
    /// The same of months
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_monthly: u32,
    /// The same of years
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_yearly: u32,
    /// Keep all that are at most so much older than the newest: 30d, 6m, 2y
    #[arg(long, value_name = "AGE")]
    pub keep_within: Option<Age>,
    /// Keep all with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub keep_tag: Vec<String>,
}

impl Keep {
    /// The rules that were typed.
    pub fn rules(&self) -> Rules {
        Rules {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
            keep_tags: self.keep_tag.iter().cloned().collect(),
        }
    }
}

#[derive(Serialize)]
struct Forgotten {
    dry_run: bool,
    kept: u64,
    trimmed: u64,
    forgotten: u64,
    snapshots: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prune: Option<tenantfs::repo::PruneReport>,
}

#[derive(Serialize)]
struct Told {
    snapshot: String,
    time: i64,
    tags: Vec<String>,
    complete: bool,
    action: &'static str,
    reasons: Vec<Reason>,
    accounts: u64,
    /// Accounts that are taken out of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without: Vec<String>,
    /// It was named, and stays all the same.
    refused: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let choice = choice(context, args)?;
    let repository = app::open_repository(&context.config)?;
    let nodes = Nodes::new(&repository);
    let now = Timestamp::now().as_second();
    let mut report;
    if args.dry_run {
        let plan = retention::plan(&repository, &nodes, &choice, now)?;
        report = describe(&plan, true);
        if args.prune {
            tracing::info!("--prune does nothing in a dry run: what would go is not gone yet");
        }
    } else {
        let maintenance = repository.maintain()?;
        // Made under the lock: no hold comes in between.
        let plan = retention::plan(&repository, &nodes, &choice, now)?;
        retention::apply(&maintenance, &plan)?;
        report = describe(&plan, false);
        if args.prune {
            report.prune = Some(prune::with_bars(&maintenance, &PruneOptions::default())?);
        }
    }
    context.style.report(&report, |out| {
        table(out, &report)?;
        match &report.prune {
            Some(pruned) => prune::tell(out, pruned),
            None => Ok(()),
        }
    })?;
    let refused = report.snapshots.iter().any(|told| told.refused);
    Ok(if refused {
        Outcome::SomeFailed
    } else {
        Outcome::Done
    })
}

/// Names, or the rules of the command line, or those of the configuration.
fn choice(context: &Context, args: &Args) -> Result<Choice> {
    if !args.snapshots.is_empty() {
        return Ok(Choice::Names(args.snapshots.iter().cloned().collect()));
    }
    let configured = &context.config.retention.policy;
    let rules = args.keep.rules();
    let policy = match rules.is_empty() {
        true => configured.clone(),
        false => Policy {
            general: rules,
            accounts: configured.accounts.clone(),
        },
    };
    if policy.is_empty() {
        bail!(
            "no rule says what to keep, so nothing is forgotten; give --keep-... or [retention] in the \
             configuration, or name snapshots"
        );
    }
    Ok(Choice::Policy(policy))
}

fn describe(plan: &[Line], dry_run: bool) -> Forgotten {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut snapshots = Vec::with_capacity(plan.len());
    for line in plan {
        let (action, without) = match &line.action {
            Action::Keep => ("keep", Vec::new()),
            Action::Forget => ("forget", Vec::new()),
            Action::Trim(accounts) => {
                let names = accounts.iter().map(|(_, name)| name.clone());
                ("trim", names.collect())
            }
        };
        *counts.entry(action).or_default() += 1;
        let manifest = &line.snapshot.manifest;
        snapshots.push(Told {
            snapshot: line.snapshot.name.clone(),
            time: manifest.time,
            tags: manifest.tags.iter().cloned().collect(),
            complete: manifest.complete,
            action,
            reasons: line.reasons.clone(),
            accounts: manifest.totals.accounts,
            without,
            refused: line.refused,
        });
    }
    let counted = |action| counts.get(action).copied().unwrap_or(0);
    Forgotten {
        dry_run,
        kept: counted("keep"),
        trimmed: counted("trim"),
        forgotten: counted("forget"),
        snapshots,
        prune: None,
    }
}

fn table(out: &mut dyn Write, report: &Forgotten) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<20} {:<19} {:<7} {:<18} why it stays",
        "snapshot", "UTC", "", "accounts"
    )?;
    for told in &report.snapshots {
        let accounts = match told.without.len() as u64 {
            0 => told.accounts.to_string(),
            goes => format!(
                "{} of {}",
                told.accounts.saturating_sub(goes),
                told.accounts
            ),
        };
        let mut why: Vec<String> = told.reasons.iter().map(Reason::to_string).collect();
        if !told.complete {
            why.push("not complete yet".into());
        }
        writeln!(
            out,
            "{:<20} {:<19} {:<7} {accounts:<18} {}{}",
            told.snapshot,
            time(told.time),
            told.action,
            why.join(", "),
            if told.refused {
                "  (was named, and is not forgotten)"
            } else {
                ""
            }
        )?;
    }
    writeln!(
        out,
        "{}{} forgotten, {} kept in part, {} kept",
        if report.dry_run { "would be: " } else { "" },
        count(report.forgotten, "snapshot"),
        report.trimmed,
        report.kept,
    )
}
