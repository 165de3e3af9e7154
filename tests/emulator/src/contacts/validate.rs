//! What may be written to a contact.

use serde_json::{Value, json};

use super::json::{Kind, PROPERTIES, SERVICE};
use crate::api::ApiResponse;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::mail::unknown_property;
use crate::odata::Object;

/// E-mail addresses a contact has room for.
pub const MAX_EMAILS: usize = 3;
const ADDRESS: &[&str] = &["city", "countryOrRegion", "postalCode", "state", "street"];

fn bad_value(name: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "RequestBodyRead",
        &format!("The value of property '{name}' is not valid."),
    )
}

/// Puts the properties of a body over those a contact has. What is null or empty goes back to the
/// default, and is then not in `props` at all.
pub fn apply(body: &Object, props: &mut Object) -> Result<(), ApiResponse> {
    // Addresses by place go over the list of them, whatever the order in the body.
    let mut places = Vec::new();
    for (name, value) in body {
        if name.contains('@') || name.ends_with("ExtendedProperties") || name == "extensions" {
            continue;
        }
        if SERVICE.contains(&name.as_str()) {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidPropertySet",
                &format!("Set action is invalid for property '{name}'."),
            ));
        }
        let Some((_, kind)) = PROPERTIES.iter().find(|(known, _)| known == name) else {
            return Err(unknown_property(name, "microsoft.graph.contact"));
        };
        if let Kind::Email(place) = kind {
            places.push((*place, email(name, value)?));
            continue;
        }
        match read(name, *kind, value)? {
            Some(value) => props.insert(name.clone(), value),
            None => props.remove(name),
        };
    }
    if !places.is_empty() {
        set_emails(props, places);
    }
    Ok(())
}

