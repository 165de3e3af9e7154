//! Sites made from a seed: team sites with subsites two deep, the tenant's own site, people's own ones, and
//! what every client must live with: a locked site, an archived one, and one without a name.

use std::sync::Arc;

use crate::drive::sharing::{Kind as Granted, Permission, Principal};
use crate::drive::{Actor, Person, Stamp, into_drive, tenant_name};
use crate::rng::Rng;
use crate::users::User;
use crate::world::World;

use super::column::{self, Column, Kind};
use super::content_type::ContentType;
use super::list::{List, Store};
use super::tenant::{At, PEOPLE, Tenant};
use super::web::{State, Web};
use super::{lists, seed_lists, seed_pages};

/// Sites were made after this time (2022-01-10).
const FIRST: i64 = 1_641_805_200;
/// Site collections number their users each on its own.
const USERS_APART: u64 = 7;

const TITLES: &[&str] = &[
    "Finance",
    "Engineering",
    "Marketing",
    "Human Resources",
    "Legal",
    "Sales",
    "Operations",
    "Research",
    "Facilities",
    "Customer Success",
];
const SUBSITES: &[&str] = &["Payroll", "Projects", "Events", "Archive"];
/// Libraries that sites have besides their documents.
const LIBRARIES: &[&str] = &["Contracts", "Media", "Templates & Forms", "Reports 2025"];

/// Makes the sites of a new tenant.
pub fn fill(world: &World, users: &[Arc<User>]) -> anyhow::Result<()> {
    let mut tenant = world.sites.0.lock();
    let mut generator = Generator {
        world,
        users,
        tenant: &mut tenant,
        collections: 0,
    };
    let mut open = Vec::new();
    if world.options.sites > 0 {
        open = generator.team_sites();
        generator.odd_sites();
    }
    generator.personal();
    generator.contents(&open)?;
    Ok(())
}

/// A new, empty site of the tenant, which an administrator has made; all of today's users are known to it.
pub fn create(world: &World, tenant: &mut Tenant, path: &str, title: &str) {
    let tops = tenant
        .living()
        .filter(|&at| tenant.web(at).parent.is_none())
        .count();
    let users = world.users();
    let mut generator = Generator {
        world,
        users: &users,
        tenant,
        collections: tops as u64,
    };
    let at = generator.site(path, title, None);
    let now = world.clock.now();
    let web = generator.tenant.web_mut(at);
    (web.created, web.modified) = (now, now);
}

struct Generator<'a> {
    world: &'a World,
    users: &'a [Arc<User>],
    tenant: &'a mut Tenant,
    /// Site collections so far.
    collections: u64,
}

