//! Takes the base64 parts out of a mail, and puts them back byte for byte.
//!
//! Attachments are what mails have in common with each other and with the files of a drive, but
//! only once their base64 is undone. [`split`] finds the runs of base64 lines, decodes those that
//! encode again to exactly the same bytes, and leaves the rest, the skeleton, as it is.
//!
//! It looks at lines, not at MIME structure: a run begins with a line of base64, goes on with
//! lines of the same length and the same line end, and its last line may be shorter. Lines hold
//! whole groups of four characters, as all encoders write them. Everything
//! that no rule like this can predict (a missing closing boundary, wrong transfer encodings,
//! attachments in attachments in forwarded mails, blank lines and line ends behind the data)
//! therefore stays in the skeleton and needs no parameter, nothing nests, and one pass is enough.
//!
//! Invariant: `split(x).join() == x` for every `x`. It holds because a run is only taken if strict
//! decoding accepts it (RFC 4648 section 4: canonical padding, no stray bits), which makes the
//! encoding unique, and because the line breaks are checked to be where [`Base64`] puts them.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;

/// Decoded bytes below which a run stays in the skeleton: an object and a recipe of its own
/// would cost more than they save.
pub const MIN_PART: usize = 3 * 1024;

/// Lines shorter than this don't begin a run. Encoders write 60, 64, 72 or 76 characters (RFC 2045
/// section 6.8: at most 76), or everything in a single line.
const MIN_LINE: usize = 40;

/// What ends a line within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// As files of Unix have it.
    Lf,
    /// As RFC 5322 has it.
    CrLf,
}

impl Eol {
    fn bytes(self) -> &'static [u8] {
        match self {
            Eol::Lf => b"\n",
            Eol::CrLf => b"\r\n",
        }
    }
}

/// How a decoded part is encoded again: lines of `line` characters with `eol` between them, and
/// none after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base64 {
    /// Characters in a full line; 0: all in a single line.
    pub line: u32,
    /// Between lines.
    pub eol: Eol,
}

impl Base64 {
    /// Bytes that `decoded` bytes take when encoded.
    pub fn encoded_len(self, decoded: usize) -> usize {
        let chars = decoded.div_ceil(3) * 4;
        chars + self.breaks(chars) * self.eol.bytes().len()
    }

    fn breaks(self, chars: usize) -> usize {
        match self.line {
            0 => 0,
            line => chars.saturating_sub(1) / line as usize,
        }
    }

    /// Appends the encoded form of `decoded` to `out`.
    pub fn encode(self, decoded: &[u8], out: &mut Vec<u8>) {
        let chars = STANDARD.encode(decoded);
        if self.line == 0 {
            out.extend_from_slice(chars.as_bytes());
            return;
        }
        for (i, line) in chars.as_bytes().chunks(self.line as usize).enumerate() {
            if i > 0 {
                out.extend_from_slice(self.eol.bytes());
            }
            out.extend_from_slice(line);
        }
    }
}

/// A stretch of the mail, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next `len` bytes of the skeleton.
    Skeleton {
        /// Above zero.
        len: usize,
    },
    /// A part that was encoded.
    Part {
        /// Its content.
        decoded: Vec<u8>,
        /// What makes the same characters of it again.
        encoding: Base64,
    },
}

/// A mail taken apart. Skeleton pieces and parts alternate and none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// All that is not in a part.
    pub skeleton: Vec<u8>,
    /// In order: the mail from beginning to end.
    pub pieces: Vec<Piece>,
}

impl Split {
    /// The mail again.
    pub fn join(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.skeleton.len());
        let mut rest = &self.skeleton[..];
        for piece in &self.pieces {
            match piece {
                Piece::Skeleton { len } => {
                    let (now, later) = rest.split_at((*len).min(rest.len()));
                    out.extend_from_slice(now);
                    rest = later;
                }
                Piece::Part { decoded, encoding } => encoding.encode(decoded, &mut out),
            }
        }
        out
    }

    /// Whether nothing was taken out.
    pub fn is_whole(&self) -> bool {
        self.pieces
            .iter()
            .all(|p| matches!(p, Piece::Skeleton { .. }))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.skeleton.extend_from_slice(bytes);
            self.pieces.push(Piece::Skeleton { len: bytes.len() });
        }
    }
}

