//! How fast a mailbox is filled again, under the service's limits, 80 ms for every request.
//!
//! An account is captured, and restored into an empty one by `tenantfs restore`, one workload after the
//! other; time and requests are those of the whole command. Beside the rate stands the one that its
//! requests allow at four at once: 3,000 requests a minute. In the long run a mailbox takes no more than
//! 10,000 requests in ten minutes: the last column. Drives have limits of their own.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::fidelity::accounts;
use graph_emulator::{Options, Throttle};
use serde_json::json;

use crate::requests::Bench;
use crate::routes::{AT_ONCE, LATENCY, WINDOW, WINDOW_REQUESTS};

const MAILS: u64 = 600;
const EVENTS: u64 = 300;
const CONTACTS: u64 = 400;
const TASKS: u64 = 200;
const FILES: u64 = 200;

pub fn run() -> Result<()> {
    println!("\nrestore of one account, {LATENCY} ms a request, limits on");
    println!(
        "{:<26} {:>6} {:>9} {:>10} {:>11} {:>7} {:>11}",
        "", "items", "requests", "items/min", "4 at once", "ratio", "long run"
    );
    let all = Account::capture(
        Options {
            messages: MAILS,
            events: EVENTS,
            contacts: CONTACTS,
            files: FILES,
            ..Options::default()
        },
        "",
        TASKS,
    )?;
    all.restore("mail through messages", "Mail")?;
    let options = Options {
        messages: MAILS,
        files: 0,
        ..Options::default()
    };
    let exported = "[protect]\nworkloads = [\"mail\"]\n[protect.mail]\nroute = \"export\"\n";
    Account::capture(options, exported, 0)?.restore("mail by import", "Mail")?;
    all.restore("events", "Calendar")?;
    all.restore("contacts", "Contacts")?;
    all.restore("tasks", "Tasks")?;
    all.restore("small files", "OneDrive")?;
    println!("Microsoft's own service states 200 to 500 items a minute for a mailbox.");
    Ok(())
}

/// An account that was captured, beside an empty one.
struct Account {
    bench: Bench,
    from: String,
    to: String,
}

impl Account {
    fn capture(options: Options, extra: &str, tasks: u64) -> Result<Self> {
        let options = Options {
            accounts: 1,
            empty_accounts: 1,
            latency_ms: LATENCY,
            throttle: Throttle::Real,
            ..options
        };
        let bench = Bench::start(options, extra)?;
        let graph = &bench.0.graph;
        let (users, to) = accounts(&bench.0)?;
        let from = users.into_iter().next().context("there is no account")?;
        if tasks > 0 {
            let lists = format!("/users/{from}/todo/lists");
            let list = graph.post(&lists, &json!({ "displayName": "Everything" }))?;
            let list = list["id"].as_str().context("no id")?;
            for n in 0..tasks {
                let due = json!({ "dateTime": "2036-03-02T00:00:00", "timeZone": "UTC" });
                let task = json!({ "title": format!("Task {n}"), "dueDateTime": due });
                graph.post(&format!("{lists}/{list}/tasks"), &task)?;
            }
        }
        let cycle = bench.cycle()?;
        ensure!(cycle.summary["snapshot"].is_string(), "{}", cycle.summary);
        Ok(Self { bench, from, to })
    }

    fn restore(&self, what: &str, workload: &str) -> Result<()> {
        // The limits are those of an idle service.
        let graph = &self.bench.0.graph;
        graph.control("clock", &json!({ "advance_seconds": WINDOW as i64 }))?;
        let source = format!("latest/{}/{workload}", self.from);
        let target = format!("{}/{workload}", self.to);
        let begun = Instant::now();
        let done = self.bench.counted(&["restore", &source, &target])?;
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        let items = done.summary["restored"].as_f64().unwrap_or_default();
        ensure!(items > 0.0, "nothing was restored: {}", done.summary);
        let (each, rate) = (done.requests as f64 / items, items / minutes);
        let limits = match workload {
            "OneDrive" => String::new(),
            _ => {
                let at_once = AT_ONCE * 60_000.0 / LATENCY as f64 / each;
                let long_run = rate.min(WINDOW_REQUESTS * 60.0 / WINDOW / each);
                let ratio = rate / at_once;
                format!(" {at_once:>11.0} {ratio:>7.2} {long_run:>11.0}")
            }
        };
        println!("{what:<26} {items:>6} {each:>9.2} {rate:>10.0}{limits}");
        Ok(())
    }
}
