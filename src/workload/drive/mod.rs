//! OneDrive.
