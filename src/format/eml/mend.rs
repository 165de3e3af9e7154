//! What a mail needs before the parser may have it.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::{MessageParser, MimeHeaders};

use super::read::guarded;
use crate::format::western;

/// Messages in messages that the parser gets. It keeps each inside the one around it, and leaving them
/// takes stack for each.
const MAX_NESTED: usize = 1_000;

/// Bytes that the parser may look at in vain: for each multipart it looks through all that follows.
const MAX_STEPS: usize = 1 << 35;

/// Each message below one that was encoded is copied, which takes more stack than leaving it does.
const COPIED: usize = 4;

/// In how many layers of encoding the parser looks for messages.
const LAYERS: usize = 3;

/// A mail of old Macs, whose lines end with CR alone, with LF instead: the parser takes it for one line.
pub(super) fn with_line_feeds(mime: &[u8]) -> Cow<'_, [u8]> {
    let first = memchr::memchr2(b'\r', b'\n', mime).unwrap_or(mime.len());
    match mime.get(first..) {
        Some([b'\r', next, ..]) if !matches!(next, b'\r' | b'\n') => {}
        _ => return mime.into(),
    }
    let mut lines = mime.to_vec();
    for at in memchr::memchr_iter(b'\r', mime) {
        if mime.get(at + 1) != Some(&b'\n') {
            lines[at] = b'\n';
        }
    }
    lines.into()
}

/// An mbox file's separator, which isn't part of the mail.
pub(super) fn without_mbox_line(mime: &[u8]) -> &[u8] {
    if mime.starts_with(b"From ") || mime.starts_with(b">From ") {
        let end = memchr::memchr(b'\n', mime).map_or(mime.len(), |i| i + 1);
        &mime[end..]
    } else {
        mime
    }
}

/// A mail whose header has bytes that are not UTF-8, as RFC 5322 forbids and many programs did, with these
/// lines in UTF-8: in the charset of the text below if that is told, else what Windows wrote in western
/// Europe.
pub(super) fn with_readable_header(mime: &[u8]) -> Cow<'_, [u8]> {
    let blank = |line: &&[u8]| line.trim_ascii_end().is_empty();
    let lines = || mime.split_inclusive(|b| *b == b'\n');
    let end = lines().take_while(|line| !blank(line)).map(<[u8]>::len);
    let (header, body) = mime.split_at(end.sum());
    if std::str::from_utf8(header).is_ok() {
        return mime.into();
    }
    let told = guarded(|| MessageParser::default().parse_headers(header));
    let told = told.as_ref().and_then(|mail| mail.content_type());
    let told = told.and_then(|kind| charset_decoder(kind.attribute("charset")?.as_bytes()));
    // Not one that would take the names of fields for something else.
    let told = told.filter(|decode| decode(b"Subject: a\r\n") == "Subject: a\r\n");
    let mut mended = Vec::with_capacity(mime.len() + header.len());
    for line in header.split_inclusive(|b| *b == b'\n') {
        match (std::str::from_utf8(line), told) {
            (Ok(_), _) => mended.extend_from_slice(line),
            (Err(_), Some(decode)) => mended.extend_from_slice(decode(line).as_bytes()),
            (Err(_), None) => mended.extend_from_slice(western(line).as_bytes()),
        }
    }
    mended.extend_from_slice(body);
    mended.into()
}

/// Whether the parser can take it apart in the stack and the time that there is.
pub(super) fn is_divisible(mime: &[u8]) -> bool {
    let multiparts = slashes(mime).filter(|at| ends_with(&mime[..*at], b"multipart"));
    multiparts.count().saturating_mul(mime.len()) <= MAX_STEPS && nested(mime, LAYERS) <= MAX_NESTED
}

/// The messages in a mail, or more: every place that makes one of what follows (RFC 2046 sections 5.1.5
/// and 5.2.1, RFC 6532 section 3.7), also where an encoding hides it.
fn nested(mime: &[u8], layers: usize) -> usize {
    let count = slashes(mime).filter(|at| is_message(mime, *at)).count();
    if count == 0 || count > MAX_NESTED || layers == 0 {
        return count;
    }
    // What is in a digest is a message without saying so.
    let digest = slashes(mime).any(|at| begins_with(&mime[at + 1..], b"digest"));
    let (mut hidden, mut quoted, mut rest) = (0, false, mime);
    while let Some(end) = blank_line(rest) {
        let (header, body) = rest.split_at(end);
        rest = body;
        if !digest && !slashes(header).any(|at| is_message(header, at)) {
            continue;
        }
        if has_word(header, b"base64") {
            let decoded = base64_of(body);
            hidden += decoded.map_or(0, |mime| nested(&mime, layers - 1));
        }
        if has_word(header, b"quoted-printable") && !quoted {
            // All below it, which is more than what it is of.
            hidden += nested(&unescaped(body), layers - 1);
            quoted = true;
        }
    }
    count + COPIED * hidden
}

/// Whether a type that ends here goes on as one of a message, or of messages.
fn is_message(mime: &[u8], at: usize) -> bool {
    let before = |word: &[u8]| ends_with(&mime[..at], word);
    let kinds: [&[u8]; 3] = [b"rfc822", b"global", b"digest"];
    kinds.iter().any(|kind| begins_with(&mime[at + 1..], kind))
        && (mime[at] == b')' || before(b"message") || before(b"multipart") || before(b")"))
}

/// What is in base64 up to a boundary, if it is that.
fn base64_of(mime: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memmem::find(mime, b"--").unwrap_or(mime.len());
    if memchr::memchr(b':', &mime[..end]).is_some() {
        return None;
    }
    // The parser skips a single `-`.
    let letters: Vec<u8> = mime[..end].iter().copied().filter(|b| *b != b'-').collect();
    base64_decode(&letters)
}

