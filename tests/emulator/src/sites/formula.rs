//! Formulas of calculated columns: a small part of what SharePoint takes.
//!
//! Reads `[Column]`, `Column`, numbers, `"text"`, `+ - * /`, `&` and parentheses, with or without `=` before
//! all. What is empty counts as 0 in sums and as nothing in texts.

use serde_json::{Value, json};

/// How deep parentheses may nest.
const DEPTH: usize = 20;

#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: String,
    root: Node,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Column(String),
    Number(f64),
    Text(String),
    Binary(char, Box<Node>, Box<Node>),
}

impl Formula {
    pub fn parse(text: &str) -> Option<Formula> {
        let body = text.trim().strip_prefix('=').unwrap_or(text.trim());
        let mut reader = Reader {
            rest: body,
            depth: 0,
        };
        let root = reader.joined()?;
        reader.rest.trim().is_empty().then(|| Formula {
            text: text.to_owned(),
            root,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Columns it refers to, by title or internal name.
    pub fn columns(&self) -> Vec<&str> {
        let mut out = Vec::new();
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            match node {
                Node::Column(name) => out.push(name.as_str()),
                Node::Binary(_, a, b) => nodes.extend([a.as_ref(), b.as_ref()]),
                Node::Number(_) | Node::Text(_) => {}
            }
        }
        out
    }

    /// Its value, with the columns' values from `get`.
    pub fn value(&self, get: &dyn Fn(&str) -> Value) -> Value {
        eval(&self.root, get)
    }
}

fn eval(node: &Node, get: &dyn Fn(&str) -> Value) -> Value {
    match node {
        Node::Column(name) => get(name),
        Node::Number(n) => json!(n),
        Node::Text(text) => json!(text),
        Node::Binary('&', a, b) => {
            let text = |node| match eval(node, get) {
                Value::String(text) => text,
                Value::Null => String::new(),
                // 7, not 7.0
                other => other
                    .as_f64()
                    .map_or_else(|| other.to_string(), |n| n.to_string()),
            };
            json!(format!("{}{}", text(a), text(b)))
        }
        Node::Binary(op, a, b) => {
            let number = |node| match eval(node, get) {
                Value::Null => Some(0.0),
                value => value.as_f64(),
            };
            let (Some(a), Some(b)) = (number(a), number(b)) else {
                return json!("#VALUE!");
            };
            match op {
                '+' => json!(a + b),
                '-' => json!(a - b),
                '*' => json!(a * b),
                _ if b == 0.0 => json!("#DIV/0!"),
                _ => json!(a / b),
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn operator(&mut self, any: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let op = self.rest.chars().next().filter(|c| any.contains(c))?;
        self.rest = &self.rest[op.len_utf8()..];
        Some(op)
    }

    fn chain(&mut self, ops: &[char], next: fn(&mut Self) -> Option<Node>) -> Option<Node> {
        let mut left = next(self)?;
        while let Some(op) = self.operator(ops) {
            left = Node::Binary(op, Box::new(left), Box::new(next(self)?));
        }
        Some(left)
    }

    fn joined(&mut self) -> Option<Node> {
        self.chain(&['&'], Self::sum)
    }

    fn sum(&mut self) -> Option<Node> {
        self.chain(&['+', '-'], Self::product)
    }

    fn product(&mut self) -> Option<Node> {
        self.chain(&['*', '/'], Self::atom)
    }

    fn atom(&mut self) -> Option<Node> {
        self.rest = self.rest.trim_start();
        let take = |rest: &str, end: usize| (rest[..end].to_owned(), end);
        match self.rest.chars().next()? {
            '(' => {
                self.depth += 1;
                if self.depth > DEPTH {
                    return None;
                }
                self.rest = &self.rest[1..];
                let inner = self.joined()?;
                self.operator(&[')'])?;
                self.depth -= 1;
                Some(inner)
            }
            '[' => {
                let end = self.rest.find(']')?;
                let name = self.rest[1..end].to_owned();
                self.rest = &self.rest[end + 1..];
                Some(Node::Column(name))
            }
            '"' => {
                let end = self.rest[1..].find('"')? + 1;
                let text = self.rest[1..end].to_owned();
                self.rest = &self.rest[end + 1..];
                Some(Node::Text(text))
            }
            c if c.is_ascii_digit() => {
                let digits = |c: char| c.is_ascii_digit() || c == '.';
                let end = self.rest.find(|c| !digits(c)).unwrap_or(self.rest.len());
                let (text, end) = take(self.rest, end);
                self.rest = &self.rest[end..];
                text.parse().ok().map(Node::Number)
            }
            c if c.is_alphabetic() || c == '_' => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let end = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
                let (name, end) = take(self.rest, end);
                self.rest = &self.rest[end..];
                // Functions are not read.
                (!self.rest.trim_start().starts_with('(')).then_some(Node::Column(name))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_worked_out() {
        let get = |name: &str| match name {
            "Price" => json!(12.5),
            "Title" => json!("Chair"),
            _ => Value::Null,
        };
        let value = |text: &str| Formula::parse(text).map(|f| f.value(&get));
        assert_eq!(value("=[Price]*2"), Some(json!(25.0)));
        assert_eq!(value("=(Price + 1.5) / 2"), Some(json!(7.0)));
        assert_eq!(value("=[Title]&\" no. \"&7"), Some(json!("Chair no. 7")));
        assert_eq!(value("=[Missing]+1"), Some(json!(1.0)));
        assert_eq!(value("=[Title]+1"), Some(json!("#VALUE!")));
        assert_eq!(value("=1/0"), Some(json!("#DIV/0!")));
        for bad in [
            "",
            "=",
            "=IF(1,2,3)",
            "=[Price",
            "=1 2",
            "=)",
            &"(".repeat(50),
        ] {
            assert_eq!(Formula::parse(bad), None, "{bad}");
        }
        let formula = Formula::parse("=[Price]*Count").unwrap();
        let mut names = formula.columns();
        names.sort_unstable();
        assert_eq!(names, ["Count", "Price"]);
    }
}
