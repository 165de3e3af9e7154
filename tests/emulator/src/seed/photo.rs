//! Pictures for contacts and users: grey JPEGs of plain squares, made from a number.
//!
//! Baseline JPEG (ITU-T T.81) with one component and nothing but the mean of each block of 8 x 8, so
//! that the whole encoder is a dozen lines and any viewer shows the result.

use crate::rng::Rng;

/// A picture of `width` x `height` pixels, both at most 65,535.
pub fn jpeg(key: u64, width: u16, height: u16) -> Vec<u8> {
    let mut rng = Rng::at(key, 0);
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let mut quantisation = [8u8; 65];
    quantisation[0] = 0;
    segment(&mut out, 0xdb, &quantisation);
    let ([h1, h0], [w1, w0]) = (height.to_be_bytes(), width.to_be_bytes());
    segment(&mut out, 0xc0, &[8, h1, h0, w1, w0, 1, 1, 0x11, 0]);
    // Means: the standard's table for luminance; the rest of a block: its end, as the code 0.
    let means = [
        &[0, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0][..],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..],
    ];
    segment(&mut out, 0xc4, &means.concat());
    let rest = [0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    segment(&mut out, 0xc4, &rest);
    segment(&mut out, 0xda, &[1, 1, 0, 0, 63, 0]);
    let mut bits = Bits::default();
    let mut before = 0;
    let (columns, rows) = (width.div_ceil(8).max(1), height.div_ceil(8).max(1));
    for _ in 0..u32::from(columns) * u32::from(rows) {
        let mean = rng.below(240) as i32 - 120;
        bits.difference(mean - before);
        before = mean;
    }
    out.extend(bits.end());
    out.extend([0xff, 0xd9]);
    out
}

fn segment(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.extend([0xff, kind]);
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend(content);
}

#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.held = self.held << count | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.held &= (1 << self.count) - 1;
    }

    /// A block: the difference of its mean to the one before, and its end.
    fn difference(&mut self, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        let (code, length) = match size {
            0 => (0, 2),
            1..=5 => (size + 1, 3),
            _ => ((1 << (size - 2)) - 2, size - 2),
        };
        self.put(code, length);
        let coded = if value < 0 { value - 1 } else { value };
        self.put(coded as u32 & ((1 << size) - 1), size);
        self.put(0, 1);
    }

    fn end(mut self) -> Vec<u8> {
        if self.count > 0 {
            let left = 8 - self.count;
            self.put((1 << left) - 1, left);
        }
        self.out
    }
}
