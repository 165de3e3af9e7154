//! Makes foreign HTML harmless, and gives its pictures and links the form they have in a file.

use std::collections::HashSet;

use ammonia::{Builder, UrlRelative};
use url::Url;

/// Schemes of links that are kept.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];
/// What of a `style` is kept: nothing that loads, covers or moves anything.
const STYLES: [&str; 8] = [
    "color",
    "background-color",
    "font-size",
    "font-style",
    "font-weight",
    "text-align",
    "text-decoration",
    "margin-left",
];

/// HTML without anything that acts. Links become absolute.
pub fn clean(html: &str, base: Option<&Url>) -> String {
    let relative = match base {
        Some(base) => UrlRelative::RewriteWithBase(base.clone()),
        None => UrlRelative::Deny,
    };
    Builder::default()
        .add_clean_content_tags(&["title"])
        .url_schemes(HashSet::from(SCHEMES))
        .url_relative(relative)
        .add_generic_attributes(&["style"])
        .filter_style_properties(HashSet::from(STYLES))
        .clean(html)
        .to_string()
}

/// Text as HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Where a link leads, if it is one that may be followed.
pub fn address(link: &str, base: Option<&Url>) -> Option<String> {
    let url = match (Url::parse(link), base) {
        (Ok(url), _) => url,
        (Err(_), Some(base)) => base.join(link).ok()?,
        (Err(_), None) => return None,
    };
    SCHEMES.contains(&url.scheme()).then(|| url.to_string())
}

/// Replaces each picture in cleaned HTML by what `made` makes of its address and its text. The last argument
/// tells whether the picture is within a link.
pub fn replace_pictures(html: &str, mut made: impl FnMut(&str, &str, bool) -> String) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    let mut links = 0usize;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let (tag, after) = tag.split_at(end_of_tag(tag));
        match name_of(tag) {
            "img" => {
                let source = attribute(tag, "src").unwrap_or_default();
                let alt = attribute(tag, "alt").unwrap_or_default();
                out.push_str(&made(&source, &alt, links > 0));
            }
            name => {
                match name {
                    "a" => links += 1,
                    "/a" => links = links.saturating_sub(1),
                    _ => {}
                }
                out.push_str(tag);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Length of the tag that the text begins with.
fn end_of_tag(tag: &str) -> usize {
    let mut quoted = false;
    for (at, c) in tag.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return at + 1,
            _ => {}
        }
    }
    tag.len()
}

fn name_of(tag: &str) -> &str {
    let name = tag.trim_start_matches('<');
    let end = name.find(|c: char| c.is_whitespace() || c == '>');
    name.get(..end.unwrap_or(name.len())).unwrap_or_default()
}

/// The value of an attribute, of a tag as a serializer writes it: no value has a quote in it.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!(" {name}=\"");
    let at = tag.find(&start)? + start.len();
    Some(unescape(tag.get(at..)?.split('"').next()?))
}

/// What text was before a serializer wrote it.
pub fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&")
}
