//! Compressed RTF (MS-OXRTFCP), and the HTML or text inside RTF (MS-OXRTFEX).

/// What a window holds before the first byte.
const PRESET: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const COMPRESSED: u32 = 0x7546_5A4C;
const STORED: u32 = 0x414C_454D;
const WINDOW: usize = 4096;
/// Largest RTF that is unpacked.
const MAX_RAW: usize = 64 << 20;

/// CRC-32 that begins with 0 and is not inverted at its end.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

/// Packs RTF.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    // The window, and all that went through it.
    let mut seen = PRESET.to_vec();
    seen.extend_from_slice(raw);
    let mut body = Vec::new();
    let mut at = PRESET.len();
    let mut done = false;
    while !done {
        let control = body.len();
        body.push(0);
        for bit in 0..8 {
            if at == seen.len() {
                // A reference to the place of writing ends the stream.
                body[control] |= 1 << bit;
                body.extend_from_slice(&(((at % WINDOW) << 4) as u16).to_be_bytes());
                done = true;
                break;
            }
            let (from, length) = longest(&seen, at);
            if length >= 2 {
                body[control] |= 1 << bit;
                let reference = ((from % WINDOW) << 4) | (length - 2);
                body.extend_from_slice(&(reference as u16).to_be_bytes());
                at += length;
            } else {
                body.push(seen[at]);
                at += 1;
            }
        }
    }
    let mut out = ((body.len() + 12) as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&COMPRESSED.to_le_bytes());
    out.extend_from_slice(&crc(&body).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

/// The longest earlier run (at most 17 bytes) that `at` goes on with: its place and length.
fn longest(seen: &[u8], at: usize) -> (usize, usize) {
    let mut best = (0, 0);
    // A reference to the place of writing itself would be read as the end.
    for from in at.saturating_sub(WINDOW - 1)..at {
        let length = (0..17.min(seen.len() - at))
            .take_while(|n| seen[from + n] == seen[at + n])
            .count();
        if length > best.1 {
            best = (from, length);
        }
    }
    best
}

/// Unpacks RTF; `None` when it is malformed.
pub fn decompress(packed: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| {
        let bytes = packed.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let (raw_size, kind, sum) = (word(4)? as usize, word(8)?, word(12)?);
    if raw_size > MAX_RAW {
        return None;
    }
    let end = (word(0)? as usize).checked_add(4)?.min(packed.len());
    let body = packed.get(16..end)?;
    if kind == STORED {
        return body.get(..raw_size).map(<[u8]>::to_vec);
    }
    if kind != COMPRESSED || crc(body) != sum {
        return None;
    }
    let mut seen = PRESET.to_vec();
    let mut at = 0;
    'all: while let Some(&control) = body.get(at) {
        at += 1;
        for bit in 0..8 {
            if control & (1 << bit) == 0 {
                match body.get(at) {
                    Some(byte) => seen.push(*byte),
                    None => break 'all,
                }
                at += 1;
            } else {
                let pair = body.get(at..at + 2)?;
                at += 2;
                let reference = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
                let (offset, length) = (reference >> 4, (reference & 15) + 2);
                if offset == seen.len() % WINDOW {
                    break 'all;
                }
                // How far back the offset is from the place of writing.
                let back = (seen.len() + WINDOW - offset) % WINDOW;
                for _ in 0..length {
                    let byte = seen.len().checked_sub(back).map_or(0, |from| seen[from]);
                    seen.push(byte);
                }
            }
            if seen.len() > PRESET.len() + MAX_RAW {
                return None;
            }
        }
    }
    let mut raw = seen.split_off(PRESET.len());
    raw.truncate(raw_size);
    Some(raw)
}

/// Plain text as RTF.
pub fn of_text(text: &str) -> Vec<u8> {
    let mut out = String::from(
        "{\\rtf1\\ansi\\ansicpg1252\\fromtext \\fbidi \\deff0{\\fonttbl\r\n{\\f0\\fswiss Arial;}}\r\n\\uc1\\pard\\plain\\deftab360 \\f0\\fs20 ",
    );
    for c in text.chars() {
        match c {
            '\r' => {}
            '\n' => out.push_str("\\par\r\n"),
            '\t' => out.push_str("\\tab "),
            '\\' | '{' | '}' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{}?", *unit as i16));
                }
            }
        }
    }
    out.push('}');
    out.into_bytes()
}

/// What an RTF body says: true for HTML that it was made from, false for text.
pub fn content(rtf: &[u8]) -> (bool, String) {
    let head = &rtf[..rtf.len().min(400)];
    let html = head.windows(9).any(|w| w == b"\\fromhtml");
    let mut reader = Content {
        rest: rtf,
        html,
        out: String::new(),
        units: Vec::new(),
        stack: Vec::new(),
        state: State {
            skip: false,
            tag: false,
            rtf: false,
            uc: 1,
        },
    };
    reader.run();
    (html, reader.out)
}

#[derive(Clone, Copy)]
struct State {
    /// In a destination that is not shown.
    skip: bool,
    /// In an `\htmltag` destination.
    tag: bool,
    /// Between `\htmlrtf` and `\htmlrtf0`: only there for readers of RTF.
    rtf: bool,
    /// How many characters stand in for one `\u`.
    uc: usize,
}

struct Content<'a> {
    rest: &'a [u8],
    html: bool,
    out: String,
    /// UTF-16 units of `\u` that wait for their other half.
    units: Vec<u16>,
    stack: Vec<State>,
    state: State,
}

