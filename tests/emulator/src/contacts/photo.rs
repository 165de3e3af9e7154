//! The photo of a contact.

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::store::{Book, Photo};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::ids::No;
use crate::world::World;

/// Largest photo Exchange takes.
const MAX_PHOTO: usize = 4 << 20;

/// Everything below `.../contacts/{id}/photo`.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let detail = book.detail(no);
            let photo = detail.photo.as_ref().ok_or_else(|| {
                ApiResponse::error(
                    404,
                    "ErrorItemNotFound",
                    "The specified object was not found in the store.",
                )
            })?;
            let mut body = show(photo);
            body["@odata.context"] = json!(request.context(&format!(
                "users('{}')/contacts('{}')/photo/$entity",
                book.user.id,
                book.contact_id(no, request.immutable_ids())
            )));
            Ok(ApiResponse::ok(body))
        }
        (["$value"], &Method::GET) => {
            let detail = book.detail(no);
            let photo = detail.photo.as_ref().ok_or_else(|| {
                ApiResponse::error(404, "ImageNotFound", "The photo wasn't found.")
            })?;
            Ok(
                ApiResponse::bytes(200, photo.bytes.clone(), &photo.content_type)
                    .with_header("etag", &tag(photo)),
            )
        }
        ([] | ["$value"], &Method::PUT | &Method::PATCH) => put(world, book, request, no),
        ([] | ["$value"], &Method::DELETE) => {
            if book.detail_mut(no).photo.take().is_some() {
                book.touch(no, world.clock.now());
            }
            Ok(ApiResponse::no_content())
        }
        ([segment, ..], _) if *segment != "$value" => Err(ApiResponse::no_such_segment(segment)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn put(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let content_type = request.header("content-type").unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if !content_type.to_ascii_lowercase().starts_with("image/") {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "A photo is sent as image/jpeg or another type of image.",
        ));
    }
    if request.body.is_empty() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "The photo is empty.",
        ));
    }
    if request.body.len() >= MAX_PHOTO {
        return Err(ApiResponse::empty(413));
    }
    book.detail_mut(no).photo = Some(Photo {
        bytes: request.body.clone(),
        content_type: content_type.to_owned(),
    });
    book.touch(no, world.clock.now());
    Ok(ApiResponse::empty(200))
}

/// The photo without its bytes. Sizes that cannot be told from the bytes are null.
pub fn show(photo: &Photo) -> Value {
    let size = size(&photo.bytes);
    let id = size.map_or_else(|| "1X1".to_owned(), |(w, h)| format!("{w}X{h}"));
    json!({
        "@odata.mediaContentType": photo.content_type, "@odata.mediaEtag": tag(photo), "id": id,
        "width": size.map(|s| s.0), "height": size.map(|s| s.1),
    })
}

fn tag(photo: &Photo) -> String {
    let hash = Sha256::digest(&photo.bytes);
    let short: String = hash[..8].iter().map(|b| format!("{b:02X}")).collect();
    format!("\"{short}\"")
}

/// Width and height of a JPEG, PNG or GIF.
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| {
        Some(u32::from(u16::from_be_bytes([
            *bytes.get(at)?,
            *bytes.get(at + 1)?,
        ])))
    };
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let long = |at: usize| Some(word(at)? << 16 | word(at + 2)?);
        return Some((long(16)?, long(20)?));
    }
    if bytes.starts_with(b"GIF8") {
        return Some((word(6)?.swap_bytes() >> 16, word(8)?.swap_bytes() >> 16));
    }
    if !bytes.starts_with(b"\xff\xd8") {
        return None;
    }
    // A JPEG is a chain of segments; the one that starts the frame tells the size.
    let mut at = 2;
    loop {
        let (mark, kind) = (*bytes.get(at)?, *bytes.get(at + 1)?);
        if mark != 0xff {
            return None;
        }
        match kind {
            0xff => at += 1,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((word(at + 7)?, word(at + 5)?));
            }
            0x01 | 0xd0..=0xd7 => at += 2,
            _ => at += 2 + (word(at + 2)? as usize).max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_bytes() {
        assert_eq!(size(b"GIF89a\x05\x01\x07\x00"), Some((261, 7)));
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x02\0\0\0\x09";
        assert_eq!(size(png), Some((258, 9)));
        let jpeg = crate::seed::photo::jpeg(5, 96, 64);
        assert_eq!(size(&jpeg), Some((96, 64)));
        for end in 0..jpeg.len().min(200) {
            size(&jpeg[..end]);
        }
        assert_eq!(size(b"nothing"), None);
    }
}
