//! What the text of a page may hold of an HTML file.

use super::clean;

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
    let text = String::from_utf8_lossy(bytes);
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
