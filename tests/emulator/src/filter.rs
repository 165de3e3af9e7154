//! `$filter` and `$orderby`: a small reader of OData expressions, and their evaluation on JSON.
//!
//! Reads `and or not ( )`, `eq ne gt ge lt le`, `startswith endswith contains`, `in`, lambda `any` over
//! simple collections, and `singleValueExtendedProperties/Any(...)`. What it cannot read is refused
//! with 400, never ignored: a client must not believe that a filter worked.

use serde_json::Value;

use crate::api::ApiResponse;

/// How deep parentheses may nest.
const DEPTH: usize = 40;

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Compare {
        path: String,
        op: Op,
        value: Literal,
    },
    Text {
        function: Function,
        path: String,
        value: String,
    },
    In {
        path: String,
        values: Vec<Literal>,
    },
    /// `path/any(x: x eq 'v')`, `path/any(x: startswith(x, 'v'))`
    Any {
        path: String,
        inner: Box<Expr>,
    },
    /// `singleValueExtendedProperties/Any(ep: ep/id eq 'ID' and ep/value eq 'V')`
    Extended {
        id: String,
        op: Op,
        value: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

/// What an expression is evaluated on.
pub trait Subject {
    /// Value at `a/b/c`; `Null` when there is none.
    fn get(&self, path: &str) -> Value;
    /// Value of an extended property, by its id as the client wrote it.
    fn extended(&self, _id: &str) -> Option<String> {
        None
    }
}

impl Subject for Value {
    fn get(&self, path: &str) -> Value {
        let mut at = self;
        for step in path.split('/') {
            let Some(object) = at.as_object() else {
                return Value::Null;
            };
            match object.get(step).or_else(|| {
                object
                    .iter()
                    .find(|(k, _)| k.eq_ignore_ascii_case(step))
                    .map(|(_, v)| v)
            }) {
                Some(next) => at = next,
                None => return Value::Null,
            }
        }
        at.clone()
    }
}

fn refuse(what: &str) -> ApiResponse {
    ApiResponse::error(400, "BadRequest", &format!("Invalid filter clause: {what}"))
}

impl Expr {
    pub fn parse(text: &str) -> Result<Expr, ApiResponse> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens,
            at: 0,
            depth: 0,
        };
        let expr = parser.or()?;
        match parser.peek() {
            None => Ok(expr),
            Some(rest) => Err(refuse(&format!("unexpected {rest:?}"))),
        }
    }

    pub fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Expr::And(a, b) => a.matches(subject) && b.matches(subject),
            Expr::Or(a, b) => a.matches(subject) || b.matches(subject),
            Expr::Not(a) => !a.matches(subject),
            Expr::Compare { path, op, value } => compare(&subject.get(path), *op, value),
            Expr::In { path, values } => {
                let have = subject.get(path);
                values.iter().any(|v| compare(&have, Op::Eq, v))
            }
            Expr::Text {
                function,
                path,
                value,
            } => {
                let Value::String(have) = subject.get(path) else {
                    return false;
                };
                let (have, value) = (have.to_lowercase(), value.to_lowercase());
                match function {
                    Function::StartsWith => have.starts_with(&value),
                    Function::EndsWith => have.ends_with(&value),
                    Function::Contains => have.contains(&value),
                }
            }
            Expr::Any { path, inner } => match subject.get(path) {
                Value::Array(items) => items.iter().any(|item| inner.matches(&Element(item))),
                _ => false,
            },
            Expr::Extended { id, op, value } => match (subject.extended(id), value) {
                (Some(have), Some(value)) => {
                    compare(&Value::String(have), *op, &Literal::Text(value.clone()))
                }
                (have, None) => have.is_some(),
                (None, Some(_)) => false,
            },
        }
    }

    /// Paths used, in the order they are written.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Expr::And(a, b) | Expr::Or(a, b) => a.paths().into_iter().chain(b.paths()).collect(),
            Expr::Not(a) => a.paths(),
            Expr::Compare { path, .. }
            | Expr::Text { path, .. }
            | Expr::In { path, .. }
            | Expr::Any { path, .. } => {
                vec![path]
            }
            Expr::Extended { .. } => vec!["singleValueExtendedProperties"],
        }
    }

    /// The parts that must all hold: `a and (b and c)` is `[a, b, c]`.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        match self {
            Expr::And(a, b) => a.conjuncts().into_iter().chain(b.conjuncts()).collect(),
            other => vec![other],
        }
    }
}

/// One element of a collection inside a lambda: `x` is the element, `x/name` a property of it.
struct Element<'a>(&'a Value);

impl Subject for Element<'_> {
    fn get(&self, path: &str) -> Value {
        match path.split_once('/') {
            None => self.0.clone(),
            Some((_, rest)) => Subject::get(self.0, rest),
        }
    }
}

