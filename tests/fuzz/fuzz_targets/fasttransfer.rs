//! Exported items: whatever the bytes, reading, showing and editing them ends without a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tenantfs::format::fasttransfer::survive(bytes);
});
