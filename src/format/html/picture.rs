//! Pictures that are embedded in a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::format::vcf::image_type;

/// Bytes of the largest picture that is embedded.
pub const MAX_PICTURE: usize = 4 << 20;

/// Bytes that are a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    kind: &'static str,
    bytes: Bytes,
}

impl Picture {
    /// A picture whose kind is told by its first bytes; `None` if they are none, or too many.
    pub fn of(bytes: Bytes) -> Option<Self> {
        if bytes.len() > MAX_PICTURE {
            return None;
        }
        let kind = match image_type(&bytes) {
            Some(kind) => kind,
            // As an image no script in it runs.
            None if is_svg(&bytes) => "image/svg+xml",
            None => return None,
        };
        Some(Self { kind, bytes })
    }

    /// Bytes of its address.
    pub(super) fn size(&self) -> usize {
        self.bytes.len().div_ceil(3) * 4 + 32
    }

    pub(super) fn address(&self) -> String {
        format!("data:{};base64,{}", self.kind, STANDARD.encode(&self.bytes))
    }
}

fn is_svg(bytes: &[u8]) -> bool {
    let start = bytes.get(..1024.min(bytes.len())).unwrap_or_default();
    let start = String::from_utf8_lossy(start);
    let start = start.trim_start_matches('\u{feff}').trim_start();
    start.starts_with("<svg") || (start.starts_with("<?xml") && start.contains("<svg"))
}
