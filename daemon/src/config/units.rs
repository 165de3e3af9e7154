//! Values with units: time spans, sizes, shares.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tenantfs::repo::Parity;

use crate::schedule::parse_period;

/// A time span, such as `"30s"` or `"7d"`.
pub(super) fn period<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    parse_period("the time", &text).map_err(D::Error::custom)
}

/// A time span where there need not be one.
pub(super) fn some_period<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Duration>, D::Error> {
    period(input).map(Some)
}

/// A time span, or `"never"`, for which `"0"` is another word.
pub(super) fn period_or_never<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(input)?;
    match text.as_str() {
        "0" | "never" => Ok(None),
        text => parse_period("the time", text)
            .map(Some)
            .map_err(D::Error::custom),
    }
}

/// A number of seconds, at least one.
pub(super) fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    match u64::deserialize(input)? {
        0 => Err(D::Error::custom("must be at least 1 second")),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

/// A size: a number of bytes, or one with a binary unit, such as `"4GiB"`.
pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }
    let text = match Written::deserialize(input)? {
        Written::Bytes(bytes) => return Ok(bytes),
        Written::Text(text) => text,
    };
    let parsed = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
        .into_iter()
        .find_map(|(unit, bits)| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(1 << bits)
        });
    parsed.ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is no size; write a number of bytes, or one with KiB, MiB, GiB or TiB"
        ))
    })
}

/// A share such as `"5%"`.
pub(super) fn parity<'de, D: Deserializer<'de>>(input: D) -> Result<Parity, D::Error> {
    let text = String::deserialize(input)?;
    let number = text.strip_suffix('%').map(str::trim).map(str::parse::<f64>);
    match number {
        Some(Ok(0.0)) => Some(Parity::OFF),
        Some(Ok(number)) => Parity::percent(number),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom(format!("parity {text:?} is no share such as \"5%\"")))
}
