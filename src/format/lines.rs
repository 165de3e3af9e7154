//! Content lines, of which iCalendar (RFC 5545 section 3.1) and vCard (RFC 6350 section 3.2) are made.
//!
//! Whatever a value holds, a line stays one line and a parameter stays one parameter: nothing that
//! came from the cloud can add a property or end a component. Lines are folded at 75 octets, never
//! inside a character. The same calls give the same bytes.

/// Octets of a line before it is folded (RFC 5545 section 3.1), without the line break.
const WIDTH: usize = 75;

/// A growing file of content lines.
#[derive(Debug, Default)]
pub struct Lines {
    out: String,
    open: Vec<&'static str>,
}

impl Lines {
    /// Begins a component (`VEVENT`).
    pub fn begin(&mut self, component: &'static str) {
        self.open.push(component);
        self.put("BEGIN", &[], component);
    }

    /// Ends the component that was begun last.
    pub fn end(&mut self) {
        if let Some(component) = self.open.pop() {
            self.put("END", &[], component);
        }
    }

    /// A property whose value is not text: a date, a number, a URI, a recurrence rule.
    pub fn put(&mut self, name: &str, params: &[(&str, &str)], value: &str) {
        let mut line = String::with_capacity(name.len() + value.len() + 32);
        line.push_str(name);
        for (name, value) in params {
            line.push(';');
            line.push_str(name);
            line.push('=');
            line.push_str(&parameter(value));
        }
        line.push(':');
        line.extend(value.chars().filter(|c| !c.is_control()));
        self.fold(&line);
    }

    /// A text property.
    pub fn text(&mut self, name: &str, params: &[(&str, &str)], value: &str) {
        self.put(name, params, &text(value));
    }

    /// A property with a list of texts (`CATEGORIES`). Nothing for an empty list.
    pub fn texts<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        let values: Vec<String> = values.into_iter().map(text).collect();
        if !values.is_empty() {
            self.put(name, &[], &values.join(","));
        }
    }

    /// The file. Components that are still open are ended.
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.out.into_bytes()
    }

    fn fold(&mut self, line: &str) {
        let (mut rest, mut width) = (line, WIDTH);
        while rest.len() > width {
            let mut cut = width;
            while !rest.is_char_boundary(cut) {
                cut -= 1;
            }
            let (head, tail) = rest.split_at(cut);
            self.out.push_str(head);
            self.out.push_str("\r\n ");
            rest = tail;
            // The space that tells a continuation counts.
            width = WIDTH - 1;
        }
        self.out.push_str(rest);
        self.out.push_str("\r\n");
    }
}

/// Text with its escapes (RFC 5545 section 3.3.11; RFC 6350 section 3.4 has the same).
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\n' => out.push_str("\\n"),
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(c);
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// The value of a parameter: quoted where it must be, with what cannot stand in it as RFC 6868 says.
fn parameter(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    for c in value.chars() {
        match c {
            '"' => out.push_str("^'"),
            '^' => out.push_str("^^"),
            '\n' => out.push_str("^n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    if out.contains([':', ';', ',']) {
        format!("\"{out}\"")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Lines)) -> String {
        let mut lines = Lines::default();
        write(&mut lines);
        String::from_utf8(lines.finish()).unwrap()
    }

    #[test]
    fn nothing_leaves_its_line() {
        let evil = "a\r\nEND:VEVENT\nX:1\u{7}\u{85};b,c\\";
        let out = written(|l| {
            l.begin("VEVENT");
            l.text("SUMMARY", &[("X", "q\"\r\nz:;,^\u{1}")], evil);
            l.put("URL", &[], evil);
            l.texts("CATEGORIES", ["a,b", "c"]);
            l.texts("NONE", []);
        });
        let expected = "BEGIN:VEVENT\r\n\
            SUMMARY;X=\"q^'^nz:;,^^\":a\\nEND:VEVENT\\nX:1\\;b\\,c\\\\\r\n\
            URL:aEND:VEVENTX:1;b,c\\\r\nCATEGORIES:a\\,b,c\r\nEND:VEVENT\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn lines_are_folded_between_characters() {
        for text in ["x".repeat(400), "é".repeat(200), "🎂a".repeat(90)] {
            let out = written(|l| l.text("SUMMARY", &[], &text));
            assert!(out.lines().all(|line| line.len() <= WIDTH), "{out}");
            assert!(out.lines().count() > 4);
            assert_eq!(out.replace("\r\n ", ""), format!("SUMMARY:{text}\r\n"));
        }
        // Exactly as long as a line may be: not folded.
        let out = written(|l| l.put("X", &[], &"y".repeat(WIDTH - 2)));
        assert_eq!(out.lines().count(), 1);
    }
}
