//! Both ways to capture mail, under the service's limits: one request for each mail (MIME), or one for
//! twenty (export).
//!
//! Twice the same tenants, one emulator for each, with real limits and 80 ms for every request: one large
//! mailbox, and many of 500 mails. `--routes-scale 20` (what is done when nothing is said) takes a
//! twentieth of the mails; the time at full size is then what the requests cost by the limits: four at
//! once per mailbox, 10,000 in ten minutes, eight mailboxes at a time.

use std::time::Instant;

use anyhow::{Result, ensure};
use graph_emulator::{Options, Throttle};

use crate::requests::Bench;
use crate::table::heading;

/// Milliseconds of every request.
pub const LATENCY: u64 = 80;
/// Requests of an application to one mailbox at once, and in a window of so many seconds.
pub const AT_ONCE: f64 = 4.0;
pub const WINDOW_REQUESTS: f64 = 10_000.0;
pub const WINDOW: f64 = 600.0;
/// Mailboxes captured at a time.
const PARALLEL: f64 = 8.0;

struct Size {
    what: &'static str,
    mailboxes: u64,
    mails: u64,
}

const SIZES: [Size; 2] = [
    Size {
        what: "one mailbox of 20,000",
        mailboxes: 1,
        mails: 20_000,
    },
    Size {
        what: "200 mailboxes of 500",
        mailboxes: 200,
        mails: 500,
    },
];

pub fn run(scale: u64) -> Result<()> {
    let scale = scale.max(1);
    heading(&format!(
        "mail by MIME and by export, at 1/{scale} of the size, {LATENCY} ms a request, limits on"
    ));
    for size in SIZES {
        let (mailboxes, mails) = match size.mailboxes {
            1 => (1, size.mails / scale),
            many => ((many / scale).max(1), size.mails),
        };
        let mut requests = Vec::new();
        for route in ["mime", "export"] {
            let (count, seconds) = capture(route, mailboxes, mailboxes * mails)?;
            let each = count as f64 / (mailboxes * mails) as f64;
            println!(
                "{:<24} {route:<7} {count:>7} requests ({each:.3} a mail), {seconds:>7.1} s here",
                size.what
            );
            let full = each * size.mails as f64;
            let by_limits = seconds_of(full) * (size.mailboxes as f64 / PARALLEL).max(1.0);
            println!("{:<32} {by_limits:>9.0} s at full size, by the limits", "");
            requests.push(count as f64);
        }
        println!(
            "{:<32} {:>9.1} times fewer requests",
            "",
            requests[0] / requests[1]
        );
    }
    Ok(())
}

/// Seconds that so many requests to one mailbox take at least.
fn seconds_of(requests: f64) -> f64 {
    let by_latency = requests * LATENCY as f64 / 1000.0 / AT_ONCE;
    let full_windows = ((requests - 1.0) / WINDOW_REQUESTS).floor().max(0.0);
    by_latency.max(full_windows * WINDOW)
}

/// A first sync: requests to Graph, and seconds on the clock.
fn capture(route: &str, mailboxes: u64, mails: u64) -> Result<(u64, f64)> {
    let options = Options {
        accounts: mailboxes as usize,
        messages: mails,
        files: 0,
        latency_ms: LATENCY,
        throttle: Throttle::Real,
        ..Options::default()
    };
    let extra = format!("[protect]\nworkloads = [\"mail\"]\n[protect.mail]\nroute = \"{route}\"\n");
    let bench = Bench::start(options, &extra)?;
    let begun = Instant::now();
    let cycle = bench.cycle()?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        !cycle.summary["snapshot"].is_null(),
        "nothing was captured: {}",
        cycle.summary
    );
    Ok((cycle.requests, seconds))
}
