//! iCalendar as text (RFC 5545 section 3.1): components and their content lines, nothing
//! interpreted. Nothing is repaired either: what does not read as it stands is refused with its line,
//! because guessing would change an event without telling.
//!
//! Bounded: depth, lines and bytes; the memory used is a small multiple of the file.

use super::Refusal;

/// Bytes of a file that is read: 150 MB of attachments in base64.
pub const MAX_FILE: usize = 256 << 20;
/// Content lines of a file.
const MAX_LINES: usize = 200_000;
/// Components within each other.
const MAX_DEPTH: usize = 8;

/// A component, such as VEVENT. Names are in upper case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    pub name: String,
    pub lines: Vec<Line>,
    pub children: Vec<Component>,
}

/// A property as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub params: Vec<(String, Vec<String>)>,
    /// With its escapes.
    pub value: String,
}

impl Component {
    /// All properties of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.name == name)
    }

    /// The first property of a name.
    pub fn get(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// The text of a property, if it has any.
    pub fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name)?.text();
        (!text.trim().is_empty()).then_some(text)
    }

    /// The value of a property that is one word of a list, in upper case.
    pub fn word(&self, name: &str) -> Option<String> {
        Some(self.get(name)?.value.trim().to_ascii_uppercase())
    }
}

impl Line {
    /// The first value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let (_, values) = self.params.iter().find(|(n, _)| n == name)?;
        values.first().map(String::as_str)
    }

    /// The value with its escapes undone.
    pub fn text(&self) -> String {
        unescape(&self.value)
    }

    /// The value as a list of texts.
    pub fn texts(&self) -> Vec<String> {
        split_list(&self.value).into_iter().map(unescape).collect()
    }
}

/// The outermost components of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Component>, Refusal> {
    if bytes.len() > MAX_FILE {
        return Err(Refusal::Syntax {
            line: 0,
            what: format!("{} bytes are too many for a calendar file", bytes.len()),
        });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut roots = Vec::new();
    let mut open: Vec<Component> = Vec::new();
    let mut count = 0;
    for (number, raw) in Unfold::new(bytes) {
        let refuse = |what: String| Refusal::Syntax { line: number, what };
        if raw.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        count += 1;
        if count > MAX_LINES {
            return Err(refuse(format!("more than {MAX_LINES} lines")));
        }
        let text = String::from_utf8(raw).map_err(|_| refuse("it is not UTF-8".into()))?;
        let line = content_line(&text).map_err(|what| refuse(what.to_owned()))?;
        match line.name.as_str() {
            "BEGIN" => {
                if open.len() >= MAX_DEPTH {
                    return Err(refuse("components within components without end".into()));
                }
                open.push(Component {
                    name: line.value.trim().to_ascii_uppercase(),
                    ..Component::default()
                });
            }
            "END" => {
                let name = line.value.trim().to_ascii_uppercase();
                match open.pop() {
                    Some(done) if done.name == name => match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => roots.push(done),
                    },
                    Some(other) => {
                        return Err(refuse(format!("{} ends as {name}", other.name)));
                    }
                    None => return Err(refuse(format!("{name} ends, but never began"))),
                }
            }
            _ => match open.last_mut() {
                Some(component) => component.lines.push(line),
                None => return Err(refuse("it stands outside of a calendar".into())),
            },
        }
    }
    match open.last() {
        Some(cut) => Err(Refusal::Syntax {
            line: 0,
            what: format!("the file ends within {}", cut.name),
        }),
        None => Ok(roots),
    }
}

/// Logical lines with their numbers. Folds are undone in bytes: some writers fold inside a character.
struct Unfold<'a> {
    rest: &'a [u8],
    number: usize,
    /// Files of old Macs end lines with CR alone.
    eol: u8,
}

impl<'a> Unfold<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let eol = if memchr::memchr(b'\n', bytes).is_some() {
            b'\n'
        } else {
            b'\r'
        };
        Self {
            rest: bytes,
            number: 0,
            eol,
        }
    }

    fn physical(&mut self) -> &'a [u8] {
        let (line, rest) = match memchr::memchr(self.eol, self.rest) {
            Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        self.number += 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

impl Iterator for Unfold<'_> {
    type Item = (usize, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut line = self.physical().to_vec();
        let number = self.number;
        while let Some(b' ' | b'\t') = self.rest.first() {
            let more = self.physical();
            line.extend_from_slice(more.get(1..).unwrap_or_default());
        }
        Some((number, line))
    }
}

