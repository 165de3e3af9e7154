//! What is asked for last of lists and their items: permissions of lists, and who may do what where a list
//! or an item has assignments of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Lists, item_of};
use crate::graph::GraphError;
use crate::workload::sites::rest::Web;
use crate::workload::sites::rest::roles::{self, needs_roles};
use crate::workload::{Account, Change, Detail, ItemError};

/// Its record is a list's.
fn is_list(record: &Value) -> bool {
    record["list"]["template"].is_string()
}

impl Lists {
    /// Whether anything is to be asked for. Graph tells no change of a list's permissions: they are asked
    /// when anything else of it changed.
    pub(super) fn lacks_details(&self, stored: Option<&Value>, record: &Value) -> bool {
        let other = || record.get("permissions").is_none() || stored.is_some_and(|s| s != record);
        match is_list(record) {
            true => other(),
            false => item_of(record).is_some() && needs_roles(&self.live.client, stored, record),
        }
    }

    /// Asks for it.
    pub(super) async fn add_details(
        &self,
        account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        let mut answers: Vec<Result<(), ItemError>> = items.iter().map(|_| Ok(())).collect();
        let lists: Vec<usize> = (0..items.len())
            .filter(|at| is_list(&items[*at].record))
            .collect();
        if !lists.is_empty() {
            let ids = lists.iter().map(|at| &items[*at].record["id"]);
            let ids: Vec<String> = ids.filter_map(Value::as_str).map(str::to_owned).collect();
            let told = self.live.permissions(&account.id, &ids).await?;
            for (at, told) in lists.iter().zip(told) {
                // Lists are told in each round: what is refused is not asked for in each.
                if told.as_ref().is_err_and(|e| !e.class.is_temporary()) {
                    items[*at].record["permissions"] = Value::Null;
                }
                put(&mut items[*at], "permissions", told, &mut answers[*at]);
            }
        }
        if self.live.client.sharepoint().is_err() {
            return Ok(answers);
        }
        let address = self.live.address(&account.id).await?;
        let web = self.web(&address);
        for at in lists {
            let id = items[at].record["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let told = web.roles_of_list(&id).await;
            put(&mut items[at], roles::PROPERTY, told, &mut answers[at]);
        }
        self.add_roles_of_items(&web, items, &mut answers).await;
        Ok(answers)
    }

    async fn add_roles_of_items(
        &self,
        web: &Web<'_>,
        items: &mut [Detail],
        answers: &mut [Result<(), ItemError>],
    ) {
        let places = items.iter().map(|item| item_of(&item.record)).collect();
        for (at, told) in self.roles_of_items(web, places).await {
            put(&mut items[at], roles::PROPERTY, told, &mut answers[at]);
        }
    }

    /// The roles of items, with their place among those asked about: one listing for the items of each list,
    /// and a request for each that has its own. Where all of a list is refused, the first one says so.
    async fn roles_of_items(
        &self,
        web: &Web<'_>,
        places: Vec<Option<(String, u64)>>,
    ) -> Vec<(usize, Result<Value, GraphError>)> {
        let mut by_list: BTreeMap<String, BTreeMap<u64, usize>> = BTreeMap::new();
        for (at, place) in places.into_iter().enumerate() {
            if let Some((list, number)) = place {
                by_list.entry(list).or_default().insert(number, at);
            }
        }
        let mut all = Vec::new();
        for (list, numbers) in by_list {
            let wanted: BTreeSet<u64> = numbers.keys().copied().collect();
            let unique = web.unique_items(&list, &wanted).await;
            let first = numbers.keys().next().copied();
            for (number, at) in numbers {
                let told = match &unique {
                    Ok(unique) if unique.contains(&number) => {
                        web.roles_of_item(&list, number).await
                    }
                    Ok(_) => Ok(Value::Null),
                    Err(e) if !e.class.is_temporary() && Some(number) != first => continue,
                    Err(e) => Err(e.clone()),
                };
                all.push((at, told));
            }
        }
        all
    }

    /// Puts roles into what a sweep tells of items: nothing else tells that they changed.
    ///
    /// # Errors
    /// What passes. What is refused is left as it is known.
    pub(super) async fn tell_roles(
        &self,
        site: &str,
        changes: &mut [Change],
    ) -> Result<(), GraphError> {
        if self.live.client.sharepoint().is_err() {
            return Ok(());
        }
        let address = self.live.address(site).await?;
        let web = self.web(&address);
        let place = |change: &Change| match change {
            Change::Item { record, .. } => item_of(record),
            _ => None,
        };
        let places = changes.iter().map(place).collect();
        for (at, told) in self.roles_of_items(&web, places).await {
            match (&mut changes[at], told) {
                (Change::Item { record, .. }, Ok(told)) => record[roles::PROPERTY] = told,
                (_, Err(e)) if e.class.is_temporary() => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Completes a record. One whose property can't be read is kept without, and it is asked for again when
/// the item or list is another one.
fn put(
    item: &mut Detail,
    property: &str,
    told: Result<Value, GraphError>,
    answer: &mut Result<(), ItemError>,
) {
    match told {
        Ok(value) => item.record[property] = value,
        Err(e) if answer.is_ok() => {
            let reason = format!("{property}: {e}");
            *answer = Err(ItemError {
                class: e.class,
                reason,
            });
        }
        Err(_) => {}
    }
}
