//! Which drive and which item a path addresses.
//!
//! `/drives/{id}`, `/users/{id}/drive`, `/users/{id}/drives/{id}` and `/me/drive` lead to a drive; `root`,
//! `items/{id}`, `items/root` and `special/{name}` below it to an item, each followed by `:/a/b.txt` for a path
//! below that item and, after another colon, by what is wanted of it. Client libraries also send such a
//! path percent-encoded into one segment (`items/root%3A%2Fa%2Fb.txt%3A`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What may stand in a path segment as itself (RFC 3986 pchar without the colon).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

pub fn encode_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// The drive a path begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Drive(String),
    User(String),
    Me,
}

/// What comes after the drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// `/users/{id}/drives`
    List,
    Drive,
    Item {
        address: Address,
        nav: Vec<String>,
    },
    /// `search(q='...')` on the drive or on an item.
    Search(String),
    /// `list`, and what comes after it: the list that the drive is the files of.
    Library(Vec<String>),
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub base: Base,
    /// Names below the base; empty for the base itself.
    pub path: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    Root,
    Id(String),
    Special(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub owner: Owner,
    pub rest: Rest,
}

/// Reads a path as it was sent, below the version. `None` when it does not lead to a drive.
pub fn parse(raw_path: &str) -> Option<Route> {
    let mut segments = split(raw_path).into_iter();
    let first = segments.next()?;
    let owner = match first.to_ascii_lowercase().as_str() {
        "drives" => Owner::Drive(segments.next()?),
        "users" => Owner::User(segments.next()?),
        "me" => Owner::Me,
        _ => return None,
    };
    if matches!(owner, Owner::Drive(_)) {
        return Some(Route {
            owner,
            rest: below_drive(segments.collect()),
        });
    }
    match segments.next()?.to_ascii_lowercase().as_str() {
        "drive" => Some(Route {
            owner,
            rest: below_drive(segments.collect()),
        }),
        "drives" => match segments.next() {
            None => Some(Route {
                owner,
                rest: Rest::List,
            }),
            Some(id) => Some(Route {
                owner: Owner::Drive(id),
                rest: below_drive(segments.collect()),
            }),
        },
        _ => None,
    }
}

/// What comes after the drive: `root:`, `a`, `b.txt:`, `content`.
pub fn below_drive(segments: Vec<String>) -> Rest {
    let mut segments = segments.into_iter();
    let Some(first) = segments.next() else {
        return Rest::Drive;
    };
    if let Some(q) = search_argument(&first) {
        return Rest::Search(q);
    }
    let lower = first.to_ascii_lowercase();
    let (base, colon) = match lower.as_str() {
        "list" => return Rest::Library(segments.collect()),
        "root" => (Base::Root, false),
        "root:" => (Base::Root, true),
        "items" | "special" => {
            let Some(id) = segments.next() else {
                return Rest::Unknown(first);
            };
            let (id, colon) = match id.strip_suffix(':') {
                Some(id) => (id.to_owned(), true),
                None => (id, false),
            };
            match lower.as_str() {
                "special" => (Base::Special(id), colon),
                _ if id.eq_ignore_ascii_case("root") => (Base::Root, colon),
                _ => (Base::Id(id), colon),
            }
        }
        _ => return Rest::Unknown(first),
    };
    let mut path = Vec::new();
    if colon {
        for segment in segments.by_ref() {
            let (name, last) = match segment.strip_suffix(':') {
                Some(name) => (name.to_owned(), true),
                None => (segment, false),
            };
            if !name.is_empty() {
                path.push(name);
            }
            if last {
                break;
            }
        }
    }
    let nav: Vec<String> = segments
        .map(|s| {
            s.strip_prefix("microsoft.graph.")
                .map(str::to_owned)
                .unwrap_or(s)
        })
        .collect();
    if let [only] = nav.as_slice()
        && let Some(q) = search_argument(only)
    {
        return Rest::Search(q);
    }
    Rest::Item {
        address: Address { base, path },
        nav,
    }
}

/// Segments, decoded. `items('x')` counts as two; within a `:` path everything is a name.
pub fn split(raw_path: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut in_path = false;
    for raw in raw_path.split('/').filter(|s| !s.is_empty()) {
        let text = percent_decode_str(raw).decode_utf8_lossy().into_owned();
        if !in_path && text.contains(":/") {
            // A whole path encoded into one segment.
            out.extend(text.split('/').filter(|s| !s.is_empty()).map(str::to_owned));
            in_path = !text.ends_with(':');
            continue;
        }
        if in_path {
            in_path = !text.ends_with(':');
            out.push(text);
            continue;
        }
        in_path = text.ends_with(':');
        match text
            .split_once("('")
            .and_then(|(name, rest)| Some((name, rest.strip_suffix("')")?)))
        {
            Some((name, key))
                if name.bytes().all(|b| b.is_ascii_alphabetic()) && !name.is_empty() =>
            {
                out.push(name.to_owned());
                out.push(key.replace("''", "'"));
            }
            _ => out.push(text),
        }
    }
    out
}

