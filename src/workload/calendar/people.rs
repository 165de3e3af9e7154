//! Who takes part in a meeting, as a block at the top of its text: for a reader, since whoever was an attendee
//! would be sent an invitation.

use serde_json::{Value, json};

/// Who takes part in a meeting.
pub(super) struct People {
    lines: Vec<String>,
}

impl People {
    /// `None`: it is no meeting.
    pub fn of(record: &Value) -> Option<Self> {
        let attendees = record["attendees"]
            .as_array()
            .filter(|all| !all.is_empty())?;
        let mut lines = Vec::new();
        if let Some(organizer) = person(&record["organizer"]) {
            lines.push(format!("Organizer: {organizer}"));
        }
        for (kind, title) in [
            ("required", "Required:"),
            ("optional", "Optional:"),
            ("resource", "Resources:"),
        ] {
            let of_kind = |a: &&Value| a["type"].as_str().unwrap_or("required") == kind;
            let people: Vec<String> = attendees
                .iter()
                .filter(of_kind)
                .filter_map(attendee)
                .collect();
            if !people.is_empty() {
                lines.push(title.to_owned());
                lines.extend(people);
            }
        }
        Some(Self { lines })
    }

    /// The body with the block above it, in the body's own form.
    pub fn above(&self, body: &Value) -> Value {
        let content = body["content"].as_str().unwrap_or_default();
        let html = body["contentType"]
            .as_str()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
        if !html {
            let text = format!("{}\n\n{content}", self.lines.join("\n"));
            return json!({ "contentType": "text", "content": text });
        }
        let lines: Vec<String> = self.lines.iter().map(|line| escape(line)).collect();
        let block = format!("<p>{}</p><hr>", lines.join("<br>"));
        let at = after_body_tag(content);
        let content = format!("{}{block}{}", &content[..at], &content[at..]);
        json!({ "contentType": "html", "content": content })
    }
}

fn person(value: &Value) -> Option<String> {
    let text = |name: &str| {
        let text = value["emailAddress"][name].as_str().unwrap_or_default();
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
    };
    let (name, address) = (text("name"), text("address"));
    match (name.trim(), address.trim()) {
        ("", "") => None,
        ("", address) => Some(format!("<{address}>")),
        (name, "") => Some(name.to_owned()),
        (name, address) => Some(format!("{name} <{address}>")),
    }
}

fn attendee(value: &Value) -> Option<String> {
    let response = match value["status"]["response"].as_str().unwrap_or_default() {
        "accepted" => "accepted",
        "declined" => "declined",
        "tentativelyAccepted" => "tentatively accepted",
        "organizer" => "organizer",
        _ => "no response",
    };
    Some(format!("- {}, {response}", person(value)?))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Where the text of an HTML body begins.
fn after_body_tag(html: &str) -> usize {
    let lower = html.to_ascii_lowercase();
    let tag = lower
        .match_indices("<body")
        .find(|(at, _)| lower[at + 5..].starts_with(|c: char| c == '>' || c.is_ascii_whitespace()));
    tag.and_then(|(at, _)| Some(at + lower[at..].find('>')? + 1))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_goes_into_any_body() {
        assert_eq!(after_body_tag("<p>x"), 0);
        assert_eq!(after_body_tag("<BODY\nclass='a'>x"), 16);
        assert_eq!(after_body_tag("<bodysnatcher>x"), 0);
        let people = People {
            lines: vec!["a".into()],
        };
        assert_eq!(
            people.above(&json!(null)),
            json!({ "contentType": "text", "content": "a\n\n" })
        );
    }
}
