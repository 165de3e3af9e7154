//! Which site a path leads to, and what is wanted of it.
//!
//! A site is named by its id (`host,collection,site`, or the two GUIDs alone), by `root`, by a host, or by
//! host and path: `/sites/contoso.sharepoint.com:/sites/finance:/lists`.

use crate::drive::route::{delta_argument, split};

/// What a path below `/sites` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/sites`, with or without `search`.
    Search,
    /// `/sites/getAllSites`
    All,
    /// `/sites/delta`, with the token of the function form.
    Delta(Option<String>),
    /// A site, and what comes after it.
    Site(Key, Vec<String>),
}

/// How a site is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Root,
    /// An id in one of its forms, or a host.
    Name(String),
    /// A path on a host, without a slash at its end; empty for the host's own site.
    Path {
        host: String,
        path: String,
    },
}

/// Reads a path as it was sent, below the version. `None` when it is not below `/sites`.
pub fn parse(raw_path: &str) -> Option<Route> {
    let mut segments = split(raw_path).into_iter();
    if !segments.next()?.eq_ignore_ascii_case("sites") {
        return None;
    }
    let Some(first) = segments.next() else {
        return Some(Route::Search);
    };
    let function = first
        .strip_prefix("microsoft.graph.")
        .or_else(|| first.strip_prefix("oneDrive."))
        .unwrap_or(&first);
    if function
        .trim_end_matches("()")
        .eq_ignore_ascii_case("getAllSites")
    {
        return Some(Route::All);
    }
    if let Some(argument) = delta_argument(function) {
        return Some(Route::Delta(argument));
    }
    let Some(host) = first.strip_suffix(':') else {
        let key = match first.eq_ignore_ascii_case("root") {
            true => Key::Root,
            false => Key::Name(first),
        };
        return Some(Route::Site(key, segments.collect()));
    };
    let mut path = String::new();
    for segment in segments.by_ref() {
        let (name, last) = match segment.strip_suffix(':') {
            Some(name) => (name, true),
            None => (segment.as_str(), false),
        };
        if !name.is_empty() {
            path.push('/');
            path.push_str(name);
        }
        if last {
            break;
        }
    }
    let host = host.to_owned();
    Some(Route::Site(Key::Path { host, path }, segments.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(path: &str) -> (Key, Vec<String>) {
        match parse(path) {
            Some(Route::Site(key, rest)) => (key, rest),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn at(host: &str, path: &str) -> Key {
        Key::Path {
            host: host.into(),
            path: path.into(),
        }
    }

    #[test]
    fn sites_have_many_names() {
        let host = "contoso.sharepoint.com";
        assert_eq!(site("/sites/root"), (Key::Root, vec![]));
        assert_eq!(
            site("/sites/contoso.sharepoint.com,a,b/lists/My%20List/items"),
            (
                Key::Name("contoso.sharepoint.com,a,b".into()),
                vec!["lists".into(), "My List".into(), "items".into()]
            )
        );
        assert_eq!(
            site("/sites/contoso.sharepoint.com:/sites/finance/payroll"),
            (at(host, "/sites/finance/payroll"), vec![])
        );
        assert_eq!(
            site("/sites/contoso.sharepoint.com:/sites/finance:/drive/root:/a/b.txt:/content"),
            (
                at(host, "/sites/finance"),
                vec![
                    "drive".into(),
                    "root:".into(),
                    "a".into(),
                    "b.txt:".into(),
                    "content".into()
                ]
            )
        );
        assert_eq!(
            site("/sites/contoso.sharepoint.com%3A%2Fsites%2Ffinance%3A/lists"),
            (at(host, "/sites/finance"), vec!["lists".into()])
        );
        assert_eq!(
            site("/sites/contoso.sharepoint.com:/:/lists").0,
            at(host, "")
        );
        assert_eq!(
            site("/sites('root')/lists('it''s')"),
            (Key::Root, vec!["lists".into(), "it's".into()])
        );
    }

    #[test]
    fn collections_of_sites() {
        assert_eq!(parse("/sites"), Some(Route::Search));
        assert_eq!(parse("/sites/getAllSites"), Some(Route::All));
        assert_eq!(parse("/sites/oneDrive.getAllSites"), Some(Route::All));
        assert_eq!(
            parse("/sites/microsoft.graph.getAllSites()"),
            Some(Route::All)
        );
        assert_eq!(parse("/sites/delta"), Some(Route::Delta(None)));
        assert_eq!(
            parse("/sites/delta(token='x')"),
            Some(Route::Delta(Some("x".into())))
        );
        assert_eq!(parse("/drives/x"), None);
    }
}
