//! The accounts of a tenant: a full list first, then what changed.
//!
//! A token of this history lives seven days; when it is dead, the next round is a full one again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Call;
use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::page::Onward;

/// What owns collections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// A user object: people, shared mailboxes, rooms.
    #[default]
    User,
    /// A SharePoint site or subsite.
    Site,
}

/// A user object that may have a mailbox or a drive (people, shared mailboxes, rooms), or a site
/// (see [`super::sites`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Object id (a GUID), or id of the site: what never changes.
    pub id: String,
    /// User principal name, or path of the site: how the mount names the account's folder.
    pub upn: String,
    /// For people.
    pub display_name: String,
    /// Primary address, if any.
    pub mail: Option<String>,
    /// False for shared mailboxes, rooms, and people who were switched off.
    pub enabled: bool,
    /// A guest owns neither mailbox nor drive.
    pub guest: bool,
    /// A user, or a site.
    #[serde(default)]
    pub kind: AccountKind,
    /// Of a site: id of the top site of its collection, which knows the people.
    #[serde(default)]
    pub collection: Option<String>,
    /// Why nothing of it can be read now (an archived site); what was captured stays.
    #[serde(default)]
    pub closed: Option<String>,
}

impl Account {
    /// Reads a user object; `None` without an id or a name.
    pub fn from_record(record: &Value) -> Option<Self> {
        let id = record["id"].as_str()?;
        let mut account = Self {
            id: id.to_owned(),
            enabled: true,
            ..Self::default()
        };
        account.update(record);
        (!account.upn.is_empty()).then_some(account)
    }

    /// Lays what a later round tells over it: only what changed may be told.
    pub fn update(&mut self, record: &Value) {
        if let Some(upn) = record["userPrincipalName"].as_str() {
            self.upn = upn.to_owned();
        }
        if let Some(name) = record["displayName"].as_str() {
            self.display_name = name.to_owned();
        }
        if let Some(mail) = record.get("mail") {
            self.mail = mail.as_str().map(str::to_owned);
        }
        if let Some(enabled) = record["accountEnabled"].as_bool() {
            self.enabled = enabled;
        }
        if let Some(kind) = record["userType"].as_str() {
            self.guest = kind.eq_ignore_ascii_case("Guest");
        }
    }
}

/// What a round tells about the accounts.
#[derive(Clone, Debug)]
pub struct UsersRound {
    /// User objects, new or changed; see [`Account::from_record`] and [`Account::update`].
    pub users: Vec<Value>,
    /// Ids of those that were deleted.
    pub removed: Vec<String>,
    /// Where the next round begins.
    pub link: String,
    /// Everybody was told: who is not in `users` is gone.
    pub full: bool,
}

const SELECT: &str = "id,userPrincipalName,displayName,mail,userType,accountEnabled,createdDateTime,\
                      assignedPlans,proxyAddresses,onPremisesSyncEnabled";
const DELTA: &str = "/users/delta";

impl Client {
    /// One round of `/users/delta`: everybody, or what changed since `link`.
    ///
    /// # Errors
    /// As [`Client::send`]. A dead link is no error: the round becomes a full one.
    pub async fn users(&self, link: Option<&str>) -> Result<UsersRound, GraphError> {
        if let Some(link) = link {
            match self.users_from(Call::link(DELTA, link), false).await {
                Err(e) if is_dead(&e) => {
                    tracing::info!("the history of users is lost: listing all")
                }
                outcome => return outcome,
            }
        }
        self.users_from(Call::get(DELTA, &[]).query("$select", SELECT), true)
            .await
    }

    async fn users_from(&self, first: Call, full: bool) -> Result<UsersRound, GraphError> {
        let mut round = UsersRound {
            users: Vec::new(),
            removed: Vec::new(),
            link: String::new(),
            full,
        };
        let mut call = first;
        loop {
            let page = self.page(&call.scope(Scope::Directory, 1)).await?;
            let onward = page.onward(DELTA)?;
            for user in page.value {
                let Some(id) = user["id"].as_str() else {
                    continue;
                };
                // The last word about an id counts.
                if user.get("@removed").is_some() {
                    round.users.retain(|u| u["id"] != user["id"]);
                    round.removed.push(id.to_owned());
                } else {
                    round.removed.retain(|r| r != id);
                    round.users.push(user);
                }
            }
            call = match onward {
                Onward::More(link) => Call::link(DELTA, &link),
                Onward::Done(link) => {
                    round.link = link;
                    return Ok(round);
                }
            };
        }
    }

    /// One user, by id or user principal name; `None` if there is no such user.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn user(&self, id: &str) -> Result<Option<Account>, GraphError> {
        let call = Call::get("/users/{user}", &[id])
            .query("$select", SELECT)
            .scope(Scope::Directory, 1);
        match self.json(&call).await {
            Ok(user) => Ok(Account::from_record(&user)),
            Err(e) if e.class.is_gone() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn is_dead(e: &GraphError) -> bool {
    e.class == ErrorClass::Reset || matches!(e.status, Some(400 | 404 | 410))
}
