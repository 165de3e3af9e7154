//! The values of an item as they are written into a list that is there. Pure.
//!
//! What can't be written is named, never left out in silence.

use serde_json::{Map, Value, json};

use super::columns::{Kind, is_custom, is_multiple, kind};
use super::references::{References, numbers};

/// Values ready to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    pub fields: Map<String, Value>,
    /// What can't be set, in words.
    pub notes: Vec<String>,
}

/// The values of `record` for a list with `columns` (hidden ones too), where `here` tells who and what is
/// which number.
pub fn write(record: &Value, columns: &[Value], here: &References) -> Written {
    let mut written = Written::default();
    let fields = &record["fields"];
    for column in columns.iter().filter(|column| is_custom(column)) {
        let name = column["name"].as_str().unwrap_or_default();
        let value = &fields[name];
        match kind(column) {
            Kind::Plain => {
                if !value.is_null() {
                    written.fields.insert(name.to_owned(), value.clone());
                }
            }
            Kind::Choices => {
                if value.is_array() {
                    written.list(name, "Collection(Edm.String)", value.clone());
                }
            }
            Kind::Person | Kind::Lookup => reference(&mut written, record, column, here),
            Kind::Calculated | Kind::Link => {}
            Kind::Fixed(what) => {
                if value.is_null() {
                    continue;
                }
                match (term(value), note_column(columns, name)) {
                    (Some(term), Some(note)) => {
                        written.fields.insert(note.to_owned(), term);
                    }
                    _ => written.notes.push(not_set(name, what)),
                }
            }
        }
    }
    let there = |name: &Value| columns.iter().any(|column| column["name"] == *name);
    let of_record = record["columns"].as_array().into_iter().flatten();
    for column in of_record.filter(|c| is_custom(c) && kind(c) != Kind::Calculated) {
        let name = column["name"].as_str().unwrap_or_default();
        let empty = fields[name].is_null() && numbers(fields, name).is_empty();
        if !empty && !there(&column["name"]) {
            let note = format!("the list has no column {name}: its value is left out");
            written.notes.push(note);
        }
    }
    written
}

/// The hyperlinks of `record` by columns, which Graph does not take.
pub fn links(record: &Value, columns: &[Value]) -> Map<String, Value> {
    let links = columns
        .iter()
        .filter(|column| is_custom(column) && kind(column) == Kind::Link);
    let links = links.filter_map(|column| {
        let name = column["name"].as_str()?;
        let link = &record["fields"][name];
        link["Url"]
            .is_string()
            .then(|| (name.to_owned(), link.clone()))
    });
    links.collect()
}

/// What is said of a column that Graph does not write.
pub fn not_set(name: &str, what: &str) -> String {
    format!("column {name} is {what}: its value can't be set through Graph")
}

impl Written {
    fn list(&mut self, name: &str, kind: &str, values: Value) {
        self.fields
            .insert(format!("{name}@odata.type"), json!(kind));
        self.fields.insert(name.to_owned(), values);
    }
}

fn reference(written: &mut Written, record: &Value, column: &Value, here: &References) {
    let name = column["name"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    for number in numbers(&record["fields"], name) {
        let here = match kind(column) {
            Kind::Person => here.person(record, &number),
            _ => here.item(record, name, &number),
        };
        match here {
            Some(number) => found.push(number),
            None => written.notes.push(format!(
                "column {name}: {} is not known to this site",
                References::named(record, name, &number)
            )),
        }
    }
    let key = format!("{name}LookupId");
    match (is_multiple(column), found.as_slice()) {
        (_, []) => {}
        (true, all) => written.list(&key, "Collection(Edm.Int32)", json!(all)),
        (false, [first, rest @ ..]) => {
            written.fields.insert(key, json!(first));
            if !rest.is_empty() {
                let note = format!("column {name} takes one value: the first of several is set");
                written.notes.push(note);
            }
        }
    }
}

/// Terms as their hidden column takes them: `-1;#Label|Guid`, several with `;#` between them.
fn term(value: &Value) -> Option<Value> {
    let one = |term: &Value| {
        let (label, guid) = (term["Label"].as_str()?, term["TermGuid"].as_str()?);
        Some(format!("-1;#{label}|{guid}"))
    };
    let text = match value {
        Value::Array(all) if !all.is_empty() => {
            all.iter().map(one).collect::<Option<Vec<_>>>()?.join(";#")
        }
        other => one(other)?,
    };
    Some(json!(text))
}

/// The hidden text column that terms are written through.
fn note_column<'a>(columns: &'a [Value], name: &str) -> Option<&'a str> {
    let title = format!("{name}_0");
    let note = columns.iter().find(|column| column["displayName"] == title);
    note?["name"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_written_as_graph_takes_it() {
        let columns = [
            json!({ "name": "Title", "text": {} }),
            json!({ "name": "Tags", "choice": { "displayAs": "checkBoxes" } }),
            json!({ "name": "Owner", "personOrGroup": {} }),
            json!({ "name": "Team", "personOrGroup": { "allowMultipleSelection": true } }),
            json!({ "name": "Vendor", "lookup": {} }),
            json!({ "name": "Total", "calculated": {}, "readOnly": true }),
            json!({ "name": "Site", "hyperlinkOrPicture": {} }),
            json!({ "name": "Topic" }),
            json!({ "name": "abc", "displayName": "Topic_0", "hidden": true, "text": {} }),
            json!({ "name": "Modified", "dateTime": {}, "readOnly": true }),
        ];
        let mut here = References::default();
        here.people
            .insert("5".into(), json!({ "email": "bob@contoso.com" }));
        here.lookups.insert(
            "Vendor".into(),
            [("9".to_owned(), "Adatum".to_owned())].into(),
        );
        let record = json!({
            "columns": [{ "name": "Gone", "text": {} }, { "name": "Title", "text": {} }],
            "people": { "14": { "email": "bob@contoso.com" }, "15": { "email": "eve@fabrikam.com" } },
            "lookups": { "Vendor": { "3": "Adatum" } },
            "fields": { "Title": "Laptop", "Tags": ["a"], "OwnerLookupId": "14", "Gone": "x",
                "Team": [{ "LookupId": 14 }, { "LookupId": 15 }], "VendorLookupId": "3", "Total": 5,
                "Site": { "Url": "u" }, "Modified": "m",
                "Topic": { "Label": "IT", "TermGuid": "g", "WssId": 3 } },
        });
        let written = write(&record, &columns, &here);
        assert_eq!(
            Value::Object(written.fields),
            json!({ "Title": "Laptop", "Tags@odata.type": "Collection(Edm.String)", "Tags": ["a"],
                    "OwnerLookupId": 5, "TeamLookupId@odata.type": "Collection(Edm.Int32)",
                    "TeamLookupId": [5], "VendorLookupId": 9, "abc": "-1;#IT|g" })
        );
        let notes = written.notes.join("\n");
        for part in ["eve@fabrikam.com", "no column Gone"] {
            assert!(notes.contains(part), "{notes}");
        }
        assert_eq!(written.notes.len(), 2, "{notes}");
        assert_eq!(
            Value::Object(links(&record, &columns)),
            json!({ "Site": { "Url": "u" } })
        );
    }
}
