//! Rich text bodies: decompression (MS-OXRTFCP), and getting the HTML or text back that Exchange
//! wrapped into RTF (MS-OXRTFEX).
//!
//! Output is bounded: compression can't make more than nine bytes of one, and neither unwrapping
//! makes more than four bytes of one.

use std::borrow::Cow;

use super::text;

/// What the 4096-byte dictionary begins with (MS-OXRTFCP 2.1.2.1).
const PRESET: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \
\\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\
\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const RING: usize = 4096;
const COMPRESSED: u32 = 0x7546_5A4C;
const STORED: u32 = 0x414C_454D;

/// Groups within groups.
const MAX_GROUPS: usize = 256;

/// The RTF of a compressed body; `None` when it is none.
pub fn decompress(data: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| {
        let bytes: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let raw_size = word(4)? as usize;
    let body = data.get(16..)?;
    match word(8)? {
        STORED => Some(body[..raw_size.min(body.len())].to_vec()),
        COMPRESSED => Some(expand(body, raw_size)),
        _ => None,
    }
}

fn expand(body: &[u8], raw_size: usize) -> Vec<u8> {
    let mut ring = [b' '; RING];
    ring[..PRESET.len()].copy_from_slice(PRESET);
    let mut write = PRESET.len();
    let mut out = Vec::new();
    let mut bytes = body.iter().copied();
    'all: while out.len() < raw_size {
        let Some(control) = bytes.next() else { break };
        for bit in 0..8 {
            if control >> bit & 1 == 0 {
                let Some(literal) = bytes.next() else {
                    break 'all;
                };
                out.push(literal);
                ring[write] = literal;
                write = (write + 1) % RING;
                continue;
            }
            let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else {
                break 'all;
            };
            let reference = usize::from(high) << 8 | usize::from(low);
            let (offset, length) = (reference >> 4, (reference & 15) + 2);
            if offset == write {
                break 'all;
            }
            for n in 0..length {
                let byte = ring[(offset + n) % RING];
                out.push(byte);
                ring[write] = byte;
                write = (write + 1) % RING;
            }
        }
    }
    out.truncate(raw_size);
    out
}

/// What was in the RTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwrapped {
    /// It was HTML when it was sent.
    Html(String),
    /// Plain text, or the text of real rich text.
    Text(String),
}

/// Takes out of RTF what Exchange put in, or the text of it.
pub fn unwrap(rtf: &[u8]) -> Unwrapped {
    let head = &rtf[..rtf.len().min(2048)];
    let html = memchr::memmem::find(head, b"\\fromhtml").is_some();
    let mut reader = Reader {
        html,
        code_page: 1252,
        ..Reader::default()
    };
    reader.read(rtf);
    reader.flush();
    match html {
        true => Unwrapped::Html(reader.out),
        false => Unwrapped::Text(reader.out),
    }
}

/// State that a group inherits and gives back.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    /// Nothing of this group is shown.
    hidden: bool,
    /// Within `\htmlrtf`: RTF that stands for HTML that is elsewhere.
    htmlrtf: bool,
    /// Within `{\*\htmltag ...}`.
    htmltag: bool,
    /// Within the font table.
    fonts: bool,
    /// Characters that stand for one `\u` after it.
    fallback: usize,
    /// Code page of the font; 0: the document's.
    code_page: u32,
    /// Number of the font that is being defined.
    font: i32,
}

#[derive(Default)]
struct Reader {
    html: bool,
    code_page: u32,
    fonts: Vec<(i32, u32)>,
    out: String,
    /// Bytes of a code page that are not decoded yet.
    pending: Vec<u8>,
    /// First half of a character beyond the basic plane.
    high: Option<u16>,
    group: Group,
    groups: Vec<Group>,
    /// Groups that are not kept because there are too many.
    too_deep: usize,
    /// Characters to leave out: they stand for a `\u`.
    skip: usize,
    /// `\*` was read: an unknown word now hides the group.
    star: bool,
}

impl Reader {
    fn read(&mut self, rtf: &[u8]) {
        self.group.fallback = 1;
        let mut at = 0;
        while let Some(&byte) = rtf.get(at) {
            at += 1;
            match byte {
                b'{' => self.open(),
                b'}' => self.close(),
                b'\\' => at = self.control(rtf, at),
                b'\r' | b'\n' => {}
                byte => self.byte(byte),
            }
        }
    }

