//! Header fields: encoded words (RFC 2047), parameters (RFC 2231) and folding (RFC 5322 2.2.3).
//!
//! Whatever the text holds, a field stays one field: line breaks and other controls become spaces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where a line is folded if it can be.
const WIDTH: usize = 76;

/// Decoded bytes in an encoded word, so that it has at most 75 characters (RFC 2047 section 2).
const WORD: usize = 45;

/// Text without line breaks and other controls.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Unstructured text (a subject), as it stands in a header.
pub fn text(text: &str) -> String {
    let text = one_line(text);
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && !text.contains("=?");
    let long_word = text.split(' ').any(|word| word.len() > WIDTH);
    if plain && !long_word && text.trim() == text {
        text
    } else {
        encoded_words(&text)
    }
}

/// A display name, quoted or encoded where it must be.
pub fn phrase(name: &str) -> String {
    let name = one_line(name);
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&b);
    if name.is_ascii() && !name.contains("=?") && name.len() <= WIDTH {
        if name.bytes().all(is_atom) && name.trim() == name {
            name
        } else {
            quoted(&name)
        }
    } else {
        encoded_words(&name)
    }
}

/// A quoted string (RFC 5322 section 3.2.4).
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in one_line(text).chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// `; name=value`, in the extended form when the value isn't ASCII (RFC 2231 section 4).
pub fn parameter(name: &str, value: &str) -> String {
    let value = one_line(value);
    if value.is_ascii() {
        return format!("; {name}={}", quoted(&value));
    }
    let mut out = format!("; {name}*=utf-8''");
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || b"!#$&+-.^_`{}~".contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut cut = rest.len().min(WORD);
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        let (now, later) = rest.split_at(cut);
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(now)));
        rest = later;
    }
    words.join(" ")
}

/// Appends `name: value`, folded at spaces. `value` has no line breaks, or is folded already.
pub fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut column = name.len() + 1;
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    // A line must not consist of white space alone, so folding is only before a word.
    let mut spaces = 1;
    for word in value.split(' ') {
        if word.is_empty() {
            spaces += 1;
            continue;
        }
        if column + spaces + word.len() > WIDTH && column > name.len() + 1 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.extend(std::iter::repeat_n(b' ', spaces));
        out.extend_from_slice(word.as_bytes());
        column += spaces + word.len();
        spaces = 1;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed_subject(header: &[u8]) -> String {
        let message = mail_parser::MessageParser::default().parse(header).unwrap();
        message.subject().unwrap_or_default().to_owned()
    }

    #[test]
    fn fields() {
        assert_eq!(phrase("Ann Lee"), "Ann Lee");
        assert_eq!(phrase("Roe, \"J\""), r#""Roe, \"J\"""#);
        assert_eq!(text("a\r\nBcc: x@y"), "a  Bcc: x@y");
        assert_eq!(text("é"), "=?utf-8?B?w6k=?=");
        assert_eq!(parameter("name", "a b.txt"), "; name=\"a b.txt\"");
        assert_eq!(parameter("name", "ä.txt"), "; name*=utf-8''%C3%A4.txt");
        let mut out = Vec::new();
        field(&mut out, "To", &"someone@example.org, ".repeat(5));
        let lines: Vec<_> = out.split(|&b| b == b'\n').collect();
        assert!(lines.len() > 2 && lines.iter().all(|l| l.len() <= WIDTH + 1));
    }

    proptest! {
        #[test]
        fn a_subject_comes_back(subject in "[ -~äß€字😀]{1,200}") {
            let subject = subject.trim();
            let mut out = Vec::new();
            field(&mut out, "Subject", &text(subject));
            out.extend_from_slice(b"\r\nbody");
            prop_assert!(out.is_ascii());
            let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&parsed_subject(&out)), words(subject));
        }

        #[test]
        fn never_breaks_out_of_its_field(value in any::<String>()) {
            let mut out = Vec::new();
            field(&mut out, "Subject", &text(&value));
            out.extend_from_slice(b"\r\nbody");
            let message = mail_parser::MessageParser::default().parse(&out).unwrap();
            prop_assert!(message.headers().len() <= 1);
        }
    }
}
