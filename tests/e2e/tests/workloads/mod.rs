//! The mail and drive workloads against the emulator, over real HTTP: what they tell of a tenant,
//! what survives faults, and that a restored item is what it was.

mod drive;
mod faults;
mod mail;
mod support;
