//! `/organization`: the tenant itself.

use serde_json::json;

use super::routes::denied;
use crate::api::{ApiRequest, ApiResponse};
use crate::odata;
use crate::world::World;

pub fn organization(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(&[
        "Organization.Read.All",
        "Directory.Read.All",
        "User.Read.All",
    ]) {
        return Err(denied());
    }
    let domain = &world.options.domain;
    let value = vec![json!({
        "id": world.options.tenant, "displayName": "Contoso", "countryLetterCode": "DK", "createdDateTime": "2024-01-02T03:04:05Z",
        "verifiedDomains": [{"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": true, "isInitial": false, "name": domain, "type": "Managed"}],
    })];
    Ok(ApiResponse::ok(odata::page(
        request.context("organization"),
        None,
        value,
        None,
    )))
}
