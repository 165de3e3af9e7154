//! Where a drive is at home: the list of the site that it is the files of, and whose it is.

use crate::options::Options;
use crate::users::User;

use super::render;
use super::sharing::{Kind, Permission, Principal};

/// A person of the tenant, as items and permissions name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub email: String,
    /// Place in the directory.
    pub index: usize,
}

impl Person {
    pub fn of(user: &User) -> Person {
        Person {
            id: user.id.clone(),
            name: user.display_name.clone(),
            email: user.mail.clone().unwrap_or_else(|| user.upn.clone()),
            index: user.index,
        }
    }
}

/// Whose a drive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A OneDrive.
    Person(Person),
    /// A library of a site: its three groups have the say.
    Site { title: String },
}

/// The site and the library behind a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub tenant: String,
    /// `contoso.sharepoint.com`
    pub host: String,
    /// Path of the site on its host: `/sites/finance`; empty for the tenant's root.
    pub path: String,
    /// Name of the library below the site, as URLs have it: `Shared Documents`.
    pub folder: String,
    /// Name of the drive: `OneDrive`, `Documents`.
    pub name: String,
    /// Not listed unless `system` is asked for.
    pub system: bool,
    /// Number that the first user of the directory has in the site; each site collection counts on its own.
    pub first_user: u64,
    pub owner: Owner,
}

/// Number of the first user in people's own sites.
const FIRST_USER: u64 = 10;

/// First label of the tenant's SharePoint hosts: `contoso` of `contoso.com`.
pub fn tenant_name(domain: &str) -> &str {
    domain
        .split('.')
        .next()
        .filter(|n| !n.is_empty())
        .unwrap_or("contoso")
}

impl Home {
    /// The OneDrive of a user.
    pub fn personal(options: &Options, user: &User) -> Home {
        let person = Person::of(user);
        let domain = person.email.rsplit('@').next().unwrap_or_default();
        Home {
            tenant: options.tenant.clone(),
            host: format!("{}-my.sharepoint.com", tenant_name(domain)),
            path: format!("/personal/{}", person.email.replace(['@', '.'], "_")),
            folder: "Documents".into(),
            name: "OneDrive".into(),
            system: false,
            first_user: FIRST_USER,
            owner: Owner::Person(person),
        }
    }

    pub fn person(&self) -> Option<&Person> {
        match &self.owner {
            Owner::Person(person) => Some(person),
            Owner::Site { .. } => None,
        }
    }

    /// Whose name it is: the person's, or the site's.
    pub fn title(&self) -> &str {
        match &self.owner {
            Owner::Person(person) => &person.name,
            Owner::Site { title } => title,
        }
    }

    pub fn drive_type(&self) -> &'static str {
        match self.owner {
            Owner::Person(_) => "business",
            Owner::Site { .. } => "documentLibrary",
        }
    }

    pub fn site_url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    /// URL of the library.
    pub fn web_url(&self) -> String {
        let folder = super::route::encode_segment(&self.folder);
        format!("{}/{folder}", self.site_url())
    }

    /// URL of a sharing link.
    pub fn link_url(&self, letter: char, id: &str) -> String {
        let id = id.replace('-', "");
        match &self.owner {
            Owner::Person(_) => format!("https://{}/:{letter}:/g/personal/{id}", self.host),
            Owner::Site { .. } => {
                let site = self.path.rsplit('/').next().unwrap_or_default();
                format!("https://{}/:{letter}:/s/{site}/{id}", self.host)
            }
        }
    }

    /// Number of a user of the directory in this site.
    pub fn user_number(&self, index: usize) -> u64 {
        self.first_user + index as u64
    }

    /// What is granted on the library as a whole, unless it was changed.
    pub fn grants(&self) -> Vec<Permission> {
        match &self.owner {
            Owner::Person(person) => vec![Permission {
                id: render::grant_id(&person.email),
                roles: vec!["owner".into()],
                expires: None,
                kind: Kind::Grant(Principal::User {
                    id: person.id.clone(),
                    name: person.name.clone(),
                    email: person.email.clone(),
                    number: 4,
                }),
            }],
            Owner::Site { title } => [
                (3, "Owners", "owner"),
                (4, "Visitors", "read"),
                (5, "Members", "write"),
            ]
            .into_iter()
            .map(|(number, group, role)| {
                let name = format!("{title} {group}");
                Permission {
                    id: render::grant_id(&name),
                    roles: vec![role.into()],
                    expires: None,
                    kind: Kind::Grant(Principal::SiteGroup { number, name }),
                }
            })
            .collect(),
        }
    }

    /// What is left of the grants when nothing is to be inherited: the owners'.
    pub fn owners(&self) -> Vec<Permission> {
        let mut grants = self.grants();
        grants.retain(|p| p.roles.iter().any(|r| r == "owner"));
        grants
    }
}
