//! The frames around a stream: `u32 opcode, u32 length, payload`, little-endian, one after another.
//!
//! Configuration, interface check and server version come first, each once; then the stream in pieces
//! of at most [`MAX_PIECE`] bytes.

/// Largest payload of a piece.
pub const MAX_PIECE: usize = 31_680;

const CONFIG: u32 = 1;
const PIECE: u32 = 2;
const INTERFACE: u32 = 3;
const VERSION: u32 = 4;

/// IID_IMessage.
const MESSAGE: [u8; 16] = [
    0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
];
const INTERFACE_FLAGS: u32 = 0x8000_2400;

/// The server's build: 15.20 and these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build(pub u16, pub u16);

impl Default for Build {
    fn default() -> Build {
        Build(4566, 6022)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the data ends inside a frame at byte {0}")]
    CutOff(usize),
    #[error("unexpected opcode {opcode} at byte {at}")]
    Opcode { opcode: u32, at: usize },
    #[error("the frame of opcode {opcode} at byte {at} is malformed")]
    Payload { opcode: u32, at: usize },
    #[error("there is no stream in the frames")]
    Empty,
}

/// Puts a stream into frames.
pub fn wrap(stream: &[u8], build: Build) -> Vec<u8> {
    let pieces = stream.len().div_ceil(MAX_PIECE);
    let mut out = Vec::with_capacity(stream.len() + 62 + pieces * 8);
    let mut frame = |opcode: u32, payload: &[&[u8]]| {
        let length: usize = payload.iter().map(|p| p.len()).sum();
        out.extend_from_slice(&opcode.to_le_bytes());
        out.extend_from_slice(&(length as u32).to_le_bytes());
        payload.iter().for_each(|p| out.extend_from_slice(p));
    };
    // No flags, method CopyTo.
    frame(CONFIG, &[&0u32.to_le_bytes(), &1u32.to_le_bytes()]);
    frame(
        INTERFACE,
        &[
            &1u32.to_le_bytes(),
            &MESSAGE,
            &INTERFACE_FLAGS.to_le_bytes(),
        ],
    );
    let build = [(build.0 | 0x8000).to_le_bytes(), build.1.to_le_bytes()];
    frame(VERSION, &[&[20, 15], &build[0], &build[1]]);
    for piece in stream.chunks(MAX_PIECE) {
        frame(PIECE, &[piece]);
    }
    out
}

/// Takes a stream out of its frames.
pub fn unwrap(data: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut stream = Vec::with_capacity(data.len());
    let (mut at, mut expected) = (0, CONFIG);
    while at < data.len() {
        let word = |at: usize| {
            let bytes = data.get(at..at + 4).ok_or(FrameError::CutOff(at))?;
            Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let (opcode, length) = (word(at)?, word(at + 4)? as usize);
        if opcode != expected {
            return Err(FrameError::Opcode { opcode, at });
        }
        let payload = data
            .get(at + 8..)
            .and_then(|rest| rest.get(..length))
            .ok_or(FrameError::CutOff(at))?;
        let good = match opcode {
            CONFIG => payload == [0, 0, 0, 0, 1, 0, 0, 0],
            INTERFACE => length == 24 && payload[4..20] == MESSAGE,
            VERSION => length == 6,
            _ => (1..=MAX_PIECE).contains(&length),
        };
        if !good {
            return Err(FrameError::Payload { opcode, at });
        }
        expected = match opcode {
            CONFIG => INTERFACE,
            INTERFACE => VERSION,
            _ => PIECE,
        };
        if opcode == PIECE {
            stream.extend_from_slice(payload);
        }
        at += 8 + length;
    }
    if stream.is_empty() {
        return Err(FrameError::Empty);
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        for size in [1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE + 5] {
            let stream: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let data = wrap(&stream, Build::default());
            assert_eq!(
                data[..24],
                [
                    1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0x18, 0, 0, 0
                ]
            );
            assert_eq!(data[56..62], [0x14, 0x0F, 0xD6, 0x91, 0x86, 0x17]);
            assert_eq!(unwrap(&data), Ok(stream));
        }
    }

    #[test]
    fn bad_frames_are_refused() {
        let good = wrap(b"abc", Build::default());
        for at in 0..62 {
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            // What the server's version and the interface's flags say does not matter.
            let free = matches!(at, 24..28 | 44..48 | 56..62);
            assert_eq!(unwrap(&bad).is_ok(), free, "byte {at}");
        }
        for end in 0..good.len() {
            assert!(unwrap(&good[..end]).is_err(), "{end}");
        }
    }
}
