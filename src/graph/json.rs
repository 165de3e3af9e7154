//! Reading JSON as Graph sends it.
//!
//! Exchange puts raw control characters (below 0x20) into strings, which no JSON parser accepts.
//! Only when a body fails to parse is it read again with those escaped, so the usual case costs
//! nothing.

use serde::de::DeserializeOwned;

/// Parses a body, escaping control characters inside strings where the service did not.
///
/// # Errors
/// What is wrong with the JSON (truncated bodies end here: the caller asks again).
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).or_else(|first| match escape_controls(body) {
        Some(repaired) => serde_json::from_slice(&repaired).map_err(|_| first),
        None => Err(first),
    })
}

/// The body with raw control characters inside strings escaped; `None` if there are none.
fn escape_controls(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let (mut in_string, mut escaped, mut changed) = (false, false, false);
    for &byte in body {
        if in_string {
            if byte < 0x20 {
                // After a backslash the pair would be invalid as well: drop the backslash's meaning.
                if escaped {
                    out.push(b'\\');
                    escaped = false;
                }
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                changed = true;
                continue;
            }
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
            }
        } else if byte == b'"' {
            in_string = true;
        }
        out.push(byte);
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn raw_controls_inside_strings_survive() {
        let value: Value = parse(b"{\"subject\":\"a\x0bb\tc\\\"\x01\"}\r\n").unwrap();
        assert_eq!(value["subject"], "a\u{b}b\tc\"\u{1}");
    }

    #[test]
    fn a_truncated_body_is_an_error() {
        assert!(parse::<Value>(b"{\"value\":[{\"id\":\"x\x01").is_err());
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text in ".*") {
            // A writer that escapes only quotes and backslashes, as the service does.
            let mut raw = b"{\"s\":\"".to_vec();
            for c in text.chars() {
                if c == '"' || c == '\\' { raw.push(b'\\'); }
                let mut buf = [0; 4];
                raw.extend_from_slice(c.encode_utf8(&mut buf).as_bytes());
            }
            raw.extend_from_slice(b"\"}");
            let value: Value = parse(&raw).unwrap();
            prop_assert_eq!(value["s"].as_str().unwrap(), text);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Value>(&bytes);
        }
    }
}
