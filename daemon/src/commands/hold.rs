//! `tenantfs hold`: what must never be forgotten.

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::json;
use tenantfs::repo::{Hold, host_name};

use super::Context;
use crate::cli::values;
use crate::exit::Outcome;
use crate::output::time;
use crate::{app, snapshots};

/// What can be typed.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Make a hold; without options it covers everything, now and later
    Add(New),
    /// List the holds
    List,
    /// Remove a hold
    Remove { name: String },
}

/// A hold that is to be made.
#[derive(Debug, clap::Args)]
pub struct New {
    /// What it is called: lower-case letters, digits, `.`, `_`, `-`
    pub name: String,
    /// Only accounts that match; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub account: Vec<String>,
    /// This snapshot; may be given several times
    #[arg(long, value_name = "SNAPSHOT")]
    pub snapshot: Vec<String>,
    /// Snapshots from this day or moment on (2026-11-22, 2026-11-22T10:00:00Z; UTC)
    #[arg(long, value_name = "DATE", value_parser = values::since)]
    pub since: Option<i64>,
    /// Snapshots up to this day (with it) or moment
    #[arg(long, value_name = "DATE", value_parser = values::until)]
    pub until: Option<i64>,
    /// Why, for those who read the list
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match args {
        Args::Add(new) => add(context, new),
        Args::List => list(context),
        Args::Remove { name } => remove(context, name),
    }
}

fn add(context: &Context, new: &New) -> Result<Outcome> {
    for pattern in &new.account {
        globset::Glob::new(pattern).with_context(|| format!("{pattern:?} is not a glob"))?;
    }
    let repository = app::open_repository(&context.config)?;
    let maintenance = repository.maintain()?;
    let found = new
        .snapshot
        .iter()
        .map(|name| Ok(snapshots::find(&repository, name)?.name));
    let hold = Hold {
        name: new.name.clone(),
        accounts: new.account.iter().cloned().collect(),
        snapshots: found.collect::<Result<_>>()?,
        since: new.since,
        until: new.until,
        reason: new.reason.clone(),
        created: Timestamp::now().as_second(),
        host: host_name(),
    };
    maintenance.add_hold(&hold)?;
    context
        .style
        .report(&hold, |out| writeln!(out, "{}", describe(&hold)))?;
    Ok(Outcome::Done)
}

fn list(context: &Context) -> Result<Outcome> {
    let holds = app::open_repository(&context.config)?.holds()?;
    context.style.report(&holds, |out| {
        if holds.is_empty() {
            return writeln!(out, "no holds");
        }
        for hold in &holds {
            writeln!(
                out,
                "{}  (made {} on {}){}{}",
                describe(hold),
                time(hold.created),
                hold.host,
                if hold.reason.is_empty() { "" } else { ": " },
                hold.reason
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

fn remove(context: &Context, name: &str) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    if !repository.maintain()?.remove_hold(name)? {
        bail!("there is no hold {name:?}; `tenantfs hold list` lists them");
    }
    context.style.report(&json!({ "removed": name }), |out| {
        writeln!(out, "removed {name}")
    })?;
    Ok(Outcome::Done)
}

/// What it covers, in a line.
fn describe(hold: &Hold) -> String {
    let join = |names: &std::collections::BTreeSet<String>| {
        names.iter().cloned().collect::<Vec<_>>().join(", ")
    };
    let mut which = Vec::new();
    if !hold.snapshots.is_empty() {
        which.push(join(&hold.snapshots));
    }
    match (hold.since, hold.until) {
        (Some(since), Some(until)) => which.push(format!("{} to {}", time(since), time(until))),
        (Some(since), None) => which.push(format!("from {} on", time(since))),
        (None, Some(until)) => which.push(format!("up to {}", time(until))),
        (None, None) => {}
    }
    let which = match which.is_empty() {
        true => "all snapshots".to_owned(),
        false => which.join(" and "),
    };
    let whom = match hold.accounts.is_empty() {
        true => "everything".to_owned(),
        false => join(&hold.accounts),
    };
    format!("{}  holds {whom} in {which}", hold.name)
}
