//! Drives made from a seed: folder trees, names, sizes and times as people have them, and the special
//! items every client must live with: a notebook, an infected file, a shortcut, odd names, shared folders.

use std::sync::Arc;

use crate::clock::Clock;
use crate::options::Options;
use crate::rng::Rng;
use crate::users::User;

use super::content::Content;
use super::home::Home;
use super::item::{Actor, Index, Kind, ROOT, Remote};
use super::names;
use super::seeded::{Format, Seeded};
use super::sharing::{self, Link, Permission, Principal};
use super::store::{Drive, Stamp, Times};

/// Files of a OneDrive, unless more was bought.
const QUOTA: u64 = 1 << 40;
/// Generated files were written between these times (2021-01-04 and 2026-06-01).
const FIRST: i64 = 1_609_750_800;
const LAST: i64 = 1_780_300_000;

/// One drive for each user who has one.
pub fn drives(options: &Options, users: &[Arc<User>], clock: &Clock) -> Vec<Drive> {
    let owners: Vec<&Arc<User>> = users.iter().filter(|u| u.has_drive).collect();
    // Those that begin empty come last.
    let filled = owners.iter().filter(|u| u.generated).count();
    let count = filled as u64;
    let mut drives: Vec<Drive> = owners
        .iter()
        .map(|user| {
            let home = Home::personal(options, user);
            empty(options.seed, &user.id, None, home, clock)
        })
        .collect();
    for (i, drive) in drives.iter_mut().take(filled).enumerate() {
        let i = i as u64;
        // The first drives take what does not divide.
        let files = options.files / count + u64::from(i < options.files % count);
        let label = format!("drive content {}", owners[i as usize].id);
        fill(
            drive,
            &mut Rng::new(options.seed, &label),
            users,
            &[Actor::Owner],
            files,
        );
    }
    shortcuts(&mut drives[..filled]);
    drives
}

/// Fills a drive with so many files, made by `actors`.
pub fn fill(drive: &mut Drive, rng: &mut Rng, people: &[Arc<User>], actors: &[Actor], files: u64) {
    Generator {
        drive,
        rng,
        people,
        actors,
    }
    .fill(files);
}

/// A drive with nothing in it. What `label` names has the same ids in every tenant with this seed. `site`:
/// GUIDs of the site collection, the site and the list, if they are known.
pub fn empty(seed: u64, label: &str, site: Option<[u128; 3]>, home: Home, clock: &Clock) -> Drive {
    let mut rng = Rng::new(seed, &format!("drive {label}"));
    let site = site
        .unwrap_or_else(|| [rng.bytes16(), rng.bytes16(), rng.bytes16()].map(u128::from_be_bytes));
    let id: Vec<u8> = site
        .iter()
        .flat_map(|guid| {
            // .NET order: the first three groups little-endian.
            let mut bytes = guid.to_be_bytes();
            bytes[..4].reverse();
            bytes[4..6].reverse();
            bytes[6..8].reverse();
            bytes
        })
        .collect();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let prefix: String = (0..6)
        .map(|_| alphabet[rng.below(32) as usize] as char)
        .collect();
    use base64::Engine;
    let id = format!(
        "b!{}",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
    );
    let created = FIRST.min(clock.now());
    let guids = Rng::new(seed, &format!("items {label}"));
    Drive::new(id, format!("01{prefix}"), site, home, created, QUOTA, guids)
}

struct Generator<'a> {
    drive: &'a mut Drive,
    rng: &'a mut Rng,
    people: &'a [Arc<User>],
    actors: &'a [Actor],
}

