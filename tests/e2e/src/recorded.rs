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
    log: tempfile::NamedTempFile,
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
            log,
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
        if let Some(exchanges) = fixtures::schema::check(self.log.path()) {
            // Nobody starts an emulator without so much as signing in to it.
            assert_ne!(
                exchanges.graph + exchanges.other,
                0,
                "nothing was written into the log"
            );
        }
    }
}
