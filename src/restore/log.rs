//! What happened, for people: `restore/.log`, and the reason behind the last error of a path.
//!
//! One line per event: time (UTC), word, target, what there is to say. The last lines are in memory and
//! in `restore.log` in the local folder, which is cut over to `restore.log.1` when it is large.
//! Bounded everywhere. Losing the file loses nothing but history.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::local::now;

/// Lines shown.
const LINES: usize = 1000;
/// Longest line, bytes: a reason of the service can be long.
const MAX_LINE: usize = 4096;
/// Paths whose last error is remembered.
const ERRORS: usize = 1000;
/// The file is cut over beyond this size, bytes.
const MAX_FILE: u64 = 4 << 20;

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Confirmed by Microsoft 365.
    Restored,
    /// Safe here; the push follows.
    Queued,
    /// Refused for good.
    Failed,
    /// Will be tried again.
    Retry,
    /// Left alone because it is there already.
    Exists,
    /// After a crash or a timeout: what became of a push.
    Recovered,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Event::Restored => "restored",
            Event::Queued => "queued",
            Event::Failed => "failed",
            Event::Retry => "retry",
            Event::Exists => "exists",
            Event::Recovered => "recovered",
        }
    }
}

/// The log of one service.
#[derive(Debug)]
pub struct RestoreLog {
    inner: Mutex<Inner>,
    path: PathBuf,
}

#[derive(Debug)]
struct Inner {
    lines: VecDeque<String>,
    errors: HashMap<String, String>,
    order: VecDeque<String>,
    file: Option<File>,
}

impl RestoreLog {
    /// Opens the log in `dir` with the last lines of earlier runs. Without a writable file it works in
    /// memory alone, with a warning.
    pub fn open(dir: &Path) -> RestoreLog {
        let path = dir.join("restore.log");
        let lines = tail(&path);
        let file = match append(&path) {
            Ok(file) => Some(file),
            Err(e) => {
                tracing::warn!(file = %path.display(), reason = %e, "the restore log is kept in memory only");
                None
            }
        };
        let inner = Inner {
            lines,
            errors: HashMap::new(),
            order: VecDeque::new(),
            file,
        };
        RestoreLog {
            inner: Mutex::new(inner),
            path,
        }
    }

    /// Adds a line.
    pub fn add(&self, event: Event, target: &str, text: &str) {
        let mut line = format!("{} {:<9} {}", stamp(now()), event.word(), one_line(target));
        if !text.is_empty() {
            let _ = write!(line, ": {}", one_line(text));
        }
        cut(&mut line);
        tracing::info!(target: "tenantfs::restore", event = event.word(), item = %target, "{}", one_line(text));
        let mut inner = self.inner.lock();
        match event {
            Event::Failed | Event::Exists | Event::Retry => inner.remember(target, text),
            Event::Restored => drop(inner.errors.remove(target)),
            Event::Queued | Event::Recovered => {}
        }
        inner.write(&self.path, &line);
        if inner.lines.len() >= LINES {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// The last lines, oldest first.
    pub fn text(&self) -> String {
        let inner = self.inner.lock();
        let mut text = String::new();
        for line in &inner.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Why the last restore to a target failed.
    pub fn last_error(&self, target: &str) -> Option<String> {
        self.inner.lock().errors.get(target).cloned()
    }
}

impl Inner {
    fn remember(&mut self, target: &str, text: &str) {
        if self
            .errors
            .insert(target.to_owned(), text.to_owned())
            .is_none()
        {
            self.order.push_back(target.to_owned());
        }
        while self.order.len() > ERRORS {
            if let Some(old) = self.order.pop_front() {
                self.errors.remove(&old);
            }
        }
    }

    fn write(&mut self, path: &Path, line: &str) {
        let Some(file) = &mut self.file else { return };
        let full = file.metadata().is_ok_and(|m| m.len() > MAX_FILE);
        if full && fs::rename(path, path.with_extension("log.1")).is_ok() {
            match append(path) {
                Ok(new) => *file = new,
                Err(_) => return,
            }
        }
        // A log that cannot be written must not fail a restore; the line is in memory.
        let _ = writeln!(file, "{line}");
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// The last lines of the file, as far as they are in its last part.
fn tail(path: &Path) -> VecDeque<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let part = 256 << 10;
        let from = file.metadata()?.len().saturating_sub(part);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(part).read_to_end(&mut bytes)?;
        if from > 0 {
            let cut = bytes
                .iter()
                .position(|b| *b == b'\n')
                .map_or(bytes.len(), |at| at + 1);
            bytes.drain(..cut);
        }
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|l| (*l).to_owned())
        .collect()
}

/// One event is one line, whatever a name or a service's message has in it.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn cut(line: &mut String) {
    if line.len() > MAX_LINE {
        let mut at = MAX_LINE;
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        line.truncate(at);
        line.push_str("...");
    }
}

/// `2026-11-22T02:00:00Z`
fn stamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let log = RestoreLog::open(dir.path());
        for i in 0..LINES + 10 {
            log.add(Event::Restored, &format!("bob/Mail/{i}"), "");
        }
        log.add(Event::Failed, "bob/Mail/x", "line one\nline two");
        assert_eq!(log.last_error("bob/Mail/x").unwrap(), "line one\nline two");
        let text = log.text();
        assert_eq!(text.lines().count(), LINES);
        assert!(
            text.ends_with("failed    bob/Mail/x: line one line two\n"),
            "{text}"
        );
        log.add(Event::Failed, "bob/Mail/y", &"\u{1f600}".repeat(5000));
        log.add(Event::Restored, "bob/Mail/x", "");
        assert_eq!(log.last_error("bob/Mail/x"), None);
        drop(log);
        let again = RestoreLog::open(dir.path());
        assert!(again.text().contains("line one line two"));
        assert!(again.text().lines().count() <= LINES);
    }
}