fn compare(have: &Value, op: Op, want: &Literal) -> bool {
    use std::cmp::Ordering;
    let order = match (have, want) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Literal::Number(b)) => a.as_f64().and_then(|a| a.partial_cmp(b)),
        (Value::String(a), Literal::Text(b)) => match (
            crate::clock::parse_rfc3339(a),
            crate::clock::parse_rfc3339(b),
        ) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => Some(a.to_lowercase().cmp(&b.to_lowercase())),
        },
        _ => None,
    };
    match (order, op) {
        (None, op) => op == Op::Ne,
        (Some(order), Op::Eq) => order.is_eq(),
        (Some(order), Op::Ne) => order.is_ne(),
        (Some(order), Op::Gt) => order.is_gt(),
        (Some(order), Op::Ge) => order.is_ge(),
        (Some(order), Op::Lt) => order.is_lt(),
        (Some(order), Op::Le) => order.is_le(),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
    Colon,
}

fn tokens(text: &str) -> Result<Vec<Token>, ApiResponse> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                out.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        None => return Err(refuse("unterminated string literal")),
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                    }
                }
                out.push(Token::Text(value));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if matches!(c, ' ' | '\t' | '(' | ')' | ',' | '\'') {
                        break;
                    }
                    chars.next();
                    // `ep:` ends a lambda's variable; a time's colons stand between digits.
                    if c == ':' && !word.starts_with(|c: char| c.is_ascii_digit()) {
                        out.push(Token::Word(std::mem::take(&mut word)));
                        out.push(Token::Colon);
                        break;
                    }
                    word.push(c);
                }
                if !word.is_empty() {
                    out.push(Token::Word(word));
                }
            }
        }
    }
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn word(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        if hit {
            self.at += 1;
        }
        hit
    }

    fn expect(&mut self, token: Token) -> Result<(), ApiResponse> {
        match self.next() {
            Some(t) if t == token => Ok(()),
            other => Err(refuse(&format!("expected {token:?}, found {other:?}"))),
        }
    }

    fn or(&mut self) -> Result<Expr, ApiResponse> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, ApiResponse> {
        let mut left = self.unary()?;
        while self.word("and") {
            left = Expr::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ApiResponse> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(refuse("nested too deep"));
        }
        let out = if self.word("not") {
            Expr::Not(Box::new(self.unary()?))
        } else if self.peek() == Some(&Token::Open) {
            self.next();
            let inner = self.or()?;
            self.expect(Token::Close)?;
            inner
        } else {
            self.term()?
        };
        self.depth -= 1;
        Ok(out)
    }

    fn term(&mut self) -> Result<Expr, ApiResponse> {
        let Some(Token::Word(name)) = self.next() else {
            return Err(refuse("a property was expected"));
        };
        if self.peek() == Some(&Token::Open) {
            self.next();
            let lower = name.to_ascii_lowercase();
            if let Some(path) = lower.strip_suffix("/any") {
                return self.lambda(&name[..path.len()]);
            }
            let function = match lower.as_str() {
                "startswith" => Function::StartsWith,
                "endswith" => Function::EndsWith,
                "contains" => Function::Contains,
                _ => return Err(refuse(&format!("unknown function '{name}'"))),
            };
            let Some(Token::Word(path)) = self.next() else {
                return Err(refuse("a property was expected"));
            };
            self.expect(Token::Comma)?;
            let Some(Token::Text(value)) = self.next() else {
                return Err(refuse("a string was expected"));
            };
            self.expect(Token::Close)?;
            // `startswith(a,'b') eq true` is legal and means the same.
            if self.word("eq") {
                let yes = self.word("true");
                if !yes && !self.word("false") {
                    return Err(refuse("true or false was expected"));
                }
                let expr = Expr::Text {
                    function,
                    path,
                    value,
                };
                return Ok(if yes { expr } else { Expr::Not(Box::new(expr)) });
            }
            return Ok(Expr::Text {
                function,
                path,
                value,
            });
        }
        if self.word("in") {
            self.expect(Token::Open)?;
            let mut values = vec![self.literal()?];
            while self.peek() == Some(&Token::Comma) {
                self.next();
                values.push(self.literal()?);
            }
            self.expect(Token::Close)?;
            return Ok(Expr::In { path: name, values });
        }
        let op = self.op()?;
        Ok(Expr::Compare {
            path: name,
            op,
            value: self.literal()?,
        })
    }

    fn op(&mut self) -> Result<Op, ApiResponse> {
        match self.next() {
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "eq" => Ok(Op::Eq),
                "ne" => Ok(Op::Ne),
                "gt" => Ok(Op::Gt),
                "ge" => Ok(Op::Ge),
                "lt" => Ok(Op::Lt),
                "le" => Ok(Op::Le),
                _ => Err(refuse(&format!("unknown operator '{word}'"))),
            },
            other => Err(refuse(&format!(
                "an operator was expected, found {other:?}"
            ))),
        }
    }

    fn literal(&mut self) -> Result<Literal, ApiResponse> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) => Ok(match word.as_str() {
                "null" => Literal::Null,
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                _ => match word.parse::<f64>() {
                    Ok(number) => Literal::Number(number),
                    // Times and GUIDs are written bare.
                    Err(_) => Literal::Text(word),
                },
            }),
            other => Err(refuse(&format!("a value was expected, found {other:?}"))),
        }
    }

    /// After `path/any(`.
    fn lambda(&mut self, path: &str) -> Result<Expr, ApiResponse> {
        let (Some(Token::Word(variable)), Some(Token::Colon)) = (self.next(), self.next()) else {
            return Err(refuse("a lambda variable was expected"));
        };
        let inner = self.or()?;
        self.expect(Token::Close)?;
        if !path.eq_ignore_ascii_case("singleValueExtendedProperties") {
            return Ok(Expr::Any {
                path: path.to_owned(),
                inner: Box::new(inner),
            });
        }
        let (mut id, mut value, mut by) = (None, None, Op::Eq);
        for part in inner.conjuncts() {
            match part {
                Expr::Compare {
                    path,
                    op: Op::Eq,
                    value: Literal::Text(text),
                } if *path == format!("{variable}/id") => {
                    id = Some(text.clone());
                }
                Expr::Compare {
                    path,
                    op,
                    value: literal,
                } if *path == format!("{variable}/value") => {
                    by = *op;
                    value = match literal {
                        Literal::Text(text) => Some(text.clone()),
                        Literal::Null => None,
                        Literal::Bool(b) => Some(b.to_string()),
                        Literal::Number(n) => Some(n.to_string()),
                    };
                }
                // cast(ep/value, Edm.Int32) and the like are not read.
                other => return Err(refuse(&format!("cannot read {other:?}"))),
            }
        }
        match id {
            Some(id) => Ok(Expr::Extended { id, op: by, value }),
            None => Err(refuse("an extended property is found by its id")),
        }
    }
}

