//! The refusals of the files API: status, code and, where the service has one, inner code.

use crate::api::ApiResponse;

use super::names::Refusal;

/// Why a request on a drive was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub inner: Option<&'static str>,
}

impl Failure {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
            inner: None,
        }
    }

    pub fn inner(mut self, inner: &'static str) -> Failure {
        self.inner = Some(inner);
        self
    }

    pub fn item_not_found() -> Failure {
        Failure::new(404, "itemNotFound", "The resource could not be found.")
    }

    pub fn drive_not_found() -> Failure {
        Failure::new(
            404,
            "itemNotFound",
            "The specified drive could not be found.",
        )
    }

    /// What is said of a user whose OneDrive was never set up.
    pub fn no_mysite() -> Failure {
        Failure::new(404, "ResourceNotFound", "User's mysite not found.")
    }

    pub fn access_denied() -> Failure {
        Failure::new(
            403,
            "accessDenied",
            "Either scp or roles claim need to be present in the token.",
        )
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(400, "invalidRequest", message)
    }

    pub fn name_exists() -> Failure {
        Failure::new(
            409,
            "nameAlreadyExists",
            "The specified item name already exists.",
        )
    }

    pub fn bad_name(refusal: Refusal) -> Failure {
        let failure = Failure::invalid(refusal.message());
        match refusal {
            Refusal::TooLong => failure.inner("pathIsTooLong"),
            Refusal::Character => failure.inner("nameContainsInvalidCharacters"),
            Refusal::Empty | Refusal::Reserved => failure.inner("invalidPath"),
        }
    }

    pub fn path_too_long() -> Failure {
        Failure::invalid("The specified path is longer than 400 characters").inner("pathIsTooLong")
    }

    pub fn etag_mismatch() -> Failure {
        Failure::new(
            412,
            "resourceModified",
            "ETag does not match current item's value",
        )
        .inner("entityTagDoesNotMatch")
    }

    pub fn quota() -> Failure {
        Failure::new(507, "quotaLimitReached", "Insufficient Space Available")
    }

    pub fn not_supported(what: &str) -> Failure {
        Failure::new(400, "notSupported", what)
    }

    pub fn malware() -> Failure {
        Failure::new(403, "malwareDetected", "Malware detected").inner("virusSuspicious")
    }

    pub fn io(error: std::io::Error) -> Failure {
        Failure::new(
            500,
            "generalException",
            format!("General exception while processing: {error}"),
        )
    }
}

impl From<Failure> for ApiResponse {
    fn from(failure: Failure) -> ApiResponse {
        let response = match failure.inner {
            Some(inner) => {
                ApiResponse::error_inner(failure.status, failure.code, &failure.message, inner)
            }
            None => ApiResponse::error(failure.status, failure.code, &failure.message),
        };
        if failure.code == "malwareDetected" {
            return response.with_header("X-Virus-Infected", "true");
        }
        response
    }
}