impl Generator<'_> {
    fn rng(&self, label: &str) -> Rng {
        self.world.rng(&format!("site {label}"))
    }

    /// The tenant's own site and the team sites with what is below them.
    fn team_sites(&mut self) -> Vec<At> {
        let company = tenant_name(&self.world.options.domain).to_owned();
        let mut letters = company.chars();
        let title = letters
            .next()
            .map(|c| c.to_uppercase().chain(letters).collect::<String>());
        let mut out = vec![self.site("", &title.unwrap_or_default(), None)];
        for n in 0..self.world.options.sites as usize {
            let (name, round) = (TITLES[n % TITLES.len()], n / TITLES.len());
            let title = match round {
                0 => name.to_owned(),
                round => format!("{name} {}", round + 1),
            };
            let path = format!("/sites/{}", title.replace(' ', ""));
            let top = self.site(&path, &title, None);
            out.push(top);
            if n % 2 == 0 {
                let name = SUBSITES[n / 2 % SUBSITES.len()];
                let below = self.site(&format!("{path}/{}", name.to_lowercase()), name, Some(top));
                let deeper = self.site(
                    &format!("{path}/{}/2025", name.to_lowercase()),
                    "2025",
                    Some(below),
                );
                out.extend([below, deeper]);
            }
        }
        out
    }

    fn odd_sites(&mut self) {
        let locked = self.site("/sites/locked", "Locked away", None);
        self.tenant.web_mut(locked).state = State::Locked;
        let archived = self.site("/sites/museum", "Museum", None);
        self.tenant.web_mut(archived).state = State::Archived;
        // The tenant's search site has no name.
        self.site("/search", "", None);
    }

    /// An empty site with the lists that every site has.
    fn site(&mut self, path: &str, title: &str, parent: Option<At>) -> At {
        let host = format!("{}.sharepoint.com", tenant_name(&self.world.options.domain));
        let mut guids = self.rng(&format!("{host}{path}"));
        let created = FIRST + guids.below(86_400 * 300) as i64;
        let (collection, first_user) = match parent.map(|p| self.tenant.web(p)) {
            Some(parent) => (parent.collection, parent.first_user),
            None => {
                self.collections += 1;
                (
                    u128::from_be_bytes(guids.bytes16()),
                    10 + self.collections * USERS_APART,
                )
            }
        };
        let guid = u128::from_be_bytes(guids.bytes16());
        let web = Web {
            guid,
            collection,
            parent,
            tenant: self.world.options.tenant.clone(),
            host,
            path: path.to_owned(),
            title: title.to_owned(),
            description: if parent.is_some() || title.is_empty() {
                String::new()
            } else {
                format!("What {title} works on")
            },
            created,
            modified: created,
            personal: false,
            state: State::Open,
            etag: 0,
            seq: 0,
            first_user,
            offset: 3_600,
            lists: Vec::new(),
            columns: site_columns(),
            content_types: ContentType::built_in(),
            pages: Default::default(),
            apps: Vec::new(),
            grants: None,
            guids,
        };
        let at = self.tenant.add(web, created);
        self.usual_lists(at, created);
        at
    }

    fn usual_lists(&mut self, at: At, created: i64) {
        let stamp = Stamp {
            now: created,
            by: Actor::System,
        };
        let top = self.tenant.web(at).parent.is_none();
        let usual: &[(&str, &str, &str, bool)] = &[
            ("Documents", "documentLibrary", "Shared Documents", false),
            ("Site Pages", "webPageLibrary", "SitePages", false),
            ("Site Assets", "documentLibrary", "SiteAssets", true),
            ("Style Library", "documentLibrary", "Style Library", true),
        ];
        let count = if top { usual.len() } else { usual.len() - 1 };
        for (title, template, folder, system) in &usual[..count] {
            let mut list = List::new(self.tenant.web_mut(at), title, template, &stamp);
            (list.folder, list.system) = ((*folder).to_owned(), *system);
            list.name = (*folder).to_owned();
            lists::add(self.world, self.tenant, at, list);
        }
        if top {
            let list = self.people(at, &stamp);
            self.tenant.add_list(at, list);
        }
    }

    /// The hidden list of everybody the collection knows: its groups, and all users but the last one.
    fn people(&mut self, at: At, stamp: &Stamp) -> List {
        let title = self.tenant.web(at).title.clone();
        let first = self.tenant.web(at).first_user;
        let web = self.tenant.web_mut(at);
        let mut list = List::new(web, PEOPLE, "userInformation", stamp);
        (list.folder, list.name) = ("_catalogs/users".into(), "users".into());
        (list.hidden, list.system) = (true, true);
        for name in [
            "Name",
            "EMail",
            "UserName",
            "FirstName",
            "LastName",
            "JobTitle",
            "SipAddress",
        ] {
            let guid = web.new_guid();
            list.columns.push(Column::new(guid, name, name, Kind::Text));
        }
        let mut people: Vec<(u64, super::people::Entry)> = ["Owners", "Visitors", "Members"]
            .iter()
            .zip(3..)
            .map(|(group, number)| (number, super::people::group(&format!("{title} {group}"))))
            .collect();
        let accounts = self.users.iter().filter(|u| u.mailbox.is_some() || u.guest);
        let known = accounts.clone().count().saturating_sub(1).max(1);
        for user in accounts.take(known) {
            people.push((first + user.index as u64, super::people::user(user)));
        }
        for (number, entry) in people {
            let guid = web.new_guid();
            if let Some(items) = list.items_mut() {
                items.add(
                    Some(number),
                    guid,
                    entry.content_type.to_owned(),
                    entry.fields,
                    stamp,
                );
            }
        }
        list
    }

    /// The sites behind people's OneDrives.
    fn personal(&mut self) {
        for handle in self.world.drive.personal() {
            let drive = handle.lock();
            let Some(person) = drive.home.person().cloned() else {
                continue;
            };
            let mut guids = self.rng(&drive.home.path);
            let stamp = Stamp {
                now: drive.created,
                by: Actor::System,
            };
            let grant = Permission {
                id: guids.guid(),
                roles: vec!["owner".into()],
                expires: None,
                kind: Granted::Grant(Principal::User {
                    id: person.id.clone(),
                    name: person.name.clone(),
                    email: person.email.clone(),
                    number: drive.home.user_number(person.index),
                }),
            };
            let web = Web {
                guid: drive.site[1],
                collection: drive.site[0],
                parent: None,
                tenant: drive.home.tenant.clone(),
                host: drive.home.host.clone(),
                path: drive.home.path.clone(),
                title: person.name.clone(),
                description: String::new(),
                created: drive.created,
                modified: drive.created,
                personal: true,
                state: State::Open,
                etag: 0,
                seq: 0,
                first_user: drive.home.first_user,
                offset: 3_600,
                lists: Vec::new(),
                columns: site_columns(),
                content_types: ContentType::built_in(),
                pages: Default::default(),
                apps: Vec::new(),
                grants: Some(vec![grant]),
                guids,
            };
            let (id, guid) = (drive.id.clone(), drive.site[2]);
            drop(drive);
            let at = self.tenant.add(web, stamp.now);
            let mut list = List::new(
                self.tenant.web_mut(at),
                "Documents",
                "mySiteDocumentLibrary",
                &stamp,
            );
            (list.guid, list.store) = (guid, Store::Library(id));
            self.tenant.add_list(at, list);
            let people = self.people(at, &stamp);
            self.tenant.add_list(at, people);
        }
    }

    /// What is in the open sites: files, lists, pages.
    fn contents(&mut self, open: &[At]) -> anyhow::Result<()> {
        if open.is_empty() {
            return Ok(());
        }
        let mut libraries = Vec::new();
        for (i, &at) in open.iter().enumerate() {
            if let Some(n) = self.tenant.web(at).find("Documents") {
                libraries.push((at, n));
            }
            if i > 0 && self.tenant.web(at).parent.is_none() {
                libraries.push((at, self.library(at, LIBRARIES[i % LIBRARIES.len()])));
            }
        }
        self.files(&libraries);
        seed_lists::fill(self.world, self.tenant, open, self.users);
        let authors: Vec<Actor> = (0..4).map(|n| self.author(n)).collect();
        seed_pages::fill(self.world, self.tenant, open, &authors);
        for (i, directory) in self.world.options.import_site_files.iter().enumerate() {
            let (at, n) = libraries[i % libraries.len()];
            let drive = self.tenant.web(at).lists[n]
                .drive()
                .and_then(|id| self.world.drive.get(id));
            if let Some(handle) = drive {
                let stamp = Stamp {
                    now: self.world.clock.now(),
                    by: self.author(i),
                };
                into_drive(directory, &mut handle.lock(), &stamp)?;
            }
        }
        Ok(())
    }

    fn author(&self, n: usize) -> Actor {
        let people: Vec<&Arc<User>> = self.users.iter().filter(|u| u.has_drive).collect();
        match people.get(n % people.len().max(1)) {
            Some(user) => Actor::Person(Arc::new(Person::of(user))),
            None => Actor::System,
        }
    }

    /// A library with columns of its own.
    fn library(&mut self, at: At, title: &str) -> usize {
        let created = self.tenant.web(at).created + 86_400;
        let stamp = Stamp {
            now: created,
            by: self.author(at),
        };
        let web = self.tenant.web_mut(at);
        let mut list = List::new(web, title, "documentLibrary", &stamp);
        let mut more = vec![
            Column::new(web.new_guid(), "Reviewed", "Reviewed", Kind::Boolean),
            Column::new(
                web.new_guid(),
                "DocumentState",
                "Document state",
                Kind::Choice,
            ),
            Column::new(web.new_guid(), "Amount", "Amount", Kind::Currency),
        ];
        if let Some((_, facet)) = &mut more[1].facet {
            facet["choices"] = serde_json::json!(["Draft", "Final", "Obsolete"]);
        }
        list.columns.append(&mut more);
        lists::add(self.world, self.tenant, at, list)
    }

    /// Spreads the generated files over the libraries.
    fn files(&mut self, libraries: &[(At, usize)]) {
        let (total, count) = (self.world.options.site_files, libraries.len() as u64);
        let actors: Vec<Actor> = (0..4).map(|n| self.author(n)).collect();
        for (i, &(at, n)) in libraries.iter().enumerate() {
            let files = total / count + u64::from((i as u64) < total % count);
            let web = self.tenant.web(at);
            let list = &web.lists[n];
            let Some(handle) = list.drive().and_then(|id| self.world.drive.get(id)) else {
                continue;
            };
            let mut rng = self.rng(&format!("files {}/{}", web.path, list.name));
            let mut drive = handle.lock();
            crate::drive::generate::fill(&mut drive, &mut rng, self.users, &actors, files);
            if list.column("Reviewed").is_some() {
                seed_lists::describe_files(&mut drive, &mut rng);
            }
        }
    }
}

/// Columns that sites offer to their lists.
fn site_columns() -> Vec<Column> {
    let mut columns = column::built_in(false);
    for column in &mut columns {
        column.of_site = true;
        column.group = "Core List Columns".into();
    }
    columns
}
