use bytes::Bytes;
use serde_json::json;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";
const HARBOUR: &str = "https://c.sharepoint.com/sites/f/SiteAssets/harbour.jpg";

fn with(parts: Value) -> Value {
    json!({
        "title": "News & more", "webUrl": "https://c.sharepoint.com/sites/f/SitePages/News.aspx",
        "lastModifiedDateTime": "2026-03-01T09:00:00Z",
        "lastModifiedBy": { "user": { "displayName": "Ada <Lovelace>" } },
        "canvasLayout": { "horizontalSections": [{
            "layout": "oneColumn", "emphasis": "soft", "columns": [{ "width": 12, "webparts": parts }],
        }]},
    })
}

fn text_part(html: &str) -> Value {
    json!({ "@odata.type": "#microsoft.graph.textWebPart", "innerHtml": html })
}

fn image() -> Value {
    json!({ "webPartType": "d1d91016-032f-456d-98a4-721247c305e8", "data": {
        "properties": { "altText": "The \"harbour\"" },
        "serverProcessedContent": {
            "searchablePlainTexts": [{ "key": "captionText", "value": "In <May>" }],
            "imageSources": [{ "key": "imageSource", "value": "/sites/f/SiteAssets/harbour.jpg" }],
        },
    }})
}

fn pictures() -> Pictures {
    let picture = Picture::of(Bytes::from_static(PNG)).unwrap();
    Pictures::from([(HARBOUR.to_owned(), picture)])
}

fn rendered(parts: Value) -> String {
    page(&with(parts), &Pictures::new()).html
}

#[test]
fn a_page_has_its_title_text_and_author() {
    let html = rendered(json!([text_part("<h2>Hello</h2><p>World &amp; all</p>")]));
    assert!(html.contains("<title>News &amp; more</title>"));
    assert!(html.contains("<h1>News &amp; more</h1>"));
    assert!(html.contains("<h2>Hello</h2><p>World &amp; all</p>"));
    assert!(html.contains("Ada &lt;Lovelace&gt;, 2026-03-01"));
    assert!(html.contains("class=\"soft\""));
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("href=\"https://c.sharepoint.com/sites/f/SitePages/News.aspx\""));
}

#[test]
fn nothing_that_acts_comes_through() {
    let attacks = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
        "<iframe src=\"https://evil.example\"></iframe>",
        "<style>body{background:url(https://evil.example)}</style>",
        "<p style=\"background:url(https://evil.example);position:fixed\">x</p>",
        "<form action=\"https://evil.example\"><input name=p><button>x</button></form>",
        "<svg><script>alert(1)</script></svg>",
        "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
        "<base href=\"https://evil.example/\">",
        "</div></main><script>alert(1)</script>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<p title='<img src=x onerror=alert(1)>'>x</p>",
    ];
    for attack in attacks {
        let standard = json!({ "webPartType": "x", "data": {
        "title": attack, "serverProcessedContent": {
            "htmlStrings": [{ "key": "html", "value": attack }],
            "searchablePlainTexts": [{ "key": "items[0].title", "value": attack }],
            "links": [{ "key": "items[0].url", "value": attack }],
            "imageSources": [{ "key": "x", "value": attack }],
        }}});
        let mut page_of = with(json!([text_part(attack), standard, image()]));
        page_of["title"] = json!(attack);
        page_of["titleArea"] = json!({ "textAboveTitle": attack, "imageWebUrl": attack });
        let html = page(&page_of, &pictures()).html;
        let (_, body) = html.split_once("<body>").unwrap();
        // What is not text: the tags with their attributes.
        let tags: Vec<&str> = body.split('<').skip(1).collect();
        for tag in tags {
            let tag = tag.split('>').next().unwrap();
            let name = tag.split_whitespace().next().unwrap_or_default();
            for bad in [
                "script", "iframe", "style", "form", "input", "svg", "meta", "base",
            ] {
                assert!(!name.eq_ignore_ascii_case(bad), "{attack}: <{tag}>");
            }
            let bare: String = tag.split('"').step_by(2).collect();
            assert!(!bare.contains(" on"), "{attack}: <{tag}>");
            let values = tag.split('"').skip(1).step_by(2);
            for (name, value) in tag.split('"').step_by(2).zip(values) {
                assert!(!value.starts_with("javascript:"), "{attack}: <{tag}>");
                assert!(!value.starts_with("data:text"), "{attack}: <{tag}>");
                let acts = value.contains("url(") || value.contains("position");
                assert!(!(name.ends_with("style=") && acts), "{attack}: <{tag}>");
            }
        }
        assert!(body.matches("</main>").count() == 1, "{attack}");
    }
}

#[test]
fn pictures_are_embedded_or_named() {
    let of = with(json!([
        image(),
        text_part("<p>See <img src=\"../SiteAssets/harbour.jpg\" alt=\"the pier\"></p>"),
        text_part("<p><a href=\"/x\"><img src=\"https://cdn.example/y.png\" alt=\"\"></a></p>"),
    ]));
    let without = page(&of, &Pictures::new());
    assert_eq!(without.missing, [HARBOUR, "https://cdn.example/y.png"]);
    assert!(without.html.contains(&format!(
        "<a href=\"{HARBOUR}\" rel=\"noopener noreferrer\">[Image: the pier]</a>"
    )));
    assert!(
        without
            .html
            .contains("<figcaption>In &lt;May&gt;</figcaption>")
    );
    // No link in a link.
    assert!(without.html.contains(
        "href=\"https://c.sharepoint.com/x\" rel=\"noopener noreferrer\">[Image: y.png]</a>"
    ));
    assert!(!without.html.contains("<img"));
    let with = page(&of, &pictures());
    assert_eq!(with.missing, ["https://cdn.example/y.png"]);
    assert_eq!(
        with.html
            .matches("<img src=\"data:image/png;base64,iVBORw0KGgpyZXN0\"")
            .count(),
        2
    );
    assert!(with.html.contains("alt=\"The &quot;harbour&quot;\""));
}

