//! The parts of a mail: what to show, and what is attached.

use std::borrow::Cow;
use std::collections::HashSet;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::text_to_html;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};
use percent_encoding::percent_decode_str;

use super::read::clean;
use super::{Attachment, Body};
use crate::format::western;

/// Characters of a content id, as a text refers to it.
const MAX_ID: usize = 1_000;

/// What to show of a mail.
pub(super) struct Text {
    pub html: bool,
    pub content: String,
}

/// The body to show, and everything else.
pub(super) fn content(message: &Message) -> (Text, Vec<Attachment>) {
    let part = |&id: &u32| message.parts.get(id as usize);
    let is_html = |part: &MessagePart| matches!(part.body, PartType::Html(_));
    let html = message.html_body.iter().filter_map(part).any(is_html);
    let shown = if html {
        &message.html_body
    } else {
        &message.text_body
    };
    let mut text = String::new();
    for part in shown.iter().filter_map(part) {
        match &part.body {
            PartType::Html(content) => text.push_str(&readable(message, part, content)),
            PartType::Text(content) if html => {
                text.push_str(&text_to_html(&readable(message, part, content)));
            }
            PartType::Text(content) => text.push_str(&readable(message, part, content)),
            _ => {}
        }
    }
    // Exchange refuses NUL; nothing shows it.
    text.retain(|c| c != '\0');

    let body_text = |id: u32, part: &MessagePart| {
        matches!(part.body, PartType::Text(_) | PartType::Html(_))
            && (message.text_body.contains(&id) || message.html_body.contains(&id))
    };
    let parts: Vec<&MessagePart> = (0u32..)
        .zip(&message.parts)
        .filter(|(id, part)| !body_text(*id, part))
        .map(|(_, part)| part)
        .collect();
    let shown = shown_within(&text, &parts);
    let mut attachments: Vec<Attachment> = parts
        .into_iter()
        .filter_map(|part| attachment(message, part, &shown))
        .collect();
    // An empty part without a name is what a broken or cut off multipart leaves.
    attachments.retain(|a| !a.name.is_empty() || !a.bytes().is_empty());
    for (n, attachment) in attachments.iter_mut().enumerate() {
        if attachment.name.is_empty() {
            attachment.name = name_of(n + 1, attachment.content_type.as_deref());
        }
    }
    (
        Text {
            html,
            content: text,
        },
        attachments,
    )
}

/// What Exchange calls an attachment that has no name.
fn name_of(number: usize, content_type: Option<&str>) -> String {
    let extension = match content_type.map(str::to_ascii_lowercase).as_deref() {
        Some("text/plain") => ".txt",
        Some("text/html") => ".htm",
        Some("text/calendar") => ".ics",
        _ => "",
    };
    format!("ATT{number:05}{extension}")
}

/// A part as an attachment; its name may be empty.
fn attachment(
    message: &Message,
    part: &MessagePart,
    shown: &HashSet<String>,
) -> Option<Attachment> {
    let body = match &part.body {
        PartType::Multipart(parts) if parts.is_empty() => Body::File(undivided(message, part)?),
        PartType::Multipart(_) => return None,
        PartType::Message(inner) => Body::Message(inner.raw_message().to_vec()),
        PartType::Text(_) | PartType::Html(_) => Body::File(own_bytes(message, part)),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
            Body::File(uudecoded(part, bytes).unwrap_or_else(|| bytes.to_vec()))
        }
    };
    let content_type = part.content_type().map(|t| {
        let kind = t.ctype();
        match t.subtype() {
            // One that has no parts is text to everyone.
            _ if kind.eq_ignore_ascii_case("multipart") => "text/plain".to_owned(),
            Some(sub) => format!("{kind}/{sub}"),
            None => kind.to_owned(),
        }
    });
    let name = part.attachment_name().map(clean).filter(|n| !n.is_empty());
    let name = name.unwrap_or_else(|| match &part.body {
        PartType::Message(inner) => inner
            .subject()
            .map(clean)
            .filter(|s| !s.is_empty())
            .unwrap_or_else(|| "message".into()),
        _ => String::new(),
    });
    let content_id = part.content_id().map(clean).filter(|id| !id.is_empty());
    // Not by its disposition: Apple's Mail marks files so that stand below the text, and Outlook hides what is
    // inline and not in the text. Nor by its location (RFC 2557), which Graph does not take.
    let inline = content_id.as_ref().is_some_and(|id| shown.contains(id));
    Some(Attachment {
        name,
        content_type,
        content_id,
        inline,
        body,
    })
}

