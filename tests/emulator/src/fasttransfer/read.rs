//! Reading: any stream that follows the rules, whoever wrote it.
//!
//! Strings may come in any code page, recipients and attachments in any order, with or without
//! StartMessage around the whole. The input is hostile: every length is checked against what is left,
//! and messages nest at most [`MAX_DEPTH`] deep.

use mail_parser::decoders::charsets::map::charset_decoder;

use super::{Attached, Guid, MessageContent, Name, Properties, Property, Value, kind, marker};

/// How deep messages may be attached to messages.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the stream ends inside an element")]
    CutOff,
    #[error("property 0x{0:08X} has a type that is not known")]
    Type(u32),
    #[error("marker 0x{0:08X} does not belong here")]
    Marker(u32),
    #[error("messages are attached too deep")]
    Depth,
    #[error("a name has no end or an unknown kind")]
    Name,
}

/// Reads the stream of one item.
pub fn read(stream: &[u8]) -> Result<MessageContent, ReadError> {
    let mut reader = Reader { rest: stream };
    let content = reader.content(0)?;
    match reader.rest {
        [] => Ok(content),
        _ => Err(ReadError::Marker(reader.peek()?)),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ReadError::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.take(N)?.try_into().map_err(|_| ReadError::CutOff)
    }

    fn word(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn peek(&self) -> Result<u32, ReadError> {
        Reader { rest: self.rest }.word()
    }

    /// A message up to the marker that ends it, or the end of the stream.
    fn content(&mut self, depth: usize) -> Result<MessageContent, ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::Depth);
        }
        let mut out = MessageContent::default();
        let mut started = false;
        loop {
            out.props.0.extend(self.properties()?);
            if self.rest.is_empty() {
                return if started {
                    Err(ReadError::CutOff)
                } else {
                    Ok(out)
                };
            }
            match self.peek()? {
                marker::START_MESSAGE if !started && out.props.0.is_empty() => {
                    self.word()?;
                    started = true;
                }
                marker::END_MESSAGE if started => {
                    self.word()?;
                    return Ok(out);
                }
                marker::FX_DEL_PROP => {
                    self.word()?;
                    match self.word()? >> 16 {
                        0x0E12 => out.recipients.clear(),
                        0x0E13 => out.attachments.clear(),
                        tag => out.props.0.retain(|p| p.name != Name::Tag(tag as u16)),
                    }
                }
                marker::START_RECIP => {
                    self.word()?;
                    let recipient = Properties(self.properties()?);
                    self.expect(marker::END_TO_RECIP)?;
                    out.recipients.push(recipient);
                }
                marker::NEW_ATTACH => {
                    self.word()?;
                    out.attachments.push(self.attached(depth)?);
                }
                marker::END_EMBED if depth > 0 && !started => return Ok(out),
                other => return Err(ReadError::Marker(other)),
            }
        }
    }

    fn attached(&mut self, depth: usize) -> Result<Attached, ReadError> {
        let mut out = Attached::default();
        loop {
            out.props.0.extend(self.properties()?);
            match self.word()? {
                marker::START_EMBED if out.embedded.is_none() => {
                    out.embedded = Some(Box::new(self.content(depth + 1)?));
                    self.expect(marker::END_EMBED)?;
                }
                marker::END_ATTACH => return Ok(out),
                other => return Err(ReadError::Marker(other)),
            }
        }
    }

    fn expect(&mut self, wanted: u32) -> Result<(), ReadError> {
        match self.word()? {
            word if word == wanted => Ok(()),
            other => Err(ReadError::Marker(other)),
        }
    }

    /// Properties up to the next marker.
    fn properties(&mut self) -> Result<Vec<Property>, ReadError> {
        let mut out = Vec::new();
        while !self.rest.is_empty() {
            let word = self.peek()?;
            let id = (word >> 16) as u16;
            if word == marker::EC_WARNING {
                self.take(8)?;
            } else if id == marker::DN_PREFIX {
                self.word()?;
                self.value(word as u16, word)?;
            } else if marker::IDS.contains(&id) {
                break;
            } else {
                out.push(self.property()?);
            }
        }
        Ok(out)
    }

    fn property(&mut self) -> Result<Property, ReadError> {
        let word = self.word()?;
        let (kind, id) = (word as u16, (word >> 16) as u16);
        let name = if id < 0x8000 {
            Name::Tag(id)
        } else {
            let set: Guid = self.array()?;
            match self.take(1)? {
                [0] => Name::Lid(set, self.word()?),
                [1] => Name::Text(set, self.name()?),
                _ => return Err(ReadError::Name),
            }
        };
        let value = self.value(kind, word)?;
        Ok(Property { name, value })
    }

    /// A UTF-16LE string up to its NUL.
    fn name(&mut self) -> Result<String, ReadError> {
        let units = self.rest.chunks_exact(2);
        let length = units
            .clone()
            .position(|u| u == [0, 0])
            .ok_or(ReadError::Name)?;
        let text = self.take(length * 2)?;
        self.take(2)?;
        Ok(from_utf16(text, u16::from_le_bytes))
    }

    fn value(&mut self, kind: u16, word: u32) -> Result<Value, ReadError> {
        let many = match kind {
            _ if kind & kind::CODE_PAGE != 0 => kind & 0xF000 == kind::CODE_PAGE | kind::MANY,
            _ => kind & kind::MANY != 0,
        };
        if !many {
            return self.single(kind, word);
        }
        let element = kind & !kind::MANY;
        let count = self.word()? as usize;
        // The smallest element has two bytes: no count may promise more than is there.
        if count > self.rest.len() / 2 {
            return Err(ReadError::CutOff);
        }
        let values = (0..count)
            .map(|_| self.single(element, word))
            .collect::<Result<Vec<_>, _>>()?;
        let element = match element {
            kind::STRING8 => kind::UNICODE,
            page if page & kind::CODE_PAGE != 0 => kind::UNICODE,
            other => other,
        };
        Ok(Value::Many(element, values))
    }

    fn single(&mut self, kind: u16, word: u32) -> Result<Value, ReadError> {
        // IdsetGiven is told as a number and is bytes.
        if word == 0x4017_0003 {
            return Ok(Value::Binary(self.sized()?.to_vec()));
        }
        Ok(match kind {
            kind::I16 => Value::I16(i16::from_le_bytes(self.array()?)),
            kind::I32 => Value::I32(i32::from_le_bytes(self.array()?)),
            kind::F32 => Value::F32(f32::from_le_bytes(self.array()?)),
            kind::ERROR => Value::Error(self.word()?),
            kind::F64 => Value::F64(f64::from_le_bytes(self.array()?)),
            kind::APP_TIME => Value::AppTime(f64::from_le_bytes(self.array()?)),
            kind::CURRENCY => Value::Currency(i64::from_le_bytes(self.array()?)),
            kind::I64 => Value::I64(i64::from_le_bytes(self.array()?)),
            kind::TIME => Value::Time(i64::from_le_bytes(self.array()?)),
            kind::BOOL => Value::Bool(self.array::<2>()? != [0, 0]),
            kind::GUID => Value::Guid(self.array()?),
            kind::BINARY => Value::Binary(self.sized()?.to_vec()),
            kind::OBJECT => Value::Object(self.sized()?.to_vec()),
            kind::SERVER_ID => Value::ServerId(self.sized()?.to_vec()),
            kind::UNICODE => Value::Text(text(self.sized()?, 1200)),
            kind::STRING8 => Value::Text(text(self.sized()?, 1252)),
            _ if kind & kind::CODE_PAGE != 0 => {
                Value::Text(text(self.sized()?, kind & !kind::CODE_PAGE))
            }
            _ => return Err(ReadError::Type(word)),
        })
    }

    fn sized(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.word()? as usize;
        self.take(length)
    }
}

