//! The users of a generated tenant.
//!
//! `--accounts N` are users with a mailbox and a drive (`alice@`, `bob@`, ...). Besides them there are
//! always a shared mailbox, a guest and a user without a mailbox, so that no client can take them for
//! granted: `info@`, `pat_fabrikam.com#EXT#@`, `print@`. Tenants of four accounts and more have a meeting
//! room and a projector too: `room.aurora@`, `projector@`. `--empty-accounts N` come last: `empty@`,
//! `empty1@`, ...

use std::sync::Arc;

use crate::options::Options;
use crate::rng::Rng;
use crate::users::{Purpose, User};

const GIVEN: &[&str] = &[
    "Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Karl",
    "Lena", "Mallory", "Nina", "Oscar", "Peggy", "Quentin", "Rosa", "Sven", "Trudy", "Ulla",
    "Victor", "Walter", "Xenia", "Yusuf", "Zoë",
];
const SURNAMES: &[&str] = &[
    "Roe",
    "Lee",
    "Ek",
    "Novak",
    "Okafor",
    "Müller",
    "García",
    "O'Neil",
    "Tanaka",
    "Kowalski",
    "Jensen",
    "Rossi",
    "Silva",
    "Dubois",
    "Ivanova",
    "Haddad",
    "Nguyen",
    "Smith",
    "Brown",
    "Andersson",
];
const JOBS: &[&str] = &[
    "Accountant",
    "Engineer",
    "Sales manager",
    "Designer",
    "Lawyer",
    "Analyst",
    "Assistant",
];
const OUTSIDE: &[&str] = &[
    "fabrikam.com",
    "northwind.test",
    "adatum.test",
    "tailspin.test",
    "example.org",
];

/// Smaller tenants have no rooms and equipment.
const ACCOUNTS_WITH_ROOMS: usize = 4;

pub fn users(options: &Options) -> Vec<User> {
    let mut rng = Rng::new(options.seed, "people");
    let mut out = Vec::new();
    for n in 0..options.accounts {
        let given = GIVEN[n % GIVEN.len()];
        let round = n / GIVEN.len();
        let surname = SURNAMES[(n * 7 + round) % SURNAMES.len()];
        let local = given.to_lowercase().replace('ë', "e");
        let local = if round == 0 {
            local
        } else {
            format!("{local}{round}")
        };
        let upn = format!("{local}@{}", options.domain);
        out.push(User {
            id: rng.guid(),
            mail: Some(upn.clone()),
            upn,
            display_name: format!("{given} {surname}"),
            given_name: Some(given.to_owned()),
            surname: Some(surname.to_owned()),
            job_title: Some(rng.pick(JOBS).to_owned()),
            account_enabled: true,
            guest: false,
            mailbox: Some(Purpose::User),
            generated: true,
            has_drive: true,
            index: out.len(),
        });
    }
    let mut special = |upn: String, name: &str, mail: Option<String>| User {
        id: rng.guid(),
        upn,
        display_name: name.to_owned(),
        given_name: None,
        surname: None,
        mail,
        job_title: None,
        account_enabled: false,
        guest: false,
        mailbox: None,
        generated: true,
        has_drive: false,
        index: 0,
    };
    let info = format!("info@{}", options.domain);
    let shared = User {
        mailbox: Some(Purpose::Shared),
        ..special(info.clone(), "Info desk", Some(info))
    };
    let guest = special(
        format!("pat_fabrikam.com#EXT#@{}", options.domain),
        "Pat (guest)",
        Some("pat@fabrikam.com".into()),
    );
    let guest = User {
        guest: true,
        account_enabled: true,
        ..guest
    };
    let print = User {
        account_enabled: true,
        ..special(format!("print@{}", options.domain), "Print service", None)
    };
    let mut more = Vec::new();
    if options.accounts >= ACCOUNTS_WITH_ROOMS {
        for (local, name, purpose) in [
            ("room.aurora", "Conf Room Aurora", Purpose::Room),
            ("projector", "Projector", Purpose::Equipment),
        ] {
            let upn = format!("{local}@{}", options.domain);
            more.push(User {
                mailbox: Some(purpose),
                ..special(upn.clone(), name, Some(upn))
            });
        }
    }
    for user in [shared, guest, print].into_iter().chain(more) {
        let index = out.len();
        out.push(User { index, ..user });
    }
    out.extend(empty(options, &mut rng));
    out
}

/// Users whose things begin as those of somebody who was just hired.
fn empty(options: &Options, rng: &mut Rng) -> Vec<User> {
    let user = |n: usize| {
        let local = match n {
            0 => "empty".to_owned(),
            n => format!("empty{n}"),
        };
        let upn = format!("{local}@{}", options.domain);
        User {
            id: rng.guid(),
            mail: Some(upn.clone()),
            upn,
            display_name: "Nova Newcomer".to_owned(),
            given_name: Some("Nova".to_owned()),
            surname: Some("Newcomer".to_owned()),
            job_title: None,
            account_enabled: true,
            guest: false,
            mailbox: Some(Purpose::User),
            generated: false,
            has_drive: true,
            // The directory numbers them.
            index: 0,
        }
    };
    (0..options.empty_accounts).map(user).collect()
}

/// How many of `total` generated items each generated mailbox gets: the shared one a few, rooms and
/// equipment none, the others the same.
pub fn shares(users: &[Arc<User>], total: u64) -> Vec<(Arc<User>, u32)> {
    let total = total.min(u64::from(u32::MAX - 1));
    let generated = || users.iter().filter(|u| u.generated);
    let accounts = generated()
        .filter(|u| u.mailbox == Some(Purpose::User))
        .count() as u64;
    let shared = if accounts > 1 {
        (total / 20).min(50)
    } else {
        0
    };
    let mut nth = 0;
    let mut count = |purpose| match purpose {
        Purpose::Room | Purpose::Equipment => 0,
        Purpose::Shared => shared,
        Purpose::User => {
            nth += 1;
            (total - shared) * nth / accounts - (total - shared) * (nth - 1) / accounts
        }
    };
    generated()
        .filter_map(|user| Some((user.clone(), count(user.mailbox?) as u32)))
        .collect()
}

/// Name and address of someone outside the tenant.
pub fn outsider(rng: &mut Rng) -> (String, String) {
    let given = rng.pick(GIVEN);
    let surname = rng.pick(SURNAMES);
    let plain = |s: &str| {
        s.to_lowercase()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
    };
    let address = format!("{}.{}@{}", plain(given), plain(surname), rng.pick(OUTSIDE));
    (format!("{given} {surname}"), address)
}
