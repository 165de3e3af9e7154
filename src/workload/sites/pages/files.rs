//! The files that a page shows: found in a body, and led to the same files of another site. Pure.
//!
//! A web part keeps an address of each picture under a key, and beside it, in two places, the GUIDs of the
//! file, which mean something in one site only. The path below the site is what two sites have in common.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use url::Url;

use super::live::below;

/// A file of the site that a page is restored to.
#[derive(Clone, Debug)]
pub struct Target {
    url: Url,
    /// `siteId`, `webId`, `listId`, `uniqueId`.
    ids: [(&'static str, Value); 4],
}

impl Target {
    /// From a drive's item with its `sharepointIds`.
    pub fn of(file: &Value, url: Url) -> Self {
        let ids = &file["sharepointIds"];
        Self {
            url,
            ids: [
                ("siteId", ids["siteId"].clone()),
                ("webId", ids["webId"].clone()),
                ("listId", ids["listId"].clone()),
                ("uniqueId", ids["listItemUniqueId"].clone()),
            ],
        }
    }

    /// Puts its ids into an object that names a file.
    fn name_in(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut() else {
            return;
        };
        if !object.contains_key("siteId") && !object.contains_key("uniqueId") {
            return;
        }
        for (name, id) in &self.ids {
            if id.is_string() {
                object.insert((*name).to_owned(), id.clone());
            }
        }
    }
}

/// Files by their paths below the site.
pub type Targets = BTreeMap<String, Target>;

/// Leads what a body shows of the site `from` to these files. Returns the paths of those that are not among
/// them, which stay as they are.
pub fn lead(body: &mut Value, from: &Url, targets: &Targets) -> BTreeSet<String> {
    let mut lead = Lead {
        from,
        targets,
        missing: BTreeSet::new(),
    };
    if let Some(thumbnail) = body.get_mut("thumbnailWebUrl") {
        lead.address(thumbnail);
    }
    if let Some(area) = body.get_mut("titleArea") {
        lead.sources(area, "");
        if let Some(picture) = area.get_mut("imageWebUrl") {
            lead.address(picture);
        }
    }
    let Some(canvas) = body.get_mut("canvasLayout") else {
        return lead.missing;
    };
    for section in each(canvas, "horizontalSections") {
        for column in each(section, "columns") {
            lead.parts(column);
        }
    }
    if let Some(side) = canvas.get_mut("verticalSection") {
        lead.parts(side);
    }
    lead.missing
}

struct Lead<'a> {
    from: &'a Url,
    targets: &'a Targets,
    missing: BTreeSet<String>,
}

impl Lead<'_> {
    fn parts(&mut self, column: &mut Value) {
        for part in each(column, "webparts") {
            if let Some(data) = part.get_mut("data") {
                self.sources(data, "properties");
            }
        }
    }

    /// The pictures of a web part or title area; `properties`: where it keeps its own.
    fn sources(&mut self, data: &mut Value, properties: &str) {
        let Some(sources) = data["serverProcessedContent"]["imageSources"].as_array() else {
            return;
        };
        for (n, source) in sources.clone().iter().enumerate() {
            let (Some(key), Some(target)) = (source["key"].as_str(), self.target(&source["value"]))
            else {
                continue;
            };
            let content = "/serverProcessedContent";
            if let Some(value) = data.pointer_mut(&format!("{content}/imageSources/{n}/value")) {
                *value = json!(target.url.path());
            }
            if let Some(content) = data.pointer_mut(content) {
                let all = each(content, "customMetadata").iter_mut();
                let own = all.filter(|entry| entry["key"] == key);
                own.filter_map(|entry| entry.get_mut("value"))
                    .for_each(|value| target.name_in(value));
            }
            if let Some(object) = data.pointer_mut(&pointer(properties, key)) {
                target.name_in(object);
            }
        }
    }

    /// An address that is a property itself; it stays relative if it was.
    fn address(&mut self, value: &mut Value) {
        if let Some(target) = self.target(value) {
            let relative = value.as_str().is_some_and(|url| url.starts_with('/'));
            *value = match relative {
                true => json!(target.url.path()),
                false => json!(target.url.as_str()),
            };
        }
    }

    fn target(&mut self, address: &Value) -> Option<Target> {
        let address = self.from.join(address.as_str()?).ok()?;
        let path = below(self.from, &address)?;
        // What SharePoint itself has at every site.
        if path.starts_with("_layouts/") {
            return None;
        }
        let found = self.targets.get(&path);
        if found.is_none() {
            self.missing.insert(path);
        }
        found.cloned()
    }
}

/// Where the object is that a key is about: that of `images[2].imageSource` is `/images/2`.
fn pointer(properties: &str, key: &str) -> String {
    let mut pointer = String::new();
    let mut push = |name: &str| {
        if !name.is_empty() {
            pointer.push('/');
            pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        }
    };
    push(properties);
    let object = key.rsplit_once('.').map_or("", |(object, _)| object);
    object.split(['.', '[', ']']).for_each(&mut push);
    pointer
}

