//! Being built up.

#[derive(Default)]
pub struct Counts;