/// Takes a mail apart. Linear in its length; memory is that of the result.
pub fn split(mail: &[u8]) -> Split {
    let mut split = Split::default();
    let mut kept = 0; // everything before is in `split`
    let mut at = 0;
    while at < mail.len() {
        let Some(run) = Run::at(mail, at) else {
            at = next_line(mail, at);
            continue;
        };
        at = next_line(mail, run.bytes.end);
        if run.decoded.len() >= MIN_PART {
            split.keep(&mail[kept..run.bytes.start]);
            kept = run.bytes.end;
            split.pieces.push(Piece::Part {
                decoded: run.decoded,
                encoding: run.encoding,
            });
        }
    }
    split.keep(&mail[kept..]);
    split
}

fn next_line(mail: &[u8], at: usize) -> usize {
    memchr(b'\n', &mail[at..]).map_or(mail.len(), |i| at + i + 1)
}

/// A run of base64 lines: where it is, without its last line's end, and what it says.
struct Run {
    bytes: Range<usize>,
    encoding: Base64,
    decoded: Vec<u8>,
}

impl Run {
    /// The run whose first line begins at `start`.
    fn at(mail: &[u8], start: usize) -> Option<Run> {
        let first = Line::at(mail, start);
        let width = first.text.len();
        if width < MIN_LINE {
            return None;
        }
        let mut run = Run {
            bytes: first.text.clone(),
            encoding: Base64 {
                line: 0,
                eol: Eol::Lf,
            },
            decoded: Vec::new(),
        };
        if !run.append(&mail[first.text.clone()]) {
            return None;
        }
        let line_length = u32::try_from(width).ok();
        let mut last = first;
        // A line that holds padding is the last one, and so is one that is shorter.
        while let (Some(eol), Some(line_length)) = (last.eol, line_length)
            && last.text.len() == width
            && mail[last.text.end - 1] != b'='
            && (run.encoding.line == 0 || run.encoding.eol == eol)
        {
            let line = Line::at(mail, last.next);
            if line.text.is_empty()
                || line.text.len() > width
                || !run.append(&mail[line.text.clone()])
            {
                break;
            }
            run.encoding = Base64 {
                line: line_length,
                eol,
            };
            run.bytes.end = line.text.end;
            last = line;
        }
        Some(run)
    }

    /// Decodes one line. False, and nothing added, if it is anything but whole groups of base64.
    /// Most lines of text are refused at their first space.
    fn append(&mut self, line: &[u8]) -> bool {
        if !line.len().is_multiple_of(4) {
            return false;
        }
        let before = self.decoded.len();
        self.decoded.resize(before + line.len() / 4 * 3, 0);
        let added = STANDARD.decode_slice(line, &mut self.decoded[before..]);
        self.decoded.truncate(before + added.as_ref().unwrap_or(&0));
        added.is_ok()
    }
}

struct Line {
    text: Range<usize>,
    /// `None`: the mail ends here, or with a carriage return that no line feed follows.
    eol: Option<Eol>,
    next: usize,
}

