//! Lists and items made from a seed: one with a column of every kind there is and the one it looks things up in,
//! a calendar and announcements, with versions, attachments and permissions of their own here and there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::drive::sharing::{Kind as Granted, Link, Permission, Principal, Sharing};
use crate::drive::{Actor, Content, Drive, Fields, Person, Stamp};
use crate::rng::Rng;
use crate::users::User;
use crate::world::World;

use super::column::{Column, Kind};
use super::formula::Formula;
use super::list::List;
use super::tenant::{At, Tenant};
use super::web::Web;
use super::write::Target;

/// Items were made between these times (2023-02-06 and 2026-06-01).
const FIRST: i64 = 1_675_674_000;
const LAST: i64 = 1_780_300_000;
const DAY: i64 = 86_400;

const THINGS: &[&str] = &[
    "Laptop",
    "Monitor",
    "Desk",
    "Projector",
    "Phone",
    "Printer",
    "Server",
    "Van",
];
const VENDORS: &[&str] = &[
    "Northwind",
    "Fabrikam",
    "Adatum",
    "Tailspin",
    "Litware",
    "Proseware",
];
const STATES: &[&str] = &["Ordered", "In use", "Repair", "Retired"];
const TAGS: &[&str] = &["red", "fast", "leased", "shared", "old; odd, \"quoted\""];
const TOPICS: &[(&str, &str)] = &[
    ("IT", "b8120a31-6f0c-4d1c-9a55-0d1f6a0e4c11"),
    ("Furniture", "5f7d3bb2-1e0a-4c1e-8f0e-7d2f1c9be842"),
    ("Vehicles", "c9a5e6d0-22b7-49f4-9a6b-3f0c2b7d1e53"),
];

/// Makes the lists of the sites and spreads the generated items over them.
pub fn fill(world: &World, tenant: &mut Tenant, open: &[At], users: &[Arc<User>]) {
    let total = world.options.site_items;
    let places: Vec<At> = open.to_vec();
    let count = places.len() as u64;
    for (i, at) in places.into_iter().enumerate() {
        let mut rng = world.rng(&format!("lists {}", tenant.web(at).path));
        let items = total / count + u64::from((i as u64) < total % count);
        let mut seeder = Seeder {
            users,
            rng: &mut rng,
            at,
        };
        let vendors = seeder.vendors(tenant);
        seeder.assets(tenant, vendors, items);
        seeder.calendar(tenant);
        if i % 2 == 1 {
            seeder.announcements(tenant);
        }
    }
}

/// Gives some files of a library values of its columns.
pub fn describe_files(drive: &mut Drive, rng: &mut Rng) {
    let files: Vec<u32> = drive
        .living()
        .filter(|&i| drive.item(i).file().is_some())
        .collect();
    for index in files.into_iter().step_by(3) {
        let mut fields = Fields::new();
        fields.insert("Reviewed".into(), rng.chance(50).into());
        fields.insert("DocumentState".into(), rng.pick(&["Draft", "Final"]).into());
        fields.insert("Amount".into(), json!(rng.range(100, 90_000) as f64 / 4.0));
        let item = drive.item(index);
        let stamp = Stamp {
            now: item.modified + 60,
            by: item.modified_by.clone(),
        };
        drive.set_fields(index, fields, &stamp);
    }
}

struct Seeder<'a> {
    users: &'a [Arc<User>],
    rng: &'a mut Rng,
    at: At,
}

