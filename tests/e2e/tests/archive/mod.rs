//! In-place archives, and mail by export: what is captured of them and with how many requests, and that
//! everything comes back as it was, through the mount and through the command line. Every restore ends
//! with the question whether Exchange would have sent anything to anyone.

mod capture;
mod export;
mod restore;
mod scene;
