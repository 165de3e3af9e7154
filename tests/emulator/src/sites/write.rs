//! Values of items, as clients write them: what each kind of column takes, and what it is kept as.

use serde_json::{Map, Value, json};

use crate::clock::{parse_rfc3339, rfc3339};
use crate::drive::{Failure, Fields};

use super::column::{Column, Kind};
use super::fields::Place;
use super::list::List;
use super::tenant::{At, Tenant};

/// Where values are written: the list and what its columns refer to.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub tenant: &'a Tenant,
    pub at: At,
    pub list: &'a List,
    pub now: i64,
}

impl<'a> From<(Place<'a>, i64)> for Target<'a> {
    fn from((place, now): (Place<'a>, i64)) -> Target<'a> {
        Target {
            tenant: place.tenant,
            at: place.at,
            list: place.rows.list(),
            now,
        }
    }
}

fn refuse(name: &str, why: &str) -> Failure {
    Failure::invalid(format!("Field '{name}' {why}"))
}

impl Target<'_> {
    /// `before` with what `body` says. `id`: the item that is changed; its own values do not count as
    /// taken.
    pub fn apply(
        &self,
        before: &Fields,
        body: &Map<String, Value>,
        id: Option<u64>,
    ) -> Result<Fields, Failure> {
        let mut out = before.clone();
        for (key, value) in body.iter().filter(|(k, _)| !k.contains('@')) {
            let annotation = body
                .get(&format!("{key}@odata.type"))
                .and_then(Value::as_str);
            let (column, kept) = self.one(key, value, annotation)?;
            if kept.is_null() {
                out.remove(&column.name);
                continue;
            }
            if column.unique && self.taken(column, &kept, id) {
                return Err(refuse(
                    key,
                    "must have unique values; the value is in the list already.",
                ));
            }
            out.insert(column.name.clone(), kept);
        }
        self.work_out(&mut out);
        Ok(out)
    }

    /// What a new item has before anybody wrote anything.
    pub fn defaults(&self) -> Fields {
        let mut out = Fields::new();
        for column in &self.list.columns {
            let text = column.default["value"].as_str();
            let today = column.default["formula"] == "=[today]";
            let value = match (&column.kind, text) {
                (Kind::DateTime { .. }, _) if today => rfc3339(self.now).into(),
                (_, None) => continue,
                (Kind::Boolean, Some(text)) => matches!(text, "1" | "true").into(),
                (Kind::Number | Kind::Currency, Some(text)) => match text.parse::<f64>() {
                    Ok(number) => json!(number),
                    Err(_) => continue,
                },
                (_, Some(text)) => text.into(),
            };
            out.insert(column.name.clone(), value);
        }
        out
    }

    /// The formulas' values.
    pub fn work_out(&self, fields: &mut Fields) {
        let mut made = Vec::new();
        for column in &self.list.columns {
            if let Kind::Calculated(formula) = &column.kind {
                let get = |name: &str| {
                    let column = self
                        .list
                        .columns
                        .iter()
                        .find(|c| c.title == name || c.name == name);
                    column
                        .and_then(|c| fields.get(&c.name).cloned())
                        .unwrap_or_default()
                };
                made.push((column.name.clone(), formula.value(&get)));
            }
        }
        fields.extend(made);
    }

    /// The column that a key means, and the value as it is kept.
    fn one(
        &self,
        key: &str,
        value: &Value,
        annotation: Option<&str>,
    ) -> Result<(&Column, Value), Failure> {
        let through = |c: &&Column| matches!(&c.kind, Kind::Term { note, .. } if note == key);
        if let Some(column) = self.list.columns.iter().find(through) {
            return Ok((column, term(column, value)?));
        }
        if let Some(column) = self.list.column(key) {
            if column.read_only {
                return Err(refuse(key, "is read-only."));
            }
            return Ok((column, self.plain(column, value, annotation)?));
        }
        let column = key
            .strip_suffix("LookupId")
            .and_then(|stem| self.list.column(stem));
        match column {
            Some(column) if column.read_only => Err(refuse(key, "is read-only.")),
            Some(column) if matches!(column.kind, Kind::Lookup { .. } | Kind::Person { .. }) => {
                Ok((column, self.reference(column, value, annotation)?))
            }
            _ => Err(refuse(key, "is not recognized")),
        }
    }

    fn plain(
        &self,
        column: &Column,
        value: &Value,
        annotation: Option<&str>,
    ) -> Result<Value, Failure> {
        let name = &column.name;
        if value.is_null() {
            return Ok(Value::Null);
        }
        match &column.kind {
            Kind::Text | Kind::Note | Kind::Choice => match value.as_str() {
                Some(text) if column.kind == Kind::Text && text.chars().count() > 255 => {
                    Err(refuse(name, "takes 255 characters at most."))
                }
                Some(text) => Ok(text.into()),
                None => Err(refuse(name, "takes a string.")),
            },
            Kind::MultiChoice => {
                if annotation.is_none_or(|a| {
                    !a.trim_start_matches('#')
                        .eq_ignore_ascii_case("Collection(Edm.String)")
                }) {
                    return Err(refuse(
                        name,
                        "takes several values; it must be annotated with Collection(Edm.String).",
                    ));
                }
                let texts = value.as_array().filter(|a| a.iter().all(Value::is_string));
                texts
                    .map(|t| json!(t))
                    .ok_or_else(|| refuse(name, "takes strings."))
            }
            Kind::Number | Kind::Currency => match value.as_f64() {
                Some(number) => Ok(json!(number)),
                None => Err(refuse(name, "takes a number.")),
            },
            Kind::Boolean => match value {
                Value::Bool(_) => Ok(value.clone()),
                _ => Err(refuse(name, "takes true or false.")),
            },
            Kind::DateTime { day } => {
                let time = value.as_str().and_then(time);
                let time = time.ok_or_else(|| refuse(name, "takes a date and time."))?;
                Ok(rfc3339(if *day { self.midnight(time) } else { time }).into())
            }
            Kind::Lookup { .. } | Kind::Person { .. } => Err(refuse(
                name,
                "is a reference; write its id to the field with LookupId after its name.",
            )),
            Kind::Link => Err(refuse(
                name,
                "is a hyperlink or picture, which can not be written.",
            )),
            Kind::Location | Kind::Term { .. } | Kind::Image | Kind::Unknown => {
                Err(refuse(name, "has a type that can not be written."))
            }
            Kind::Calculated(_) | Kind::System | Kind::Approval => {
                Err(refuse(name, "is read-only."))
            }
        }
    }

    /// The site's midnight before a time: what a day is kept as.
    fn midnight(&self, time: i64) -> i64 {
        let offset = self.tenant.web(self.at).offset;
        (time + offset).div_euclid(86_400) * 86_400 - offset
    }

    /// Numbers of people or of other lists' items; all of them must exist.
    fn reference(
        &self,
        column: &Column,
        value: &Value,
        annotation: Option<&str>,
    ) -> Result<Value, Failure> {
        let name = &column.name;
        let number = |value: &Value| {
            let number = match value {
                Value::String(text) => text.parse().ok(),
                other => other.as_u64(),
            };
            match number {
                Some(n) if self.exists(column, n) => Ok(n),
                _ => Err(refuse(name, "refers to an item that does not exist.")),
            }
        };
        let many = match column.kind {
            Kind::Lookup { many, .. } | Kind::Person { many } => many,
            _ => false,
        };
        match (many, value) {
            (_, Value::Null) => Ok(Value::Null),
            (false, Value::Array(_)) => Err(refuse(name, "takes one value.")),
            (false, value) => Ok(number(value)?.into()),
            (true, Value::Array(values)) => {
                let typed = annotation.is_some_and(|a| {
                    a.trim_start_matches('#')
                        .to_ascii_lowercase()
                        .starts_with("collection(edm.")
                });
                if !typed {
                    return Err(refuse(
                        name,
                        "takes several values; it must be annotated with Collection(Edm.Int32).",
                    ));
                }
                let numbers: Result<Vec<u64>, Failure> = values.iter().map(number).collect();
                Ok(json!(numbers?))
            }
            (true, _) => Err(refuse(name, "takes a list of values.")),
        }
    }

    fn exists(&self, column: &Column, number: u64) -> bool {
        let list = match &column.kind {
            Kind::Person { .. } => self.tenant.people(self.at),
            Kind::Lookup { list, .. } => {
                let lists = &self.tenant.web(self.at).lists;
                lists
                    .iter()
                    .find(|l| l.guid == *list && l.deleted.is_none())
            }
            _ => None,
        };
        let items = list.and_then(List::items);
        items.is_some_and(|items| items.get(number).is_some())
    }

    fn taken(&self, column: &Column, value: &Value, id: Option<u64>) -> bool {
        self.list.items().is_some_and(|items| {
            items
                .after(0)
                .any(|i| Some(i.id) != id && i.fields.get(&column.name) == Some(value))
        })
    }
}

