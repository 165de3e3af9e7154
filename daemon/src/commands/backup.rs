//! `tenantfs backup`: one cycle now, by the running daemon if there is one.

use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tenantfs::sync::{CycleOutcome, Progress, Report, Status};

use super::Context;
use crate::config::WORKLOADS;
use crate::control::{self, Request};
use crate::cycle::{Asked, Capture};
use crate::exit::Outcome;
use crate::output::{Style, bytes, count};
use crate::{app, progress, signals};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this account (UPN); may be given several times
    #[arg(long, value_name = "UPN")]
    pub account: Vec<String>,
    /// Only this workload; may be given several times
    #[arg(
        long,
        value_name = "NAME",
        help = format!("Only this workload ({}); may be given several times", WORKLOADS.join(", "))
    )]
    pub workload: Vec<String>,
    /// Give the snapshot this tag, and make one even if nothing changed; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
}

/// Failures that are told one by one; the rest is counted.
const MAX_TOLD: usize = 20;

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let asked = Asked {
        accounts: args.account.clone(),
        workloads: args.workload.clone(),
        tags: args.tag.clone(),
    };
    let request = Request::Backup {
        asked: asked.clone(),
    };
    if let Some(answer) = control::ask(&context.config.state_dir, &request)? {
        if let Some(error) = answer["error"].as_str() {
            bail!("the daemon says: {error}");
        }
        report(context.style, &answer)?;
        return Ok(outcome_of(&answer));
    }
    let repository = app::open_repository(&context.config)?;
    let capture = Capture::new(&context.config, &repository)?;
    let summary = app::runtime()?.block_on(async {
        let watched = Arc::new(Progress::default());
        let stop = signals::stop_token()?;
        let cancel = Arc::clone(&watched);
        tokio::spawn(async move {
            stop.cancelled().await;
            cancel.cancel();
        });
        let showing = progress::watch(Arc::clone(&watched));
        let outcome = capture.run(&asked, watched).await?;
        drop(showing);
        anyhow::Ok(summary(&outcome))
    })?;
    report(context.style, &summary)?;
    Ok(outcome_of(&summary))
}

/// What is told about a cycle, by this command and by the daemon.
pub fn summary(outcome: &CycleOutcome) -> Value {
    json!({
        "snapshot": outcome.snapshot,
        "cancelled": outcome.cancelled,
        "counts": outcome.report.totals,
        "accounts": outcome.report.accounts,
        "claimed": outcome.report.claimed,
        "failed": outcome.report.failed,
        "failed_accounts": failed_accounts(&outcome.report),
        "requests": outcome.report.requests.iter().map(|line| line.count).sum::<u64>(),
        "drive_units": outcome.report.drive_units,
        "bytes_written": outcome.written,
    })
}

/// What could not be captured as a whole: a workload of an account, with the reason.
fn failed_accounts(report: &Report) -> Vec<Value> {
    let mut failed = Vec::new();
    for account in &report.changed {
        for (workload, line) in &account.workloads {
            if line.status == Status::Failed {
                failed.push(json!({
                    "account": account.account,
                    "workload": workload,
                    "reason": line.reason,
                }));
            }
        }
    }
    failed
}

fn outcome_of(summary: &Value) -> Outcome {
    let failed = summary["counts"]["failed"].as_u64().unwrap_or(0)
        + summary["accounts"]["failed"].as_u64().unwrap_or(0)
        + summary["accounts"]["claimed"].as_u64().unwrap_or(0);
    if summary["cancelled"].as_bool().unwrap_or(false) {
        Outcome::Failed
    } else if failed > 0 {
        Outcome::SomeFailed
    } else {
        Outcome::Done
    }
}

fn report(style: Style, summary: &Value) -> Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    style.report(summary, |out| {
        let counts = &summary["counts"];
        match summary["snapshot"].as_str() {
            Some(name) => writeln!(out, "snapshot {name}")?,
            None if summary["cancelled"] == true => {
                writeln!(out, "stopped; the next cycle goes on from here")?;
            }
            None => writeln!(out, "nothing has changed; no new snapshot")?,
        }
        writeln!(
            out,
            "  {} new, {} changed, {} gone; fetched {} ({}) with {}, {}; wrote {}",
            number(&counts["added"]),
            number(&counts["updated"]),
            number(&counts["removed"]),
            count(number(&counts["fetched"]), "item"),
            bytes(number(&counts["bytes"])),
            count(number(&summary["requests"]), "request"),
            count(number(&summary["drive_units"]), "resource unit"),
            bytes(number(&summary["bytes_written"])),
        )?;
        if number(&counts["found"]) > 0 {
            writeln!(
                out,
                "  {} of these found by the sweep, which no change had told of: see the notes of report.json",
                number(&counts["found"])
            )?;
        }
        let list = |name: &str| summary[name].as_array().map_or(&[][..], Vec::as_slice);
        fn text<'a>(item: &'a Value, key: &str) -> &'a str {
            item[key].as_str().unwrap_or("?")
        }
        for item in list("claimed").iter().take(MAX_TOLD) {
            let (account, holder) = (text(item, "account"), text(item, "holder"));
            writeln!(out, "  left out: {account}: {holder} captures it at this moment")?;
        }
        for (name, what) in [("failed_accounts", "workload"), ("failed", "path")] {
            let failed = list(name);
            for item in failed.iter().take(MAX_TOLD) {
                writeln!(
                    out,
                    "  failed: {} {}: {}",
                    text(item, "account"),
                    text(item, what),
                    text(item, "reason")
                )?;
            }
            if let Some(more) = failed.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
                writeln!(out, "  and {more} more: --json tells all")?;
            }
        }
        Ok(())
    })
}