impl Line {
    fn at(mail: &[u8], start: usize) -> Line {
        match memchr(b'\n', &mail[start..]) {
            None => Line {
                text: start..mail.len(),
                eol: None,
                next: mail.len(),
            },
            Some(len) if len > 0 && mail[start + len - 1] == b'\r' => Line {
                text: start..start + len - 1,
                eol: Some(Eol::CrLf),
                next: start + len + 1,
            },
            Some(len) => Line {
                text: start..start + len,
                eol: Some(Eol::Lf),
                next: start + len + 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::corpus;
    use proptest::prelude::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        (0..len)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect()
    }

    fn mail(data: &[u8], encoding: Base64, tail: &str) -> Vec<u8> {
        let mut out = b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
        encoding.encode(data, &mut out);
        out.extend_from_slice(tail.as_bytes());
        out
    }

    fn parts(split: &Split) -> Vec<&[u8]> {
        let part = |p: &'_ Piece| matches!(p, Piece::Part { .. });
        split
            .pieces
            .iter()
            .filter(|p| part(p))
            .map(|p| match p {
                Piece::Part { decoded, .. } => &decoded[..],
                Piece::Skeleton { .. } => &[],
            })
            .collect()
    }

    #[test]
    fn decodes_what_usual_encoders_write() {
        for len in [3072, 4000, 4001, 4002, 57 * 100, 57 * 100 + 1, 200_000] {
            let data = noise(len);
            for line in [0, 60, 64, 72, 76, 1000] {
                for eol in [Eol::Lf, Eol::CrLf] {
                    for tail in ["", "\r\n", "\n\n\n--x--\r\n", "\r\n--x\r\n"] {
                        let mail = mail(&data, Base64 { line, eol }, tail);
                        let split = split(&mail);
                        assert_eq!(split.join(), mail);
                        assert!(
                            parts(&split) == [&data[..]],
                            "{len} {line} {eol:?} {tail:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn leaves_what_does_not_encode_again() {
        let data = noise(5001);
        let good = mail(
            &data,
            Base64 {
                line: 76,
                eol: Eol::CrLf,
            },
            "\r\n",
        );
        let text = String::from_utf8(good).unwrap();
        let stray_bits = {
            let data = mail(
                &noise(5002),
                Base64 {
                    line: 0,
                    eol: Eol::Lf,
                },
                "",
            );
            let mut bytes = data.clone();
            let at = bytes.len() - 3;
            bytes[at] = b'B';
            assert_eq!(&bytes[at + 1..], b"==");
            bytes
        };
        for bad in [text.replace("\r\n", "\r").into_bytes(), stray_bits] {
            let split = split(&bad);
            assert!(split.is_whole());
            assert_eq!(split.join(), bad);
        }
        assert!(super::split(b"").pieces.is_empty());
        let small = mail(
            &noise(MIN_PART - 1),
            Base64 {
                line: 76,
                eol: Eol::Lf,
            },
            "\n",
        );
        assert!(super::split(&small).is_whole());
    }

    #[test]
    fn finds_parts_of_nested_and_broken_mails() {
        let (a, b) = (noise(9000), noise(7000)[500..].to_vec());
        let encoding = Base64 {
            line: 76,
            eol: Eol::CrLf,
        };
        let mut all = mail(&a, encoding, "\r\n--never-declared\r\n\r\n");
        all.extend(mail(&b, encoding, "")); // ends in the middle: no boundary at all
        let split = split(&all);
        assert_eq!(parts(&split), [&a[..], &b[..]]);
        assert_eq!(split.join(), all);
        assert_eq!(
            split.skeleton.len(),
            all.len() - encoding.encoded_len(a.len()) - encoding.encoded_len(b.len())
        );
    }

    proptest! {
        #[test]
        fn join_gives_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert_eq!(split(&bytes).join(), bytes);
        }

        #[test]
        fn join_gives_the_same_bytes_near_base64(
            len in 3000usize..9000, line in 38u32..90, crlf: bool,
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[ =A\r\n-]{0,3}", 0usize..3), 0..4),
        ) {
            let eol = if crlf { Eol::CrLf } else { Eol::Lf };
            let mut bytes = mail(&noise(len), Base64 { line, eol }, "\n--b--\n");
            for (at, with, remove) in edits {
                let at = at.index(bytes.len());
                let end = (at + remove).min(bytes.len());
                bytes.splice(at..end, with.bytes());
            }
            let split = split(&bytes);
            prop_assert_eq!(split.join(), bytes);
        }
    }

    #[test]
    fn join_gives_every_corpus_mail() {
        let mut taken = 0;
        for (name, bytes) in corpus::mails() {
            let split = split(&bytes);
            assert!(split.join() == bytes, "{name}");
            taken += bytes.len() - split.skeleton.len();
        }
        println!("{taken} bytes of base64 taken out");
    }

    /// Run by hand in release: `cargo test --release -p tenantfs format::mime -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let mails: Vec<_> = corpus::mails().map(|(_, bytes)| bytes).collect();
        let big = mail(
            &noise(30 << 20),
            Base64 {
                line: 76,
                eol: Eol::CrLf,
            },
            "\r\n",
        );
        for (what, set) in [("corpus", &mails[..]), ("one 40 MB attachment", &[big][..])] {
            let bytes: usize = set.iter().map(Vec::len).sum();
            let start = std::time::Instant::now();
            for mail in set {
                std::hint::black_box(split(mail));
            }
            println!(
                "{what}: {:.0} MB/s",
                bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
            );
        }
    }
}
