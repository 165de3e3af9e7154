//! Everything, end to end. One program: most tests wait for something most of the time, and those of one area
//! alone would leave the processors idle. One area: `cargo test --test end_to_end sites::`.

mod archive;
mod azure;
mod calendar;
mod capture;
mod clients;
mod copies;
mod crash;
mod fidelity;
mod full_disk;
mod fuzz;
mod hosts;
mod keys;
mod kills;
mod matrix;
mod parsers;
mod people;
mod program;
mod repair;
mod restore;
mod restore_service;
mod retention;
mod sign_in;
mod sites;
mod store;
mod sync;
mod tls;
mod traps;
mod workloads;
