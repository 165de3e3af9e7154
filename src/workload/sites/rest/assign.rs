//! Gives a list or an item the role assignments that its original had, in place of inherited ones.
//!
//! Invariants:
//! - First everybody loses access ([`Web::restrict`]); what is confidential is written after that, and who had
//!   access gets it again.
//! - What the restore itself got by that is taken away last.
//! - Done twice it is done once: what is in force already is left alone.

use reqwest::Method;
use serde_json::{Value, json};

use super::Web;
use super::people::People;
use super::roles::LIMITED;
use crate::graph::{Call, GraphError};

/// A route of lists and the same one of items.
macro_rules! routes {
    ($below:literal) => {
        [
            concat!("/_api/web/lists(guid'{list}')", $below),
            concat!("/_api/web/lists(guid'{list}')/items({item})", $below),
        ]
    };
}

const ITSELF: [&str; 2] = routes!("");
const BREAK: [&str; 2] =
    routes!("/breakroleinheritance(copyRoleAssignments=false,clearSubscopes=true)");
const ASSIGNED: [&str; 2] = routes!("/roleassignments");
const ADD: [&str; 2] =
    routes!("/roleassignments/addroleassignment(principalid={principal},roledefid={role})");
const REMOVE: [&str; 2] =
    routes!("/roleassignments/removeroleassignment(principalid={principal},roledefid={role})");
const LEVELS: &str = "/_api/web/roledefinitions";

/// What has role assignments.
#[derive(Clone, Copy)]
pub(in crate::workload::sites) enum Securable<'a> {
    List(&'a str),
    /// List and number.
    Item(&'a str, &'a str),
}

impl Securable<'_> {
    fn call(self, method: Method, routes: [&'static str; 2], more: &[&str]) -> Call {
        let (route, mut ids) = match self {
            Self::List(list) => (routes[0], vec![list]),
            Self::Item(list, item) => (routes[1], vec![list, item]),
        };
        ids.extend(more);
        Call::new(method, route, &ids).repeatable()
    }
}

/// Somebody's level.
type Held = (u64, u64);

impl Web<'_> {
    /// Makes sure that nobody has access by inheritance; only who asks for it has any, and site administrators.
    pub async fn restrict(&self, what: Securable<'_>) -> Result<(), GraphError> {
        let call = what.call(Method::GET, ITSELF, &[]);
        let told = self
            .ask(call.query("$select", "HasUniqueRoleAssignments"))
            .await?;
        if told["HasUniqueRoleAssignments"] != true {
            self.ask(what.call(Method::POST, BREAK, &[]).json(json!({})))
                .await?;
        }
        Ok(())
    }

    /// Gives those access that had it, as their record tells ([`super::roles`]), and nobody else.
    /// Returns who could not be given it.
    pub async fn assign(
        &self,
        people: &People,
        what: Securable<'_>,
        wanted: &[Value],
    ) -> Result<Vec<String>, GraphError> {
        let (held, limited) = self.held(what).await?;
        let levels = self
            .ask(Call::get(LEVELS, &[]).query("$select", "Id,Name"))
            .await?;
        let level = |name: &Value| {
            let mut all = levels["value"].as_array().into_iter().flatten();
            all.find(|level| level["Name"] == *name)?["Id"].as_u64()
        };
        let (mut kept, mut notes) = (limited, Vec::new());
        for assignment in wanted {
            let roles = assignment["roles"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let name = assignment["title"].as_str().unwrap_or("somebody");
            if roles.is_empty() {
                continue;
            }
            let Some(principal) = people.principal(self, assignment).await? else {
                notes.push(format!("{name} had access, and is not known to this site"));
                continue;
            };
            for role in roles {
                let Some(level) = level(role) else {
                    notes.push(format!("{name}: this site has no level {role}"));
                    continue;
                };
                let wanted = (principal, level);
                if !held.contains(&wanted) {
                    self.change(what, ADD, wanted).await?;
                }
                kept.push(wanted);
            }
        }
        for other in held.into_iter().filter(|held| !kept.contains(held)) {
            self.change(what, REMOVE, other).await?;
        }
        Ok(notes)
    }

    async fn change(
        &self,
        what: Securable<'_>,
        routes: [&'static str; 2],
        (principal, level): Held,
    ) -> Result<(), GraphError> {
        let ids = [principal.to_string(), level.to_string()];
        let call = what.call(Method::POST, routes, &[&ids[0], &ids[1]]);
        self.ask(call.json(json!({}))).await.map(drop)
    }

    /// Who has which level now, and which of that is none that was given.
    async fn held(&self, what: Securable<'_>) -> Result<(Vec<Held>, Vec<Held>), GraphError> {
        let call = what.call(Method::GET, ASSIGNED, &[]);
        let told = self
            .ask(call.query("$expand", "RoleDefinitionBindings"))
            .await?;
        let (mut held, mut limited) = (Vec::new(), Vec::new());
        for row in told["value"].as_array().into_iter().flatten() {
            let levels = row["RoleDefinitionBindings"].as_array();
            for level in levels.into_iter().flatten() {
                if let (Some(who), Some(id)) = (row["PrincipalId"].as_u64(), level["Id"].as_u64()) {
                    held.push((who, id));
                    if level["RoleTypeKind"] == LIMITED {
                        limited.push((who, id));
                    }
                }
            }
        }
        Ok((held, limited))
    }
}
