//! Which mailboxes there are besides the primary ones, and what each mailbox is called.
//!
//! A mailbox id is `MBX:` + its GUID + `@` + the tenant's. Every user with a mailbox has a primary one;
//! the first of them (`--archives N`), and then all that begin empty, an archive. An auto-expanding archive has a second GUID for the
//! mailbox its older folders are in.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use http::Method;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use super::Target;
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::mail::store::Mailbox;
use crate::options::Quirk;
use crate::seed;
use crate::users::{User, no_mailbox};
use crate::world::World;

/// Which of a user's mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Primary,
    Archive,
    /// The second mailbox of an auto-expanding archive.
    Auxiliary,
}

impl Part {
    fn label(self) -> &'static str {
        match self {
            Part::Primary => "mailbox",
            Part::Archive => "archive",
            Part::Auxiliary => "auxiliary archive",
        }
    }
}

/// All archives, by user id, and the import sessions under way.
#[derive(Default)]
pub struct Archives {
    by_user: RwLock<HashMap<String, Arc<Mutex<Mailbox>>>>,
    /// Whose mailbox a GUID is; filled as they are asked for.
    names: RwLock<HashMap<String, (String, Part)>>,
    pub sessions: Mutex<HashMap<String, super::import::Session>>,
}

impl Archives {
    pub fn get(&self, user_id: &str) -> Option<Arc<Mutex<Mailbox>>> {
        self.by_user.read().get(user_id).cloned()
    }
}

fn guid(world: &World, user_id: &str, part: Part) -> String {
    world.rng(&format!("{} {user_id}", part.label())).guid()
}

/// The id of a user's mailbox.
pub fn mailbox_id(world: &World, user_id: &str, part: Part) -> String {
    let guid = guid(world, user_id, part);
    format!("MBX:{guid}@{}", world.options.tenant)
}

/// Whose mailbox an id stands for.
pub fn owner(world: &World, id: &str) -> Option<(Arc<User>, Part)> {
    let (name, tenant) = id
        .split_at_checked(4)
        .filter(|(head, _)| head.eq_ignore_ascii_case("MBX:"))?
        .1
        .split_once('@')?;
    if !tenant.eq_ignore_ascii_case(&world.options.tenant) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let archives = &world.archives;
    if let Some((user, part)) = archives.names.read().get(&name) {
        return Some((world.user(user)?, *part));
    }
    // Users may have been made since the last look.
    let mut names = archives.names.write();
    for user in world.users() {
        for part in [Part::Primary, Part::Archive, Part::Auxiliary] {
            names.insert(guid(world, &user.id, part), (user.id.clone(), part));
        }
    }
    let (user, part) = names.get(&name)?;
    Some((world.user(user)?, *part))
}

/// The mailbox with this id; `None` when there is none (any more).
pub fn find(world: &World, id: &str) -> Option<Target> {
    let (user, part) = owner(world, id)?;
    user.mailbox?;
    let store = match part {
        Part::Primary => world.mail.get(&user.id)?,
        Part::Archive => world.archives.get(&user.id)?,
        Part::Auxiliary if world.options.has(Quirk::AutoExpandingArchive) => {
            world.archives.get(&user.id)?
        }
        Part::Auxiliary => return None,
    };
    Some(Target {
        id: mailbox_id(world, &user.id, part),
        user,
        part,
        store,
    })
}

/// Makes the archives, and brings what is imported into them.
pub fn fill(world: &World) -> anyhow::Result<()> {
    let options = &world.options;
    let mailboxes = world.users().into_iter().filter(|u| u.mailbox.is_some());
    let (generated, empty): (Vec<_>, Vec<_>) = mailboxes.partition(|u| u.generated);
    let users: Vec<Arc<User>> = generated.into_iter().take(options.archives).collect();
    let put = |user: &Arc<User>, archive: Mailbox| {
        let archive = Arc::new(Mutex::new(archive));
        let mut all = world.archives.by_user.write();
        all.insert(user.id.clone(), archive);
    };
    let total = options.archive_messages.min(u64::from(u32::MAX - 1));
    let count = users.len() as u64;
    for (n, user) in users.iter().enumerate() {
        let n = n as u64;
        let share = total * (n + 1) / count - total * n / count;
        let primary = world.mail.get(&user.id);
        let people = primary.map(|m| m.lock().people.clone()).unwrap_or_default();
        put(
            user,
            seed::archive::archive(options, user, people, share as u32),
        );
    }
    for user in empty.iter().filter(|_| options.archives > 0) {
        put(user, seed::archive::empty(options, user, Arc::default()));
    }
    if users.is_empty() && !options.import_archive.is_empty() {
        anyhow::bail!("--import-archive needs at least one archive: write --archives 1");
    }
    let archive_of = |n: usize| {
        let user = &users[n % users.len()];
        world
            .archives
            .get(&user.id)
            .context("the account has no archive")
    };
    crate::import::folders(&options.import_archive, archive_of)
}

/// `GET /users/{id}/settings/exchange`.
pub fn settings(world: &World, request: &ApiRequest, user: &User) -> ApiResponse {
    if request.method != Method::GET {
        return ApiResponse::method_not_allowed();
    }
    if user.mailbox.is_none() {
        return no_mailbox();
    }
    let context = request.context(&format!("users('{}')/settings/exchange", user.id));
    let mut body = json!({"@odata.context": context, "id": user.id,
        "primaryMailboxId": mailbox_id(world, &user.id, Part::Primary)});
    if request.version == Version::Beta {
        body["inPlaceArchiveMailboxId"] = match world.archives.get(&user.id) {
            Some(_) => json!(mailbox_id(world, &user.id, Part::Archive)),
            None => Value::Null,
        };
    }
    ApiResponse::ok(body)
}
