//! OneDrive and SharePoint files.

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::Clock;
use crate::options::Options;
use crate::users::User;
use crate::world::World;
use std::sync::Arc;

/// All drives of the tenant.
pub struct Drives;

impl Drives {
    /// Makes the drives of `users` with `has_drive`, generated and imported as `options` say.
    pub fn new(_options: &Options, _users: &[Arc<User>], _clock: &Clock) -> anyhow::Result<Drives> {
        Ok(Drives)
    }
}

/// Answers `/drives/...`, `/users/{id}/drive(s)...`, `/me/drive(s)...`, `/shares/...`; `None` for any other path.
pub fn handle(_world: &World, _request: &ApiRequest) -> Option<ApiResponse> {
    None
}

/// A request to a pre-authenticated URL, without an access token: `/_download/...`, `/_upload/...`.
/// Only those that are not the mailbox's (`/_upload/mail/...`) come here.
pub fn handle_raw(_world: &World, _request: &crate::api::RawRequest) -> ApiResponse {
    ApiResponse::empty(404)
}
