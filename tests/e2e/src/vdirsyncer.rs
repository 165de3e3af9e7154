//! vdirsyncer with its storages for Graph: calendars, contacts and tasks of a signed-in person, kept in
//! step with folders of `.ics` and `.vcf` files.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use graph_emulator::Running;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::{Realm, programs, succeed};

/// What is kept in step: vdirsyncer's name for it, the ending of its files, and which collections.
const PAIRS: [(&str, &str, &str); 3] = [
    (
        "calendar",
        ".ics",
        r#"["Calendar", "Projects", "Birthdays"]"#,
    ),
    ("contacts", ".vcf", r#"["from a"]"#),
    ("tasks", ".ics", r#"["from a"]"#),
];

/// A configured vdirsyncer; all its state is in a folder of its own.
pub struct Vdirsyncer<'a> {
    realm: &'a Realm,
    dir: TempDir,
}

impl<'a> Vdirsyncer<'a> {
    /// Signed in as the first user of the tenant, whose refresh token the emulator takes any for.
    pub fn new(realm: &'a Realm, emulator: &Running) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let token = dir.path().join("token.json");
        let signed_in = json!({ "refresh_token": "RT", "access_token": "x", "expires_at": 0, "scope": "User.Read" });
        std::fs::write(&token, signed_in.to_string())?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut config = format!("[general]\nstatus_path = \"{}\"\n", at("status"));
        for (kind, ending, collections) in PAIRS {
            config += &format!(
                "[pair {kind}]\na = \"{kind}_graph\"\nb = \"{kind}_files\"\ncollections = {collections}\n\
                 [storage {kind}_graph]\ntype = \"graph_{kind}\"\nclient_id = \"{}\"\ntoken_file = \"{}\"\n\
                 cache_dir = \"{}\"\n\
                 [storage {kind}_files]\ntype = \"filesystem\"\npath = \"{}\"\nfileext = \"{ending}\"\n",
                emulator.client_id,
                at("token.json"),
                at("cache"),
                at(kind),
            );
        }
        std::fs::write(dir.path().join("config"), config)?;
        Ok(Self { realm, dir })
    }

    fn command(&self, argument: &str) -> Command {
        let mut command = self.realm.command("vdirsyncer-graph");
        command
            .arg(argument)
            .env("VDIRSYNCER_CONFIG", self.dir.path().join("config"));
        command
    }

    /// Finds the collections, and makes a folder for each: it asks before it does, for each.
    pub fn discover(&self) -> Result<()> {
        let answers = self.dir.path().join("answers");
        std::fs::write(&answers, "y\n".repeat(100))?;
        let mut discover = self.command("discover");
        succeed(discover.stdin(std::fs::File::open(answers)?));
        Ok(())
    }

    /// One round in both directions; what it warns of is a failure.
    pub fn sync(&self) -> Result<()> {
        let output = self.command("sync").stdin(Stdio::null()).output()?;
        let said = crate::text(&output.stdout) + &crate::text(&output.stderr);
        ensure!(output.status.success(), "{said}");
        for word in ["warning", "error", "failed"] {
            ensure!(!said.to_lowercase().contains(word), "{said}");
        }
        Ok(())
    }

    /// The folder of a collection: `contacts/contacts`.
    pub fn folder(&self, collection: &str) -> PathBuf {
        self.dir.path().join(collection)
    }

    /// What is in a collection, as the libraries read it.
    pub fn items(&self, collection: &str) -> Result<Vec<Value>> {
        let mut read = Command::new("python3");
        read.arg(programs().join("items.py"));
        for entry in std::fs::read_dir(self.folder(collection))? {
            read.arg(entry?.path());
        }
        Ok(serde_json::from_str(&succeed(&mut read))?)
    }
}
