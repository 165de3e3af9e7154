//! Addresses as entry ids: the one-off kind, which holds name and address itself (MS-OXCDATA 2.2.5.1),
//! and lists of them.

use crate::fasttransfer::read::text;
use crate::fasttransfer::write::utf16;

const ONE_OFF: [u8; 16] = [
    0x81, 0x2B, 0x1F, 0xA4, 0xBE, 0xA3, 0x10, 0x19, 0x9D, 0x6E, 0x00, 0xDD, 0x01, 0x0F, 0x54, 0x02,
];
/// Strings are UTF-16, and no rich text is to be sent.
const FLAGS: u16 = 0x9001;

/// The entry id of an SMTP address.
pub fn one_off(name: &str, address: &str) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&ONE_OFF);
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&FLAGS.to_le_bytes());
    for part in [name, "SMTP", address] {
        out.extend_from_slice(&utf16(part));
    }
    out
}

/// Name and address of a one-off entry id.
pub fn read_one_off(id: &[u8]) -> Option<(String, String)> {
    if id.get(4..20)? != ONE_OFF {
        return None;
    }
    let wide = u16::from_le_bytes([*id.get(22)?, *id.get(23)?]) & 0x8000 != 0;
    let mut rest = id.get(24..)?;
    let mut next = || {
        let (page, unit) = if wide { (1200, 2) } else { (1252, 1) };
        let end = rest
            .chunks_exact(unit)
            .position(|u| u.iter().all(|b| *b == 0))?
            * unit;
        let part = text(&rest[..end], page);
        rest = &rest[end + unit..];
        Some(part)
    };
    let (name, _kind, address) = (next()?, next()?, next()?);
    Some((name, address))
}

/// A FLATENTRYLIST of entry ids.
pub fn list(ids: &[Vec<u8>]) -> Vec<u8> {
    let mut entries = Vec::new();
    for id in ids {
        entries.extend_from_slice(&(id.len() as u32).to_le_bytes());
        entries.extend_from_slice(id);
        entries.resize(entries.len().next_multiple_of(4), 0);
    }
    let mut out = (ids.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&entries);
    out
}

/// The entry ids of a FLATENTRYLIST, as far as it can be read.
pub fn read_list(bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(id) = after.get(..length) else { break };
        out.push(id);
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        let ids = vec![one_off("Bø", "bo@x.test"), one_off("", "c@x.test")];
        let bytes = list(&ids);
        let read: Vec<_> = read_list(&bytes)
            .into_iter()
            .filter_map(read_one_off)
            .collect();
        assert_eq!(
            read,
            [
                ("Bø".to_owned(), "bo@x.test".to_owned()),
                (String::new(), "c@x.test".to_owned())
            ]
        );
        for end in 0..bytes.len() {
            read_list(&bytes[..end]).into_iter().for_each(|id| {
                let _ = read_one_off(id);
            });
        }
    }
}
