//! From the record of a page to the request that makes it again. Pure.
//!
//! Graph refuses a whole page for one web part, layout or word that it does not know. So everything that it
//! may not know is replaced here by what it does, and named.

use serde_json::{Map, Value, json};

/// The web parts that Graph makes besides texts.
const STANDARD: [&str; 14] = [
    "e377ea37-9047-43b9-8cdb-a761be2f8e09", // Bing Maps
    "0f087d7f-520e-42b7-89c0-496aaf979d58", // Button
    "df8e44e7-edd5-46d5-90da-aca1539313b8", // Call To Action
    "2161a1c6-db61-4731-b97c-3cdb303f7cbb", // Divider
    "b7dd04e1-19ce-4b24-9132-b60a1c2b910d", // Document Embed
    "d1d91016-032f-456d-98a4-721247c305e8", // Image
    "af8be689-990e-492a-81f7-ba3e4cd3ed9c", // Image Gallery
    "6410b3b6-d440-4663-8744-378976dc041e", // Link Preview
    "e84a8ca2-f63c-4fb9-bc0b-d8eef5ccb22b", // Org Chart
    "7f718435-ee4d-431c-bdbf-9c4ff326f46e", // People
    "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd", // Quick Links
    "8654b779-4886-46d4-8ffb-b5ed960ee986", // Spacer
    "544dd15b-cf3c-441b-96da-004d5a8cea1d", // YouTube Embed
    "cbe7b0a9-3504-44dd-a3a3-0e5cacd07788", // Title Area
];

const TEXT: &str = "#microsoft.graph.textWebPart";
const OTHER: &str = "#microsoft.graph.standardWebPart";

/// What of a title area is sent.
const TITLE_AREA: [&str; 10] = [
    "alternativeText",
    "enableGradientEffect",
    "imageWebUrl",
    "layout",
    "serverProcessedContent",
    "showAuthor",
    "showPublishedDate",
    "showTextBlockAboveTitle",
    "textAboveTitle",
    "textAlignment",
];

/// A page ready to be made.
#[derive(Clone, Debug)]
pub struct Body {
    /// Without a name.
    pub json: Value,
    /// It was published.
    pub publish: bool,
    /// What it lacks.
    pub notes: Vec<String>,
}

/// The page of a record.
pub fn of_record(page: &Value) -> Body {
    let mut notes = Vec::new();
    let mut json = json!({ "@odata.type": "#microsoft.graph.sitePage" });
    for name in [
        "title",
        "description",
        "showComments",
        "showRecommendedPages",
        "thumbnailWebUrl",
    ] {
        if !page[name].is_null() {
            json[name] = page[name].clone();
        }
    }
    json["pageLayout"] = json!(word(&page["pageLayout"], &["article", "home"]));
    json["promotionKind"] = json!(word(&page["promotionKind"], &["page", "newsPost"]));
    if let Some(area) = page["titleArea"].as_object() {
        let sent = TITLE_AREA.iter().filter_map(|name| {
            let value = area.get(*name).filter(|value| !value.is_null())?;
            Some(((*name).to_owned(), value.clone()))
        });
        json["titleArea"] = Value::Object(sent.collect());
    }
    let canvas = &page["canvasLayout"];
    let sections = list(&canvas["horizontalSections"]);
    let sections: Vec<Value> = sections.iter().map(|s| section(s, &mut notes)).collect();
    json["canvasLayout"] = json!({ "horizontalSections": sections });
    let side = &canvas["verticalSection"];
    if side.is_object() {
        json["canvasLayout"]["verticalSection"] = json!({
            "emphasis": emphasis(side),
            "webparts": web_parts(list(&side["webparts"]), &mut notes),
        });
    }
    let publish = page["publishingState"]["level"] == "published";
    if !publish {
        notes.push("its last version was not published, so it is a draft".to_owned());
    }
    Body {
        json,
        publish,
        notes,
    }
}

/// A page that has one text.
pub fn of_text(title: &str, html: &str) -> Body {
    let part = json!({ "@odata.type": TEXT, "innerHtml": html });
    Body {
        json: json!({
            "@odata.type": "#microsoft.graph.sitePage",
            "title": title,
            "pageLayout": "article",
            "promotionKind": "page",
            "canvasLayout": { "horizontalSections": [{
                "id": "1", "layout": "oneColumn", "emphasis": "none",
                "columns": [{ "id": "1", "width": 12, "webparts": [part] }],
            }]},
        }),
        publish: true,
        notes: Vec::new(),
    }
}