/// `$orderby`: paths, each with true for descending.
pub fn order_by(text: &str) -> Vec<(String, bool)> {
    text.split(',')
        .filter_map(|part| {
            let mut words = part.split_whitespace();
            let path = words.next()?.to_owned();
            Some((
                path,
                words.next().is_some_and(|w| w.eq_ignore_ascii_case("desc")),
            ))
        })
        .collect()
}

/// The rule of Exchange: what is ordered by must be filtered by, first and in the same order.
pub fn check_order(filter: &Expr, order: &[(String, bool)]) -> Result<(), ApiResponse> {
    let mut paths = filter.paths();
    paths.dedup();
    let fits = order
        .iter()
        .zip(paths.iter())
        .filter(|((o, _), f)| o.eq_ignore_ascii_case(f))
        .count();
    if fits == order.len() {
        return Ok(());
    }
    Err(ApiResponse::error(
        400,
        "InefficientFilter",
        "The restriction or sort order is too complex for this operation.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_mean_what_they_say() {
        let v = json!({"subject": "It's up", "isRead": false, "n": 5, "receivedDateTime": "2026-03-01T09:00:05Z",
            "from": {"emailAddress": {"address": "a@b.c"}}, "categories": ["Red", "Blue"]});
        for (text, want) in [
            ("subject eq 'It''s up'", true),
            ("isRead eq false and n ge 5", true),
            ("not (n lt 5) and (n eq 4 or n eq 5)", true),
            ("receivedDateTime ge 2026-03-01T10:00:05+01:00", true),
            ("receivedDateTime gt 2026-03-01T09:00:05Z", false),
            ("from/emailAddress/address eq 'A@B.C'", true),
            ("startswith(subject,'it') and contains(subject, 'UP')", true),
            ("categories/any(c:c eq 'Red')", true),
            ("categories/any(c: c eq 'Green')", false),
            ("missing eq null", true),
            ("n in (1, 5)", true),
        ] {
            assert_eq!(
                Expr::parse(text).map(|e| e.matches(&v)).unwrap_or(false),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn extended_properties_are_found_by_id_and_value() {
        let e = Expr::parse(
            "singleValueExtendedProperties/Any(ep: ep/id eq 'String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs' and ep/value eq 'x y')",
        )
        .ok();
        assert_eq!(
            e,
            Some(Expr::Extended {
                id: "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs".into(),
                op: Op::Eq,
                value: Some("x y".into())
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "",
            "a",
            "a eq",
            "a eq 'x",
            "a xx 1",
            "a eq 1 )",
            "all(a)",
            &"(".repeat(100),
        ] {
            assert!(Expr::parse(text).is_err(), "{text}");
        }
        let filter = Expr::parse("isRead eq false").ok().unwrap();
        assert!(check_order(&filter, &order_by("receivedDateTime desc")).is_err());
        let filter = Expr::parse("receivedDateTime ge 2020-01-01T00:00:00Z and isRead eq false")
            .ok()
            .unwrap();
        assert!(check_order(&filter, &order_by("receivedDateTime desc")).is_ok());
    }
}
