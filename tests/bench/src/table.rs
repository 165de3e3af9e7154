//! The lines that are printed.

use std::time::{Duration, Instant};

/// Prints the heading of a table.
pub fn heading(what: &str) {
    println!("\n{what}");
    println!(
        "{:<44} {:>12} {:>12} {:>8}  bar",
        "", "tenantfs", "peer", "ratio"
    );
}

/// Which side of the bar is good.
#[derive(Clone, Copy)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    None,
}

/// Prints `ours` against `peer`, with their ratio against a bar.
pub fn line(what: &str, ours: f64, peer: f64, unit: &str, ratio: f64, bar: Bar) {
    let (bar, held) = match bar {
        Bar::AtMost(limit) => (format!("<= {limit}"), ratio <= limit),
        Bar::AtLeast(limit) => (format!(">= {limit}"), ratio >= limit),
        Bar::None => (String::new(), true),
    };
    let verdict = if held { "" } else { "  FALLS SHORT" };
    println!("{what:<44} {ours:>9.3} {unit:<2} {peer:>9.3} {unit:<2} {ratio:>8.2}  {bar}{verdict}");
}

/// A value of our own against a fixed limit.
pub fn value(what: &str, ours: f64, unit: &str, limit: f64) {
    let verdict = if ours <= limit { "" } else { "  FALLS SHORT" };
    println!(
        "{what:<44} {ours:>9.3} {unit:<2} {:>12} {:>8}  <= {limit} {unit}{verdict}",
        "", ""
    );
}

/// How long `work` takes.
pub fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}
