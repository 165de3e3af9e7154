//! What requests to sites cost, in SharePoint's resource units (October 2025): 1 for a single item and for delta
//! with a token, 2 for lists, for delta without one and for every write, 5 for permissions.

use http::Method;

use crate::api::ApiRequest;
use crate::drive;
use crate::drive::route::{below_drive, delta_argument};

use super::route::{self, Route};

/// Segments that name permissions.
const PERMISSIONS: &[&str] = &["permissions", "createlink", "invite"];
/// Segments that, last in a path, stand for many things.
const MANY: &[&str] = &[
    "sites",
    "lists",
    "items",
    "drives",
    "columns",
    "contenttypes",
    "pages",
    "versions",
    "webparts",
    "horizontalsections",
    "operations",
    "subscriptions",
    "microsoft.graph.sitepage",
];

/// Units of a request; `None` when it is not about sites.
pub fn resource_units(request: &ApiRequest) -> Option<u64> {
    let rest = match route::parse(&request.raw_path)? {
        Route::Search | Route::All => return Some(2),
        Route::Delta(token) => return Some(delta(request, token)),
        Route::Site(_, rest) => rest,
    };
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        ["drive", ..] => return Some(drive::units(request, &below_drive(rest[1..].to_vec()))),
        ["drives", _, _, ..] => {
            return Some(drive::units(request, &below_drive(rest[2..].to_vec())));
        }
        ["lists", _, "drive", _, ..] => {
            return Some(drive::units(request, &below_drive(rest[3..].to_vec())));
        }
        _ => {}
    }
    let expands = request
        .option("expand")
        .unwrap_or_default()
        .to_ascii_lowercase();
    if expands.contains("permissions") || lower.iter().any(|s| PERMISSIONS.contains(s)) {
        return Some(5);
    }
    if request.method != Method::GET {
        return Some(2);
    }
    let Some(last) = lower.last() else {
        return Some(1);
    };
    let function = last.strip_prefix("microsoft.graph.").unwrap_or(last);
    if let Some(token) = delta_argument(function) {
        return Some(delta(request, token));
    }
    // `pages/{id}/microsoft.graph.sitePage` is one page, `pages/microsoft.graph.sitePage` are all.
    let one_page = *last == "microsoft.graph.sitepage" && lower.len() > 2;
    Some(if MANY.contains(last) && !one_page {
        2
    } else {
        1
    })
}

fn delta(request: &ApiRequest, argument: Option<String>) -> u64 {
    match argument.or_else(|| request.option("token").map(str::to_owned)) {
        Some(token) if token != "latest" => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(method: Method, path: &str) -> Option<u64> {
        resource_units(&ApiRequest::parse(method, &format!("/v1.0{path}")).unwrap())
    }

    #[test]
    fn what_requests_cost() {
        let get = |path: &str| units(Method::GET, path);
        assert_eq!(get("/users"), None);
        assert_eq!(get("/sites/getAllSites"), Some(2));
        assert_eq!(get("/sites/delta?token=x"), Some(1));
        assert_eq!(get("/sites/a,b,c"), Some(1));
        assert_eq!(get("/sites/a,b,c/lists"), Some(2));
        assert_eq!(get("/sites/a,b,c/lists/l"), Some(1));
        assert_eq!(get("/sites/a,b,c/lists/l/items?$expand=fields"), Some(2));
        assert_eq!(get("/sites/a,b,c/lists/l/items/7"), Some(1));
        assert_eq!(get("/sites/a,b,c/lists/l/items/delta"), Some(2));
        assert_eq!(
            get("/sites/a,b,c/lists/l/items/delta?token=latest"),
            Some(2)
        );
        assert_eq!(get("/sites/a,b,c/lists/l/items/delta?token=x"), Some(1));
        assert_eq!(get("/sites/a,b,c/lists/l/items/7/permissions"), Some(5));
        assert_eq!(get("/sites/a,b,c/drive/root/children"), Some(2));
        assert_eq!(get("/sites/a,b,c/drives/d/items/i/permissions"), Some(5));
        assert_eq!(get("/sites/a,b,c/pages/microsoft.graph.sitePage"), Some(2));
        assert_eq!(
            get("/sites/a,b,c/pages/p/microsoft.graph.sitePage"),
            Some(1)
        );
        assert_eq!(
            units(Method::PATCH, "/sites/a,b,c/lists/l/items/7/fields"),
            Some(2)
        );
    }
}