impl Seeder<'_> {
    fn stamp(&mut self) -> Stamp {
        let people: Vec<&Arc<User>> = self.users.iter().filter(|u| u.has_drive).collect();
        let by = match people.len() {
            0 => Actor::System,
            n => Actor::Person(Arc::new(Person::of(
                people[self.rng.below(n as u64) as usize],
            ))),
        };
        Stamp {
            now: FIRST + self.rng.below((LAST - FIRST) as u64) as i64,
            by,
        }
    }

    fn list(&mut self, web: &mut Web, title: &str, template: &str) -> List {
        let stamp = Stamp {
            now: FIRST,
            ..self.stamp()
        };
        List::new(web, title, template, &stamp)
    }

    /// Numbers of people the site knows.
    fn people(&self, tenant: &Tenant) -> Vec<u64> {
        let first = tenant.web(self.at).first_user;
        let list = tenant.people(self.at).and_then(List::items);
        let known = |n: &u64| list.is_some_and(|items| items.get(*n).is_some());
        let users = self.users.iter().map(|u| first + u.index as u64);
        users.filter(known).collect()
    }

    /// The list that others look things up in.
    fn vendors(&mut self, tenant: &mut Tenant) -> u128 {
        let web = tenant.web_mut(self.at);
        let mut list = self.list(web, "Vendors", "genericList");
        let phone = Column::new(web.new_guid(), "Phone", "Phone", Kind::Text);
        list.columns.push(phone);
        let kind = list.default_type().to_owned();
        for (i, name) in VENDORS.iter().enumerate() {
            let stamp = self.stamp();
            let fields = fields([
                ("Title", json!(name)),
                ("Phone", json!(format!("+1 555 {:04}", 100 + i))),
            ]);
            let guid = web.new_guid();
            if let Some(items) = list.items_mut() {
                items.add(None, guid, kind.clone(), fields, &stamp);
            }
        }
        let guid = list.guid;
        tenant.add_list(self.at, list);
        guid
    }

    /// The list with a column of every kind.
    fn assets(&mut self, tenant: &mut Tenant, vendors: u128, count: u64) {
        let people = self.people(tenant);
        let web = tenant.web_mut(self.at);
        let mut list = self.list(web, "Assets", "genericList");
        list.description = "What the company owns".into();
        list.columns.extend(every_kind(web, vendors));
        let n = tenant.add_list(self.at, list);
        for number in 1..=count {
            let stamp = self.stamp();
            let mut values = self.asset(number, &people);
            let list = &tenant.web(self.at).lists[n];
            let target = Target {
                tenant,
                at: self.at,
                list,
                now: stamp.now,
            };
            target.work_out(&mut values);
            let kind = list.default_type().to_owned();
            let web = tenant.web_mut(self.at);
            let guid = web.new_guid();
            let link = self.own_permissions(web, number);
            let Some(items) = web.lists[n].items_mut() else {
                return;
            };
            let id = items.add(None, guid, kind, values.clone(), &stamp);
            for version in 0..self.rng.below(3) {
                values.insert("State".into(), json!(self.rng.pick(STATES)));
                values.insert(
                    "Body".into(),
                    json!(format!("<p>Checked, round {}</p>", version + 1)),
                );
                let later = Stamp {
                    now: stamp.now + DAY * (1 + version as i64),
                    ..self.stamp()
                };
                items.update(id, values.clone(), &later);
            }
            if let Some(item) = items.get_mut(id) {
                if number % 4 == 1 {
                    attach(item, number);
                }
                item.sharing = link;
            }
        }
    }

    /// Some items have permissions of their own: a link, or people instead of the site's groups.
    fn own_permissions(&mut self, web: &Web, number: u64) -> Option<Box<Sharing>> {
        let home = web.home("", "", false);
        let id = self.rng.guid();
        let mut sharing = Sharing::default();
        match number % 10 {
            3 => sharing.links.push(Permission {
                roles: vec!["read".into()],
                expires: None,
                kind: Granted::Link(Link {
                    scope: "organization".into(),
                    kind: "view".into(),
                    url: home.link_url('l', &id),
                    prevents_download: false,
                    has_password: false,
                    people: Vec::new(),
                }),
                id,
            }),
            7 => {
                let user = self.users.iter().find(|u| u.has_drive)?;
                let person = Person::of(user);
                let mut grants = home.owners();
                grants.push(Permission {
                    id: crate::drive::render::grant_id(&person.email),
                    roles: vec!["read".into()],
                    expires: None,
                    kind: Granted::Grant(Principal::User {
                        number: home.user_number(person.index),
                        id: person.id,
                        name: person.name,
                        email: person.email,
                    }),
                });
                sharing.grants = Some(grants);
            }
            _ => return None,
        }
        Some(Box::new(sharing))
    }

    fn asset(&mut self, number: u64, people: &[u64]) -> Fields {
        let rng = &mut *self.rng;
        let day = (FIRST + rng.below(1_000) as i64 * DAY).div_euclid(DAY) * DAY - 3_600;
        let place = format!("Harbour Street {}", rng.range(1, 99));
        let (topic, term) = TOPICS[rng.below(TOPICS.len() as u64) as usize];
        let mut out = fields([
            ("Title", json!(format!("{} {number}", rng.pick(THINGS)))),
            ("Serial", json!(format!("SN-{:06}", 7 * number + 1))),
            ("Notes", json!("Bought second hand.\nNeeds a new cable & an adapter <soon>.")),
            ("Body", json!("<div class=\"ExternalClass\"><p>Handle <b>with care</b></p></div>")),
            ("Price", json!(rng.range(10, 400_000) as f64 / 4.0)),
            ("Count", json!(rng.range(1, 40) as f64)),
            ("Insured", json!(rng.chance(60))),
            ("Bought", json!(rfc3339(day))),
            ("Checked", json!(rfc3339(day + 34_567))),
            ("State", json!(rng.pick(STATES))),
            ("Tags", json!([TAGS[0], TAGS[rng.range(1, 4) as usize]])),
            ("Vendor", json!(rng.range(1, VENDORS.len() as u64))),
            ("Bidders", json!([1, rng.range(2, VENDORS.len() as u64)])),
            ("Website", json!({"Description": "shop", "Url": format!("https://shop.example.org/item/{number}?a=1&b=2")})),
            ("Logo", json!({"Description": "", "Url": "https://shop.example.org/logo.png"})),
            ("Office", json!({
                "displayName": "Harbour office", "locationUri": "https://www.bingapis.com/api/v6/localbusinesses/YN873x1", "uniqueId": format!("https://places.example.org/{number}"),
                "address": {"street": place, "city": "Oslo", "state": "", "countryOrRegion": "Norway", "postalCode": "0150"},
                "coordinates": {"latitude": 59.91, "longitude": 10.75},
            })),
            ("Street", json!(place)),
            ("City", json!("Oslo")),
            ("CountryOrRegion", json!("Norway")),
            ("PostalCode", json!("0150")),
            ("DispName", json!("Harbour office")),
            ("Topic", json!({"Label": topic, "TermGuid": term, "WssId": 3})),
            ("Subjects", TOPICS[1..].iter().zip(1..).map(|((label, guid), n)| json!({"Label": label, "TermGuid": guid, "WssId": n})).collect()),
            ("Photo", json!(json!({"type": "thumbnail", "fileName": "photo.png", "nativeFile": {}, "fieldName": "Photo", "serverUrl": "https://contoso.sharepoint.com", "serverRelativeUrl": "/SiteAssets/Lists/photo.png"}).to_string())),
            ("AverageRating", json!(4.5)),
            ("Legacy", json!("{\"kept\":\"as it is\"}")),
        ]);
        if let [first, second, ..] = people {
            out.insert(
                "Holder".into(),
                json!(if number.is_multiple_of(2) {
                    first
                } else {
                    second
                }),
            );
            out.insert("Reviewers".into(), json!([first, second]));
        }
        // Not every item has everything.
        for name in ["Office", "Checked", "Logo", "Vendor"] {
            if rng.chance(20) {
                out.remove(name);
            }
        }
        out
    }

    fn calendar(&mut self, tenant: &mut Tenant) {
        let web = tenant.web_mut(self.at);
        let mut list = self.list(web, "Calendar", "events");
        for (name, title, kind) in [
            ("Location", "Location", Kind::Text),
            ("EventDate", "Start Time", Kind::DateTime { day: false }),
            ("EndDate", "End Time", Kind::DateTime { day: false }),
            ("Description", "Description", Kind::Note),
            ("fAllDayEvent", "All Day Event", Kind::Boolean),
        ] {
            let guid = web.new_guid();
            list.columns.push(Column::new(guid, name, title, kind));
        }
        let kind = list.default_type().to_owned();
        for title in ["Budget review", "Fire drill"] {
            let stamp = self.stamp();
            let fields = fields([
                ("Title", json!(title)),
                ("Location", json!("Room Aurora")),
                ("EventDate", json!(rfc3339(stamp.now + 7 * DAY))),
                ("EndDate", json!(rfc3339(stamp.now + 7 * DAY + 3_600))),
                ("fAllDayEvent", json!(false)),
            ]);
            let guid = web.new_guid();
            if let Some(items) = list.items_mut() {
                items.add(None, guid, kind.clone(), fields, &stamp);
            }
        }
        tenant.add_list(self.at, list);
    }

    /// A list that inherits nothing from its site.
    fn announcements(&mut self, tenant: &mut Tenant) {
        let web = tenant.web_mut(self.at);
        let mut list = self.list(web, "Announcements", "announcements");
        let body = Column::new(web.new_guid(), "Body", "Body", Kind::Note);
        list.columns.push(body);
        let sharing = Sharing {
            grants: Some(web.home("", "", false).owners()),
            ..Sharing::default()
        };
        list.sharing = Some(Box::new(sharing));
        let kind = list.default_type().to_owned();
        let stamp = self.stamp();
        let fields = fields([
            ("Title", json!("Welcome")),
            ("Body", json!("<p>This is where news is told.</p>")),
        ]);
        let guid = web.new_guid();
        if let Some(items) = list.items_mut() {
            items.add(None, guid, kind, fields, &stamp);
        }
        tenant.add_list(self.at, list);
    }
}

