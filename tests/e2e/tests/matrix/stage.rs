//! A captured and mounted tenant, shared by the tests of one module.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Context, Result, bail, ensure};
use e2e::shell::{quote, sh};
use e2e::{Mounted, Tenant, corpus, text};
use graph_emulator::Options;
use serde_json::{Value, json};

use crate::matrix::row::{Home, Item, Row, SITE_HOST, furnish};

/// Whose accounts they are: each test has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Something of it is deleted and comes back.
    Same,
    /// Everything is.
    Whole,
    /// Its things go to others, and stay as they are.
    Giver,
    /// Empty: gets some.
    Taker,
    /// Empty: gets everything.
    Heir,
    /// Its things go to other services.
    Services,
    /// Its things go where they can't.
    Refused,
    /// Its things go to other places of its own.
    Path,
    /// Its things are replaced.
    Over,
    /// Its things get company.
    Both,
    /// Only what was deleted comes back.
    Deleted,
    /// Its things go to a folder of this machine.
    Download,
}

pub const CAST: [Cast; 12] = [
    Cast::Same,
    Cast::Whole,
    Cast::Giver,
    Cast::Taker,
    Cast::Heir,
    Cast::Services,
    Cast::Refused,
    Cast::Path,
    Cast::Over,
    Cast::Both,
    Cast::Deleted,
    Cast::Download,
];

/// The name of the site that is not of the cast.
const SPARE: &str = "Spare";

impl Cast {
    pub fn is_empty(self) -> bool {
        matches!(self, Cast::Taker | Cast::Heir)
    }
}

pub struct Stage {
    // Unmounted before the tenant goes.
    mount: Mounted,
    pub tenant: Tenant,
    upns: Vec<String>,
    /// Where the snapshot has each item (by Graph id): account, service, and so on.
    files: HashMap<String, String>,
    snapshot: PathBuf,
}

/// A stage that lives as long as a test uses it.
pub struct Shared(Mutex<Weak<Stage>>);

impl Shared {
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The stage, set up by whoever comes first.
    pub fn get(&self, set_up: impl FnOnce() -> Result<Stage>) -> Result<Arc<Stage>> {
        let mut shared = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(stage) = shared.upgrade() {
            return Ok(stage);
        }
        let stage = Arc::new(set_up()?);
        *shared = Arc::downgrade(&stage);
        Ok(stage)
    }
}

impl Stage {
    /// A tenant with things of these kinds, captured and mounted.
    pub fn new(rows: &[&dyn Row]) -> Result<Self> {
        let (tenant, upns) = tenant(CAST.len())?;
        for (cast, upn) in CAST.iter().zip(&upns) {
            for row in rows {
                furnish(*row, &Home::new(&tenant, upn), cast.is_empty())?;
            }
        }
        Self::capture(tenant, upns, rows)
    }

    /// A tenant with sites that have things of these kinds, captured and mounted; each of the cast is a
    /// site. There are two people, whom nothing is captured of.
    pub fn of_sites(rows: &[&dyn Row]) -> Result<Self> {
        let (tenant, _) = tenant(2)?;
        let mut names = Vec::new();
        let cast = CAST.iter().map(|cast| format!("{cast:?}"));
        for name in cast.chain([SPARE.to_owned()]) {
            let url = format!("https://{SITE_HOST}/sites/{name}");
            let site = json!({ "url": url, "do": "create", "title": name });
            tenant.graph.control("sites", &site)?;
            names.push(format!("Sites/{name}"));
        }
        let empty = CAST.iter().map(|cast| cast.is_empty()).chain([false]);
        for (empty, name) in empty.zip(&names) {
            for row in rows {
                furnish(*row, &Home::new(&tenant, name), empty)?;
            }
        }
        Self::capture(tenant, names, rows)
    }

