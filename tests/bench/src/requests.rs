//! Requests of a first sync, an idle cycle and a cycle with changes, against the least that Graph
//! allows (see [`crate::least`]), in all and for each part of the tenant.

use anyhow::{Context, Result, ensure};
use e2e::{Recorded, Tenant};
use graph_emulator::Options;
use serde_json::Value;

use crate::RequestsArgs;
use crate::least::{self, Least, PARTS, Part};
use crate::table::{Bar, heading, line, value};

/// Items on a page of a drive.
pub const DRIVE_PAGE: u64 = 500;
const CHANGES: u64 = 20;

pub fn run(args: &RequestsArgs) -> Result<()> {
    let options = Options {
        accounts: 4,
        messages: args.messages,
        files: args.files,
        events: args.messages / 100,
        contacts: args.messages / 100,
        ..Options::default()
    };
    let bench = Bench::start(options, "")?;
    heading(&format!(
        "requests: {} messages, {} files, {2} events and {2} contacts in 4 accounts",
        args.messages,
        args.files,
        args.messages / 100
    ));

    let least = least::count(&bench.0.graph)?;
    let sum = |of: fn(&Least) -> u64| least.iter().map(of).sum::<u64>();
    let first = bench.cycle()?;
    row("first sync", first.requests, sum(|least| least.first));
    parts(&first, least.map(|least| least.first));

    let idle = bench.cycle()?;
    ensure!(
        idle.summary["snapshot"].is_null(),
        "an idle cycle made a snapshot"
    );
    row("idle cycle", idle.requests, sum(|least| least.idle));
    parts(&idle, least.map(|least| least.idle));

    bench.change(CHANGES)?;
    let changed = bench.cycle()?;
    row(
        &format!("cycle with {CHANGES} new mails"),
        changed.requests,
        sum(|least| least.idle) + CHANGES,
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

/// Prints where the requests of a cycle go.
fn parts(cycle: &Cycle, least: [u64; PARTS.len()]) {
    for ((part, name), least) in PARTS.into_iter().zip(least) {
        let routes = cycle.routes.iter();
        let of_part = routes.filter(|(route, _)| Part::of(route) == part);
        let ours: u64 = of_part.map(|(_, count)| count).sum();
        if ours == 0 && least == 0 {
            continue;
        }
        let ratio = ours as f64 / least as f64;
        line(
            &format!("  {name}"),
            ours as f64,
            least as f64,
            "",
            ratio,
            Bar::None,
        );
    }
}

pub struct Cycle {
    pub requests: u64,
    /// Downloads and uploads at pre-authenticated URLs.
    pub transfers: u64,
    /// SharePoint's resource units.
    pub units: u64,
    /// By route.
    routes: Vec<(String, u64)>,
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

    /// Runs a command, and counts the requests to Graph it takes, as the service does: of a batch its
    /// members. Sign-in is not counted, nor are downloads and uploads at pre-authenticated URLs (of
    /// another host). That some items failed is no error: they cost requests like others.
    pub fn counted(&self, arguments: &[&str]) -> Result<Cycle> {
        self.0.graph.reset_requests()?;
        let summary = self.0.json(arguments)?;
        let counts = self.0.graph.requests()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let mut graph: Vec<(String, u64)> = Vec::new();
        let mut transfers = 0;
        for row in routes {
            let route = row["route"].as_str().unwrap_or_default();
            let count = row["count"].as_u64().unwrap_or_default();
            let is = |names: &[&str]| names.iter().any(|name| route.contains(name));
            if is(&["_download", "_upload"]) {
                transfers += count;
            } else if !is(&["token", "_emulator", "$batch"]) {
                graph.push((route.to_owned(), count));
            }
        }
        Ok(Cycle {
            requests: graph.iter().map(|(_, count)| count).sum(),
            transfers,
            units: counts["units"].as_u64().unwrap_or_default(),
            routes: graph,
            summary,
        })
    }

    /// One cycle of captures.
    pub fn cycle(&self) -> Result<Cycle> {
        self.counted(&["backup"])
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