    fn open(&mut self) {
        self.skip = 0;
        self.flush();
        if self.groups.len() < MAX_GROUPS {
            self.groups.push(self.group);
        } else {
            self.too_deep += 1;
        }
    }

    fn close(&mut self) {
        self.skip = 0;
        self.star = false;
        self.flush();
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else if let Some(group) = self.groups.pop() {
            self.group = group;
        }
    }

    /// Reads what follows a backslash; returns where it goes on.
    fn control(&mut self, rtf: &[u8], at: usize) -> usize {
        let Some(&first) = rtf.get(at) else { return at };
        if !first.is_ascii_alphabetic() {
            match first {
                b'\'' => {
                    let hex = rtf.get(at + 1..at + 3).and_then(hex);
                    if let Some(byte) = hex {
                        self.byte(byte);
                        return at + 3;
                    }
                }
                b'*' => self.star = true,
                b'~' => self.text("\u{a0}"),
                b'_' => self.text("-"),
                b'\\' | b'{' | b'}' => self.byte(first),
                b'\r' | b'\n' => self.line(),
                _ => {}
            }
            return at + 1;
        }
        let word_end = at
            + rtf[at..]
                .iter()
                .take(32)
                .take_while(|b| b.is_ascii_alphabetic())
                .count();
        let mut end = word_end;
        let negative = rtf.get(end) == Some(&b'-');
        if negative {
            end += 1;
        }
        let digits = rtf[end..]
            .iter()
            .take(10)
            .take_while(|b| b.is_ascii_digit())
            .count();
        let number = std::str::from_utf8(&rtf[end..end + digits]).unwrap_or_default();
        let number = number
            .parse::<i64>()
            .ok()
            .map(|n| if negative { -n } else { n });
        end = if digits == 0 { word_end } else { end + digits };
        if rtf.get(end) == Some(&b' ') {
            end += 1;
        }
        let word = std::str::from_utf8(&rtf[at..word_end]).unwrap_or_default();
        self.word(word, number);
        end
    }

    fn word(&mut self, word: &str, number: Option<i64>) {
        let star = std::mem::take(&mut self.star);
        let small = number.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
        match word {
            "u" => self.unicode(small),
            "uc" => self.group.fallback = usize::try_from(small).unwrap_or(1).min(64),
            "ansicpg" => self.code_page = u32::try_from(small).unwrap_or(1252),
            "htmltag" if star => {
                self.flush();
                self.group.htmltag = true;
                self.group.hidden = !self.html;
            }
            "htmlrtf" => {
                self.flush();
                self.group.htmlrtf = number != Some(0);
            }
            "fonttbl" => {
                self.flush();
                (self.group.fonts, self.group.hidden) = (true, true);
            }
            "f" if self.group.fonts => self.group.font = small,
            "f" => {
                self.flush();
                let font = self.fonts.iter().rev().find(|(n, _)| *n == small);
                self.group.code_page = font.map_or(0, |(_, code_page)| *code_page);
            }
            "fcharset" if self.group.fonts && self.fonts.len() < 4096 => {
                self.fonts.push((self.group.font, code_page_of(small)));
            }
            "plain" => {
                self.flush();
                self.group.code_page = 0;
            }
            "colortbl" | "stylesheet" | "info" | "pict" | "header" | "footer" | "footnote"
            | "object" | "filetbl" | "listtable" | "listoverridetable" | "generator" => {
                self.flush();
                self.group.hidden = true;
            }
            "par" | "line" | "row" | "sect" | "page" => self.line(),
            "tab" | "cell" => self.text("\t"),
            "lquote" => self.text("\u{2018}"),
            "rquote" => self.text("\u{2019}"),
            "ldblquote" => self.text("\u{201c}"),
            "rdblquote" => self.text("\u{201d}"),
            "bullet" => self.text("\u{2022}"),
            "endash" => self.text("\u{2013}"),
            "emdash" => self.text("\u{2014}"),
            "emspace" | "enspace" | "qmspace" => self.text(" "),
            _ if star => {
                self.flush();
                self.group.hidden = true;
            }
            _ => {}
        }
    }

