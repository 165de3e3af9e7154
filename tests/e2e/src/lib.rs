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

/// Bytes that nothing can compress, the same for the same seed. Hashed, since a generator's code would be compiled
/// into the tests, without optimisation.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