/// Where a type may end and its subtype begin: there may be a comment in between.
fn slashes(mime: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr2_iter(b'/', b')', mime)
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let start = text.len().saturating_sub(word.len());
    text[start..].eq_ignore_ascii_case(word)
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.get(..word.len())
        .is_some_and(|found| found.eq_ignore_ascii_case(word))
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    let mut found = text.windows(word.len());
    found.any(|found| found.eq_ignore_ascii_case(word))
}

/// Where the line after the first blank one begins.
fn blank_line(mime: &[u8]) -> Option<usize> {
    let mut ends = memchr::memchr_iter(b'\n', mime);
    ends.find_map(|at| {
        let more = &mime[at + 1..];
        let white = more.iter().take_while(|b| b" \t\r\x0c".contains(b)).count();
        (more.get(white) == Some(&b'\n')).then_some(at + white + 2)
    })
}

/// All of a mail without quoted-printable, even where it is not in it.
fn unescaped(mime: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mime.len());
    let hex = |b: u8| char::from(b).to_digit(16);
    let mut rest = mime;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        // The parser skips white space here.
        let white = after.iter().take_while(|b| b" \t\r".contains(b)).count();
        match &after[white..] {
            [b'\n', after @ ..] => rest = after,
            [high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    // Both have four bits.
                    out.push((high << 4 | low) as u8);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::to_graph;
    use super::*;

    #[test]
    fn a_header_in_eight_bits_is_read() {
        let read = to_graph(b"Subject: Gr\xfc\xdfe\r\nFrom: \"J\xf6rg\" <j@x.test>\r\n\r\nx");
        assert_eq!(read.json["subject"], "Grüße");
        assert_eq!(read.json["from"]["emailAddress"]["name"], "Jörg");
        let headers = read.json["singleValueExtendedProperties"].to_string();
        assert!(headers.contains("Subject: Grüße"));
        let read = to_graph(
            b"Subject: \xf0\xd2\xc9\xd7\xc5\xd4\nX-Name: \xc3\xbc\nContent-Type: text/plain; charset=koi8-r\n\n\xf0\xd2",
        );
        assert_eq!(read.json["subject"], "Привет");
        assert_eq!(read.json["body"]["content"], "Пр");
        let untouched = "Subject: ü\r\n\r\n\u{fc}".as_bytes();
        assert!(matches!(with_readable_header(untouched), Cow::Borrowed(_)));
        assert!(matches!(
            with_readable_header(b"Subject: x\n\n\xfc"),
            Cow::Borrowed(_)
        ));
    }

    fn nest(levels: usize) -> String {
        "Content-Type: message/rfc822\n\n".repeat(levels) + "Subject: in\n\nx"
    }

    fn is_whole(mime: &[u8]) -> bool {
        to_graph(mime).attachments[0].name != "original.eml"
    }

    /// In a quarter of the stack that a thread of the program has: others are on it, too.
    #[test]
    fn messages_in_messages_fit_into_the_stack() {
        let all = || {
            assert!(is_whole(nest(MAX_NESTED).as_bytes()));
            let header = "Subject: out\n";
            let read = to_graph(format!("{header}{}", nest(200_000)).as_bytes());
            assert_eq!(read.json["subject"], "out");
            assert_eq!(read.attachments[0].name, "original.eml");
            let digests = "Content-Type: multipart/digest; boundary=b\n\n--b\n\n".repeat(100_000);
            assert!(!is_whole(digests.as_bytes()));
            let comments = "Content-Type: Message(a)/ (b)RFC822\n\n".repeat(100_000);
            assert!(!is_whole(comments.as_bytes()));
            // Hidden by an encoding, or by several.
            let hide = |mime: &[u8], encoding: &str, text: &str| {
                format!(
                    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\
                     Content-Transfer-Encoding: {encoding}\n\n{text}\n--b--\n{}",
                    if mime.is_empty() { "" } else { "\n" }
                )
            };
            let base64 = |mime: &str| hide(mime.as_bytes(), "base64", &STANDARD.encode(mime));
            let quoted = |mime: &str| {
                let text = mime.replace('=', "=3D").replace("822", "8= \r\n22");
                hide(mime.as_bytes(), "Quoted-Printable", &text)
            };
            let deep = nest(200_000);
            for hidden in [
                base64(&deep),
                quoted(&deep),
                base64(&base64(&deep)),
                quoted(&base64(&deep)),
                base64(&quoted(&deep)),
            ] {
                assert!(!is_whole(hidden.as_bytes()), "{}", &hidden[..200]);
            }
            assert!(is_whole(base64(&nest(MAX_NESTED / COPIED - 1)).as_bytes()));
            // In a digest, which says of none that it is one.
            let digest = "Content-Type: multipart/digest; boundary=b\n\n--b\n\
                          Content-Transfer-Encoding: base64\n\n";
            let digest = format!("{digest}{}\n--b--\n", STANDARD.encode(&deep));
            assert!(!is_whole(digest.as_bytes()));
            assert!(is_whole(base64(&quoted(&nest(3))).as_bytes()));
        };
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        thread.spawn(all).unwrap().join().unwrap();
    }

    #[test]
    fn many_multiparts_without_parts_take_no_long_time() {
        let part = "--b\nContent-Type: multipart/mixed; boundary=never\n\n";
        let head = "Content-Type: multipart/mixed; boundary=b\n\n";
        let mail = |parts: usize| format!("{head}{}--b--\n", part.repeat(parts));
        assert!(is_divisible(mail(1_000).as_bytes()));
        assert!(!is_divisible(mail(40_000).as_bytes()));
    }
}