    fn shows(&self) -> bool {
        !(self.group.hidden || self.html && self.group.htmlrtf)
    }

    /// True for a character that a `\u` already said.
    fn said(&mut self) -> bool {
        let said = self.skip > 0;
        self.skip -= usize::from(said);
        said
    }

    fn byte(&mut self, byte: u8) {
        self.star = false;
        if !self.said() && self.shows() {
            self.high = None;
            self.pending.push(byte);
        }
    }

    fn text(&mut self, text: &str) {
        if !self.said() && self.shows() {
            self.flush();
            self.out.push_str(text);
        }
    }

    fn line(&mut self) {
        // Within a tag a line end is only how the RTF was wrapped... and so it was in the HTML.
        self.text("\r\n");
    }

    fn unicode(&mut self, number: i32) {
        self.skip = self.group.fallback;
        if !self.shows() {
            return;
        }
        let unit = (number & 0xFFFF) as u16;
        let high = self.high.take();
        self.flush();
        if (0xD800..0xDC00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        let units = high.into_iter().chain([unit]);
        for c in char::decode_utf16(units) {
            self.out.push(c.unwrap_or('\u{fffd}'));
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let code_page = match self.group.code_page {
            0 => self.code_page,
            font => font,
        };
        let text: Cow<'_, str> = text::decode(&self.pending, code_page);
        self.out.push_str(&text);
        self.pending.clear();
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 16).ok()
}

/// The code page of a font's character set (RTF 1.9.1, `\fcharset`).
fn code_page_of(charset: i32) -> u32 {
    match charset {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// MS-OXRTFCP 3.1, the documented examples.
    #[test]
    fn the_documented_examples() {
        let simple = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125B2\x0a\xf3 hel\x09\0 bw\x05\xb0ld}\x0a\x80\x0f\xa0";
        assert_eq!(
            decompress(simple).unwrap(),
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
        );
        let crossing = b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4KQA\0\x04 WXYZ\rn}\x01\x0e\xb0";
        assert_eq!(
            decompress(crossing).unwrap(),
            b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
        );
        let stored = b"\x0f\0\0\0\x03\0\0\0MELA\0\0\0\0abcd";
        assert_eq!(decompress(stored).unwrap(), b"abc");
    }

    #[test]
    fn html_comes_out_as_it_went_in() {
        let rtf = br"{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0
{\fonttbl{\f0\fswiss Arial;}{\f1\fswiss\fcharset238 Arial;}}
{\colortbl\red0\green0\blue0;}
{\*\htmltag19 <html>}{\*\htmltag50 <body>}{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0
Hello \htmlrtf\b\htmlrtf0 \'ef\'f0 {\f1\'e1} \u8364? \u-10179?\u-8704? a\{b\}{\*\htmltag84 &nbsp;}\htmlrtf \'a0\htmlrtf0
{\*\htmltag72 </p>}\htmlrtf }\htmlrtf0
\par {\*\mhtmltag84 <img src=x>}{\*\htmltag58 </body>}}";
        assert_eq!(
            unwrap(rtf),
            Unwrapped::Html("<html><body><p>Hello пр á € 😀 a{b}&nbsp;</p>\r\n</body>".into())
        );
    }

    #[test]
    fn text_comes_out_of_rich_text() {
        let rtf = br"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\stylesheet{\s0 Normal;}}{\*\generator X;}\pard Gr\'fc\'dfe\tab\ldblquote x\rdblquote\line y\par}";
        assert_eq!(
            unwrap(rtf),
            Unwrapped::Text("Grüße\t\u{201c}x\u{201d}\r\ny\r\n".into())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_politely(bytes: Vec<u8>, noise in "[\\\\{}'a-z0-9* ]{0,200}") {
            let _ = unwrap(&bytes);
            let _ = unwrap(noise.as_bytes());
            let _ = unwrap(format!("{{\\rtf1\\fromhtml1 {noise}").as_bytes());
            let mut compressed = b"\0\0\0\0\xff\xff\xff\xffLZFu\0\0\0\0".to_vec();
            compressed.extend_from_slice(&bytes);
            let out = decompress(&compressed).unwrap();
            prop_assert!(out.len() <= 9 * bytes.len());
            let _ = decompress(&bytes);
        }
    }
}
