//! A small choice of the corpus, evenly over all of it: links in a folder of its own, so that one account
//! gets it all.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::corpus;

/// One of so many mails, calendars and cards.
const MAILS: usize = 23;
const CALENDARS: usize = 11;
const CARDS: usize = 2;
/// Larger calendars are thousands of the same.
const MAX_CALENDAR: u64 = 12_000;

pub struct Samples(tempfile::TempDir);

impl Samples {
    /// `None`: the corpus is not here.
    pub fn collect() -> Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        for (kind, extension, each) in [
            ("mail", "", MAILS),
            ("ics", "ics", CALENDARS),
            ("vcf", "vcf", CARDS),
        ] {
            let Some(folder) = corpus::folder(kind) else {
                return Ok(None);
            };
            let chosen = corpus::files(&folder).into_iter().filter(|file| {
                let fits = |of: &Path| of.extension().is_some_and(|e| e == extension);
                let small = file.metadata().is_ok_and(|m| m.len() <= MAX_CALENDAR);
                extension.is_empty() || (fits(file) && (kind != "ics" || small))
            });
            // The emulator makes a mail folder, a calendar, a contact folder of it.
            let real = dir.path().join(kind).join("Real ones");
            std::fs::create_dir_all(&real)?;
            for (n, file) in chosen.step_by(each).enumerate() {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                std::os::unix::fs::symlink(&file, real.join(format!("{n:04} {name}")))?;
            }
        }
        Ok(Some(Self(dir)))
    }

    pub fn mail(&self) -> PathBuf {
        self.0.path().join("mail")
    }

    pub fn ics(&self) -> PathBuf {
        self.0.path().join("ics")
    }

    pub fn vcf(&self) -> PathBuf {
        self.0.path().join("vcf")
    }
}
