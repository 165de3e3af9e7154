//! `[verify]`: how the repository is looked after.

use std::time::Duration;

use serde::Deserialize;

use super::units::period_or_never;

/// `[verify]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// The daemon reads the whole repository once in such a time, little by little: `"30d"`; `"0"`: never.
    #[serde(deserialize_with = "period_or_never")]
    pub every: Option<Duration>,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(30 * 86_400)),
        }
    }
}
