//! Pages of SharePoint as HTML that a browser shows without a network.
//!
//! [`page`] renders the JSON of a page with its canvas as one file: text, links, and the pictures that it
//! is given, embedded. What a page holds was written by somebody: it is cleaned ([`clean`]), no script and
//! no form comes through, and the file's own policy forbids it to load anything. [`read`] makes of any HTML
//! what the text of a page may hold.
//!
//! Pure: the same JSON and pictures give the same bytes in every run and version, because a file's bytes are
//! its identity.

mod clean;
mod parts;
mod picture;
mod read;

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

pub use picture::{MAX_PICTURE, Picture};
pub use read::{Html, read};

use parts::Parts;

/// Pictures by their addresses.
pub type Pictures = BTreeMap<String, Picture>;

/// A page as a file.
#[derive(Clone, Debug)]
pub struct Page {
    /// The whole file.
    pub html: String,
    /// Addresses of the pictures that the page shows and was not given, in their order.
    pub missing: Vec<String>,
}

/// Nothing is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

const STYLE: &str = "\
body{margin:0;overflow-wrap:anywhere;font:16px/1.5 'Segoe UI',system-ui,sans-serif;color:#242424;background:#fff}\
header,main,footer{max-width:75rem;margin:0 auto;padding:0 1.5rem}\
header{padding-top:2rem;padding-bottom:1rem}\
h1{font-size:2.2rem;line-height:1.2;margin:.2em 0}\
.above{margin:0;font-size:.8rem;letter-spacing:.06em;color:#03787c;font-weight:600}\
.by,.label,footer,figcaption{color:#616161;font-size:.85rem}\
.body{display:flex;gap:2rem;flex-wrap:wrap}.sections{flex:3 1 30rem;min-width:0}\
aside{flex:1 1 15rem;min-width:0;padding:0 1rem;border-left:1px solid #e0e0e0}\
section{display:grid;grid-template-columns:repeat(12,1fr);gap:0 2rem;padding:.5rem 0}\
section>div{grid-column:span 12;min-width:0}\
@media(min-width:40rem){.w4{grid-column:span 4!important}.w6{grid-column:span 6!important}\
.w8{grid-column:span 8!important}}\
.neutral{background:#faf9f8;padding:.5rem 1rem}.soft{background:#eff6fc;padding:.5rem 1rem}\
.strong{background:#03787c;color:#fff;padding:.5rem 1rem}.strong a,.strong .label,.strong figcaption\
{color:#fff}\
img{max-width:100%;height:auto}figure{margin:1rem 0}header figure{margin:0 0 1rem}\
.part{border:1px solid #e0e0e0;border-radius:4px;padding:.2rem 1rem;margin:1rem 0}\
.label{margin:.5rem 0}table{border-collapse:collapse}td,th{border:1px solid #d1d1d1;padding:.3rem .6rem}\
pre{overflow:auto;background:#f5f5f5;color:#242424;padding:.5rem}a{color:#03787c}hr{border:0;\
border-top:1px solid #d1d1d1}footer{margin-top:2rem;padding-top:1rem;padding-bottom:2rem;\
border-top:1px solid #e0e0e0}";

/// Renders a page (`sitePage` with `canvasLayout`).
pub fn page(page: &Value, pictures: &Pictures) -> Page {
    let address = page["webUrl"].as_str().unwrap_or_default();
    let mut parts = Parts::new(Url::parse(address).ok(), pictures);
    let title = text(&page["title"]).or(text(&page["name"]));
    let title = clean::escape(title.unwrap_or("Page"));
    let mut out = format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    );
    head(page, &title, &mut parts, &mut out);
    out.push_str("<main><div class=\"body\"><div class=\"sections\">\n");
    for section in list(&page["canvasLayout"]["horizontalSections"]) {
        out.push_str(&format!("<section{}>\n", emphasis(section)));
        for column in list(&section["columns"]) {
            let width = match column["width"].as_u64() {
                Some(width @ (4 | 6 | 8)) => format!(" class=\"w{width}\""),
                _ => String::new(),
            };
            out.push_str(&format!("<div{width}>\n"));
            parts.all(&column["webparts"], &mut out);
            out.push_str("</div>\n");
        }
        out.push_str("</section>\n");
    }
    out.push_str("</div>\n");
    let side = &page["canvasLayout"]["verticalSection"];
    if side.is_object() {
        out.push_str(&format!("<aside{}>\n", emphasis(side)));
        parts.all(&side["webparts"], &mut out);
        out.push_str("</aside>\n");
    }
    out.push_str("</div></main>\n");
    foot(page, &parts, &mut out);
    out.push_str("</body>\n</html>\n");
    Page {
        html: out,
        missing: parts.missing(),
    }
}

/// Title, picture, and who wrote it.
fn head(page: &Value, title: &str, parts: &mut Parts<'_>, out: &mut String) {
    let area = &page["titleArea"];
    out.push_str("<header>\n");
    let alt = text(&area["alternativeText"]).unwrap_or_default();
    let picture = parts::source(area, "imageSource").or(text(&area["imageWebUrl"]));
    if let Some(picture) = picture {
        out.push_str(&parts.figure(picture, alt, ""));
    }
    if let Some(above) = text(&area["textAboveTitle"]) {
        out.push_str(&format!(
            "<p class=\"above\">{}</p>\n",
            clean::escape(above)
        ));
    }
    out.push_str(&format!("<h1>{title}</h1>\n"));
    let by = text(&page["lastModifiedBy"]["user"]["displayName"]);
    let when = text(&page["lastModifiedDateTime"]).map(|time| time.get(..10).unwrap_or(time));
    let by: Vec<String> = [by, when]
        .into_iter()
        .flatten()
        .map(clean::escape)
        .collect();
    if !by.is_empty() {
        out.push_str(&format!("<p class=\"by\">{}</p>\n", by.join(", ")));
    }
    out.push_str("</header>\n");
}

/// What kind of page it is, and where it lives.
fn foot(page: &Value, parts: &Parts<'_>, out: &mut String) {
    let mut kind = match page["promotionKind"].as_str() {
        Some("newsPost") => "News post",
        _ => "Page",
    }
    .to_owned();
    if page["publishingState"]["level"]
        .as_str()
        .is_some_and(|level| level != "published")
    {
        kind.push_str(", not published");
    }
    let address = page["webUrl"].as_str().unwrap_or_default();
    let link = parts.link(address, &clean::escape(address));
    out.push_str(&format!("<footer>{kind} in SharePoint: {link}</footer>\n"));
}

fn emphasis(section: &Value) -> String {
    match section["emphasis"].as_str() {
        Some(known @ ("neutral" | "soft" | "strong")) => format!(" class=\"{known}\""),
        _ => String::new(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<&str> {
    value
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
