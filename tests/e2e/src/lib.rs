//! What the end-to-end tests share: a tenant, the program under test, somebody else's Graph client.

pub mod calendars;
pub mod changes;
pub mod clients;
pub mod drives;
pub mod exported;
pub mod fidelity;
pub mod garage;
pub mod graph;
pub mod kills;
pub mod moto;
pub mod program;
pub mod proxy;
pub mod recorded;
pub mod rig;
pub mod shell;
pub mod stored;
pub mod tenant;
pub mod vdirsyncer;

pub use fixtures::corpus;
pub use recorded::Recorded;
pub use rig::Rig;
pub use tenant::{Mounted, Tenant, text};
