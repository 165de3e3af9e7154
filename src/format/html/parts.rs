//! Web parts: texts as they are, pictures with their captions, of all others what SharePoint keeps of them
//! as text, links and pictures.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::clean::{self, escape};
use super::{Pictures, list, text};

/// Bytes of all pictures in a page together.
const MAX_PICTURES: usize = 16 << 20;

/// Pictures of one page.
const MAX_MISSING: usize = 64;

const IMAGE: &str = "d1d91016-032f-456d-98a4-721247c305e8";
const DIVIDER: &str = "2161a1c6-db61-4731-b97c-3cdb303f7cbb";
const SPACER: &str = "8654b779-4886-46d4-8ffb-b5ed960ee986";

/// The picture that a web part or title area shows under a key.
pub fn source<'a>(data: &'a Value, key: &str) -> Option<&'a str> {
    let all = list(&data["serverProcessedContent"]["imageSources"]);
    let found = all.iter().find(|source| source["key"] == key)?;
    text(&found["value"])
}

/// Renders web parts.
pub struct Parts<'a> {
    base: Option<Url>,
    pictures: &'a Pictures,
    /// Bytes of pictures that still fit.
    room: usize,
    missing: Vec<String>,
}

/// What belongs together in a web part: one of its items, or what it has beside them.
#[derive(Default)]
struct Group<'a> {
    texts: Vec<&'a str>,
    links: Vec<&'a str>,
    pictures: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    pub fn new(base: Option<Url>, pictures: &'a Pictures) -> Self {
        Self {
            base,
            pictures,
            room: MAX_PICTURES,
            missing: Vec::new(),
        }
    }

    /// The pictures that were not given.
    pub fn missing(self) -> Vec<String> {
        self.missing
    }

    /// Appends all web parts of a column.
    pub fn all(&mut self, parts: &Value, out: &mut String) {
        for part in list(parts) {
            let html = match part["innerHtml"].as_str() {
                Some(html) => format!("<div class=\"text\">{}</div>", self.clean(html)),
                None => self.standard(part),
            };
            out.push_str(&html);
            out.push('\n');
        }
    }

    fn standard(&mut self, part: &Value) -> String {
        let data = &part["data"];
        let kind = part["webPartType"].as_str().unwrap_or_default();
        match kind.to_ascii_lowercase().as_str() {
            DIVIDER => "<hr>".to_owned(),
            SPACER => "<p>&nbsp;</p>".to_owned(),
            IMAGE => self.image(data),
            _ => self.other(data),
        }
    }

    fn image(&mut self, data: &Value) -> String {
        let properties = &data["properties"];
        let texts = list(&data["serverProcessedContent"]["searchablePlainTexts"]);
        let caption = texts.iter().find(|text| text["key"] == "captionText");
        let caption = caption.and_then(|caption| text(&caption["value"]));
        let caption = caption
            .or(text(&properties["captionText"]))
            .unwrap_or_default();
        let alt = text(&properties["altText"]).or(text(&properties["fileName"]));
        let address = source(data, "imageSource").or(text(&properties["imageSource"]));
        match address {
            Some(address) => self.figure(address, alt.unwrap_or_default(), caption),
            None => format!("<p class=\"label\">{}</p>", escape(alt.unwrap_or("Image"))),
        }
    }

    /// Any other web part: what SharePoint keeps of it to search in.
    fn other(&mut self, data: &Value) -> String {
        let content = &data["serverProcessedContent"];
        let mut groups: BTreeMap<(usize, &str), Group<'_>> = BTreeMap::new();
        fn entries(all: &Value) -> impl Iterator<Item = (&str, &str)> {
            let all = list(all).iter();
            all.filter_map(|entry| Some((entry["key"].as_str()?, text(&entry["value"])?)))
        }
        let mut title = text(&data["title"]);
        for (key, value) in entries(&content["searchablePlainTexts"]) {
            match key {
                "title" => title = Some(value),
                _ => groups.entry(group(key)).or_default().texts.push(value),
            }
        }
        for (key, value) in entries(&content["links"]) {
            if key != "baseUrl" {
                groups.entry(group(key)).or_default().links.push(value);
            }
        }
        for (key, value) in entries(&content["imageSources"]) {
            groups.entry(group(key)).or_default().pictures.push(value);
        }
        let mut out = String::from("<div class=\"part\">");
        out.push_str(&format!(
            "<p class=\"label\">{}</p>",
            escape(title.unwrap_or("Web part"))
        ));
        for (_, html) in entries(&content["htmlStrings"]) {
            out.push_str(&self.clean(html));
        }
        if let Some(own) = groups.remove(&(0, "")) {
            out.push_str(&self.group(&own));
        }
        if !groups.is_empty() {
            out.push_str("<ul>");
            for group in groups.values() {
                out.push_str(&format!("<li>{}</li>", self.group(group)));
            }
            out.push_str("</ul>");
        }
        out.push_str("</div>");
        out
    }

    fn group(&mut self, group: &Group<'_>) -> String {
        let mut texts = group.texts.iter();
        let mut out = String::new();
        for (n, link) in group.links.iter().enumerate() {
            // The first text says what the first link leads to.
            let shown = if n == 0 { texts.next() } else { None };
            let link = self.link(link, &escape(shown.unwrap_or(link)));
            out.push_str(&format!("<p>{link}</p>"));
        }
        for text in texts {
            out.push_str(&format!("<p>{}</p>", escape(text)));
        }
        for picture in &group.pictures {
            let alt = group.texts.first().copied().unwrap_or_default();
            out.push_str(&self.figure(picture, alt, ""));
        }
        out
    }

    /// Foreign HTML with its pictures.
    fn clean(&mut self, html: &str) -> String {
        let cleaned = clean::clean(html, self.base.as_ref());
        clean::replace_pictures(&cleaned, |source, alt, linked| {
            self.picture(source, alt, linked)
        })
    }

    /// A picture with a caption; both as text.
    pub fn figure(&mut self, address: &str, alt: &str, caption: &str) -> String {
        let picture = self.picture(address, alt, false);
        match caption {
            "" => format!("<figure>{picture}</figure>\n"),
            caption => format!(
                "<figure>{picture}<figcaption>{}</figcaption></figure>\n",
                escape(caption)
            ),
        }
    }

    /// A picture, or where it is.
    fn picture(&mut self, address: &str, alt: &str, linked: bool) -> String {
        let address = clean::address(address, self.base.as_ref());
        let Some(address) = address.filter(|address| address.starts_with("http")) else {
            return escape(alt);
        };
        match self.pictures.get(&address) {
            Some(picture) if picture.size() <= self.room => {
                self.room -= picture.size();
                let source = picture.address();
                return format!("<img src=\"{source}\" alt=\"{}\">", escape(alt));
            }
            Some(_) => {}
            None if self.missing.len() >= MAX_MISSING || self.missing.contains(&address) => {}
            None => self.missing.push(address.clone()),
        }
        let shown = match alt {
            "" => address.rsplit('/').next().unwrap_or("Image"),
            alt => alt,
        };
        let shown = format!("[Image: {}]", escape(shown));
        match linked {
            true => shown,
            false => self.link(&address, &shown),
        }
    }

    /// A link that shows HTML; only that where it leads nowhere.
    pub fn link(&self, address: &str, shown: &str) -> String {
        match clean::address(address, self.base.as_ref()) {
            Some(address) => format!(
                "<a href=\"{}\" rel=\"noopener noreferrer\">{shown}</a>",
                escape(&address)
            ),
            None => shown.to_owned(),
        }
    }
}

/// What a key of a web part is about: `items[12].title` about `items[12]`, others about the web part. Sorts as
/// the items do.
fn group(key: &str) -> (usize, &str) {
    let Some(end) = key.find(']') else {
        return (0, "");
    };
    let item = key.get(..=end).unwrap_or_default();
    let number = item.split(['[', ']']).nth(1);
    let number = number.and_then(|number| number.parse::<usize>().ok());
    (number.unwrap_or_default().saturating_add(1), item)
}
