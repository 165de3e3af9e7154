//! What the numbers in person and lookup columns stand for. Numbers mean something in one site only, so
//! the names go along with each item, and are found again where it is restored to. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::columns::{Kind, is_custom, kind};

/// Names by number.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// People and groups of the site: `name`, `email`, `login`.
    pub people: BTreeMap<String, Value>,
    /// By the column's internal name: what its list calls each item.
    pub lookups: BTreeMap<String, BTreeMap<String, String>>,
}

impl References {
    /// How a person reads a reference.
    pub fn shown(&self, column: &Value, number: &str) -> String {
        let name = column["name"].as_str().unwrap_or_default();
        let found = match kind(column) {
            Kind::Person => self.people.get(number).and_then(|p| p["name"].as_str()),
            _ => self.lookup(name, number),
        };
        found.unwrap_or(number).to_owned()
    }

    fn lookup(&self, column: &str, number: &str) -> Option<&str> {
        Some(self.lookups.get(column)?.get(number)?.as_str())
    }

    /// Puts the names of what an item refers to into its record.
    pub fn describe(&self, columns: &[Value], record: &mut Value) {
        let (mut people, mut lookups) = (Map::new(), Map::new());
        for column in columns {
            let name = column["name"].as_str().unwrap_or_default();
            for number in numbers(&record["fields"], name) {
                match kind(column) {
                    Kind::Person => {
                        if let Some(person) = self.people.get(&number) {
                            people.insert(number, person.clone());
                        }
                    }
                    Kind::Lookup => {
                        if let Some(text) = self.lookup(name, &number) {
                            let of = lookups.entry(name).or_insert_with(|| json!({}));
                            of[number.as_str()] = json!(text);
                        }
                    }
                    _ => {}
                }
            }
        }
        record[PEOPLE] = Value::Object(people);
        record[LOOKUPS] = Value::Object(lookups);
    }

    /// The number here of a person that is `number` in a record.
    pub fn person(&self, record: &Value, number: &str) -> Option<u64> {
        let wanted = &record[PEOPLE][number];
        let is = |property: &str| {
            let text = wanted[property].as_str().filter(|text| !text.is_empty())?;
            let same = |person: &Value| {
                let other = person[property].as_str();
                other.is_some_and(|other| other.eq_ignore_ascii_case(text))
            };
            self.people.iter().find(|(_, person)| same(person))
        };
        let found = ["login", "email", "name"].into_iter().find_map(is);
        found.and_then(|(number, _)| number.parse().ok())
    }

    /// Login names of people that a record refers to and that are not known here.
    pub fn strangers(&self, record: &Value, columns: &[Value]) -> Vec<String> {
        let mut logins = Vec::new();
        for column in columns
            .iter()
            .filter(|c| kind(c) == Kind::Person && is_custom(c))
        {
            let name = column["name"].as_str().unwrap_or_default();
            for number in numbers(&record["fields"], name) {
                let login = record[PEOPLE][&number]["login"].as_str();
                if let Some(login) = login.filter(|login| !login.is_empty())
                    && self.person(record, &number).is_none()
                {
                    logins.push(login.to_owned());
                }
            }
        }
        logins
    }

    /// Adds somebody who became known.
    pub fn meet(&mut self, number: u64, login: &str) {
        let names = json!({ "login": login });
        self.people.insert(number.to_string(), names);
    }

    /// The number here of the item that a lookup column leads to in a record.
    pub fn item(&self, record: &Value, column: &str, number: &str) -> Option<u64> {
        let there = self.lookups.get(column)?;
        let text = record[LOOKUPS][column][number].as_str()?;
        // Of several that are called so the one of the same number.
        if there.get(number).is_some_and(|other| other == text) {
            return number.parse().ok();
        }
        let found = there.iter().find(|(_, other)| *other == text);
        found.and_then(|(number, _)| number.parse().ok())
    }

    /// What somebody is called in a record, for messages.
    pub fn named(record: &Value, column: &str, number: &str) -> String {
        let person = &record[PEOPLE][number];
        let name = person["email"].as_str().filter(|email| !email.is_empty());
        let name = name.or(person["name"].as_str());
        let name = name.or(record[LOOKUPS][column][number].as_str());
        name.map_or_else(|| format!("number {number}"), str::to_owned)
    }
}

/// Property of a record with the people it refers to.
pub const PEOPLE: &str = "people";
/// Property of a record with the items of other lists that it refers to.
pub const LOOKUPS: &str = "lookups";

/// The numbers that a reference column has in an item's values.
pub fn numbers(fields: &Value, column: &str) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match &fields[column] {
        Value::Array(all) => all.iter().filter_map(|v| text(&v["LookupId"])).collect(),
        _ => text(&fields[format!("{column}LookupId")])
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Value> {
        vec![
            json!({ "name": "Owner", "personOrGroup": {} }),
            json!({ "name": "Parts", "lookup": { "allowMultipleValues": true } }),
        ]
    }

    #[test]
    fn numbers_are_found_again_by_name() {
        let mut here = References::default();
        let bob =
            json!({ "name": "Bob", "email": "bob@contoso.com", "login": "i:0#.f|membership|bob" });
        here.people.insert("14".into(), bob.clone());
        let parts = [("1", "SSD"), ("2", "Fan")].map(|(n, t)| (n.to_owned(), t.to_owned()));
        here.lookups.insert("Parts".into(), parts.into());
        let mut record = json!({ "fields": { "OwnerLookupId": "14",
            "Parts": [{ "LookupId": 1, "LookupValue": "SSD" }, { "LookupId": 2 }] } });
        here.describe(&columns(), &mut record);
        assert_eq!(record["people"]["14"]["name"], "Bob");
        assert_eq!(
            record["lookups"],
            json!({ "Parts": { "1": "SSD", "2": "Fan" } })
        );
        assert_eq!(here.shown(&columns()[0], "14"), "Bob");
        assert_eq!(here.item(&record, "Parts", "2"), Some(2));

        let mut there = References::default();
        there.people.insert(
            "3".into(),
            json!({ "name": "Robert", "email": "BOB@contoso.com" }),
        );
        there
            .lookups
            .insert("Parts".into(), [("7".to_owned(), "SSD".to_owned())].into());
        assert_eq!(there.person(&record, "14"), Some(3));
        assert_eq!(there.item(&record, "Parts", "1"), Some(7));
        assert_eq!(there.item(&record, "Parts", "2"), None);
        let mut met = References::default();
        met.meet(9, "i:0#.f|membership|bob");
        assert_eq!(met.person(&record, "14"), Some(9));
        assert!(there.strangers(&record, &columns()).is_empty());
        assert_eq!(
            References::default().strangers(&record, &columns()),
            ["i:0#.f|membership|bob"]
        );
        assert_eq!(References::named(&record, "Owner", "14"), "bob@contoso.com");
        assert_eq!(References::named(&record, "Parts", "2"), "Fan");
    }
}
