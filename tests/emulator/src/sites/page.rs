//! Modern pages: what is on them, and what Graph lets a client put there.

use serde_json::{Value, json};

use crate::drive::Failure;
use crate::rng::Rng;

/// One page; its file is in the library `Site Pages`, and its id is the file's GUID.
#[derive(Clone, Debug)]
pub struct Page {
    pub title: String,
    pub description: String,
    /// `article`, `home`
    pub layout: String,
    /// `page`, `newsPost`
    pub promotion: String,
    pub show_comments: bool,
    pub show_recommended: bool,
    pub thumbnail: Option<String>,
    pub title_area: Value,
    /// `{horizontalSections, verticalSection}`, as Graph shows it.
    pub canvas: Value,
    /// Published versions, and drafts since the last one.
    pub version: (u32, u32),
}

/// The web parts that Graph makes besides texts.
pub const STANDARD: &[&str] = &[
    "e377ea37-9047-43b9-8cdb-a761be2f8e09",
    "0f087d7f-520e-42b7-89c0-496aaf979d58",
    "df8e44e7-edd5-46d5-90da-aca1539313b8",
    "2161a1c6-db61-4731-b97c-3cdb303f7cbb",
    "b7dd04e1-19ce-4b24-9132-b60a1c2b910d",
    "d1d91016-032f-456d-98a4-721247c305e8",
    "af8be689-990e-492a-81f7-ba3e4cd3ed9c",
    "6410b3b6-d440-4663-8744-378976dc041e",
    "e84a8ca2-f63c-4fb9-bc0b-d8eef5ccb22b",
    "7f718435-ee4d-431c-bdbf-9c4ff326f46e",
    "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd",
    "8654b779-4886-46d4-8ffb-b5ed960ee986",
    "544dd15b-cf3c-441b-96da-004d5a8cea1d",
    "cbe7b0a9-3504-44dd-a3a3-0e5cacd07788",
];

/// Widths of a section's columns, by its layout.
fn widths(layout: &str) -> Option<&'static [u64]> {
    Some(match layout {
        "none" | "oneColumn" => &[12],
        "fullWidth" => &[0],
        "twoColumns" => &[6, 6],
        "threeColumns" => &[4, 4, 4],
        "oneThirdLeftColumn" => &[4, 8],
        "oneThirdRightColumn" => &[8, 4],
        _ => return None,
    })
}

impl Page {
    /// An empty page that was never published.
    pub fn new(title: &str) -> Page {
        Page {
            title: title.to_owned(),
            description: String::new(),
            layout: "article".into(),
            promotion: "page".into(),
            show_comments: true,
            show_recommended: false,
            thumbnail: None,
            title_area: json!({
                "enableGradientEffect": true, "layout": "plain", "showAuthor": true,
                "showPublishedDate": false, "showTextBlockAboveTitle": false, "textAboveTitle": "",
                "textAlignment": "left",
            }),
            canvas: json!({"horizontalSections": []}),
            version: (0, 1),
        }
    }