/// Widths of a section's columns.
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

fn section(section: &Value, notes: &mut Vec<String>) -> Value {
    let layout = section["layout"].as_str().unwrap_or("oneColumn");
    let columns = list(&section["columns"]);
    let widths = widths(layout).filter(|widths| columns.len() <= widths.len());
    let (layout, columns) = match widths {
        Some(widths) => {
            let columns = columns.iter().zip(widths).map(|(column, width)| {
                json!({ "id": column["id"], "width": width,
                        "webparts": web_parts(list(&column["webparts"]), notes) })
            });
            (layout, columns.collect::<Vec<_>>())
        }
        None => {
            notes.push(format!(
                "Graph makes no section of the layout {layout}: it is one column"
            ));
            let parts: Vec<Value> = columns
                .iter()
                .flat_map(|column| web_parts(list(&column["webparts"]), notes))
                .collect();
            let column = json!({ "id": "1", "width": 12, "webparts": parts });
            ("oneColumn", vec![column])
        }
    };
    json!({ "id": section["id"], "layout": layout, "emphasis": emphasis(section), "columns": columns })
}

fn emphasis(section: &Value) -> &str {
    word(&section["emphasis"], &["none", "neutral", "soft", "strong"])
}

/// A word of these; the first of them for any other.
fn word<'a>(value: &'a Value, known: &[&'a str]) -> &'a str {
    let word = value.as_str().filter(|word| known.contains(word));
    word.or(known.first().copied()).unwrap_or_default()
}

fn web_parts(parts: &[Value], notes: &mut Vec<String>) -> Vec<Value> {
    parts.iter().map(|part| web_part(part, notes)).collect()
}

fn web_part(part: &Value, notes: &mut Vec<String>) -> Value {
    let mut made = Map::new();
    if part["id"].is_string() {
        made.insert("id".into(), part["id"].clone());
    }
    if let Some(html) = part["innerHtml"].as_str() {
        made.insert("@odata.type".into(), json!(TEXT));
        made.insert("innerHtml".into(), json!(html));
        return Value::Object(made);
    }
    let kind = part["webPartType"].as_str().unwrap_or_default();
    let standard = STANDARD.contains(&kind.to_ascii_lowercase().as_str());
    if standard && part["data"].is_object() {
        made.insert("@odata.type".into(), json!(OTHER));
        for name in ["webPartType", "data", "containerTextWebPartId"] {
            if !part[name].is_null() {
                made.insert(name.into(), part[name].clone());
            }
        }
        return Value::Object(made);
    }
    let name = part["data"]["title"]
        .as_str()
        .filter(|name| !name.is_empty());
    let name = name.unwrap_or("without a name");
    notes.push(format!(
        "Graph makes no web part of the kind {name} ({kind}): a text with its JSON stands in its place"
    ));
    made.insert("@odata.type".into(), json!(TEXT));
    made.insert("innerHtml".into(), json!(placeholder(name, part)));
    Value::Object(made)
}

/// What stands for a web part that can't be made: whoever makes it by hand needs what it was.
fn placeholder(name: &str, part: &Value) -> String {
    // A JSON value always serializes.
    let json = serde_json::to_string_pretty(part).unwrap_or_default();
    format!(
        "<p><strong>{}</strong>: this web part could not be restored. It was:</p><pre>{}</pre>",
        escape(name),
        escape(&json)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "D1D91016-032F-456D-98A4-721247C305E8";

    fn page(layout: &str, columns: Value) -> Value {
        json!({ "title": "T", "canvasLayout": { "horizontalSections": [
            { "id": "1", "layout": layout, "emphasis": "glowing", "columns": columns }] } })
    }

    fn parts(body: &Body) -> &Value {
        &body.json["canvasLayout"]["horizontalSections"][0]["columns"][0]["webparts"]
    }

    #[test]
    fn a_page_is_sent_without_what_is_read_only() {
        let mut record = page(
            "twoColumns",
            json!([
                { "id": "1", "width": 6, "webparts": [{ "@odata.type": "#microsoft.graph.textWebPart", "id": "a", "innerHtml": "<p>x</p>" }] },
                { "id": "2", "width": 6, "webparts": [{ "id": "b", "webPartType": IMAGE, "data": { "title": "Image" }, "containerTextWebPartId": "a" }] },
            ]),
        );
        for (name, value) in [
            ("id", json!("g")),
            ("eTag", json!("e")),
            ("createdBy", json!({})),
            ("reactions", json!({ "likeCount": 5 })),
            ("publishingState", json!({ "level": "published" })),
            ("pageLayout", json!("home")),
            ("promotionKind", json!("newsPost")),
            ("showComments", json!(false)),
            ("description", Value::Null),
            (
                "titleArea",
                json!({ "layout": "plain", "textAboveTitle": "NEWS", "imageWebUrl": null, "@odata.type": "x" }),
            ),
        ] {
            record[name] = value;
        }
        let body = of_record(&record);
        assert!(body.publish && body.notes.is_empty(), "{:?}", body.notes);
        assert_eq!(
            body.json,
            json!({
                "@odata.type": "#microsoft.graph.sitePage", "title": "T", "pageLayout": "home",
                "promotionKind": "newsPost", "showComments": false,
                "titleArea": { "layout": "plain", "textAboveTitle": "NEWS" },
                "canvasLayout": { "horizontalSections": [{ "id": "1", "layout": "twoColumns", "emphasis": "none", "columns": [
                    { "id": "1", "width": 6, "webparts": [{ "@odata.type": TEXT, "id": "a", "innerHtml": "<p>x</p>" }] },
                    { "id": "2", "width": 6, "webparts": [{ "@odata.type": OTHER, "id": "b", "webPartType": IMAGE, "data": { "title": "Image" }, "containerTextWebPartId": "a" }] },
                ]}]},
            })
        );
    }

    #[test]
    fn a_web_part_that_graph_does_not_make_is_kept_as_text() {
        let part = json!({ "id": "c", "webPartType": "7a3f", "data": { "title": "Org <clock>", "properties": { "a": "x & <y>" } } });
        let record = page("oneColumn", json!([{ "webparts": [part] }]));
        let body = of_record(&record);
        assert!(
            body.notes[0].contains("Org <clock> (7a3f)"),
            "{:?}",
            body.notes
        );
        let html = parts(&body)[0]["innerHtml"].as_str().unwrap();
        assert!(html.starts_with("<p><strong>Org &lt;clock&gt;</strong>"));
        let json = html
            .split("<pre>")
            .nth(1)
            .unwrap()
            .trim_end_matches("</pre>");
        let json = json
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), part);
        // One without data would be refused, too.
        let bare = of_record(&page(
            "oneColumn",
            json!([{ "webparts": [{ "webPartType": IMAGE }] }]),
        ));
        assert!(parts(&bare)[0]["innerHtml"].is_string() && bare.notes.len() == 2);
    }

    #[test]
    fn sections_that_graph_does_not_make_become_one_column() {
        let text = |id: &str| json!({ "webparts": [{ "id": id, "innerHtml": "<p>x</p>" }] });
        for layout in ["flexible", "oneColumn"] {
            let body = of_record(&page(layout, json!([text("a"), text("b")])));
            let section = &body.json["canvasLayout"]["horizontalSections"][0];
            assert_eq!(
                (&section["layout"], &section["columns"][0]["width"]),
                (&json!("oneColumn"), &json!(12))
            );
            assert_eq!(parts(&body)[1]["id"], "b");
            assert!(body.notes.iter().any(|note| note.contains(layout)));
        }
        // Widths are those of the layout, whatever was told.
        let body = of_record(&page("oneThirdLeftColumn", json!([text("a"), text("b")])));
        let columns = &body.json["canvasLayout"]["horizontalSections"][0]["columns"];
        assert_eq!(
            (&columns[0]["width"], &columns[1]["width"]),
            (&json!(4), &json!(8))
        );
    }

    #[test]
    fn any_json_makes_a_body() {
        for odd in [
            json!(null),
            json!([]),
            json!({ "canvasLayout": 7, "titleArea": [] }),
        ] {
            let body = of_record(&odd);
            assert_eq!(
                body.json["canvasLayout"],
                json!({ "horizontalSections": [] })
            );
            assert!(!body.publish);
        }
    }
}