impl Content<'_> {
    fn run(&mut self) {
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'{' => {
                    // What nests deeper than any writer would is passed over.
                    if self.stack.len() > 10_000 {
                        return;
                    }
                    self.stack.push(self.state);
                }
                b'}' => match self.stack.pop() {
                    Some(state) => self.state = state,
                    None => return,
                },
                b'\\' => self.control(),
                b'\r' | b'\n' => {}
                byte => self.narrow(byte),
            }
        }
        self.flush();
    }

    fn shown(&self) -> bool {
        !self.state.skip && !self.state.rtf
    }

    fn push(&mut self, text: &str) {
        if self.shown() {
            self.flush();
            self.out.push_str(text);
        }
    }

    fn flush(&mut self) {
        let units = std::mem::take(&mut self.units);
        self.out.push_str(&String::from_utf16_lossy(&units));
    }

    fn narrow(&mut self, byte: u8) {
        self.push(&super::read::text(&[byte], 1252));
    }

    fn control(&mut self) {
        let Some((&first, rest)) = self.rest.split_first() else {
            return;
        };
        if !first.is_ascii_alphabetic() {
            self.rest = rest;
            match first {
                b'\'' => {
                    let hex = rest.get(..2).and_then(|h| std::str::from_utf8(h).ok());
                    if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
                        self.rest = &rest[2..];
                        self.narrow(byte);
                    }
                }
                b'*' => self.destination(),
                b'~' => self.push("\u{a0}"),
                b'\\' | b'{' | b'}' => self.narrow(first),
                _ => {}
            }
            return;
        }
        let letters = self
            .rest
            .iter()
            .take_while(|b| b.is_ascii_alphabetic())
            .count();
        let (word, rest) = self.rest.split_at(letters);
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let end = if digits > 0 { sign + digits } else { 0 };
        let number = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|n| n.parse::<i32>().ok());
        self.rest = &rest[end..];
        if self.rest.first() == Some(&b' ') {
            self.rest = &self.rest[1..];
        }
        self.word(word, number);
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        match word {
            b"par" | b"line" if !self.html || self.state.tag => self.push("\r\n"),
            b"tab" => self.push("\t"),
            b"htmlrtf" => self.state.rtf = number != Some(0),
            b"fonttbl" | b"colortbl" | b"stylesheet" | b"info" | b"pict" => self.state.skip = true,
            b"uc" => self.state.uc = number.unwrap_or(1).clamp(0, 100) as usize,
            b"u" => {
                if self.shown() {
                    self.units.push(number.unwrap_or(0) as u16);
                }
                self.skip_fallback();
            }
            b"lquote" => self.push("\u{2018}"),
            b"rquote" => self.push("\u{2019}"),
            b"ldblquote" => self.push("\u{201c}"),
            b"rdblquote" => self.push("\u{201d}"),
            b"bullet" => self.push("\u{2022}"),
            b"endash" => self.push("\u{2013}"),
            b"emdash" => self.push("\u{2014}"),
            _ => {}
        }
    }

    /// The characters that stand in for a `\u` where it is not understood.
    fn skip_fallback(&mut self) {
        for _ in 0..self.state.uc {
            match self.rest {
                [b'\\', b'\'', _, _, rest @ ..] => self.rest = rest,
                [b'\\' | b'{' | b'}', ..] | [] => return,
                [_, rest @ ..] => self.rest = rest,
            }
        }
    }

    /// After `\*`: HTML tags are shown, all other destinations are not.
    fn destination(&mut self) {
        match self.rest.strip_prefix(b"\\htmltag") {
            Some(rest) if self.html => {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                self.rest = &rest[digits..];
                if self.rest.first() == Some(&b' ') {
                    self.rest = &self.rest[1..];
                }
                self.state.tag = true;
            }
            _ => self.state.skip = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtf_is_packed_and_unpacked() {
        // The example of MS-OXRTFCP 4.1.1.
        let raw = b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
        let packed = compress(raw);
        let known: &[u8] = &[
            0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0,
            0x0a, 0, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68,
            0x65, 0x6c, 0x09, 0, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f,
            0xa0,
        ];
        assert_eq!(decompress(known).as_deref(), Some(&raw[..]));
        assert_eq!(decompress(&packed).as_deref(), Some(&raw[..]));
        let long = "a\\b{c} åäö – 数字 ".repeat(200);
        let packed = compress(&of_text(&long));
        assert!(packed.len() < long.len() / 2);
        let raw = decompress(&packed).unwrap();
        assert_eq!(content(&raw), (false, long));
        for end in 0..known.len() {
            let _ = decompress(&known[..end]);
        }
    }

    #[test]
    fn html_in_rtf_comes_out() {
        let rtf = b"{\\rtf1\\ansi\\fromhtml1 {\\fonttbl{\\f0 Arial;}}{\\*\\htmltag19 <html>}{\\*\\htmltag64 <p>}\\htmlrtf {\\htmlrtf0 a \\'e5 &amp; \\u8211 ?\\htmlrtf\\par}\\htmlrtf0 {\\*\\htmltag72 </p>}{\\*\\generator x}}";
        assert_eq!(content(rtf), (true, "<html><p>a å &amp; –</p>".into()));
        content(&b"{".repeat(100_000));
        content(b"\\u\\'\\");
    }
}