/// `search(q='x')`.
fn search_argument(segment: &str) -> Option<String> {
    let arguments = segment.strip_prefix("search(q='")?;
    Some(arguments.strip_suffix("')")?.replace("''", "'"))
}

/// `delta`, `delta()` and `delta(token='x')`: the outer `None` is 'not delta', the inner one 'no token'.
pub fn delta_argument(segment: &str) -> Option<Option<String>> {
    let lower = segment.to_ascii_lowercase();
    if lower == "delta" || lower == "delta()" {
        return Some(None);
    }
    if !lower.starts_with("delta(token=") {
        return None;
    }
    let token = segment.get("delta(token=".len()..)?.strip_suffix(')')?;
    Some(Some(token.trim_matches('\'').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str) -> (Base, Vec<String>, Vec<String>) {
        match parse(path)
            .unwrap_or_else(|| panic!("{path} does not parse"))
            .rest
        {
            Rest::Item { address, nav } => (address.base, address.path, nav),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn all_forms_of_addressing() {
        assert_eq!(item("/drives/b!1/root"), (Base::Root, vec![], vec![]));
        assert_eq!(
            item("/drives/b!1/items/root/children"),
            (Base::Root, vec![], strings(&["children"]))
        );
        assert_eq!(
            item("/users/a%40b.c/drive/root:/a/b%20c.txt"),
            (Base::Root, strings(&["a", "b c.txt"]), vec![])
        );
        assert_eq!(
            item("/drives/b!1/root:/a/b:/content"),
            (Base::Root, strings(&["a", "b"]), strings(&["content"]))
        );
        assert_eq!(
            item("/drives/b!1/root:/a/b:"),
            (Base::Root, strings(&["a", "b"]), vec![])
        );
        assert_eq!(
            item("/drives/b!1/root:/:/children"),
            (Base::Root, vec![], strings(&["children"]))
        );
        assert_eq!(
            item("/drives/b!1/items/01X:/n%25%23.txt:/createUploadSession"),
            (
                Base::Id("01X".into()),
                strings(&["n%#.txt"]),
                strings(&["createUploadSession"])
            )
        );
        assert_eq!(
            item("/drives/b%211/items/root%3A%2Fa%2Fb.txt%3A/content"),
            (Base::Root, strings(&["a", "b.txt"]), strings(&["content"]))
        );
        assert_eq!(
            item("/drives/b%211/items/root%3A%2Fa%2Fb.txt"),
            (Base::Root, strings(&["a", "b.txt"]), vec![])
        );
        assert_eq!(
            item("/users('x')/drives('b!1')/items('01Y')"),
            (Base::Id("01Y".into()), vec![], vec![])
        );
        assert_eq!(
            item("/me/drive/root:/children('x').txt"),
            (Base::Root, strings(&["children('x').txt"]), vec![])
        );
        assert_eq!(
            item("/me/drive/special/documents/children").0,
            Base::Special("documents".into())
        );
        assert_eq!(
            item("/drives/b!1/root/microsoft.graph.delta()").2,
            strings(&["delta()"])
        );
    }

    #[test]
    fn drives_and_others() {
        assert_eq!(
            parse("/users/u/drives"),
            Some(Route {
                owner: Owner::User("u".into()),
                rest: Rest::List
            })
        );
        assert_eq!(
            parse("/drives/b!1"),
            Some(Route {
                owner: Owner::Drive("b!1".into()),
                rest: Rest::Drive
            })
        );
        assert_eq!(
            parse("/drives/b!1/root/search(q='it''s')").unwrap().rest,
            Rest::Search("it's".into())
        );
        assert_eq!(parse("/users/u/messages"), None);
        assert_eq!(parse("/users/u"), None);
        assert!(matches!(
            parse("/drives/b!1/bundles").unwrap().rest,
            Rest::Unknown(_)
        ));
    }

    #[test]
    fn delta_in_its_spellings() {
        assert_eq!(delta_argument("delta"), Some(None));
        assert_eq!(delta_argument("delta()"), Some(None));
        assert_eq!(
            delta_argument("delta(token='abc-_')"),
            Some(Some("abc-_".into()))
        );
        assert_eq!(delta_argument("deltas"), None);
    }
}