const TOP: &[&str] = &[
    "Documents",
    "Pictures",
    "Projects",
    "Attachments",
    "Archive",
    "Microsoft Teams Chat Files",
];
const SUBJECTS: &[&str] = &[
    "Alpha",
    "Budget",
    "Customers",
    "Design",
    "Finance",
    "Harbour",
    "Invoices",
    "Kick-off",
    "Legal",
    "Marketing",
    "Onboarding",
    "Payroll",
    "Quarterly",
    "Research",
    "Suppliers",
    "Travel",
    "Website",
];
const KINDS: &[&str] = &[
    "Drafts", "Final", "Specs", "Reports", "Minutes", "2023", "2024", "2025", "Old", "Shared",
];
const WORDS: &[&str] = &[
    "agenda",
    "analysis",
    "budget",
    "contract",
    "customer list",
    "forecast",
    "inventory",
    "invoice",
    "meeting notes",
    "minutes",
    "offer",
    "plan",
    "presentation",
    "price list",
    "protocol",
    "report",
    "review",
    "roadmap",
    "schedule",
    "specification",
    "summary",
    "travel expenses",
];
const EXTENSIONS: &[&str] = &[
    "docx", "docx", "docx", "xlsx", "xlsx", "pptx", "pdf", "pdf", "txt", "md", "csv", "jpg", "jpg",
    "png", "html", "json", "zip", "msg",
];
/// What the service takes and tools trip over.
const ODD: &[&str] = &[
    "100% & more #1.txt",
    "it's a plan; really.txt",
    "Müller – Angebot.docx",
    "Mu\u{308}ller decomposed.docx",
    "日本語の資料.pdf",
    "файл.txt",
    "\u{1f4c8} growth.xlsx",
    ".hidden",
    "no extension",
    "a+b=c,d.txt",
    "dots..in..name.txt",
    "UPPER lower.TXT",
    "[brackets] {braces}.txt",
    "$HOME `date`.txt",
    "~tilde.txt",
    "-rf.txt",
    "{}.json",
    "%2e%2e%2f.txt",
    "very long name that goes on and on with words until the name alone is a hundred and twenty characters long and more.txt",
];

