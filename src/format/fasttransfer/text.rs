//! Strings of the stream: UTF-16, or bytes in some Windows code page.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::frames::Pieces;

/// Code page number of UTF-16, little endian.
pub(super) const UTF16: u16 = 1200;
/// UTF-16, big endian.
const UTF16_BE: u16 = 1201;
/// A string of type String8: its code page is told elsewhere or nowhere.
pub(super) const UNTOLD: u16 = 0;

/// A string that is decoded when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    pub(super) raw: Pieces<'a>,
    pub(super) code_page: u16,
}

impl Text<'_> {
    /// The text without its terminating NULs. Bytes that mean nothing become U+FFFD.
    pub fn decode(&self) -> String {
        let bytes = self.raw.bytes();
        let text = decode(&bytes, u32::from(self.code_page));
        let end = text.trim_end_matches('\0').len();
        let mut text = text.into_owned();
        text.truncate(end);
        text
    }
}

/// Decodes bytes of a code page; 0 and unknown ones: UTF-8 if that fits, else Windows-1252.
pub(super) fn decode(bytes: &[u8], code_page: u32) -> Cow<'_, str> {
    let wide = |order: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
        let chars = char::decode_utf16(units);
        Cow::Owned(chars.map(|c| c.unwrap_or('\u{fffd}')).collect::<String>())
    };
    if code_page == u32::from(UTF16) {
        return wide(u16::from_le_bytes);
    }
    if code_page == u32::from(UTF16_BE) {
        return wide(u16::from_be_bytes);
    }
    match encoding(code_page) {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                encoding_rs::WINDOWS_1252
                    .decode_without_bom_handling(bytes)
                    .0
            }
        },
    }
}

/// The encoding of a Windows code page number ("Code Page Identifiers", Win32).
pub(super) fn encoding(code_page: u32) -> Option<&'static Encoding> {
    let label: String = match code_page {
        874 => "windows-874".into(),
        932 => "shift_jis".into(),
        936 => "gbk".into(),
        949 | 51949 => "euc-kr".into(),
        950 => "big5".into(),
        1250..=1258 => format!("windows-{code_page}"),
        10000 => "macintosh".into(),
        10007 => "x-mac-cyrillic".into(),
        866 => "ibm866".into(),
        20127 | 28591 => "windows-1252".into(),
        20866 => "koi8-r".into(),
        21866 => "koi8-u".into(),
        20932 | 51932 => "euc-jp".into(),
        28592..=28606 => format!("iso-8859-{}", code_page - 28590),
        50220..=50222 => "iso-2022-jp".into(),
        54936 => "gb18030".into(),
        65001 => "utf-8".into(),
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages() {
        assert_eq!(decode(b"H\0i\0", 1200), "Hi");
        assert_eq!(decode(b"\0H\0i", 1201), "Hi");
        assert_eq!(decode(b"\xd8\x3d", 1201), "\u{fffd}");
        assert_eq!(decode(b"\xe1\x80", 1250), "á€");
        assert_eq!(decode(b"\xe4\x80", 1252), "ä€");
        assert_eq!(decode(b"\x93\xfa\x96{", 932), "日本");
        assert_eq!(decode(b"\xd0\xd2\xc9", 20866), "при");
        assert_eq!(decode("grün".as_bytes(), 0), "grün");
        assert_eq!(decode(b"gr\xfcn", 0), "grün");
        assert_eq!(decode(b"gr\xfcn", 31_999), "grün");
    }
}
