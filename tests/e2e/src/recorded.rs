//! An emulator all of whose exchanges are written down, and held against Microsoft's own schema in
//! the end: what the client asked for, and what the emulator answered.

use std::ops::Deref;

use anyhow::Result;
use graph_emulator::{Emulator, Options, Running};

/// A running emulator with its log. Dropping it stops it and checks the log; what the schema does
/// not have fails the test.
pub struct Recorded {
    /// `None` only while it is dropped.
    running: Option<Running>,
    /// `None`: what is measured here is time.
    log: Option<tempfile::NamedTempFile>,
}

impl Recorded {
    /// Starts an emulator with `options`, whose log is replaced.
    pub fn start(options: Options) -> Result<Self> {
        let log = tempfile::NamedTempFile::new()?;
        let running = Emulator::start(Options {
            log: Some(log.path().to_owned()),
            ..options
        })?;
        Ok(Self {
            running: Some(running),
            log: Some(log),
        })
    }

    /// Starts one whose exchanges nobody writes down, for benchmarks.
    pub fn unwatched(options: Options) -> Result<Self> {
        Ok(Self {
            running: Some(Emulator::start(options)?),
            log: None,
        })
    }
}

impl Deref for Recorded {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is dropped")
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
        // A second panic would hide the first, and end all other tests.
        if std::thread::panicking() {
            return;
        }
        if let Some(log) = &self.log
            && let Some(exchanges) = fixtures::schema::check(log.path())
        {
            // Nobody starts an emulator without so much as signing in to it.
            assert_ne!(
                exchanges.graph + exchanges.other,
                0,
                "nothing was written into the log"
            );
        }
    }
}