    /// One more site, for what only one kind can do.
    pub fn spare(&self) -> Home<'_> {
        self.home_at(CAST.len())
    }

    /// Somebody with a mailbox and a OneDrive.
    pub fn person(&self) -> Result<String> {
        let people = self.tenant.graph.mailboxes()?;
        people.into_iter().next().context("there is nobody")
    }

    /// A tenant as it is, captured and mounted. `upns`: the accounts, in the order of the cast.
    pub fn capture(tenant: Tenant, upns: Vec<String>, rows: &[&dyn Row]) -> Result<Self> {
        let kinds = rows.iter().flat_map(|row| ["--workload", row.workload()]);
        let kinds = kinds.collect::<Vec<_>>();
        Self::captured_with(tenant, upns, &kinds)
    }

    /// The same, of every service there is.
    pub fn capture_all(tenant: Tenant, upns: Vec<String>) -> Result<Self> {
        Self::captured_with(tenant, upns, &[])
    }

    fn captured_with(tenant: Tenant, upns: Vec<String>, arguments: &[&str]) -> Result<Self> {
        let mut backup = [&["backup"], arguments].concat();
        for upn in &upns {
            backup.extend(["--account", upn]);
        }
        let summary = tenant.json(&backup)?;
        ensure!(summary["counts"]["failed"] == 0, "{summary:#}");
        let mount = tenant.mount()?;
        let snapshot = mount.path("snapshots/latest").canonicalize()?;
        let files = records(&snapshot)?;
        Ok(Self {
            mount,
            tenant,
            upns,
            files,
            snapshot,
        })
    }

    pub fn home(&self, cast: Cast) -> Home<'_> {
        self.home_at(cast as usize)
    }

    /// The account at a place in the list.
    pub fn home_at(&self, at: usize) -> Home<'_> {
        Home::new(&self.tenant, &self.upns[at])
    }

    /// Where the snapshot has an item: a path below a snapshot.
    pub fn path_of(&self, item: &Item) -> Result<&str> {
        let path = self.files.get(&item.id).map(String::as_str);
        path.with_context(|| format!("{} was not captured", item.title))
    }

    /// The file of an item in the snapshot.
    pub fn file_of(&self, item: &Item) -> Result<PathBuf> {
        Ok(self.snapshot.join(self.path_of(item)?))
    }

    /// A path in the mounted snapshot.
    pub fn captured(&self, path: &str) -> PathBuf {
        self.snapshot.join(path)
    }

    /// A path in `restore/`.
    pub fn target(&self, path: &str) -> PathBuf {
        self.mount.path("restore").join(path)
    }

    /// `COMMAND FROM TO` in a shell: whether it succeeded, and what it said.
    pub fn try_copy(&self, command: &str, from: &Path, to: &Path) -> Result<(bool, String)> {
        let line = format!("{command} {} {}", quote(from), quote(to));
        sh(&self.mount.dir, &line)
    }

    /// The same, and it must succeed.
    pub fn copy(&self, command: &str, from: &Path, to: &Path) -> Result<()> {
        let (ok, said) = self.try_copy(command, from, to)?;
        ensure!(
            ok,
            "{command} {} {}: {said}{}",
            from.display(),
            to.display(),
            self.log()?
        );
        Ok(())
    }

    pub fn mkdir(&self, path: &str) -> Result<()> {
        let line = format!("mkdir -p {}", quote(&self.target(path)));
        let (ok, said) = sh(&self.mount.dir, &line)?;
        ensure!(ok, "{line}: {said}");
        Ok(())
    }

    /// `restore/.log`.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.target(".log"))?)
    }

    /// Copies through the mount what is refused, and finds the reason in the log.
    pub fn refused_copy(&self, from: &Path, to: &str, why: &str) -> Result<()> {
        let (ok, said) = self.try_copy("cp", from, &self.target(to))?;
        ensure!(!ok, "{} was taken by {to}", from.display());
        let log = self.log()?;
        let told = log.lines().any(|l| l.contains(to) && l.contains(why));
        ensure!(told, "no {why:?} of {to}, but {said}{log}");
        Ok(())
    }

    /// `tenantfs restore ARGS`, foretold by a dry run: that changes nothing of what `live` looks at, and
    /// says of each item what then becomes of it. Returns what was told of the run.
    pub fn restore(&self, live: &dyn Fn() -> Result<String>, args: &[&str]) -> Result<Value> {
        let command = [&["restore"], args].concat();
        let before = live()?;
        let dry = [&command[..], &["--dry-run"]].concat();
        let plan = self.tenant.json(&dry)?;
        let after = live()?;
        ensure!(
            before == after,
            "a dry run of {args:?} changed {before}\nto {after}"
        );
        ensure!(plan["dry_run"] == true);
        let done = self.tenant.json(&command)?;
        let (foretold, told) = (outcomes(&plan)?, outcomes(&done)?);
        ensure!(
            foretold == told,
            "{args:?}: {foretold:#?}\nbecame {told:#?}\n{done:#}"
        );
        ensure!(!told.is_empty(), "{args:?} did nothing");
        Ok(done)
    }

    /// As [`Stage::restore`]; nothing fails.
    pub fn restored(&self, live: &dyn Fn() -> Result<String>, args: &[&str]) -> Result<u64> {
        let done = self.restore(live, args)?;
        ensure!(done["failed"] == 0, "{args:?}: {done:#}");
        done["restored"].as_u64().context("no count")
    }

    /// As [`Stage::restore`]; every item is refused for this reason.
    pub fn refused(
        &self,
        live: &dyn Fn() -> Result<String>,
        args: &[&str],
        why: &str,
    ) -> Result<()> {
        let before = live()?;
        let done = self.restore(live, args)?;
        ensure!(done["restored"] == 0, "{args:?}: {done:#}");
        let items = done["items"].as_array().context("no items")?;
        let failed = items
            .iter()
            .filter_map(|i| i["outcome"].as_str())
            .filter(|outcome| outcome.starts_with("failed"));
        let failed: Vec<&str> = failed.collect();
        ensure!(!failed.is_empty(), "{args:?}: {done:#}");
        for outcome in failed {
            ensure!(outcome.contains(why), "{args:?}: {outcome}");
        }
        ensure!(before == live()?, "a refused restore left something");
        Ok(())
    }

    /// What a person reads of a dry run: a line for each item.
    pub fn plan_in_words(&self, args: &[&str]) -> Result<String> {
        let command = [&["restore"], args, &["--dry-run"]].concat();
        let output = self.tenant.run(&command)?;
        if !matches!(output.status.code(), Some(0 | 3)) {
            bail!("{args:?}: {}", text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    /// A new path on this machine.
    pub fn local(&self, name: &str) -> PathBuf {
        self.tenant.path(name)
    }
}

/// A tenant with so many accounts, and their names.
pub fn tenant(accounts: usize) -> Result<(Tenant, Vec<String>)> {
    let tenant = Tenant::start(Options {
        accounts,
        messages: 0,
        files: 0,
        archives: accounts,
        archive_messages: 0,
        // For what goes into libraries.
        sites: 1,
        site_files: 0,
        site_items: 0,
        ..Options::default()
    })?;
    let mut upns = tenant.graph.mailboxes()?;
    upns.truncate(accounts);
    Ok((tenant, upns))
}

/// Graph ids of what a snapshot holds, with the paths.
fn records(snapshot: &Path) -> Result<HashMap<String, String>> {
    let records = snapshot.join(".tenantfs/graph");
    let mut files = HashMap::new();
    for record in corpus::files(&records) {
        let json: Value = serde_json::from_slice(&std::fs::read(&record)?)?;
        let below = record.strip_prefix(&records)?.with_extension("");
        let below = below.to_str().context("a name that is not UTF-8")?;
        // Graph's own id is not unique where there are several drives or lists.
        for id in ["id", "tenantfsId"] {
            if let Some(id) = json[id].as_str() {
                files.insert(id.to_owned(), below.to_owned());
            }
        }
    }
    Ok(files)
}

/// What becomes of each item, in words that a plan and its run share. Folders go by their place alone:
/// they are made for what is put into them.
fn outcomes(report: &Value) -> Result<BTreeMap<(String, String), &'static str>> {
    let mut all = BTreeMap::new();
    for item in report["items"].as_array().context("no items")? {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let outcome = text("outcome");
        let kind = match &outcome[..] {
            "made the folder" | "would make the folder" => "folder",
            "is there already" => "there",
            "is not deleted" => "live",
            "only shows the items beside it" => "shows",
            o if o.starts_with("failed (") => "failed",
            o if o.starts_with("would ") || o.starts_with("restored") => "restored",
            other => bail!("{other:?} is no outcome"),
        };
        let source = match kind {
            "folder" => String::new(),
            _ => text("source"),
        };
        all.insert((source, text("target")), kind);
    }
    Ok(all)
}