fn fields<const N: usize>(values: [(&str, Value); N]) -> Fields {
    values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn attach(item: &mut super::list::Item, number: u64) {
    let files = [
        (
            "invoice.txt".to_owned(),
            format!("Invoice for item {number}\n").into_bytes(),
        ),
        (
            "it's 100% #1.bin".to_owned(),
            (0..=255u8).cycle().take(2_000).collect(),
        ),
    ];
    for (name, bytes) in files {
        if let Ok(content) = Content::store(bytes.into()) {
            item.attachments.insert(name, content);
        }
    }
}

/// A column of every kind there is.
fn every_kind(web: &mut Web, vendors: u128) -> Vec<Column> {
    let mut made: Vec<Column> = Vec::new();
    let mut add = |web: &mut Web, name: &str, title: &str, kind: Kind| {
        let guid = web.new_guid();
        made.push(Column::new(guid, name, title, kind));
        made.len() - 1
    };
    let note = |name: &str| format!("{name}_0");
    let hidden = |web: &mut Web| format!("{:032x}", web.new_guid());
    let (topic_note, subjects_note) = (hidden(web), hidden(web));
    let serial = add(web, "Serial", "Serial number", Kind::Text);
    add(web, "Notes", "Notes", Kind::Note);
    let body = add(web, "Body", "Body", Kind::Note);
    add(web, "Price", "Price", Kind::Currency);
    let count = add(web, "Count", "Count", Kind::Number);
    add(web, "Insured", "Insured", Kind::Boolean);
    add(web, "Bought", "Bought", Kind::DateTime { day: true });
    add(web, "Checked", "Checked", Kind::DateTime { day: false });
    let state = add(web, "State", "State", Kind::Choice);
    let tags = add(web, "Tags", "Tags", Kind::MultiChoice);
    add(
        web,
        "Vendor",
        "Vendor",
        Kind::Lookup {
            list: vendors,
            many: false,
        },
    );
    add(
        web,
        "Bidders",
        "Bidders",
        Kind::Lookup {
            list: vendors,
            many: true,
        },
    );
    add(web, "Holder", "Holder", Kind::Person { many: false });
    add(web, "Reviewers", "Reviewers", Kind::Person { many: true });
    add(web, "Website", "Website", Kind::Link);
    let logo = add(web, "Logo", "Logo", Kind::Link);
    add(web, "Office", "Office", Kind::Location);
    let mut split = Vec::new();
    for name in [
        "Street",
        "City",
        "CountryOrRegion",
        "PostalCode",
        "DispName",
    ] {
        split.push(add(web, name, &format!("Office: {name}"), Kind::System));
    }
    add(
        web,
        "Topic",
        "Topic",
        Kind::Term {
            many: false,
            note: topic_note.clone(),
        },
    );
    let topic = add(web, &topic_note, &note("Topic"), Kind::Note);
    add(
        web,
        "Subjects",
        "Subjects",
        Kind::Term {
            many: true,
            note: subjects_note.clone(),
        },
    );
    let subjects = add(web, &subjects_note, &note("Subjects"), Kind::Note);
    add(web, "Photo", "Photo", Kind::Image);
    let rating = add(web, "AverageRating", "Rating (0-5)", Kind::System);
    add(web, "Legacy", "Legacy", Kind::Unknown);
    if let Some(formula) = Formula::parse("=[Price]*[Count]") {
        let total = add(web, "Total", "Total", Kind::Calculated(formula));
        made[total].read_only = true;
    }
    (made[serial].unique, made[serial].indexed) = (true, true);
    made[topic].hidden = true;
    made[subjects].hidden = true;
    for place in split.into_iter().chain([rating]) {
        made[place].read_only = true;
    }
    let mut say = |place: usize, key: &str, value: Value| {
        if let Some((_, facet)) = &mut made[place].facet {
            facet[key] = value;
        }
    };
    say(body, "textType", json!("richText"));
    say(body, "appendChangesToExistingText", json!(true));
    say(count, "decimalPlaces", json!("none"));
    say(state, "choices", json!(STATES));
    say(tags, "choices", json!(TAGS));
    say(logo, "isPicture", json!(true));
    made[state].default = json!({"value": STATES[0]});
    made
}