fn each<'a>(value: &'a mut Value, name: &str) -> &'a mut [Value] {
    match value.get_mut(name) {
        Some(Value::Array(all)) => all,
        _ => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "https://c.sharepoint.com/sites/f";

    fn target(path: &str) -> (String, Target) {
        let url = format!("https://c.sharepoint.com/sites/g/{path}");
        let file = json!({ "sharepointIds": { "siteId": "S2", "webId": "W2", "listId": "L2", "listItemUniqueId": "U2" } });
        (
            path.to_owned(),
            Target::of(&file, Url::parse(&url).unwrap()),
        )
    }

    fn body() -> Value {
        let old = json!({ "siteId": "S1", "webId": "W1", "listId": "L1", "uniqueId": "U1" });
        let image = json!({ "data": {
            "properties": { "siteId": "S1", "webId": "W1", "altText": "x" },
            "serverProcessedContent": {
                "imageSources": [{ "key": "imageSource", "value": "/sites/f/SiteAssets/a%20b.png" }],
                "customMetadata": [{ "key": "imageSource", "value": old }],
            } } });
        let gallery = json!({ "data": {
            "properties": { "images": [{ "title": "1" }, old] },
            "serverProcessedContent": { "imageSources": [
                { "key": "images[0].imageSource", "value": "/_layouts/15/x.png" },
                { "key": "images[1].imageSource", "value": "/sites/f/SiteAssets/lost.png" },
                { "key": "images[1].imageSource", "value": "https://c.sharepoint.com/sites/f/SiteAssets/a b.png" },
            ] } } });
        json!({
            "title": "t",
            "thumbnailWebUrl": "https://c.sharepoint.com/sites/f/SiteAssets/a b.png",
            "titleArea": { "imageWebUrl": "/sites/f/SiteAssets/a%20b.png", "layout": "imageAndTitle" },
            "canvasLayout": {
                "horizontalSections": [{ "columns": [{ "webparts": [image, { "innerHtml": "x" }] }] }],
                "verticalSection": { "webparts": [gallery] },
            },
        })
    }

    #[test]
    fn what_another_site_has_is_shown_from_there() {
        let mut led = body();
        let from = Url::parse(FROM).unwrap();
        let missing = lead(
            &mut led,
            &from,
            &Targets::from([target("SiteAssets/a b.png")]),
        );
        assert_eq!(
            missing.into_iter().collect::<Vec<_>>(),
            ["SiteAssets/lost.png"]
        );
        let new = json!({ "siteId": "S2", "webId": "W2", "listId": "L2", "uniqueId": "U2" });
        let path = "/sites/g/SiteAssets/a%20b.png";
        let image =
            &led["canvasLayout"]["horizontalSections"][0]["columns"][0]["webparts"][0]["data"];
        assert_eq!(
            image["serverProcessedContent"]["imageSources"][0]["value"],
            path
        );
        assert_eq!(
            image["serverProcessedContent"]["customMetadata"][0]["value"],
            new
        );
        assert_eq!(
            image["properties"],
            json!({ "siteId": "S2", "webId": "W2", "listId": "L2", "uniqueId": "U2", "altText": "x" })
        );
        let gallery = &led["canvasLayout"]["verticalSection"]["webparts"][0]["data"];
        assert_eq!(
            gallery["properties"],
            json!({ "images": [{ "title": "1" }, new] })
        );
        let sources = &gallery["serverProcessedContent"]["imageSources"];
        assert_eq!(sources[0]["value"], "/_layouts/15/x.png");
        assert_eq!(sources[1]["value"], "/sites/f/SiteAssets/lost.png");
        assert_eq!(sources[2]["value"], path);
        assert_eq!(
            led["titleArea"],
            json!({ "imageWebUrl": path, "layout": "imageAndTitle" })
        );
        assert_eq!(
            led["thumbnailWebUrl"],
            format!("https://c.sharepoint.com{path}")
        );
    }

    #[test]
    fn what_is_found_nowhere_stays_as_it_was() {
        let mut led = body();
        let missing = lead(&mut led, &Url::parse(FROM).unwrap(), &Targets::new());
        assert_eq!(led, body());
        assert_eq!(missing.len(), 2);
        for odd in [
            json!(null),
            json!({}),
            json!({ "canvasLayout": [], "titleArea": 5 }),
            json!({ "titleArea": { "serverProcessedContent": "x" }, "canvasLayout": { "verticalSection": 1 } }),
        ] {
            let mut body = odd.clone();
            assert!(lead(&mut body, &Url::parse(FROM).unwrap(), &Targets::new()).is_empty());
            assert_eq!(body, odd);
        }
    }
}
