//! What an item looks up may come later than the item: its values are set once more when the lists of a
//! restore are full. Until then they are named as missing; where nobody says when all is done (copying through
//! the mount), restoring once more with `overwrite` does the same.

use serde_json::Value;

use super::Lists;
use super::columns::{Kind, is_custom, kind};
use super::references::numbers;
use crate::graph::{ErrorClass, GraphError};
use crate::workload::once::Once;
use crate::workload::{Account, Policy, Push, PushError, Source};

/// Items that wait at a time, with their records.
const MAX_LATE: usize = 10_000;

/// An item that lacks something it looks up.
pub(super) struct Late {
    site: String,
    push: Push,
    /// Titles of the lists that it looks into.
    lists: Vec<String>,
}

impl Lists {
    /// Remembers an item that was made and looks up what is not there yet.
    pub(super) async fn put_off(&self, account: &Account, push: &Push) -> Result<(), PushError> {
        let Source::Record { record, .. } = &push.source else {
            return Ok(());
        };
        // A copy beside its original can't be told from others later.
        let looks_up = looked_up(record);
        if looks_up.is_empty() || push.policy == Policy::KeepBoth {
            return Ok(());
        }
        let Some(list) = self.target(account, push).await? else {
            return Ok(());
        };
        let columns = self.live.columns(&account.id, &list).await?;
        let here = self.live.references(account, &columns).await?;
        let missing = |column: &&Value| {
            let name = column["name"].as_str().unwrap_or_default();
            let numbers = numbers(&record["fields"], name);
            let mut numbers = numbers.iter();
            numbers.any(|number| here.item(record, name, number).is_none())
        };
        let lists: Vec<String> = looks_up
            .into_iter()
            .filter(missing)
            .filter_map(|column| column["lookupList"].as_str().map(str::to_owned))
            .collect();
        let mut late = self.late.lock();
        if !lists.is_empty() && late.len() < MAX_LATE {
            late.push(Late {
                site: account.id.clone(),
                push: push.clone(),
                lists,
            });
        }
        Ok(())
    }

    /// Sets the values of those that waited in a site, where what they look into is there by now.
    pub(super) async fn make_up(&self, account: &Account) -> Result<(), GraphError> {
        let waiting: Vec<Late> = {
            let mut late = self.late.lock();
            let all = std::mem::take(&mut *late);
            let (here, others) = all.into_iter().partition(|l| l.site == account.id);
            *late = others;
            here
        };
        let mut read = std::collections::HashSet::new();
        for late in waiting {
            let mut any = false;
            for name in &late.lists {
                let Some(list) = self.find_list(account, name).await? else {
                    continue;
                };
                any = true;
                // What was read of it may be older than its items.
                if read.insert(list.clone()) {
                    self.live.forget(&account.id, Some(&list));
                }
            }
            if !any {
                continue;
            }
            match self.set(account, &late.push).await {
                Ok(_) => {}
                Err(PushError::Graph(e)) => return Err(e),
                Err(e) => {
                    let what = format!("{}: {e}", late.push.name);
                    return Err(GraphError::local(ErrorClass::Ours, "lookups", what));
                }
            }
        }
        Ok(())
    }
}

/// Columns of a record that look something up.
fn looked_up(record: &Value) -> Vec<&Value> {
    let columns = record["columns"].as_array().into_iter().flatten();
    columns
        .filter(|column| is_custom(column) && kind(column) == Kind::Lookup)
        .collect()
}