/// A time, or a day alone.
fn time(text: &str) -> Option<i64> {
    parse_rfc3339(text).or_else(|| parse_rfc3339(&format!("{text}T00:00:00Z")))
}

/// `-1;#Label|Guid`, or `-1;Label|Guid`; several joined by `;#`.
fn term(column: &Column, value: &Value) -> Result<Value, Failure> {
    let Kind::Term { many, .. } = &column.kind else {
        return Ok(Value::Null);
    };
    let text = match value {
        Value::Null => "",
        Value::String(text) => text.as_str(),
        _ => return Err(refuse(&column.name, "takes a string.")),
    };
    let mut terms = Vec::new();
    for part in text.split(";#").flat_map(|p| p.split(';')) {
        if part.is_empty() || part.parse::<i64>().is_ok() {
            continue;
        }
        let found = part
            .rsplit_once('|')
            .filter(|(_, g)| uuid::Uuid::parse_str(g).is_ok());
        let Some((label, guid)) = found else {
            return Err(refuse(&column.name, "takes terms as -1;#Label|Guid."));
        };
        terms.push(json!({"Label": label, "TermGuid": guid, "WssId": terms.len() + 1}));
    }
    Ok(match (many, terms.len()) {
        (_, 0) => Value::Null,
        (true, _) => json!(terms),
        (false, _) => terms.swap_remove(0),
    })
}
