//! Content: 302 to a pre-authenticated URL, and that URL itself.

use bytes::Bytes;

use crate::api::{ApiRequest, ApiResponse, Body, RawRequest};
use crate::options::Quirk;
use crate::world::World;

use super::content::Content;
use super::failure::Failure;
use super::item::{Index, Item};
use super::render;
use super::store::Drive;

/// Bytes in memory at a time while a file is sent.
const PIECE: usize = 256 * 1024;

/// `GET .../content`.
pub fn content(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let item = drive.item(index);
    if item.file().is_none() {
        // Folders, notebooks and shortcuts have none.
        return Err(Failure::item_not_found());
    }
    if item.malware {
        return Err(Failure::malware());
    }
    if request
        .header("if-none-match")
        .is_some_and(|tags| item.matches(tags))
    {
        return Ok(ApiResponse::empty(304));
    }
    Ok(ApiResponse::redirect(&super::download_url(
        world, request, drive, index, None,
    )))
}

/// A request to a download URL.
pub fn raw(world: &World, request: &RawRequest) -> Result<ApiResponse, Failure> {
    if request.method != http::Method::GET && request.method != http::Method::HEAD {
        return Ok(ApiResponse::method_not_allowed());
    }
    let refused = || Failure::new(401, "unauthenticated", "The caller is not authenticated.");
    if request.header("authorization").is_some() && !world.options.has(Quirk::TakeAuthorization) {
        return Err(refused());
    }
    let tempauth = request.option("tempauth").ok_or_else(refused)?;
    let ticket = world
        .drive
        .signer
        .open(tempauth, world.clock.now())
        .ok_or_else(refused)?;
    let handle = world
        .drive
        .get(&ticket.drive)
        .ok_or_else(Failure::drive_not_found)?;
    let drive = handle.lock();
    let guid = uuid::Uuid::parse_str(&ticket.item)
        .map_err(|_| refused())?
        .as_u128();
    let index = drive.find_guid(guid).ok_or_else(Failure::item_not_found)?;
    let item = drive.item(index);
    if item.malware {
        return Err(Failure::malware());
    }
    if world.options.has(Quirk::BusyNotebooks) && render::is_onenote(&item.name) {
        return Err(Failure::new(
            503,
            "serviceNotAvailable",
            "The service is temporarily unavailable.",
        ));
    }
    let content = version(item, ticket.version).ok_or_else(Failure::item_not_found)?;
    let media_type = super::names::media_type(&item.name);
    let (tag, name) = (item.etag_text(), item.name.clone());
    drop(drive);
    let range = request
        .header("range")
        .filter(|_| !world.options.has(Quirk::IgnoreRange));
    let response = send(content, range, media_type)?
        .with_header("ETag", &tag)
        .with_header("Accept-Ranges", "bytes")
        .with_header("Content-Disposition", &disposition(&name));
    Ok(response)
}

fn version(item: &Item, number: Option<u32>) -> Option<Content> {
    let file = item.file()?;
    match number {
        None => Some(file.content.clone()),
        Some(n) if n == file.version => Some(file.content.clone()),
        Some(n) => file
            .older
            .iter()
            .find(|v| v.number == n)
            .map(|v| v.content.clone()),
    }
}

fn disposition(name: &str) -> String {
    format!(
        "attachment; filename*=UTF-8''{}",
        super::route::encode_segment(name)
    )
}

/// The whole, or the range asked for: 206 with Content-Range, 416 when it begins after the end. Several
/// ranges at once get the whole.
fn send(content: Content, range: Option<&str>, media_type: &str) -> Result<ApiResponse, Failure> {
    let size = content.len();
    let (status, first, length) = match range.and_then(|r| parse_range(r, size)) {
        None => (200, 0, size),
        Some(Some((first, last))) => (206, first, last - first + 1),
        Some(None) => {
            let failure = Failure::new(
                416,
                "invalidRange",
                "The requested range is not satisfiable.",
            );
            return Ok(
                ApiResponse::from(failure).with_header("Content-Range", &format!("bytes */{size}"))
            );
        }
    };
    // Read ahead by one piece, so that a file that can't be read is an error and not a short body.
    content.read(first, 1).map_err(Failure::io)?;
    let pieces = Pieces {
        content,
        at: first,
        end: first + length,
    };
    let body = Body::Chunks {
        length,
        content_type: media_type.to_owned(),
        pieces: Box::new(pieces),
    };
    let response = ApiResponse::new(status, body);
    Ok(match status {
        206 => response.with_header(
            "Content-Range",
            &format!("bytes {first}-{}/{size}", first + length - 1),
        ),
        _ => response,
    })
}

/// `None`: no usable range, send all. `Some(None)`: not satisfiable.
fn parse_range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let suffix: u64 = suffix.parse().ok()?;
            (suffix > 0 && size > 0).then(|| (size - suffix.min(size), size - 1))
        }
        (first, "") => {
            let first: u64 = first.parse().ok()?;
            (first < size).then(|| (first, size - 1))
        }
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            (first < size).then(|| (first, last.min(size - 1)))
        }
    };
    Some(range)
}

/// A range of a file, a piece at a time. Ends early when the file can't be read any more: the client sees a
/// truncated body.
struct Pieces {
    content: Content,
    at: u64,
    end: u64,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let length = (self.end - self.at).min(PIECE as u64) as usize;
        if length == 0 {
            return None;
        }
        let piece = self
            .content
            .read(self.at, length)
            .ok()
            .filter(|p| !p.is_empty())?;
        self.at += piece.len() as u64;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes=0-9", 100), Some(Some((0, 9))));
        assert_eq!(parse_range("bytes=90-", 100), Some(Some((90, 99))));
        assert_eq!(parse_range("bytes=90-500", 100), Some(Some((90, 99))));
        assert_eq!(parse_range("bytes=-10", 100), Some(Some((90, 99))));
        assert_eq!(parse_range("bytes=-500", 100), Some(Some((0, 99))));
        assert_eq!(parse_range("bytes=100-", 100), Some(None));
        assert_eq!(parse_range("bytes=0-", 0), Some(None));
        assert_eq!(parse_range("bytes=5-1", 100), None);
        assert_eq!(parse_range("bytes=0-1,5-6", 100), None);
        assert_eq!(parse_range("items=0-1", 100), None);
    }
}
