//! The id that all copies of a meeting share (MS-OXOCAL 2.2.1.27), and Graph's `iCalUId` for it.

use sha2::{Digest, Sha256};

const HEAD: [u8; 16] = [
    0x04, 0x00, 0x00, 0x00, 0x82, 0x00, 0xE0, 0x00, 0x74, 0xC5, 0xB7, 0x10, 0x1A, 0x82, 0xE0, 0x08,
];
const FOREIGN: &[u8] = b"vCal-Uid\x01\x00\x00\x00";

/// An id of Exchange's own kind that depends on `key` alone.
pub fn made_from(key: &str) -> Vec<u8> {
    let hash = Sha256::digest(key.as_bytes());
    let mut out = HEAD.to_vec();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&super::filetime(crate::seed::ANCHOR).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&hash[..16]);
    out
}

/// The clean id for a `iCalUId`: upper-case hex of one, or any other text.
pub fn from_uid(uid: &str) -> Vec<u8> {
    let hex = (0..uid.len() / 2)
        .map(|n| u8::from_str_radix(uid.get(n * 2..n * 2 + 2)?, 16).ok())
        .collect::<Option<Vec<u8>>>();
    if let Some(mut id) = hex.filter(|id| id.starts_with(&HEAD) && id.len() >= 40) {
        id[16..20].fill(0);
        return id;
    }
    let mut out = HEAD.to_vec();
    out.extend_from_slice(&[0; 20]);
    out.extend_from_slice(&((FOREIGN.len() + uid.len() + 1) as u32).to_le_bytes());
    out.extend_from_slice(FOREIGN);
    out.extend_from_slice(uid.as_bytes());
    out.push(0);
    out
}

/// The `iCalUId` of an id.
pub fn to_uid(id: &[u8]) -> String {
    let foreign = id.get(40..).and_then(|data| data.strip_prefix(FOREIGN));
    match foreign {
        Some(text) => String::from_utf8_lossy(text)
            .trim_end_matches('\0')
            .to_owned(),
        None => id.iter().map(|b| format!("{b:02X}")).collect(),
    }
}

/// The id of one day's instance.
pub fn of_day(clean: &[u8], day: jiff::civil::Date) -> Vec<u8> {
    let mut out = clean.to_vec();
    if let Some(place) = out.get_mut(16..20) {
        let [high, low] = day.year().to_be_bytes();
        place.copy_from_slice(&[high, low, day.month() as u8, day.day() as u8]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_come_back() {
        let own = to_uid(&made_from("x"));
        assert!(own.starts_with("040000008200E00074C5B7101A82E008"));
        assert_eq!(to_uid(&from_uid(&own)), own);
        for foreign in ["abc@example.org", "", "ü"] {
            assert_eq!(to_uid(&from_uid(foreign)), foreign);
        }
        assert_eq!(
            of_day(&made_from("x"), jiff::civil::date(2026, 3, 9))[16..20],
            [7, 234, 3, 9]
        );
    }
}
