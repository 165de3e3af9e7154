//! Progress on a terminal; nothing elsewhere, where log lines tell instead.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tenantfs::sync::Progress;
use tokio_util::task::AbortOnDropHandle;

/// A bar that counts things. Hides itself where there is no terminal.
pub struct Counter(ProgressBar);

/// A bar for `things`.
pub fn counter(things: &str) -> Counter {
    let bar = ProgressBar::new(0);
    let template = format!("{{bar:40}} {{pos}}/{{len}} {things} {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    Counter(bar)
}

impl Counter {
    /// How far it is, of how much.
    pub fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Clears the line.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A line for snapshots that are copied, `total` of them.
pub fn copying(total: u64) -> Copying {
    let bar = ProgressBar::new(total);
    let template = "{spinner} {elapsed} snapshot {pos}/{len} {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Copying(bar)
}

/// See [`copying`].
pub struct Copying(ProgressBar);

impl Copying {
    /// The next snapshot.
    pub fn begin(&self, snapshot: &str) {
        self.0.inc(1);
        self.0.set_message(snapshot.to_owned());
    }

    /// How much of it was copied.
    pub fn set(&self, objects: u64, bytes: u64) {
        // Drawing costs more than copying a small object.
        if objects.is_multiple_of(256) {
            let message = format!("{objects} new objects, {}", HumanBytes(bytes));
            self.0.set_message(message);
        }
    }

    /// Clears the line.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Shows how far a cycle is until the handle is dropped.
pub fn watch(progress: Arc<Progress>) -> Watching {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let task = tokio::spawn(async move {
        loop {
            shown.set_message(describe(&progress));
            shown.tick();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    Watching {
        bar,
        _task: AbortOnDropHandle::new(task),
    }
}

/// See [`watch`].
pub struct Watching {
    bar: ProgressBar,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn describe(progress: &Progress) -> String {
    let now = progress.now();
    let failed = if now.failed > 0 {
        format!(", {} failed", now.failed)
    } else {
        String::new()
    };
    format!(
        "accounts {}/{}, items {}, fetched {} ({}){failed}  {}",
        now.accounts_done,
        now.accounts_total,
        now.items,
        now.fetched,
        HumanBytes(now.bytes),
        now.current
    )
}