#[test]
fn a_page_grows_only_so_far() {
    let big = Picture::of([PNG, &vec![0; MAX_PICTURE - PNG.len()]].concat().into()).unwrap();
    let pictures = Pictures::from([(HARBOUR.to_owned(), big)]);
    let parts: Vec<Value> = (0..20).map(|_| image()).collect();
    let html = page(&with(json!(parts)), &pictures).html;
    assert_eq!(html.matches("<img").count(), 2);
    assert!(html.len() < 17 << 20);
    assert!(Picture::of(vec![0; 10].into()).is_none());
    assert!(Picture::of([PNG, &vec![0; MAX_PICTURE]].concat().into()).is_none());
    assert!(Picture::of("<?xml version=\"1.0\"?><svg/>".into()).is_some());
}

#[test]
fn other_web_parts_show_what_is_known_of_them() {
    let links = json!({ "webPartType": "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd", "data": {
    "title": "Quick links", "serverProcessedContent": {
        "searchablePlainTexts": [
            { "key": "title", "value": "Where to go" },
            { "key": "items[10].title", "value": "Last" },
            { "key": "items[2].title", "value": "Assets" },
            { "key": "items[2].description", "value": "all of them" },
        ],
        "links": [
            { "key": "baseUrl", "value": "https://c.sharepoint.com/sites/f" },
            { "key": "items[2].sourceItem.url", "value": "/sites/f/Lists/Assets" },
            { "key": "items[10].sourceItem.url", "value": "mailto:a@b.c" },
        ],
    }}});
    let html = rendered(json!([links]));
    let assets = "<li><p><a href=\"https://c.sharepoint.com/sites/f/Lists/Assets\" rel=\"noopener noreferrer\">Assets</a></p><p>all of them</p></li>";
    let last = "<li><p><a href=\"mailto:a@b.c\" rel=\"noopener noreferrer\">Last</a></p></li>";
    assert!(
        html.contains(&format!(
            "<p class=\"label\">Where to go</p><ul>{assets}{last}</ul>"
        )),
        "{html}"
    );
    let bare = rendered(json!([{ "webPartType": "?" }, {}, null, 7]));
    assert_eq!(bare.matches("<p class=\"label\">Web part</p>").count(), 4);
}

#[test]
fn any_json_is_a_page() {
    for odd in [
        json!(null),
        json!([]),
        json!({ "canvasLayout": 5, "title": [] }),
    ] {
        let page = page(&odd, &Pictures::new());
        assert!(page.html.contains("<h1>Page</h1>") && page.missing.is_empty());
    }
    let side = json!({ "canvasLayout": { "verticalSection": { "webparts": [text_part("<p>aside</p>")] } } });
    let html = page(&side, &Pictures::new()).html;
    assert!(html.contains("<aside>\n<div class=\"text\"><p>aside</p></div>\n</aside>"));
}

#[test]
fn html_of_others_is_read() {
    let read = read(
        b"<html><head><title>A &amp; B\n c</title><script>x</script></head>\
          <body onload=x><h1>Hi</h1><p style='color:red;position:fixed'>t <img src='data:image/png;base64,xx' alt='y'>\
          <img src='https://a/b.png'></p></body></html>",
    );
    assert_eq!(read.title.as_deref(), Some("A & B c"));
    assert_eq!(
        read.body,
        "<h1>Hi</h1><p style=\"color:red\">t y<img src=\"https://a/b.png\" alt=\"\"></p>"
    );
    assert_eq!(super::read(b"plain").title, None);
    assert_eq!(super::read(b"<title>").title, None);
}

#[test]
fn html_of_others_is_in_some_encoding() {
    let body = |bytes: &[u8]| read(bytes).body;
    assert_eq!(body("<p>ü</p>".as_bytes()), "<p>ü</p>");
    assert_eq!(body(b"<p>\xfc \x80</p>"), "<p>ü €</p>");
    for meta in [
        "<meta charset=koi8-r>",
        "<META CHARSET = 'KOI8-R'/>",
        "<meta http-equiv=Content-Type content=\"text/html; charset=koi8-r\">",
    ] {
        let page = [meta.as_bytes(), b"<p>\xf0\xd2</p>"].concat();
        assert_eq!(body(&page), "<p>Пр</p>", "{meta}");
    }
    let wide: Vec<u8> = "\u{feff}<p>ü</p>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(body(&wide), "<p>ü</p>");
    assert_eq!(
        body("\u{feff}<meta charset=koi8-r><p>ü</p>".as_bytes()),
        "<p>ü</p>"
    );
    // It can't be, and nobody knows it.
    assert_eq!(body("<meta charset=utf-16><p>ü</p>".as_bytes()), "<p>ü</p>");
    assert_eq!(body("<meta charset=x-y><p>ü</p>".as_bytes()), "<p>ü</p>");
}
