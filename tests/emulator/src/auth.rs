//! Being built up.

#[derive(Default)]
pub struct Issuer;