/// Which of these parts a text shows within it (`cid:` URLs, RFC 2392): their content ids. The text is gone through
/// once, however many parts there are.
fn shown_within(text: &str, parts: &[&MessagePart]) -> HashSet<String> {
    let ids = parts.iter().filter_map(|part| part.content_id());
    let ids: HashSet<String> = ids.map(clean).filter(|id| !id.is_empty()).collect();
    let mut found = HashSet::new();
    for at in memchr::memchr_iter(b':', text.as_bytes()) {
        let scheme = at.checked_sub(3).and_then(|start| text.get(start..at));
        if ids.is_empty() || !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid")) {
            continue;
        }
        let ends = |c: &char| c.is_whitespace() || "\"'<>".contains(*c);
        let rest = text[at + 1..].chars().take(MAX_ID);
        let id: String = rest.take_while(|c| !ends(c)).collect();
        let id = id.replace("&amp;", "&");
        let decoded = percent_decode_str(&id).decode_utf8_lossy();
        // `url(cid:x)`, `[cid:x]`.
        let cut = |id: &str| {
            let end = id.find([')', ']', '&', ',', ';']);
            id[..end.unwrap_or(id.len())].to_owned()
        };
        let forms = [cut(&id), cut(&decoded), decoded.into_owned(), id];
        found.extend(forms.into_iter().filter(|form| ids.contains(form)));
    }
    found
}

/// The text of a part that is shown. The parser takes text of no known charset for UTF-8; where it is none,
/// it is taken for what Windows wrote in western Europe.
fn readable<'m>(message: &Message, part: &MessagePart, content: &'m str) -> Cow<'m, str> {
    let encoded = is_uuencoded(part);
    if !encoded && !content.contains(char::REPLACEMENT_CHARACTER) {
        return content.into();
    }
    let charset = part.content_type().and_then(|t| t.attribute("charset"));
    let decode = charset.and_then(|charset| charset_decoder(charset.as_bytes()));
    let is_utf8 = charset.is_some_and(|charset| {
        let charset = charset.to_ascii_lowercase();
        ["utf-8", "utf8"].contains(&charset.as_str())
    });
    let bytes = own_bytes(message, part);
    match decode {
        Some(decode) if encoded => decode(&bytes).into(),
        Some(_) => content.into(),
        None if is_utf8 || std::str::from_utf8(&bytes).is_ok() => {
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        None => western(&bytes).into_owned().into(),
    }
}

/// What stands in a multipart that has no parts, because its boundary is another than it says: all that
/// there is of its content. `None`: nothing but boundaries.
fn undivided(message: &Message, part: &MessagePart) -> Option<Vec<u8>> {
    let bytes = own_bytes(message, part);
    let mut lines = bytes.split(|b| *b == b'\n');
    let says = |line: &[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"--");
    lines.any(says).then_some(bytes)
}

/// The bytes of a text part in its own charset: the parser gives text in UTF-8 only.
fn own_bytes(message: &Message, part: &MessagePart) -> Vec<u8> {
    let range = part.offset_body as usize..part.offset_end as usize;
    let raw = message.raw_message.get(range).unwrap_or_default();
    // What does not end with its boundary, as in a mail that was cut off, the parser leaves encoded.
    let told = part
        .content_transfer_encoding()
        .filter(|_| part.is_encoding_problem);
    let encoding = match told {
        Some(told) if told.eq_ignore_ascii_case("base64") => Encoding::Base64,
        Some(told) if told.eq_ignore_ascii_case("quoted-printable") => Encoding::QuotedPrintable,
        _ => part.encoding,
    };
    if let Some(decoded) = uudecoded(part, raw) {
        return decoded;
    }
    match encoding {
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::None => Some(raw.to_vec()),
    }
    .unwrap_or_else(|| part.contents().to_vec())
}

fn is_uuencoded(part: &MessagePart) -> bool {
    let names = ["x-uuencode", "uuencode", "x-uue", "uue"];
    let told = part.content_transfer_encoding().map(str::trim);
    told.is_some_and(|told| names.iter().any(|name| told.eq_ignore_ascii_case(name)))
}

