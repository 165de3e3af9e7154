//! Pages made from a seed: a home page, news with pictures and links, a draft, a page with a web part that Graph
//! shows and does not make, and a classic page, which is a file and nothing else.

use serde_json::{Value, json};

use crate::drive::{Actor, Content, ROOT, Stamp, Times};
use crate::world::World;

use super::page::Page;
use super::pages;
use super::tenant::{At, Tenant};
use super::web::lower;

const DAY: i64 = 86_400;
const IMAGE: &str = "d1d91016-032f-456d-98a4-721247c305e8";
const QUICK_LINKS: &str = "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd";
/// A web part of somebody's own.
const FOREIGN: &str = "7a3f0c52-9a1b-4f2e-8c6d-0b5e4d3a2c19";

/// Gives each site its pages, written by `authors` in turn.
pub fn fill(world: &World, tenant: &mut Tenant, open: &[At], authors: &[Actor]) {
    for (i, &at) in open.iter().enumerate() {
        let web = tenant.web_mut(at);
        let Some(n) = web.find("Site Pages") else {
            continue;
        };
        let handle = web.lists[n].drive().and_then(|id| world.drive.get(id));
        let Some(handle) = handle else { continue };
        let mut drive = handle.lock();
        let (site, title) = (web.ids(), web.title.clone());
        let mut made = vec![("Home.aspx", home(&title)), ("Welcome.aspx", news(&site))];
        if web.parent.is_none() {
            made.push(("Handbook.aspx", handbook(&site)));
            made.push(("Not-yet.aspx", draft()));
        }
        for (k, (name, page)) in made.into_iter().enumerate() {
            let stamp = Stamp {
                now: web.created + DAY * (1 + k as i64),
                by: authors
                    .get((i + k) % authors.len().max(1))
                    .cloned()
                    .unwrap_or(Actor::System),
            };
            // Names are free in a new library, and small contents stay in memory.
            if pages::add(web, &mut drive, name.to_owned(), page, &stamp).is_err() {
                tracing::warn!(name, "a page could not be made");
            }
        }
        if let Ok(content) = Content::store("<%@ Page %>\n<html>a classic page</html>\n".into()) {
            let stamp = Stamp {
                now: web.created + DAY,
                by: Actor::System,
            };
            drive.add_file(
                ROOT,
                "Classic.aspx".into(),
                content,
                Times::default(),
                &stamp,
            );
        }
    }
}

/// GUIDs that web parts refer to.
pub struct Ids {
    collection: String,
    web: String,
    url: String,
}

impl super::web::Web {
    fn ids(&self) -> Ids {
        Ids {
            collection: lower(self.collection),
            web: lower(self.guid),
            url: self.url(),
        }
    }
}

fn text(n: u32, html: &str) -> Value {
    json!({"@odata.type": "#microsoft.graph.textWebPart", "id": id(n), "innerHtml": html})
}

fn id(n: u32) -> String {
    format!("6f9230af-2a98-4952-b205-9ede4f9e{n:04x}")
}

fn standard(n: u32, of: &str, data: Value) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.standardWebPart", "id": id(n), "webPartType": of, "data": data,
    })
}

fn section(layout: &str, columns: &[(u32, Vec<Value>)], n: u32) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .zip(1..)
        .map(|((width, parts), n): (_, u32)| json!({"id": n.to_string(), "width": width, "webparts": parts}))
        .collect();
    json!({"id": n.to_string(), "layout": layout, "emphasis": "none", "columns": columns})
}

fn published(title: &str, sections: Vec<Value>) -> Page {
    let mut page = Page::new(title);
    page.canvas = json!({"horizontalSections": sections});
    page.version = (1, 0);
    page
}

fn home(title: &str) -> Page {
    let welcome = format!("<h2>Welcome to {title}</h2><p>What is new &amp; where things are.</p>");
    let mut page = published(
        "Home",
        vec![section("oneColumn", &[(12, vec![text(1, &welcome)])], 1)],
    );
    page.layout = "home".into();
    page.show_comments = false;
    page
}

fn image(n: u32, ids: &Ids) -> Value {
    let server = ids.url.split('/').take(3).collect::<Vec<_>>().join("/");
    let path = ids.url.strip_prefix(&server).unwrap_or_default();
    let source = format!("{path}/SiteAssets/harbour.jpg");
    standard(
        n,
        IMAGE,
        json!({
            "dataVersion": "1.9", "title": "Image", "description": "Show an image on your page",
            "properties": {"imageSourceType": 2, "altText": "The harbour", "siteId": ids.collection, "webId": ids.web, "fileName": "harbour.jpg"},
            "serverProcessedContent": {
                "htmlStrings": [], "searchablePlainTexts": [{"key": "captionText", "value": "The harbour in May"}],
                "links": [], "imageSources": [{"key": "imageSource", "value": source}],
            },
        }),
    )
}

fn news(ids: &Ids) -> Page {
    let links = standard(
        4,
        QUICK_LINKS,
        json!({
            "dataVersion": "2.2", "title": "Quick links", "description": "Show a collection of links",
            "properties": {"items": [{"sourceItem": {"itemType": 2}, "id": 1}], "layoutId": "CompactCard"},
            "serverProcessedContent": {
                "htmlStrings": [], "imageSources": [],
                "searchablePlainTexts": [{"key": "title", "value": "Quick links"}, {"key": "items[0].title", "value": "The list of assets"}],
                "links": [{"key": "baseUrl", "value": ids.url}, {"key": "items[0].sourceItem.url", "value": format!("{}/Lists/Assets", ids.url)}],
            },
        }),
    );
    let mut page = published(
        "Welcome to the new site",
        vec![
            section("fullWidth", &[(0, vec![image(1, ids)])], 1),
            section(
                "twoColumns",
                &[
                    (
                        6,
                        vec![
                            text(2, "<p>We moved. <b>Please read.</b></p>"),
                            text(3, "<ul><li>one</li><li>two</li></ul>"),
                        ],
                    ),
                    (6, vec![links]),
                ],
                2,
            ),
        ],
    );
    page.promotion = "newsPost".into();
    page.description = "We moved. Please read.".into();
    page.thumbnail = Some(format!("{}/SiteAssets/harbour.jpg", ids.url));
    page.title_area["layout"] = "imageAndTitle".into();
    page.title_area["textAboveTitle"] = "NEWS".into();
    page
}

/// Has a web part that Graph shows and refuses to make, and a vertical section.
fn handbook(ids: &Ids) -> Page {
    let foreign = standard(
        2,
        FOREIGN,
        json!({"dataVersion": "1.0", "title": "Org clock", "description": "", "properties": {"zone": "Europe/Oslo", "nested": {"a": [1, 2.5, null]}}}),
    );
    let rows = vec![text(1, "<h3>Handbook</h3>"), foreign];
    let mut page = published(
        "Handbook",
        vec![section(
            "oneThirdLeftColumn",
            &[(4, vec![image(3, ids)]), (8, rows)],
            1,
        )],
    );
    page.canvas["verticalSection"] =
        json!({"id": "1", "emphasis": "soft", "webparts": [text(9, "<p>On the side</p>")]});
    page
}

fn draft() -> Page {
    let mut page = published(
        "Not yet",
        vec![section(
            "oneColumn",
            &[(12, vec![text(1, "<p>To be written</p>")])],
            1,
        )],
    );
    page.version = (0, 1);
    page
}