    /// Takes over what a body says, all of it or nothing. `rng` makes the ids of web parts.
    pub fn apply(&mut self, body: &Value, rng: &mut Rng) -> Result<(), Failure> {
        let canvas = match &body["canvasLayout"] {
            Value::Null => None,
            given => Some(canvas(given, rng)?),
        };
        let word = |key: &str, known: &[&str], target: &mut String| match body[key].as_str() {
            None => Ok(()),
            Some(text) if known.is_empty() || known.contains(&text) => {
                text.clone_into(target);
                Ok(())
            }
            Some(text) => Err(Failure::invalid(format!(
                "The value {text} of {key} is not valid."
            ))),
        };
        word(
            "pageLayout",
            &["article", "home", "microsoftReserved"],
            &mut self.layout,
        )?;
        word(
            "promotionKind",
            &["page", "newsPost", "microsoftReserved"],
            &mut self.promotion,
        )?;
        word("title", &[], &mut self.title)?;
        word("description", &[], &mut self.description)?;
        for (key, target) in [
            ("showComments", &mut self.show_comments),
            ("showRecommendedPages", &mut self.show_recommended),
        ] {
            *target = body[key].as_bool().unwrap_or(*target);
        }
        if let Some(url) = body["thumbnailWebUrl"].as_str() {
            self.thumbnail = Some(url.to_owned());
        }
        if let (Some(area), Some(given)) = (
            self.title_area.as_object_mut(),
            body["titleArea"].as_object(),
        ) {
            area.extend(given.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        if let Some(canvas) = canvas {
            self.canvas = canvas;
        }
        Ok(())
    }

    /// `published` or not yet; a page that was changed is checked out to who changes it.
    pub fn publishing_state(&self) -> Value {
        let (major, minor) = self.version;
        let level = if minor == 0 { "published" } else { "checkout" };
        json!({"level": level, "versionId": format!("{major}.{minor}")})
    }

    /// All web parts, section by section, those of the vertical section last.
    pub fn web_parts(&self) -> Vec<Value> {
        let sections = self.canvas["horizontalSections"]
            .as_array()
            .into_iter()
            .flatten();
        let columns = sections.flat_map(|s| s["columns"].as_array().into_iter().flatten());
        columns
            .chain(std::iter::once(&self.canvas["verticalSection"]))
            .flat_map(|c| c["webparts"].as_array().into_iter().flatten().cloned())
            .collect()
    }

    /// The hidden field that a page's content is kept in.
    pub fn canvas_content(&self) -> String {
        let parts = self.web_parts();
        let parts = parts.iter().map(|part| {
            let data = escaped(&part.to_string());
            format!("<div data-sp-canvascontrol=\"\" data-sp-canvasdataversion=\"1.0\" data-sp-controldata=\"{data}\"></div>")
        });
        format!("<div>{}</div>", parts.collect::<String>())
    }

    /// The hidden field that a page's head is kept in.
    pub fn layout_content(&self) -> String {
        let data = escaped(&self.title_area.to_string());
        format!(
            "<div><div data-sp-canvascontrol=\"\" data-sp-canvasdataversion=\"1.4\" data-sp-controldata=\"{data}\"></div></div>"
        )
    }

    /// The bytes of the page's file.
    pub fn file(&self) -> String {
        format!(
            "<%@ Page language=\"C#\" %>\n<html><head><title>{}</title></head>\n<!--{}-->\n<body>{}</body></html>\n",
            escaped(&self.title),
            self.layout_content(),
            self.canvas_content()
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('{', "&#123;")
        .replace('}', "&#125;")
        .replace(':', "&#58;")
}

fn bad(what: &str) -> Failure {
    Failure::invalid(format!("The canvasLayout is not valid: {what}"))
}

/// A layout that a client sent, checked and completed with ids.
fn canvas(given: &Value, rng: &mut Rng) -> Result<Value, Failure> {
    let mut sections = Vec::new();
    for (i, section) in given["horizontalSections"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let layout = section["layout"].as_str().unwrap_or("oneColumn");
        let widths = widths(layout).ok_or_else(|| bad("a section has an unknown layout."))?;
        let mut columns = Vec::new();
        let given = section["columns"].as_array().into_iter().flatten();
        for (n, column) in given.enumerate() {
            let Some(width) = widths.get(n) else {
                return Err(bad("a section has more columns than its layout."));
            };
            if column["width"].as_u64().is_some_and(|w| w != *width) {
                return Err(bad(
                    "a column does not have the width that the section's layout gives it.",
                ));
            }
            columns.push(json!({
                "id": (n + 1).to_string(), "width": width, "webparts": web_parts(&column["webparts"], rng)?,
            }));
        }
        sections.push(json!({
            "id": (i + 1).to_string(), "layout": layout, "emphasis": emphasis(section)?, "columns": columns,
        }));
    }
    let mut out = json!({"horizontalSections": sections});
    let vertical = &given["verticalSection"];
    if vertical.is_object() {
        out["verticalSection"] = json!({"id": "1", "emphasis": emphasis(vertical)?, "webparts": web_parts(&vertical["webparts"], rng)?});
    }
    Ok(out)
}

fn emphasis(section: &Value) -> Result<&str, Failure> {
    match section["emphasis"].as_str().unwrap_or("none") {
        known @ ("none" | "neutral" | "soft" | "strong") => Ok(known),
        _ => Err(bad("a section has an unknown emphasis.")),
    }
}

fn web_parts(given: &Value, rng: &mut Rng) -> Result<Vec<Value>, Failure> {
    let parts = given.as_array().into_iter().flatten();
    parts.map(|part| web_part(part, rng)).collect()
}

fn web_part(part: &Value, rng: &mut Rng) -> Result<Value, Failure> {
    let kind = part["@odata.type"].as_str().unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let id = rng.guid();
    match (kind, part["innerHtml"].as_str()) {
        ("textWebPart", Some(html)) => {
            Ok(json!({"@odata.type": "#microsoft.graph.textWebPart", "id": id, "innerHtml": html}))
        }
        ("textWebPart", None) => Err(bad("a text has no innerHtml.")),
        ("standardWebPart", _) => {
            let of = part["webPartType"]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if !STANDARD.contains(&of.as_str()) {
                return Err(bad(&format!("the web part {of} is not supported.")));
            }
            if !part["data"].is_object() {
                return Err(bad("a web part has no data."));
            }
            Ok(json!({
                "@odata.type": "#microsoft.graph.standardWebPart", "id": id, "webPartType": of,
                "data": part["data"],
            }))
        }
        _ => Err(bad("a web part has no known @odata.type.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> Value {
        json!({"@odata.type": "#microsoft.graph.textWebPart", "innerHtml": html})
    }

    #[test]
    fn layouts_are_checked() {
        let mut page = Page::new("t");
        let mut rng = Rng::new(1, "page");
        let with = |layout: &str, columns: Value| json!({"title": "new", "canvasLayout": {"horizontalSections": [{"layout": layout, "columns": columns}]}});
        let two =
            json!([{"width": 6, "webparts": [text("<p>a</p>")]}, {"width": 6, "webparts": []}]);
        assert!(
            page.apply(&with("twoColumns", two.clone()), &mut rng)
                .is_ok()
        );
        assert_eq!(page.web_parts().len(), 1);
        for (layout, columns) in [
            ("oneColumn", two.clone()),
            ("sideways", two),
            ("oneColumn", json!([{"width": 11}])),
            (
                "oneColumn",
                json!([{"webparts": [{"@odata.type": "#microsoft.graph.standardWebPart", "webPartType": "11111111-2222-3333-4444-555555555555", "data": {}}]}]),
            ),
            ("oneColumn", json!([{"webparts": [{"innerHtml": "x"}]}])),
        ] {
            let mut body = with(layout, columns);
            body["title"] = "refused".into();
            assert!(page.apply(&body, &mut rng).is_err(), "{body}");
            assert_eq!((page.title.as_str(), page.web_parts().len()), ("new", 1));
        }
        assert!(page.canvas_content().contains("&lt;p&gt;a"));
    }
}
