//! The parts of the demo: what it says, the commands it shows, what happens in its tenant.

pub mod guide;
pub mod shell;
pub mod tenant;