/// What stands between `begin` and `end` (POSIX, uuencode), which is no encoding of MIME, but mails have it. `None`:
/// it is not so encoded, or not as it should be.
fn uudecoded(part: &MessagePart, bytes: &[u8]) -> Option<Vec<u8>> {
    if !is_uuencoded(part) {
        return None;
    }
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| line.starts_with(b"begin "))?;
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    // A space at the end of a line is a zero, and may be lost.
    let value = |byte: Option<&u8>| match byte.unwrap_or(&b' ') {
        byte @ b' '..=b'`' => Some((byte - b' ') & 63),
        _ => None,
    };
    for line in lines {
        if line == b"end" {
            return Some(out);
        }
        let Some((length, line)) = line.split_first() else {
            continue;
        };
        let length = usize::from(value(Some(length))?);
        let until = out.len() + length;
        for at in (0..length.div_ceil(3) * 4).step_by(4) {
            let [a, b, c, d] = [0, 1, 2, 3].map(|n| value(line.get(at + n)));
            let (a, b, c, d) = (a?, b?, c?, d?);
            out.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        }
        out.truncate(until);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Attachment, to_graph};
    use crate::format::corpus;

    fn body(mime: &[u8]) -> Value {
        to_graph(mime).json["body"]["content"].clone()
    }

    #[test]
    fn text_of_no_known_charset_is_western() {
        let mail = |kind: &str, text: &[u8]| {
            let mut mime = format!("Subject: x\r\nContent-Type: {kind}\r\n\r\n").into_bytes();
            mime.extend_from_slice(text);
            body(&mime)
        };
        for kind in ["text/plain", "text/plain; charset=x-unknown", "text/html"] {
            assert_eq!(mail(kind, b"Gr\xfc\xdfe \x80"), "Grüße €");
            assert_eq!(mail(kind, "Grüße".as_bytes()), "Grüße");
        }
        assert_eq!(body(b"Subject: x\r\n\r\nGr\xfc\xdfe"), "Grüße");
        // Its own bytes count, not the encoded ones.
        let encoded = b"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain\r\n\r\nGr=FC=DFe";
        assert_eq!(body(encoded), "Grüße");
        // What it says of itself is believed.
        assert_eq!(
            mail("text/plain; charset=utf-8", b"\xc3\xbc\xff"),
            "ü\u{fffd}"
        );
        let cyrillic = mail("text/plain; charset=koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4");
        assert_eq!(cyrillic, "Привет");
        let japanese = mail("text/plain; charset=iso-2022-jp", b"\x1b$B%O\x1b(B");
        assert_eq!(japanese, "ハ");
    }

    fn attached(html: &str, parts: &[&str]) -> Vec<Attachment> {
        let mut mime = format!(
            "Subject: x\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/html\r\n\r\n{html}\r\n"
        );
        for id in parts {
            mime += &format!(
                "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-ID: <{id}>\r\n\
                 Content-Disposition: inline; filename=a.pdf\r\n\r\nx\r\n"
            );
        }
        to_graph(format!("{mime}--b--\r\n").as_bytes()).attachments
    }

    #[test]
    fn only_what_the_text_shows_is_inline() {
        let read = attached("<p>See the file</p>", &["a@x"]);
        assert_eq!(read[0].content_id.as_deref(), Some("a@x"));
        assert!(!read[0].inline);
        for html in [
            "<img src=\"cid:a@x\">",
            "<img src=CID:a@x>",
            "<img src='cid:a%40x'>",
            "<td style=\"background:url(cid:a@x)\">",
            "<td style=\"background:url(&quot;cid:a@x&quot;)\">",
        ] {
            let read = attached(html, &["a@x", "a", "a@xy"]);
            let inline: Vec<bool> = read.iter().map(|a| a.inline).collect();
            assert_eq!(inline, [true, false, false], "{html}");
        }
        assert!(attached("<img src=\"cid:a&amp;(b)\">", &["a&(b)"])[0].inline);
        // Long and without end.
        let read = attached(&"cid:".repeat(100_000), &["a@x"]);
        assert!(!read[0].inline);
    }

    #[test]
    fn uuencoded_parts_are_decoded() {
        // With a zero at the end, whose spaces are lost.
        let encoded = "Some words\r\nbegin 644 a.txt\r\n+9W+#ML.?92!U=0\r\n`\r\nend\r\n";
        let decoded = "größe uu\0".as_bytes();
        let mail = |encoding: &str, encoded: &str| {
            let mime = format!(
                "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                 Content-Type: application/msword; name=a.doc\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\r\n{encoded}\r\n--b--\r\n"
            );
            to_graph(mime.as_bytes()).attachments[0].bytes().to_vec()
        };
        for encoding in ["x-uuencode", "UUencode", "x-uue"] {
            assert_eq!(mail(encoding, encoded), decoded);
        }
        for broken in [
            "begin 644 a\r\n*9W(]",
            "nothing",
            "begin 644 a\r\n~~~\r\nend",
        ] {
            assert_eq!(mail("x-uuencode", broken), broken.as_bytes());
        }
        let text = "Content-Transfer-Encoding: x-uuencode\r\nContent-Type: text/plain\r\n\r\nbegin 644 a\r\n#86)C\r\n`\r\nend\r\n";
        assert_eq!(body(text.as_bytes()), "abc");
        let name = "content_transfer_encoding_x_uuencode.eml";
        for (_, mime) in corpus::mails().filter(|(path, _)| path.ends_with(name)) {
            let read = to_graph(&mime);
            let [.., file] = read.attachments.as_slice() else {
                panic!("{read:?}")
            };
            // It is there, but empty.
            assert!(file.name.contains("Cmts_on_12-14-01"), "{}", file.name);
        }
    }
}