impl Generator<'_> {
    fn fill(&mut self, files: u64) {
        if files == 0 {
            return;
        }
        let folders = self.folders((files / 12).clamp(4, 20_000));
        let mut left = files;
        if files >= 20 {
            left -= self.notebook();
            left -= self.odd_names(folders[1]);
        }
        let mut seeds = Vec::new();
        for _ in 0..left {
            self.file(&folders, &mut seeds);
        }
        if files >= 50 {
            self.infect();
        }
        self.share(&folders);
    }

    /// Folders, some far down; the first ones are those everybody has.
    fn folders(&mut self, count: u64) -> Vec<Index> {
        let mut out = vec![ROOT];
        for name in TOP {
            out.push(self.folder(ROOT, name));
        }
        while (out.len() as u64) < count {
            let parent = out[self.rng.below(out.len() as u64) as usize];
            if self.drive.path(parent).len() > 9 {
                continue;
            }
            let name = match self.rng.below(3) {
                0 => self.rng.pick(KINDS).to_owned(),
                1 => self.rng.pick(SUBJECTS).to_owned(),
                _ => format!("{} {}", self.rng.pick(SUBJECTS), self.rng.range(1, 400)),
            };
            out.push(self.folder(parent, &name));
        }
        out
    }

    fn stamp(&mut self, at: i64) -> Stamp {
        let by = match self.actors {
            [only] => only.clone(),
            many => many[self.rng.below(many.len() as u64) as usize].clone(),
        };
        Stamp { now: at, by }
    }

    /// A folder of that name, perhaps one that is there already.
    fn folder(&mut self, parent: Index, name: &str) -> Index {
        match self.drive.child(parent, name) {
            Some(existing) if self.drive.item(existing).folder().is_some() => existing,
            _ => {
                let name = self.free(parent, name, true);
                let at = self.time();
                let stamp = self.stamp(at);
                self.drive
                    .add_folder(parent, name, Times::default(), &stamp)
            }
        }
    }

    fn free(&self, parent: Index, name: &str, is_folder: bool) -> String {
        if self.drive.child(parent, name).is_none() {
            return name.to_owned();
        }
        (1..)
            .map(|n| names::numbered_name(name, is_folder, n))
            .find(|n| self.drive.child(parent, n).is_none())
            .unwrap_or_else(|| name.to_owned())
    }

    fn time(&mut self) -> i64 {
        FIRST + self.rng.below((LAST - FIRST) as u64) as i64
    }

    fn file(&mut self, folders: &[Index], seeds: &mut Vec<(u64, u64, &'static str)>) {
        let parent = folders[self.rng.below(folders.len() as u64) as usize];
        // People keep copies: one in thirty has the content of an earlier one.
        let copy = (!seeds.is_empty() && self.rng.below(30) == 0)
            .then(|| self.rng.below(seeds.len() as u64) as usize);
        let (seed, size, extension) = match copy {
            Some(earlier) => seeds[earlier],
            None => {
                let extension = self.rng.pick(EXTENSIONS);
                (self.rng.next(), self.size(extension), extension)
            }
        };
        seeds.push((seed, size, extension));
        let mut name = self.rng.pick(WORDS).to_owned();
        match self.rng.below(4) {
            0 => name = format!("{name} {}", self.rng.range(2021, 2026)),
            1 => name = format!("{} {name}", self.rng.pick(SUBJECTS)),
            2 => name = format!("{name} v{}", self.rng.range(1, 9)),
            _ => {}
        }
        let name = format!("{name} {}.{extension}", self.rng.range(1, 9999));
        self.add(parent, &name, seed, size);
    }

    fn add(&mut self, parent: Index, name: &str, seed: u64, size: u64) -> Index {
        let name = self.free(parent, name, false);
        let content = Content::Seeded(Seeded::new(seed, size, Format::of_name(&name)));
        let created = self.time();
        let modified = created + self.rng.below(90 * 86_400) as i64;
        let stamp = self.stamp(modified);
        let times = Times {
            created: Some(created),
            modified: Some(modified),
        };
        let versions = if self.rng.chance(10) {
            self.rng.range(1, 4)
        } else {
            0
        };
        let index = self.drive.add_file(parent, name, content, times, &stamp);
        for n in 0..versions {
            self.older_version(index, seed ^ (n + 1), size);
        }
        index
    }

    /// Puts a version before the current one.
    fn older_version(&mut self, index: Index, seed: u64, size: u64) {
        let modified = self.drive.item(index).created;
        let format = Format::of_name(&self.drive.item(index).name);
        let content = Content::Seeded(Seeded::new(seed, size * 9 / 10, format));
        let by = self.stamp(modified).by;
        let item = self.drive.item_mut(index);
        item.etag += 1;
        item.ctag += 1;
        if let Kind::File(file) = &mut item.kind {
            file.older.push(super::item::Version {
                number: file.version,
                content,
                modified,
                modified_by: by,
                fields: None,
            });
            file.version += 1;
        }
    }

    /// Sizes: most are small, a few hold most of the bytes.
    fn size(&mut self, extension: &str) -> u64 {
        if self.rng.below(100) == 0 {
            return 0;
        }
        if self.rng.below(500) == 0 {
            return self.rng.range(500_000, 3_000_000);
        }
        match extension {
            "txt" | "md" | "csv" | "json" | "html" => self.rng.range(40, 9_000),
            "jpg" | "png" | "zip" => self.rng.range(8_000, 60_000),
            _ => self.rng.range(5_000, 30_000),
        }
    }

    /// A notebook: a package that is a folder too, with its sections.
    fn notebook(&mut self) -> u64 {
        let parent = self.folder(ROOT, "Notebooks");
        let name = format!("{}'s Notebook", self.drive.home.title());
        let notebook = self.folder(parent, &name);
        if let Kind::Folder(folder) = &mut self.drive.item_mut(notebook).kind {
            folder.notebook = true;
        }
        for name in ["Open Notebook.onetoc2", "Quick Notes.one", "Meetings.one"] {
            let (seed, size) = (self.rng.next(), self.rng.range(3_000, 40_000));
            self.add(notebook, name, seed, size);
        }
        3
    }

    fn odd_names(&mut self, parent: Index) -> u64 {
        for i in 0..5 {
            let at = (self.rng.below(4) + 4 * i).min(ODD.len() as u64 - 1) as usize;
            let seed = self.rng.next();
            self.add(parent, ODD[at], seed, 100 + i);
        }
        5
    }

    /// One file in about a thousand, at least one, was found to be infected.
    fn infect(&mut self) {
        let files: Vec<Index> = self
            .drive
            .living()
            .filter(|&i| self.drive.item(i).file().is_some())
            .collect();
        for _ in 0..files.len().div_ceil(1000) {
            let index = files[self.rng.below(files.len() as u64) as usize];
            if !super::render::is_onenote(&self.drive.item(index).name) {
                self.drive.item_mut(index).malware = true;
            }
        }
    }

    /// Some folders and files are shared, in each of the ways there are.
    fn share(&mut self, folders: &[Index]) {
        let first = self.drive.home.first_user;
        let person = |user: &User| Principal::User {
            id: user.id.clone(),
            name: user.display_name.clone(),
            email: user.mail.clone().unwrap_or_else(|| user.upn.clone()),
            number: first + user.index as u64,
        };
        let others: Vec<Principal> = self
            .people
            .iter()
            .filter(|u| self.drive.home.person().is_none_or(|p| p.id != u.id))
            .take(5)
            .map(|u| person(u))
            .collect();
        let candidates: Vec<Index> = folders.iter().skip(1).copied().step_by(7).take(8).collect();
        for (i, index) in candidates.into_iter().enumerate() {
            match i % 5 {
                0 => self.link(index, "organization", "view", false, &[]),
                1 => self.link(index, "users", "edit", false, &others),
                2 => self.link(index, "anonymous", "view", true, &[]),
                3 => {
                    for principal in others.iter().take(2) {
                        self.grant(index, principal.clone(), &["write"]);
                    }
                    let group = Principal::SiteGroup {
                        number: 5,
                        name: format!("{} Members", self.drive.home.title()),
                    };
                    self.grant(index, group, &[]);
                }
                _ => {
                    let id = self.rng.guid();
                    let email = "partner@example.org".to_owned();
                    let roles = vec!["read".to_owned()];
                    let kind = sharing::Kind::Invitation { email };
                    self.drive.break_inheritance(index, true);
                    let grants = self.drive.sharing_mut(index).grants.get_or_insert_default();
                    grants.push(Permission {
                        id,
                        roles,
                        expires: None,
                        kind,
                    });
                }
            }
        }
    }

    fn link(
        &mut self,
        index: Index,
        scope: &str,
        kind: &str,
        has_password: bool,
        people: &[Principal],
    ) {
        let id = self.rng.guid();
        let permission = Permission {
            roles: vec![if kind == "edit" {
                "write".into()
            } else {
                "read".into()
            }],
            expires: None,
            kind: sharing::Kind::Link(Link {
                scope: scope.into(),
                kind: kind.into(),
                url: self.drive.home.link_url('f', &id),
                prevents_download: false,
                has_password,
                people: people.to_vec(),
            }),
            id,
        };
        self.drive.sharing_mut(index).links.push(permission);
    }

    fn grant(&mut self, index: Index, principal: Principal, roles: &[&str]) {
        let name = match &principal {
            Principal::User { email, .. } => email.clone(),
            Principal::SiteGroup { name, .. } => name.clone(),
        };
        self.drive.break_inheritance(index, true);
        let permission = Permission {
            id: super::render::grant_id(&name),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            expires: None,
            kind: sharing::Kind::Grant(principal),
        };
        self.drive
            .sharing_mut(index)
            .grants
            .get_or_insert_default()
            .push(permission);
    }
}

/// Each drive with files has a shortcut to a folder of the next one.
fn shortcuts(drives: &mut [Drive]) {
    let targets: Vec<Option<Remote>> = drives
        .iter()
        .map(|drive| {
            let index = drive.child(ROOT, "Projects")?;
            Some(Remote {
                drive_id: drive.id.clone(),
                item_id: drive.id_of(index),
                name: drive.item(index).name.clone(),
                is_folder: true,
            })
        })
        .collect();
    let count = drives.len();
    for (i, drive) in drives.iter_mut().enumerate() {
        let Some(target) = &targets[(i + 1) % count] else {
            continue;
        };
        if target.drive_id == drive.id || drive.living().count() < 20 {
            continue;
        }
        let stamp = Stamp {
            now: LAST,
            by: Actor::Owner,
        };
        drive.add_remote(
            ROOT,
            "Projects of a colleague".into(),
            target.clone(),
            &stamp,
        );
    }
}