/// A string in a Windows code page, up to its NUL.
pub fn text(bytes: &[u8], page: u16) -> String {
    match page {
        1200 => from_utf16(bytes, u16::from_le_bytes),
        1201 => from_utf16(bytes, u16::from_be_bytes),
        _ => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            narrow(&bytes[..end], page)
        }
    }
}

fn narrow(bytes: &[u8], page: u16) -> String {
    let name = match page {
        1250..=1258 => format!("windows-{page}"),
        // The high bit of 65001 is where strings are told from other types.
        65001 | 32233 => "utf-8".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        20866 => "koi8-r".to_owned(),
        28591..=28605 => format!("iso-8859-{}", page - 28590),
        _ => "windows-1252".to_owned(),
    };
    match charset_decoder(name.as_bytes()) {
        Some(decode) => decode(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|c| unit([c[0], c[1]]))
        .take_while(|u| *u != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::write::write;
    use super::*;

    fn sample() -> MessageContent {
        let mut props = Properties::default();
        props.set_tag(0x001A, Value::Text("IPM.Note".into()));
        props.set_tag(0x0017, Value::I32(1));
        props.set_tag(0x0E06, Value::Time(134_168_292_050_000_000));
        props.set_tag(0x0029, Value::Bool(true));
        props.set(
            Name::Text([9; 16], "Keywords".into()),
            Value::Many(
                kind::UNICODE,
                vec![Value::Text("Röd".into()), Value::Text(String::new())],
            ),
        );
        props.set(Name::Lid([8; 16], 0x8216), Value::Binary(vec![0; 70_000]));
        props.set_tag(
            0x6001,
            Value::Many(kind::I32, vec![Value::I32(-1), Value::I32(7)]),
        );
        let mut recipient = Properties::default();
        recipient.set_tag(0x3000, Value::I32(0));
        let inner = MessageContent {
            props: props.clone(),
            ..MessageContent::default()
        };
        let attached = Attached {
            props: recipient.clone(),
            embedded: Some(Box::new(inner)),
        };
        MessageContent {
            props,
            recipients: vec![recipient],
            attachments: vec![attached, Attached::default()],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let content = sample();
        let stream = write(&content);
        assert_eq!(read(&stream).as_ref(), Ok(&content));
        assert_eq!(stream, write(&content));
    }

    #[test]
    fn no_cut_and_no_flipped_byte_panics() {
        let mut content = sample();
        let blob = Name::Lid([8; 16], 0x8216);
        content.props.0.retain(|p| p.name != blob);
        let stream = write(&content);
        for end in 0..stream.len() {
            let _ = read(&stream[..end]);
            let mut bad = stream.clone();
            bad[end] ^= 0x41;
            let _ = read(&bad);
        }
        let mut deep = Vec::new();
        for _ in 0..100_000 {
            deep.extend_from_slice(&marker::NEW_ATTACH.to_le_bytes());
            deep.extend_from_slice(&marker::START_EMBED.to_le_bytes());
        }
        assert_eq!(read(&deep), Err(ReadError::Depth));
    }

    #[test]
    fn what_other_writers_do_is_read() {
        let mut stream = marker::START_MESSAGE.to_le_bytes().to_vec();
        // Strings in 1252, in 1201 and several in 1200; a warning; deleted recipients.
        stream.extend_from_slice(b"\x1e\x00\x37\x00\x03\x00\x00\x00\xe5b\x00");
        stream.extend_from_slice(b"\xb1\x84\x1a\x00\x04\x00\x00\x00\x00I\x00\x00");
        stream.extend_from_slice(b"\xb0\x94\x01\x60\x01\x00\x00\x00\x04\x00\x00\x00x\x00\x00\x00");
        stream.extend_from_slice(&marker::EC_WARNING.to_le_bytes());
        stream.extend_from_slice(&[1, 0, 0, 0]);
        stream.extend_from_slice(&marker::FX_DEL_PROP.to_le_bytes());
        stream.extend_from_slice(&0x0E12_000Du32.to_le_bytes());
        stream.extend_from_slice(&marker::END_MESSAGE.to_le_bytes());
        let content = read(&stream).unwrap();
        assert_eq!(content.props.text(0x0037), Some("åb"));
        assert_eq!(content.props.text(0x001A), Some("I"));
        assert_eq!(
            content.props.tag(0x6001),
            Some(&Value::Many(kind::UNICODE, vec![Value::Text("x".into())]))
        );
    }
}
