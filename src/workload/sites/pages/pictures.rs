//! The pictures that a page shows, as far as they are files of its own site.

use futures::StreamExt;
use serde_json::Value;

use super::Pages;
use crate::format::html::{MAX_PICTURE, Picture, Pictures};
use crate::graph::{Call, Download, ErrorClass, GraphError, Scope, hash_of};

const ITEM: &str = "/drives/{drive}/items/{item}";
const CONTENT: &str = "/drives/{drive}/items/{item}/content";

impl Pages {
    /// What of these addresses can be had. Without one a page is still a page; only trouble of the service
    /// is an error, since a later attempt may bring it.
    pub(super) async fn pictures(
        &self,
        site: &str,
        addresses: Vec<String>,
    ) -> Result<Pictures, GraphError> {
        let mut found = Pictures::new();
        for address in addresses {
            let Some(file) = self.live.file(site, &address).await? else {
                continue;
            };
            match self.picture(&file).await {
                Ok(Some(picture)) => {
                    found.insert(address, picture);
                }
                Ok(None) => {}
                Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => return Err(e),
                Err(e) => tracing::debug!(%e, "a picture of a page is not there"),
            }
        }
        Ok(found)
    }

    async fn picture(&self, file: &Value) -> Result<Option<Picture>, GraphError> {
        let size = file["size"].as_u64().unwrap_or_default();
        let drive = file["parentReference"]["driveId"].as_str();
        let (Some(drive), Some(item)) = (drive, file["id"].as_str()) else {
            return Ok(None);
        };
        if size > MAX_PICTURE as u64 {
            return Ok(None);
        }
        let mut pieces = self.live.client().download(Download {
            content: Call::get(CONTENT, &[drive, item]).scope(Scope::Drives, 1),
            item: Call::get(ITEM, &[drive, item])
                .query("$select", "id,size,file,eTag")
                .scope(Scope::Drives, 1),
            size: Some(size),
            hash: hash_of(file).map(str::to_owned),
            tolerant: false,
        });
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() > MAX_PICTURE {
                return Ok(None);
            }
        }
        Ok(Picture::of(bytes.into()))
    }
}