/// A value in the form it is kept; `None` for the default.
fn read(name: &str, kind: Kind, value: &Value) -> Result<Option<Value>, ApiResponse> {
    if value.is_null() {
        return Ok(None);
    }
    let bad = || bad_value(name);
    Ok(match kind {
        Kind::Text => Some(value)
            .filter(|v| v.is_string())
            .ok_or_else(bad)
            .map(Some)?
            .cloned(),
        Kind::Note => match value.as_str().ok_or_else(bad)? {
            "" => None,
            text => Some(json!(text)),
        },
        Kind::Texts => {
            let list = value.as_array().ok_or_else(bad)?;
            if !list.iter().all(Value::is_string) {
                return Err(bad());
            }
            (!list.is_empty()).then(|| value.clone())
        }
        Kind::Time => {
            let seconds = value.as_str().and_then(parse_rfc3339).ok_or_else(bad)?;
            Some(json!(rfc3339(seconds)))
        }
        Kind::Address => {
            let mut out = Object::new();
            for (key, value) in value.as_object().ok_or_else(bad)? {
                if key.contains('@') || value.is_null() {
                    continue;
                }
                if !ADDRESS.contains(&key.as_str()) {
                    return Err(unknown_property(key, "microsoft.graph.physicalAddress"));
                }
                if !value.is_string() {
                    return Err(bad());
                }
                out.insert(key.clone(), value.clone());
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        Kind::Emails => {
            let list = value.as_array().ok_or_else(bad)?;
            if list.len() > MAX_EMAILS {
                return Err(ApiResponse::error(
                    400,
                    "ErrorInvalidProperty",
                    "A contact has room for three e-mail addresses.",
                ));
            }
            let all: Vec<Option<Value>> = list
                .iter()
                .map(|entry| email(name, entry))
                .collect::<Result<_, _>>()?;
            let all: Vec<Value> = all.into_iter().flatten().collect();
            (!all.is_empty()).then_some(Value::Array(all))
        }
        Kind::Email(_) => email(name, value)?,
    })
}

/// `{name, address}`; `None` when it holds neither.
fn email(name: &str, value: &Value) -> Result<Option<Value>, ApiResponse> {
    if value.is_null() {
        return Ok(None);
    }
    let object = value.as_object().ok_or_else(|| bad_value(name))?;
    for (key, value) in object.iter().filter(|(key, _)| !key.contains('@')) {
        if !matches!(key.as_str(), "name" | "address") {
            return Err(unknown_property(key, "microsoft.graph.emailAddress"));
        }
        if !value.is_string() && !value.is_null() {
            return Err(bad_value(name));
        }
    }
    let text = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    let (label, address) = (text("name"), text("address"));
    if label.is_none() && address.is_none() {
        return Ok(None);
    }
    Ok(Some(json!({"name": label, "address": address})))
}

/// Puts addresses at their places among the three; those behind an empty place move up.
fn set_emails(props: &mut Object, places: Vec<(usize, Option<Value>)>) {
    let before = match props.remove("emailAddresses") {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    };
    let mut slots: Vec<Option<Value>> = before.into_iter().map(Some).collect();
    slots.resize(MAX_EMAILS, None);
    for (place, value) in places {
        slots[place] = value;
    }
    let all: Vec<Value> = slots.into_iter().flatten().collect();
    if !all.is_empty() {
        props.insert("emailAddresses".into(), Value::Array(all));
    }
}

/// Names that Exchange makes up when they were not given.
pub fn complete(props: &mut Object) {
    let text = |name: &str| {
        props
            .get(name)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
    };
    let (given, surname) = (text("givenName"), text("surname"));
    let other = || {
        let address = props
            .get("emailAddresses")
            .and_then(|all| all[0]["address"].as_str());
        text("companyName").or_else(|| address.map(str::to_owned))
    };
    let joined = |parts: [&Option<String>; 2], between: &str| {
        let parts: Vec<&str> = parts.iter().filter_map(|p| p.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(between))
    };
    let display = text("displayName")
        .or_else(|| joined([&given, &surname], " "))
        .or_else(other);
    let file_as = text("fileAs")
        .or_else(|| joined([&surname, &given], ", "))
        .or_else(|| display.clone());
    for (name, value) in [("displayName", display), ("fileAs", file_as)] {
        if let Some(value) = value {
            props.insert(name.into(), json!(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(body: Value, props: Value) -> Result<Value, ApiResponse> {
        let mut props = props.as_object().cloned().unwrap_or_default();
        apply(body.as_object().unwrap(), &mut props)?;
        Ok(Value::Object(props))
    }

    #[test]
    fn addresses_by_place_and_as_a_list_are_the_same() {
        let one = json!({"name": null, "address": "a@x"});
        let two = json!({"name": "B", "address": "b@x"});
        let both = json!({"emailAddresses": [one, two]});
        assert_eq!(
            applied(
                json!({"secondaryEmailAddress": {"address": "b@x", "name": "B"}, "primaryEmailAddress": {"address": "a@x"}}),
                json!({})
            )
            .unwrap(),
            both
        );
        assert_eq!(
            applied(json!({"primaryEmailAddress": null}), both).unwrap(),
            json!({"emailAddresses": [two]})
        );
        let four =
            json!([{"address": "1@x"}, {"address": "2@x"}, {"address": "3@x"}, {"address": "4@x"}]);
        assert!(applied(json!({"emailAddresses": four}), json!({})).is_err());
    }

    #[test]
    fn what_is_null_is_as_if_it_was_never_written() {
        let props = json!({"givenName": "A", "homeAddress": {"city": "X"}, "children": ["C"]});
        let body = json!({"givenName": null, "homeAddress": {"city": null}, "children": [], "title": "Dr."});
        assert_eq!(applied(body, props).unwrap(), json!({"title": "Dr."}));
        for bad in [
            json!({"id": "x"}),
            json!({"gender": "x"}),
            json!({"givenName": 1}),
            json!({"children": "x"}),
            json!({"birthday": "yesterday"}),
            json!({"homeAddress": {"town": "x"}}),
        ] {
            assert!(applied(bad.clone(), json!({})).is_err(), "{bad}");
        }
    }

    #[test]
    fn missing_names_are_made_up() {
        let made = |props: Value| {
            let mut props = props.as_object().cloned().unwrap();
            complete(&mut props);
            (props["displayName"].clone(), props["fileAs"].clone())
        };
        assert_eq!(
            made(json!({"givenName": "Ann", "surname": "Lee"})),
            (json!("Ann Lee"), json!("Lee, Ann"))
        );
        assert_eq!(
            made(json!({"companyName": "Contoso"})),
            (json!("Contoso"), json!("Contoso"))
        );
        assert_eq!(
            made(json!({"displayName": "A", "fileAs": "B"})),
            (json!("A"), json!("B"))
        );
    }
}
