//! A whole list as one `items.csv` (RFC 4180, UTF-8 with a mark, so that spreadsheets read it right). Pure.
//!
//! It is for reading: restores are made from the items' own files. So text that a spreadsheet would take for
//! a formula gets an apostrophe in front. Anybody who may write into a list could else have a formula run in
//! the spreadsheet of whoever reads the backup; and `+47-12-34` would be shown as 1. Numbers of number columns
//! are numbers, also negative ones: they are no text that somebody chose. A program that needs values exactly
//! as they are reads the `.json` files.

use serde_json::Value;

use super::columns::is_custom;
use super::references::{References, numbers};

/// The first line. Columns come in the list's order.
pub fn header(columns: &[Value]) -> String {
    let mut out = String::from("\u{feff}");
    let mut header = vec!["ID".to_owned()];
    header.extend(shown(columns).map(|c| {
        let title = c["displayName"].as_str().or(c["name"].as_str());
        text(title.unwrap_or_default())
    }));
    header.extend(["Created", "Created By", "Modified", "Modified By"].map(str::to_owned));
    line(&mut out, &header);
    out
}

/// A line for each item, with people and looked-up items by their names.
pub fn rows(columns: &[Value], items: &[Value], references: &References) -> String {
    let mut out = String::new();
    for item in items {
        let fields = &item["fields"];
        let mut row = vec![plain(&item["id"])];
        row.extend(shown(columns).map(|column| cell(column, fields, references)));
        for (time, who) in [
            ("createdDateTime", "createdBy"),
            ("lastModifiedDateTime", "lastModifiedBy"),
        ] {
            row.push(plain(&item[time]));
            let by = &item[who];
            let name = by["user"]["displayName"].as_str();
            let name = name.or(by["application"]["displayName"].as_str());
            row.push(text(name.unwrap_or_default()));
        }
        line(&mut out, &row);
    }
    out
}

fn shown(columns: &[Value]) -> impl Iterator<Item = &Value> {
    columns.iter().filter(|column| is_custom(column))
}

fn cell(column: &Value, fields: &Value, references: &References) -> String {
    let name = column["name"].as_str().unwrap_or_default();
    let value = &fields[name];
    if !value.is_null() {
        return plain(value);
    }
    // References of one tell only a number.
    let number = numbers(fields, name).pop();
    number.map_or_else(String::new, |number| {
        text(&references.shown(column, &number))
    })
}

/// A value as a cell has it.
fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => text(&words(other)),
    }
}

/// A value as a person reads it.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(words).collect();
            all.join("; ")
        }
        Value::Object(object) => {
            let first = [
                "LookupValue",
                "Label",
                "Url",
                "displayName",
                "DisplayName",
                "fileName",
            ];
            match first.iter().find_map(|name| object.get(*name)) {
                Some(value) => words(value),
                None => value.to_string(),
            }
        }
        other => other.to_string(),
    }
}

/// What formulas begin with, also as they are typed in East Asia, and what is skipped before one.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// Text that a spreadsheet must not take for a formula.
fn text(value: &str) -> String {
    match value.starts_with(FORMULA) {
        true => format!("'{value}"),
        false => value.to_owned(),
    }
}

fn line(out: &mut String, cells: &[String]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match cell.contains(['"', ',', '\n', '\r']) {
            true => {
                out.push('"');
                out.push_str(&cell.replace('"', "\"\""));
                out.push('"');
            }
            false => out.push_str(cell),
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_text_is_kept_from_being_a_formula() {
        for (value, cell) in [
            (json!("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")"),
            (json!("+47-12-34"), "'+47-12-34"),
            (json!("-5"), "'-5"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\t=1"), "'\t=1"),
            (json!("\u{ff1d}1"), "'\u{ff1d}1"),
            (json!(["=1", "-2"]), "'=1; -2"),
            (json!([{ "LookupValue": "=1" }]), "'=1"),
            (json!(-5), "-5"),
            (json!(-0.5), "-0.5"),
            (json!(true), "true"),
            (json!("a=b"), "a=b"),
        ] {
            assert_eq!(plain(&value), cell);
        }
    }

    #[test]
    fn every_kind_of_value() {
        let columns = [
            json!({ "name": "Title", "displayName": "Name, full", "text": {} }),
            json!({ "name": "Price", "displayName": "Price", "number": {} }),
            json!({ "name": "Tags", "displayName": "Tags", "choice": {} }),
            json!({ "name": "Owner", "displayName": "Owner", "personOrGroup": {} }),
            json!({ "name": "Site", "displayName": "Site", "hyperlinkOrPicture": {} }),
            json!({ "name": "Edit", "displayName": "Edit" }),
        ];
        let items = [
            json!({ "id": "7", "createdDateTime": "2026-01-02T03:04:05Z",
            "createdBy": { "user": { "displayName": "Ada" } },
            "fields": { "Title": "=1+1 \"x\"", "Price": 9.5, "Tags": ["a", "b"], "OwnerLookupId": "14",
                        "Site": { "Url": "https://e.org", "Description": "d" }, "Edit": "" } }),
        ];
        let mut references = References::default();
        let bob = json!({ "name": "Bob", "email": "bob@contoso.com" });
        references.people.insert("14".into(), bob);
        let csv = header(&columns) + &rows(&columns, &items, &references);
        assert_eq!(
            csv,
            "\u{feff}ID,\"Name, full\",Price,Tags,Owner,Site,Created,Created By,Modified,Modified By\r\n\
             7,\"'=1+1 \"\"x\"\"\",9.5,a; b,Bob,https://e.org,2026-01-02T03:04:05Z,Ada,,\r\n"
        );
    }
}
