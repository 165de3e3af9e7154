//! What differs between two records, by path: `a.b` is property b of a, `a[].b` that of an entry of a
//! list. Absent and null are the same: Graph tells either.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// What a comparison found.
pub struct Paths {
    /// Values of the first record.
    pub values: usize,
    /// Properties that differ, with both values.
    pub differing: BTreeMap<String, (String, String)>,
}

/// Names of properties that tell the entries of a list apart: such lists have no order.
const NAMES: [&[&str]; 6] = [
    &["originalStart"],
    &["displayName"],
    &["name"],
    &["emailAddress", "address"],
    &["senderEmailAddress", "address"],
    &["id"],
];

/// Characters of a value that are shown.
const SHOWN: usize = 160;

pub fn compare(before: &Value, after: &Value) -> Paths {
    let mut paths = Paths {
        values: 0,
        differing: BTreeMap::new(),
    };
    paths.walk("", before, after);
    paths
}

impl Paths {
    fn walk(&mut self, path: &str, before: &Value, after: &Value) {
        match (before, after) {
            _ if is_properties(before) || is_properties(after) => {
                self.objects(path, &by_id(before), &by_id(after));
            }
            // What is of another type has other properties.
            (Value::Object(was), Value::Object(is)) if is_other_type(was, is) => {
                self.differs(path, before, after);
            }
            (Value::Object(was), Value::Object(is)) => self.objects(path, was, is),
            (Value::Array(was), Value::Array(is)) => self.lists(path, was, is),
            _ => {
                self.values += 1;
                if before != after {
                    self.differs(path, before, after);
                }
            }
        }
    }

    fn objects(&mut self, path: &str, was: &Map<String, Value>, is: &Map<String, Value>) {
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names {
            let below = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or_default();
            self.walk(&below, &value(was), &value(is));
        }
    }

    fn lists(&mut self, path: &str, was: &[Value], is: &[Value]) {
        let entry = format!("{path}[]");
        if let (Some(was), Some(is)) = (by_name(was), by_name(is)) {
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for name in names {
                match (was.get(name), is.get(name)) {
                    (Some(was), Some(is)) => self.walk(&entry, was, is),
                    (was, is) => {
                        let value = |v: Option<&&Value>| v.map_or(Value::Null, |v| (*v).clone());
                        self.differs(&entry, &value(was), &value(is));
                    }
                }
            }
        } else if was.len() == is.len() {
            for (was, is) in was.iter().zip(is) {
                self.walk(&entry, was, is);
            }
        } else {
            let list = |of: &[Value]| Value::Array(of.to_vec());
            self.differs(path, &list(was), &list(is));
        }
    }

    fn differs(&mut self, path: &str, before: &Value, after: &Value) {
        let (was, is) = (before.to_string(), after.to_string());
        // Long texts from a little before they part.
        let alike = was.chars().zip(is.chars()).take_while(|(a, b)| a == b);
        let from = alike.count().saturating_sub(SHOWN / 4);
        let shown = |text: &str| text.chars().skip(from).take(SHOWN).collect::<String>();
        let both = (shown(&was), shown(&is));
        self.differing.entry(path.to_owned()).or_insert(both);
    }
}

fn is_other_type(was: &Map<String, Value>, is: &Map<String, Value>) -> bool {
    match (was.get("@odata.type"), is.get("@odata.type")) {
        (Some(was), Some(is)) => was != is,
        _ => false,
    }
}

/// A list of `{id, value}`, as extended properties are told.
fn is_properties(value: &Value) -> bool {
    let pair = |v: &Value| {
        v.as_object()
            .is_some_and(|o| o.len() == 2 && o.contains_key("id") && o.contains_key("value"))
    };
    value
        .as_array()
        .is_some_and(|list| !list.is_empty() && list.iter().all(pair))
}

fn by_id(value: &Value) -> Map<String, Value> {
    let pairs = value.as_array().into_iter().flatten().filter_map(|pair| {
        let id = pair["id"].as_str()?;
        Some((id.to_owned(), pair["value"].clone()))
    });
    pairs.collect()
}

/// The entries by what tells them apart; `None` where nothing does.
fn by_name(list: &[Value]) -> Option<BTreeMap<String, &Value>> {
    if list.is_empty() {
        return Some(BTreeMap::new());
    }
    let name_of = |entry: &Value, name: &[&str]| {
        let value = name.iter().fold(entry, |at, name| &at[name]);
        value.as_str().map(str::to_lowercase)
    };
    NAMES.iter().find_map(|name| {
        let named = list
            .iter()
            .filter_map(|entry| Some((name_of(entry, name)?, entry)));
        let named: BTreeMap<String, &Value> = named.collect();
        (named.len() == list.len()).then_some(named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differing(before: Value, after: Value) -> Vec<String> {
        compare(&before, &after).differing.into_keys().collect()
    }

    #[test]
    fn paths_lead_to_what_differs() {
        assert_eq!(
            differing(
                json!({ "a": 1, "b": { "c": 2, "d": null }, "e": [1, 2] }),
                json!({ "a": 2, "b": { "c": 3 }, "e": [1] })
            ),
            ["a", "b.c", "e"]
        );
        assert_eq!(
            differing(
                json!({ "l": [{ "x": 1 }, { "x": 2 }] }),
                json!({ "l": [{ "x": 1 }, { "x": 3 }] })
            ),
            ["l[].x"]
        );
    }

    #[test]
    fn lists_whose_entries_have_names_have_no_order() {
        let (a, b) = (
            json!({ "name": "a", "n": 1 }),
            json!({ "name": "b", "n": 2 }),
        );
        assert_eq!(
            differing(json!({ "l": [a, b] }), json!({ "l": [b, a] })),
            Vec::<String>::new()
        );
        assert_eq!(
            differing(json!({ "l": [a, b] }), json!({ "l": [b] })),
            ["l[]"]
        );
        let property = |id: &str, value: &str| json!({ "id": id, "value": value });
        assert_eq!(
            differing(
                json!({ "p": [property("Integer 0x1", "1"), property("Integer 0x2", "1")] }),
                json!({ "p": [property("Integer 0x2", "2"), property("Integer 0x1", "1")] })
            ),
            ["p.Integer 0x2"]
        );
    }
}
