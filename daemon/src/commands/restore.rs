//! `tenantfs restore`: puts items back without a mount, or brings them into a local folder.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tenantfs::repo::Repository;
use tenantfs::restore::command::{Observer, Options, Outcome as ItemOutcome};
use tenantfs::restore::{
    Conflict, Repo, Service, SnapshotRecogniser, download_sources, local_target, restore_sources,
};
use tenantfs::tree::Nodes;
use tokio::runtime::Handle;

use super::Context;
use crate::exit::Outcome;
use crate::mounting::{self, Owner};
use crate::output::{Style, bytes, count};
use crate::{app, config};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to put back, then where:
    /// paths in a snapshot (`latest/alice@contoso.com/Mail/Inbox`) or local files, and last
    /// a path as below restore/ (`bob@contoso.com/Mail/From Alice`), or a local folder (`./out`,
    /// `/srv/out`) to bring it there
    #[arg(required = true, num_args = 2.., value_name = "SOURCE... TARGET")]
    pub paths: Vec<String>,
    /// What to do with an item that is already there [default: restore.conflict of the configuration]
    #[arg(long, value_enum)]
    pub conflict: Option<config::Conflict>,
    /// Only what was deleted: what is neither at its place nor anywhere else but in the bin
    #[arg(long)]
    pub deleted_only: bool,
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Items told in the JSON report; the counts tell of all.
const MAX_ITEMS: usize = 100_000;

#[derive(Serialize)]
struct Item {
    source: String,
    target: String,
    size: u64,
    outcome: String,
}

/// Tells on the terminal what happens, and collects it for the JSON report.
struct Teller {
    style: Style,
    dry_run: bool,
    bar: ProgressBar,
    found: AtomicU64,
    items: Mutex<Vec<Item>>,
}

impl Observer for Teller {
    fn found(&self, _size: u64) {
        self.bar
            .set_length(self.found.fetch_add(1, Ordering::Relaxed) + 1);
    }

    fn item(&self, source: &str, target: &str, size: u64, outcome: &ItemOutcome) {
        self.bar.inc(1);
        let told = describe(outcome);
        let worth_a_line = self.dry_run || matches!(outcome, ItemOutcome::Failed(_));
        if self.style == Style::Text && worth_a_line {
            self.bar
                .suspend(|| println!("{told}: {source} -> {target}"));
        }
        if self.style == Style::Json {
            let mut items = self
                .items
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            if items.len() < MAX_ITEMS {
                items.push(Item {
                    source: source.to_owned(),
                    target: target.to_owned(),
                    size,
                    outcome: told,
                });
            }
        }
    }
}

fn describe(outcome: &ItemOutcome) -> String {
    match outcome {
        ItemOutcome::Restored { notes, .. } if notes.is_empty() => "restored".into(),
        ItemOutcome::Restored { notes, .. } => format!("restored, but {}", notes.join("; ")),
        ItemOutcome::MadeFolder => "made the folder".into(),
        ItemOutcome::Exists => "is there already".into(),
        ItemOutcome::OnlyShows => "only shows the items beside it".into(),
        ItemOutcome::Live => "is not deleted".into(),
        ItemOutcome::WouldRestore(None | Some(Conflict::Skip)) => "would restore".into(),
        ItemOutcome::WouldRestore(Some(Conflict::Overwrite)) => {
            "would replace the one that is there".into()
        }
        ItemOutcome::WouldRestore(Some(Conflict::KeepBoth)) => {
            "would make another beside the one that is there".into()
        }
        ItemOutcome::WouldMakeFolder => "would make the folder".into(),
        ItemOutcome::Failed(error) => format!("failed ({error})"),
    }
}

fn service(
    context: &Context,
    repository: &Repository,
    runtime: &Handle,
) -> Result<(Service, Arc<SnapshotRecogniser>)> {
    let service = mounting::restore_service(&context.config, repository, runtime, Owner::Command)?;
    service.with_context(|| {
        format!(
            "there is no identity to restore with; add [tenant.restore] to {}",
            context.config_file.display()
        )
    })
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let Some((target, sources)) = args.paths.split_last() else {
        bail!("say what to restore, and where to");
    };
    let repository = app::open_repository(&context.config)?;
    let nodes = Nodes::new(&repository);
    let runtime = app::runtime()?;
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} items {elapsed}") {
        bar.set_style(style);
    }
    let teller = Teller {
        style: context.style,
        dry_run: args.dry_run,
        bar,
        found: AtomicU64::new(0),
        items: Mutex::default(),
    };
    let options = Options {
        conflict: args.conflict.map(mounting::conflict),
        deleted_only: args.deleted_only,
        dry_run: args.dry_run,
        ..Options::default()
    };
    let from = Repo {
        repo: &repository,
        nodes: &nodes,
    };
    let service = || service(context, &repository, runtime.handle());
    let summary = match local_target(target) {
        None => {
            let (service, recogniser) = service()?;
            restore_sources(
                &service,
                from,
                &recogniser,
                sources,
                target,
                &options,
                &teller,
            )?
        }
        Some(folder) => {
            // To read from snapshots takes no identity; to know what is live does.
            let live = args.deleted_only.then(service).transpose()?;
            let live = live.as_ref().map(|(service, known)| (service, &**known));
            download_sources(from, live, sources, &folder, &options, &teller)?
        }
    };
    teller.bar.finish_and_clear();
    let report = json!({
        "dry_run": args.dry_run,
        "restored": summary.restored,
        "bytes": summary.bytes,
        "folders": summary.folders,
        "existing": summary.existing,
        "failed": summary.failed,
        "stopped": summary.stopped,
        "items": &*teller.items.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
    });
    context.style.report(&report, |out| {
        let would = if args.dry_run { "would be " } else { "" };
        writeln!(
            out,
            "{} ({}) {would}restored, {} {would}made, {} left alone, {} failed",
            count(summary.restored, "item"),
            bytes(summary.bytes),
            count(summary.folders, "folder"),
            summary.existing,
            summary.failed,
        )?;
        match &summary.stopped {
            Some(why) => writeln!(out, "stopped: {why}"),
            None => Ok(()),
        }
    })?;
    let clean = summary.failed == 0 && summary.stopped.is_none();
    Ok(if clean {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}