fn content_line(text: &str) -> Result<Line, &'static str> {
    let end = text
        .find([';', ':'])
        .ok_or("it is no property (there is no colon)")?;
    let name = text[..end].trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("it does not begin with the name of a property");
    }
    let mut line = Line {
        name: name.to_ascii_uppercase(),
        ..Line::default()
    };
    let mut rest = &text[end..];
    while let Some(param) = rest.strip_prefix(';') {
        let end = param
            .find(['=', ';', ':'])
            .ok_or("a parameter does not end")?;
        let name = param[..end].trim().to_ascii_uppercase();
        let mut values = Vec::new();
        rest = &param[end..];
        // vCalendar has parameters that are a value only.
        while let Some(value) = rest.strip_prefix(if values.is_empty() { '=' } else { ',' }) {
            let (value, after) = parameter(value)?;
            values.push(value);
            rest = after;
        }
        line.params.push((name, values));
    }
    line.value = rest
        .strip_prefix(':')
        .ok_or("its parameters do not end")?
        .to_owned();
    Ok(line)
}

fn parameter(text: &str) -> Result<(String, &str), &'static str> {
    let (raw, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted
            .split_once('"')
            .ok_or("a quoted parameter does not end")?,
        None => text.split_at(
            text.find([',', ';', ':'])
                .ok_or("a parameter does not end")?,
        ),
    };
    Ok((uncircumflex(raw), rest))
}

/// Undoes the escapes of RFC 6868.
fn uncircumflex(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('^') {
        out.push_str(&rest[..at]);
        let (c, len) = match rest.as_bytes().get(at + 1) {
            Some(b'n') => ('\n', 2),
            Some(b'\'') => ('"', 2),
            Some(b'^') => ('^', 2),
            _ => ('^', 1),
        };
        out.push(c);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

/// Splits at commas that are not escaped.
pub(super) fn split_list(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in value.char_indices() {
        if c == ',' && !escaped {
            parts.push(&value[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&value[start..]);
    parts
}

/// Text without its escapes (RFC 5545 section 3.3.11).
pub(super) fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n' | 'N') => out.push('\n'),
            Some(c) => out.push(c),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Component>, String> {
        parse(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn lines_fold_and_components_nest() {
        let text = "\u{feff}BEGIN:VCALENDAR\r\nbegin:vevent\r\nSUM\r\n MARY;X=\"a:b;c\",d;Y=^'q^':One\r\n\t two\\, \\n\\\\\r\n\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let event = &parsed(text).unwrap()[0].children[0];
        assert_eq!(event.name, "VEVENT");
        let summary = event.get("SUMMARY").unwrap();
        assert_eq!(summary.text(), "One two, \n\\");
        assert_eq!(summary.param("X"), Some("a:b;c"));
        assert_eq!(summary.param("Y"), Some("\"q\""));
        let macs = text.replace("\r\n", "\r");
        assert_eq!(parsed(&macs), parsed(text));
    }

    #[test]
    fn lists_keep_escaped_commas() {
        assert_eq!(split_list("a\\,b,c\\\\,d"), ["a\\,b", "c\\\\", "d"]);
        assert_eq!(unescape("c\\\\"), "c\\");
    }

    #[test]
    fn what_does_not_read_is_refused_with_its_line() {
        let deep = "BEGIN:X\n".repeat(9);
        for (text, says) in [
            ("BEGIN:VCALENDAR\nSUMMARY\nEND:VCALENDAR", "line 2"),
            ("BEGIN:VCALENDAR\nEND:VEVENT", "VCALENDAR ends as VEVENT"),
            ("BEGIN:VCALENDAR\nBEGIN:VEVENT", "ends within VEVENT"),
            ("END:VCALENDAR", "never began"),
            ("A:1", "outside"),
            ("BEGIN:X\nA;B=\"c:d\nEND:X", "does not end"),
            ("BEGIN:X\nA;B\nEND:X", "does not end"),
            ("BEGIN:X\n\u{1}:d\nEND:X", "name of a property"),
            (&deep, "without end"),
        ] {
            let e = parsed(text).unwrap_err();
            assert!(e.contains(says), "{text:?}: {e}");
        }
        assert!(parse(b"BEGIN:X\nA:\xff\nEND:X").is_err());
        assert!(parse(&"A:\n".repeat(MAX_LINES + 1).into_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0u8.., 0..400)) {
            let _ = parse(&bytes);
            let mut wrapped = b"BEGIN:X\n".to_vec();
            wrapped.extend(&bytes);
            wrapped.extend(b"\nEND:X\n");
            let _ = parse(&wrapped);
        }
    }
}
