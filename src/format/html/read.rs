//! What the text of a page may hold of an HTML file.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::clean;
use crate::format::western;

/// Bytes of a page in which it says its encoding (HTML 4.2.5.4).
const HEAD: usize = 1024;

/// An HTML file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html {
    /// What its head calls it.
    pub title: Option<String>,
    /// Its text, cleaned.
    pub body: String,
}

/// Reads HTML of another program. Pictures that are in the file itself are left out: a page has them in a
/// library.
pub fn read(bytes: &[u8]) -> Html {
    let text = decode(bytes);
    let body = clean::clean(&text, None);
    let body = clean::replace_pictures(&body, |source, alt, _| match source {
        "" => clean::escape(alt),
        source => format!(
            "<img src=\"{}\" alt=\"{}\">",
            clean::escape(source),
            clean::escape(alt)
        ),
    });
    Html {
        title: title(&text),
        body: body.trim().to_owned(),
    }
}

/// In the encoding of its mark, else the one that it says (HTML 13.2.3.2), else UTF-8, else what Windows wrote in
/// western Europe.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let marked = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    match (marked.or_else(|| told(bytes)), std::str::from_utf8(bytes)) {
        (Some(encoding), _) => encoding.decode(bytes).0,
        (None, Ok(text)) => text.into(),
        (None, Err(_)) => western(bytes),
    }
}

/// By `<meta charset="x">` or `<meta content="text/html; charset=x">`.
fn told(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]);
    let head = head.to_ascii_lowercase();
    let mut values = head.split("charset").skip(1).filter_map(|after| {
        let value = after.trim_start().strip_prefix('=')?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        value
            .split(|c: char| c.is_whitespace() || "\"'/>;".contains(c))
            .next()
    });
    let found = values.find_map(|label| Encoding::for_label(label.trim().as_bytes()))?;
    // What could be read up to here is not in UTF-16.
    let wide = found == encoding_rs::UTF_16LE || found == encoding_rs::UTF_16BE;
    Some(if wide { encoding_rs::UTF_8 } else { found })
}

/// What stands in `<title>`.
fn title(html: &str) -> Option<String> {
    // ASCII letters only, so places stay the same.
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower.get(start..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let cleaned = clean::clean(html.get(start..end)?, None);
    let title = clean::unescape(&cleaned);
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}
